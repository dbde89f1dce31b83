//! How a mount ends for good.

use super::workers;
use crate::{
    commands::{Place, Running, finish, kill, script, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Action, Fault, Port},
        is_mounted,
    },
};
use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use std::{fs, process::Command};

#[test]
fn five_deaths_within_ten_seconds_end_a_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::store(Action::Stall));
        let file = place.path.join("artifacts/site/latest/index.html");
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        assert!(bench.server.wait_for(SOON, |requests| {
            requests.iter().any(|request| request.port == Port::Store)
        }));
        let supervisor = place.pid();
        let mut killed = Vec::new();
        while killed.len() < 5 {
            let children = format!("/proc/{supervisor}/task/{supervisor}/children");
            let children = fs::read_to_string(children).unwrap_or_default();
            let worker = children
                .split_whitespace()
                .last()
                .and_then(|pid| pid.parse().ok());
            match worker {
                Some(worker) if !killed.contains(&worker) => {
                    kill(worker, SIGKILL);
                    killed.push(worker);
                }
                _ => std::thread::yield_now(),
            }
        }
        until("it is unmounted", || !is_mounted(&place.path));
        assert_eq!(reader.end(), Some(1), "an error, and not a hang");
        place.is_over();
        let log = bench
            .dir()
            .join(format!("home-{who:?}/.local/state/vm0fs/vm0fs.log"));
        let log = fs::read_to_string(log).unwrap();
        assert!(
            log.contains("the mount ends: too many workers died"),
            "{log}"
        );
        for pid in killed {
            assert!(
                log.contains(&format!("worker {pid} died (SIGKILL)")),
                "{log}"
            );
        }
        // And the next one begins anew.
        bench.server.clear_faults();
        finish(&mut place.mount(&bench)).succeeded();
        assert_eq!(place.run("ls agents"), "writer\n");
    }
}

#[test]
fn a_signal_to_the_worker_ends_the_mount_in_order() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    assert_eq!(workers(&place)["replaced"], 0);
    kill(place.worker(), SIGTERM);
    until("unmounted", || !is_mounted(&place.path));
    place.is_over();
}

#[test]
fn a_terminal_that_goes_away_ends_a_mount_in_its_foreground() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mount = place.mount(&bench);
    // A terminal of its own, from script(1) of util-linux; it goes away with that.
    let mut command = Command::new("script");
    let line = format!(
        "exec '{}' mount --foreground '{}'",
        mount.get_program().display(),
        place.path.display()
    );
    command.args(["-q", "-c", &line, "/dev/null"]);
    for (name, value) in mount.get_envs() {
        command.env(name, value.unwrap());
    }
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let terminal = Running(command.spawn().unwrap());
    until("mounted", || is_mounted(&place.path));
    until("it serves", || {
        finish(&mut script(Who::Myself, &place.inside("ls agents"))).code == Some(0)
    });
    drop(terminal);
    until("unmounted", || !is_mounted(&place.path));
    place.is_over();
}
