//! A mount whose standard streams are closed.

use crate::support::{Bench, SOON, Who, is_mounted};
use std::{
    os::fd::OwnedFd,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::World;

/// A pipe without a reader.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    OwnedFd::from(writer).into()
}

#[test]
fn a_mount_whose_output_is_closed_lives_and_ends_well() {
    let bench = Bench::new(World::empty());
    for arguments in [&["mount", "--foreground"][..], &["demo"][..]] {
        let path = bench.folder(arguments[0], Who::Myself);
        let mut child = bench
            .command(Who::Myself)
            .args(arguments)
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(unread())
            .stderr(unread())
            .spawn()
            .unwrap();
        let end = Instant::now() + SOON;
        while !is_mounted(&path) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        // Long enough to have said it.
        thread::sleep(Duration::from_millis(500));
        let early = child.try_wait().unwrap();
        assert!(is_mounted(&path), "{arguments:?}: {early:?}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 5);
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success(), "{arguments:?}");
        assert!(!is_mounted(&path), "{arguments:?}");
    }
}
