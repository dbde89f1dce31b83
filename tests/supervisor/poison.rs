//! Work that kills each worker that does it.

use super::{replaced, workers};
use crate::{
    commands::{Place, Running, finish, kill, script, small_world, until},
    support::{
        Bench, Who,
        fake::{Action, Fault},
        reason,
    },
};
use nix::sys::signal::Signal::SIGKILL;
use std::fs;
use vm0fs::demo::{File, Kind, VersionSpec};

/// The thread of a process that has this name, once there is one.
#[track_caller]
pub(super) fn thread(pid: u32, name: &str) -> i32 {
    let mut found = None;
    until("it has such a thread", || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let mut named = threads.filter(|thread| {
            let comm = fs::read_to_string(thread.path().join("comm"));
            comm.is_ok_and(|comm| comm.trim() == name)
        });
        found = named.next().map(|thread| thread.file_name());
        found.is_some()
    });
    found.unwrap().to_str().unwrap().parse().unwrap()
}

/// Sends a signal to one thread, as a fault in it would.
#[allow(unsafe_code)]
pub(super) fn fault_in(pid: u32, thread: i32) {
    // SAFETY: it only sends a signal.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, libc::SIGSEGV) };
    assert_eq!(sent, 0);
}

#[test]
fn a_fetch_that_has_killed_two_workers_is_refused_and_named() {
    for who in Who::all() {
        let mut world = small_world();
        let id = world.add_storage(Kind::Artifact, "poison");
        world.add_version(&id, VersionSpec::files(vec![File::new("f", "text\n")]));
        let bench = Bench::new(world);
        let place = Place::mounted(&bench, who, "mnt");
        assert_eq!(
            place.run("cat artifacts/site/latest/index.html"),
            "<h1>It works</h1>\n"
        );
        bench.server.clear_requests();
        bench.server.fault(Fault::store(Action::Stall));
        let file = place.path.join("artifacts/poison/latest/f");
        let mut reader = Running::script(who, &format!("cat '{}'", file.display()));
        for count in 1..=2 {
            // It fetches once it has asked the store: before, that thread may be idle, and
            // its death is no fetch's fault.
            until("the store is asked", || bench.downloads().len() >= count);
            let worker = place.worker();
            fault_in(worker, thread(worker, "vm0fs-download"));
            until("another worker serves", || {
                workers(&place)["replaced"] == count
            });
        }
        assert_eq!(reader.end(), Some(1), "an error at last");
        let said = finish(&mut script(
            who,
            &place.inside("cat artifacts/poison/latest/f"),
        ));
        said.told(&[reason::IO]);
        let errors = place.run("cat .vm0fs/errors");
        assert!(errors.contains("has ended 2 workers"), "{errors}");
        assert!(errors.contains("fetching files of artifacts/"), "{errors}");
        // All else is well, and no worker dies of it any more.
        assert_eq!(
            place.run("cat artifacts/site/latest/index.html"),
            "<h1>It works</h1>\n"
        );
        assert_eq!(workers(&place)["replaced"], 2);
        // It is still named once others serve.
        kill(place.worker(), SIGKILL);
        replaced(&place, 3);
        finish(bench.command(who).arg("upgrade").arg(&place.path)).succeeded();
        replaced(&place, 4);
        let kept = place.run("cat .vm0fs/errors");
        assert!(kept.starts_with(&errors), "{kept} after {errors}");
        finish(&mut place.unmount(&bench)).succeeded();
    }
}
