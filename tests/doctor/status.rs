//! What `vm0fs status` says of a mount, alive or not.

use crate::{
    commands::{Place, finish, small_world, until},
    support::{Bench, Who},
};
use fuser::{
    BackgroundSession, Config, Filesystem, INodeNo, MountOption, ReplyEntry, Request, Session,
};
use nix::sys::signal::SIGCONT;
use serde_json::Value;
use std::{ffi::OsStr, fs, sync::Mutex, time::Duration};

#[test]
fn status_describes_a_living_mount() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "my mnt");
        let latest = place.path.join("artifacts/site/latest");
        finish(bench.command(who).arg("prefetch").arg(latest)).succeeded();
        // A page of its status stands for a second.
        std::thread::sleep(Duration::from_millis(1100));
        let shown = place.path.display();
        let mut command = bench.command(who);
        let said = finish(command.arg("status").arg(place.path.join("./"))).succeeded();
        for word in [
            &format!("{shown}: alive, process {}\n", place.pid()),
            &format!("API        {}\n", bench.server.api_url()),
            " made, 0 failed; ",
            " of 5000 left until ",
            "versions: 1, with content: 1, in part: 0; in ",
            "0 running, 1 done, 0 failed; ",
            "failures   none\n",
            "crawlers   deny; none refused\n",
        ] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        // All mounts, of which other tests have some.
        let mut command = bench.command(who);
        let said = finish(command.args(["status", "--json"]));
        let all: Vec<Value> = serde_json::from_str(&said.out).unwrap();
        let own = all
            .iter()
            .find(|mount| mount["mountpoint"] == *shown.to_string());
        let own = own.unwrap();
        assert_eq!(own["health"], "alive", "{own}");
        assert_eq!(own["pid"], place.pid());
        assert_eq!(own["status"]["api"]["origin"], bench.server.api_url());
        assert!(!said.out.contains(bench.server.token()));
    }
}

#[test]
#[ignore = "needs root"]
fn status_lists_a_mount_of_another_user_without_asking_it() {
    let bench = Bench::new(small_world());
    for (mounts, asks) in [(Who::Ordinary, Who::Myself), (Who::Myself, Who::Ordinary)] {
        let place = Place::mounted(&bench, mounts, "mnt");
        let mut command = bench.command(asks);
        let said = finish(command.arg("status").arg(&place.path)).succeeded();
        assert!(said.contains("who alone may ask it"), "{said}");
    }
}

#[test]
fn status_reports_stopped_dead_and_absent_mounts() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let status = || finish(bench.command(who).arg("status").arg(&place.path));
        let shown = place.path.display();
        place.stop();
        let said = status();
        place.signal_all(SIGCONT);
        assert_eq!(said.code, Some(1), "{said:?}");
        for word in ["hung", "is stopped", "kill -CONT", "unmount --lazy"] {
            assert!(said.out.contains(word), "{said:?}");
        }
        assert_eq!(status().code, Some(0));
        place.signal_all(nix::sys::signal::SIGKILL);
        until("it is dead", || {
            status().out.contains(": dead: its process is gone")
        });
        assert_eq!(status().code, Some(1));
        finish(&mut place.unmount(&bench)).succeeded();
        status().failed(&["no vm0fs is mounted there", &shown.to_string()]);
    }
}

/// A file system that takes every question and answers none of them.
#[derive(Default)]
struct Silent(Mutex<Vec<ReplyEntry>>);

impl Filesystem for Silent {
    fn lookup(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        self.0.lock().unwrap().push(reply);
    }
}

#[test]
fn status_does_not_wait_for_a_mount_that_does_not_answer() {
    let bench = Bench::new(small_world());
    let path = bench.folder("silent", Who::Myself);
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("vm0fs".into()),
        MountOption::CUSTOM("subtype=vm0fs".into()),
    ];
    let session = Session::new(Silent::default(), &path, &config).unwrap();
    let session: BackgroundSession = session.spawn().unwrap();
    let said = finish(bench.command(Who::Myself).arg("status").arg(&path));
    assert_eq!(said.code, Some(1), "{said:?}");
    for word in ["hung", "has not answered within 6 s", "unmount --lazy"] {
        assert!(said.out.contains(word), "{said:?}");
    }
    assert!(said.took < Duration::from_secs(20), "{said:?}");
    // Where the kernel shows it to this user, how many wait.
    if fs::read_dir("/sys/fs/fuse/connections").is_ok_and(|mut all| all.next().is_some()) {
        assert!(said.out.contains("1 request waits"), "{said:?}");
    }
    // A process that waits keeps it busy.
    let mut command = bench.command(Who::Myself);
    finish(command.args(["unmount", "--lazy"]).arg(&path)).succeeded();
    drop(session);
}
