//! Signals end a mount in order: unmounted, exit code 0, and a process that still
//! uses it meets an error instead of a hang.

use crate::support::fake::{Action, Fault, Port};
use crate::{
    commands::{Place, Running, finish, kill, script, small_world, until},
    support::{Bench, SOON, Who, is_mounted},
};
use nix::sys::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

#[test]
fn signals_end_a_foreground_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for signal in [SIGINT, SIGTERM, SIGQUIT] {
            let mut mount = bench.mount_as(who).start();
            assert_eq!(mount.list("agents"), ["writer"]);
            mount.signal(signal);
            let status = mount.wait();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
            assert!(!is_mounted(mount.path()), "{who:?} {signal}");
        }
    }
}

#[test]
fn signals_end_a_background_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for signal in [SIGINT, SIGTERM, SIGQUIT] {
            let place = Place::mounted(&bench, who, "mnt");
            kill(place.pid(), signal);
            until("unmounted", || !is_mounted(&place.path));
            place.is_over();
            assert_eq!(place.path.read_dir().unwrap().count(), 0);
        }
    }
}

#[test]
fn signals_end_a_mount_in_use() {
    for who in Who::all() {
        for signal in [SIGINT, SIGTERM, SIGQUIT] {
            let bench = Bench::new(small_world());
            let mut mount = bench.mount_as(who).start();
            let standing = Running::standing_in(who, mount.path());
            bench.server.fault(Fault::store(Action::Stall));
            let file = mount.join("artifacts/site/latest/index.html");
            let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
            assert!(bench.server.wait_for(SOON, |requests| {
                requests.iter().any(|request| request.port == Port::Store)
            }));
            mount.signal(signal);
            let status = mount.wait();
            assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
            assert!(!is_mounted(mount.path()), "{who:?} {signal}");
            assert_eq!(reader.end(), Some(1), "an error, and not a hang");
            // A process that stands in it meets an error too.
            let inside = format!("ls '/proc/{}/cwd/'", standing.0.id());
            let listed = finish(&mut script(who, &inside));
            assert_ne!(listed.code, Some(0), "{listed:?}");
        }
    }
}

#[test]
fn sigint_before_the_mount_is_ready_leaves_no_mount() {
    // The API says nothing; the command is interrupted while it waits.
    for who in Who::all() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", Action::Stall));
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let child = command
            .arg("--foreground")
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut starting = Running(child.unwrap());
        assert!(bench.server.wait_for(SOON, |requests| !requests.is_empty()));
        kill(starting.0.id(), SIGINT);
        // After the greeting at the latest, with the mount taken away again.
        assert!(starting.end().is_some());
        assert!(!is_mounted(&place.path));
    }
}

#[test]
fn sigint_to_the_waiting_command_leaves_no_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        bench.server.fault(Fault::api("/", Action::Stall));
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let child = command.stderr(std::process::Stdio::null()).spawn();
        let mut starting = Running(child.unwrap());
        assert!(bench.server.wait_for(SOON, |requests| !requests.is_empty()));
        kill(starting.0.id(), SIGINT);
        assert_eq!(starting.end(), None, "a signal ended it");
        place.is_over();
        assert!(!place.path.exists(), "the folder that was made for it");
    }
}

/// Every signal but those that ask for the end, those of a fault, and the two that
/// nothing can block; 32 and 33 are the C library's own.
fn meaningless() -> impl Iterator<Item = i32> {
    let ends = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    let faults = [
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGSEGV,
        libc::SIGSYS,
    ];
    let others = [libc::SIGKILL, libc::SIGSTOP, 32, 33];
    let named = move |signal: &i32| {
        ends.contains(signal) || faults.contains(signal) || others.contains(signal)
    };
    (1..=64).filter(move |signal| !named(signal))
}

#[test]
fn no_other_signal_ends_a_mount_or_stops_it() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let mut mount = bench.mount_as(who).start();
        for signal in meaningless() {
            mount.run(&format!("kill -{signal} {}", mount.pid()));
            let status = mount.cat(".vm0fs/status.json");
            assert!(status.starts_with('{'), "{signal}: {status}");
        }
        assert_eq!(
            mount.cat("artifacts/site/latest/index.html"),
            "<h1>It works</h1>\n"
        );
        mount.signal(SIGTERM);
        assert_eq!(mount.wait().and_then(|status| status.code()), Some(0));
    }
}

#[test]
fn signals_ignored_from_the_start_do_not_end_a_mount() {
    // As `nohup` and a script's `&` do.
    let bench = Bench::new(small_world());
    for (ignored, signal) in [("HUP", SIGHUP), ("INT", SIGINT), ("QUIT", SIGQUIT)] {
        let place = Place::new(&bench, Who::Myself, &format!("mnt-{ignored}"));
        let mount = place.mount(&bench);
        let mut command = std::process::Command::new("bash");
        command
            .args([
                "-c",
                &format!("trap '' {ignored}; exec \"$@\"; exit 1"),
                "bash",
            ])
            .arg(mount.get_program())
            .args(mount.get_args())
            .arg("--foreground")
            .stderr(std::process::Stdio::null());
        for (name, value) in mount.get_envs() {
            command.env(name, value.unwrap());
        }
        let mut running = Running(command.spawn().unwrap());
        until("mounted", || is_mounted(&place.path));
        kill(running.0.id(), signal);
        assert!(
            !happens_within_a_moment(|| !is_mounted(&place.path)),
            "{ignored}"
        );
        assert_eq!(place.run("ls agents"), "writer\n");
        kill(running.0.id(), SIGTERM);
        assert_eq!(running.end(), Some(0), "{ignored}");
    }
}

/// Whether something happens within half a second.
fn happens_within_a_moment(mut so: impl FnMut() -> bool) -> bool {
    let end = std::time::Instant::now() + std::time::Duration::from_millis(500);
    while std::time::Instant::now() < end {
        if so() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

#[test]
fn mount_works_where_the_parent_ignores_sigchld() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mount = place.mount(&bench);
        let arguments: Vec<String> = mount
            .get_args()
            .map(|argument| argument.to_str().unwrap().to_owned())
            .collect();
        let program = mount.get_program().to_str().unwrap();
        // Python passes on what it ignores; a shell does not, for this signal.
        let code = format!(
            "exec python3 -c 'import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])' {program} {}",
            arguments.join(" ")
        );
        let mut command = script(who, &code);
        for (name, value) in mount.get_envs() {
            command.env(name, value.unwrap());
        }
        let said = finish(&mut command);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(is_mounted(&place.path), "{who:?}: {said:?}");
        assert_eq!(place.run("ls agents"), "writer\n");
        kill(place.pid(), SIGTERM);
        until("unmounted", || !is_mounted(&place.path));
    }
}
