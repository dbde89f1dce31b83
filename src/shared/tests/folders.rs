//! A folder as disks make it.

use super::*;
use std::{os::unix::fs::PermissionsExt, thread};

/// From now on a call of the system fails so, for this thread and those that it starts.
#[allow(unsafe_code)]
fn refuse(call: libc::c_long, with: i32) {
    let filter = |code: u32, no: u8, value: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: no,
        k: value,
    };
    let (load, test, end) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let mut filters = [
        // The number of the call.
        filter(load, 0, 0),
        filter(test, 1, call as u32),
        filter(end, 0, libc::SECCOMP_RET_ERRNO | with as u32),
        filter(end, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filters.len() as u16,
        filter: filters.as_mut_ptr(),
    };
    // SAFETY: `program` and the filters that it leads to live until the calls have returned.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program)
    };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_folder_without_hard_links_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let ended = thread::spawn(move || {
        refuse(libc::SYS_linkat, libc::EPERM);
        fs::write(path.join("a"), "").unwrap();
        assert!(fs::hard_link(path.join("a"), path.join("b")).is_err());
        let cache = open(&path, 1);
        cache.try_out().unwrap();
        put(&cache, "x", b"content");
        put(&cache, "y", b"content");
        let status = cache.status();
        assert_eq!((status.puts, status.not_put), (2, 0), "{status:?}");
        assert_eq!(cache.get(&name("x"), MOST).unwrap(), b"content");
    });
    ended.join().unwrap();
}

#[test]
fn a_disk_that_fails_for_a_moment_is_not_written_without_the_condition() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let ended = thread::spawn(move || {
        refuse(libc::SYS_linkat, libc::EIO);
        let cache = open(&path, 1);
        put(&cache, "x", b"content");
        let status = cache.status();
        assert_eq!((status.puts, status.not_put), (0, 1), "{status:?}");
        let why = status.writes_paused.unwrap();
        assert!(why.contains("Input/output error"), "{why}");
    });
    ended.join().unwrap();
    assert_eq!(files(folder.path()).len(), 0, "also nothing beside it");
}

#[test]
fn a_folder_whose_modes_cannot_be_changed_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let ended = thread::spawn(move || {
        for call in [libc::SYS_chmod, libc::SYS_fchmod, libc::SYS_fchmodat] {
            refuse(call, libc::EPERM);
        }
        let cache = open(&path, 1);
        put(&cache, "x", b"content");
        assert_eq!(cache.get(&name("x"), MOST).unwrap(), b"content");
    });
    ended.join().unwrap();
}

#[test]
fn objects_that_another_machine_has_removed_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "x", b"content");
    let name = hex(&cache.0.sealer.address(&name("x")));
    for _ in 0..2 {
        cache.0.bucket.remove(vec![name.clone()]).unwrap();
    }
    assert_eq!(files(folder.path()).len(), 0);
}

#[test]
fn all_who_write_in_the_folder_write_below_it() {
    let parent = tempfile::tempdir().unwrap();
    for mode in [0o1777, 0o2775, 0o700] {
        let folder = parent.path().join(format!("{mode:o}"));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
        put(&open(&folder, 1), "x", b"content");
        let file = files(&folder).remove(0);
        let above = file.ancestors().skip(1).take(2);
        for made in above {
            let found = fs::metadata(made).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode, "{}: {found:o}", made.display());
        }
    }
}
