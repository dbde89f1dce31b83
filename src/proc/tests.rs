//! What other processes choose does not mislead.

use super::{process::mapped, *};
use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::PathBuf,
};

/// A process table with one process, 42, that has these files.
fn table(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let table = tempfile::tempdir().unwrap();
    let folder = table.path().join("42");
    for name in ["fd", "fdinfo"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    // What is no process: it has no number.
    fs::create_dir(table.path().join("self")).unwrap();
    fs::create_dir(table.path().join("42x")).unwrap();
    table
}

fn only(table: &tempfile::TempDir) -> Process {
    let all: Vec<Process> = Process::all_in(table.path()).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].pid(), 42);
    all[0].clone()
}

#[test]
fn a_name_with_brackets_and_line_breaks_hides_no_state() {
    for (name, state, is_stopped) in [
        (&b"a) T 1 (b"[..], "S", false),
        (b"a\n42 (b) S", "T", true),
        (b"\xff)", "t", true),
        (b"", "R", false),
        (b"S", "D", false),
    ] {
        let stat = [b"42 (", name, b") ", state.as_bytes(), b" 1 42"].concat();
        let comm = [name, b"\n"].concat();
        let table = table(&[("stat", &stat), ("comm", &comm)]);
        let process = only(&table);
        assert_eq!(process.is_stopped(), Some(is_stopped), "{name:?}");
        assert_eq!(process.is_asleep(), state == "S");
        assert_eq!(process.waits_for_disk(), state == "D");
        let shown = String::from_utf8_lossy(name).into_owned();
        assert_eq!(process.name(), Some(shown));
    }
    for stat in [&b""[..], b"42 (a", b"42 (a)", b"42 (a)   "] {
        let table = table(&[("stat", stat)]);
        assert_eq!(only(&table).is_stopped(), None, "{stat:?}");
    }
}

#[test]
fn a_status_is_read_by_its_fields() {
    let text = b"Name:\ta\\nTgid: 7\nTgid:\t12\nPPid:\t3\nSigBlk:\t0000000000000002\n\
        SigIgn:\t0000000000001001\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n";
    let status = Status::parse(text);
    assert_eq!((status.group, status.parent), (Some(12), Some(3)));
    assert_eq!(status.ignored_signals, Some(1 | 1 << 12));
    assert_eq!(status.pending_signals, None);
    let pending = Status::parse(b"SigPnd:\t0000000000000100\nShdPnd:\t0000000000000002\n");
    assert_eq!(pending.pending_signals, Some(1 << 8 | 1 << 1));
    assert_eq!(status.capabilities, Some(0xa804_25fb));
    assert!(status.no_new_privileges);
    let other = Status::parse(b"Name:\t\xff\nTgid:\tx\nSigIgn:\tno number\nCapEff:\t\xff\n");
    assert_eq!(other, Status::default());
    assert_eq!(Status::parse(b""), Status::default());
}

#[test]
fn a_process_that_is_killed_is_about_to_end() {
    let (alive, killed) = (
        b"SigPnd:\t0000000000000000\n",
        b"SigPnd:\t0000000000000100\n",
    );
    for (state, status, is_ending) in [
        (&b"42 (a) S 1"[..], &alive[..], false),
        (b"42 (Z) D 1", alive, false),
        (b"42 (a) D 1", killed, true),
        (b"42 (a) Z 1", alive, true),
        (b"42 (a) X 1", alive, true),
        (b"", b"", true),
    ] {
        let table = table(&[("stat", state), ("status", status)]);
        assert_eq!(only(&table).is_ending(), is_ending, "{state:?}");
    }
    assert!(!Process::own().is_ending());
}

#[test]
fn descriptors_are_named_by_bytes_and_told_by_fields() {
    let info = b"pos:\t12\nflags:\t0100001\nmnt_id:\t29\nino:\t77\nfuse_connection:\t57\n";
    let table = table(&[("fdinfo/7", info)]);
    let folder = table.path().join("42/fd");
    let name = OsStr::from_bytes(b"/m/a\nb\xff (deleted)");
    symlink(name, folder.join("7")).unwrap();
    symlink("/dev/null", folder.join("x")).unwrap();
    fs::write(folder.join("8"), "no link").unwrap();
    let process = only(&table);
    let found: Vec<Descriptor> = process.descriptors().unwrap().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].target(), Path::new(name));
    let info = found[0].info().unwrap();
    assert!(info.is_writable());
    assert_eq!((info.position, info.mount), (Some(12), Some(29)));
    assert_eq!((info.inode, info.fuse_connection), (Some(77), Some(57)));
    fs::write(
        table.path().join("42/fdinfo/7"),
        b"pos:\t-1\nflags:\t9\n\xff",
    )
    .unwrap();
    assert_eq!(found[0].info(), Some(DescriptorInfo::default()));
    assert!(!DescriptorInfo::default().is_writable());
}

#[test]
fn mapped_files_are_paths_to_the_end_of_their_line() {
    let text = b"7f00-7f01 r--p 00000000 08:01 12   /lib/a b.so\n\
        7f02-7f03 rw-p 00000000 00:00 0\n\
        7f04-7f05 rw-p 00000000 00:00 0   [heap]\n\
        7f06-7f07 r--p 00000000 08:01 13   /m/a\\012b\\134\xff (deleted)\n\
        /";
    let odd = PathBuf::from(OsStr::from_bytes(b"/m/a\nb\\134\xff (deleted)"));
    assert_eq!(
        mapped(text),
        [PathBuf::from("/lib/a b.so"), odd, "/".into()]
    );
}

#[test]
fn a_process_that_has_ended_tells_nothing() {
    let process = Process::new(0);
    assert!(!process.exists());
    assert_eq!(process.name(), None);
    assert_eq!(process.status(), Status::default());
    assert_eq!(process.is_stopped(), None);
    assert_eq!(process.program(), None);
    assert!(process.descriptors().is_err() && process.mounts().is_err());
    assert!(process.mapped_files().is_empty() && process.sleeps_in().is_empty());
}

#[test]
fn what_is_too_long_is_no_answer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(LONGEST).unwrap();
    assert_eq!(read(file.path()).unwrap().len() as u64, LONGEST);
    file.as_file().set_len(LONGEST + 1).unwrap();
    let error = read(file.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn this_process_is_there() {
    let own = Process::own();
    assert!(own.exists() && processes().any(|process| process == own));
    assert_eq!(own.status().group, Some(own.pid()));
    assert_eq!(own.is_stopped(), Some(false));
    assert_eq!(own.program(), std::env::current_exe().ok());
    assert!(own.steps().is_some() && own.threads().all(|thread| thread.pid() > 0));
    assert!(
        own.mounts()
            .unwrap()
            .iter()
            .any(|entry| entry.fstype == "proc")
    );
    assert!(boot_id().is_some_and(|id| id.len() == 36));
}
