//! A folder that several users have in common.

use super::*;
use std::{
    os::unix::fs::{PermissionsExt, chown},
    thread,
};

/// Two users, whom the machine need not know.
const USERS: [u32; 2] = [4101, 4102];
/// A group that both are in.
const GROUP: u32 = 4100;

/// Does something as a user, with a mask for the modes of what it makes.
#[allow(unsafe_code)]
fn as_user<T: Send>(user: u32, umask: u32, act: impl FnOnce() -> T + Send) -> T {
    let act = move || {
        let become_it = |call, [one, two, three]: [libc::c_long; 3]| {
            // SAFETY: GROUP, the only thing that is pointed to, lives on. The calls, unlike
            // those of libc, change this thread alone, and those that it starts.
            assert_eq!(unsafe { libc::syscall(call, one, two, three) }, 0);
        };
        become_it(libc::SYS_unshare, [libc::CLONE_FS.into(), 0, 0]);
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
        let groups = &raw const *Box::leak(Box::new(GROUP));
        become_it(libc::SYS_setgroups, [1, groups as libc::c_long, 0]);
        become_it(libc::SYS_setresgid, [user.into(); 3]);
        become_it(libc::SYS_setresuid, [user.into(); 3]);
        act()
    };
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

/// A folder of this mode, owner and group, in one that all may enter.
fn shared(mode: u32, owner: u32, group: u32) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = parent.path().join("shared");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(owner), Some(group)).unwrap();
    set_mode(&folder, mode);
    (parent, folder)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes objects as a user who lets no other read what it makes.
fn put_all(folder: &Path, user: u32, parts: &[&str]) -> SharedStatus {
    as_user(user, 0o077, || {
        let cache = open(folder, 1);
        parts.iter().for_each(|part| put(&cache, part, b"content"));
        cache.status()
    })
}

/// How many of them a user reads.
fn read_all(folder: &Path, user: u32, parts: &[&str]) -> usize {
    as_user(user, 0o022, || {
        let cache = open(folder, 1);
        let found = parts
            .iter()
            .filter(|part| cache.get(&name(part), MOST).is_some());
        found.count()
    })
}

#[test]
#[ignore = "needs root"]
fn what_a_user_writes_all_read_who_may_use_the_folder() {
    for (mode, object) in [
        (0o1777, 0o666),
        (0o777, 0o666),
        (0o770, 0o660),
        (0o2770, 0o660),
    ] {
        let (_parent, folder) = shared(mode, 0, GROUP);
        for (user, parts) in [(USERS[0], ["a", "b"]), (USERS[1], ["c", "d"])] {
            let status = put_all(&folder, user, &parts);
            assert_eq!(status.puts, 2, "{mode:o}: {status:?}");
        }
        for user in USERS {
            let read = read_all(&folder, user, &["a", "b", "c", "d"]);
            assert_eq!(read, 4, "{mode:o}");
            as_user(user, 0o077, || open(&folder, 1).try_out()).unwrap();
        }
        for file in files(&folder) {
            let found = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, object, "{mode:o}: {found:o}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_folder_that_a_killed_writer_left_closed_is_opened_by_the_next() {
    let (_parent, folder) = shared(0o770, 0, GROUP);
    let root = folder.join("v1");
    fs::create_dir(&root).unwrap();
    chown(&root, Some(USERS[0]), Some(USERS[0])).unwrap();
    set_mode(&root, 0o700);
    let status = put_all(&folder, USERS[1], &["x"]);
    let why = status.writes_paused.unwrap();
    assert!(why.contains("v1 of user 4101, mode 0700"), "{why}");
    put_all(&folder, USERS[0], &["x"]);
    assert_eq!(read_all(&folder, USERS[1], &["x"]), 1);
    // What a link leads to is no folder of the cache.
    let (_other, linked) = shared(0o700, USERS[0], USERS[0]);
    let (_parent, folder) = shared(0o777, 0, GROUP);
    std::os::unix::fs::symlink(&linked, folder.join("v1")).unwrap();
    put_all(&folder, USERS[0], &["x"]);
    let found = fs::metadata(&linked).unwrap().permissions().mode() & 0o777;
    assert_eq!(found, 0o700);
}

#[test]
#[ignore = "needs root"]
fn trying_out_says_that_the_group_of_the_folder_is_shut_out() {
    let (_parent, folder) = shared(0o770, USERS[0], 4999);
    let tried = as_user(USERS[0], 0o022, || open(&folder, 1).try_out());
    let why = tried.unwrap_err().to_string();
    assert!(
        why.contains("group 4999") && why.contains("usermod -aG"),
        "{why}"
    );
    assert_eq!(files(&folder).len(), 0, "what was tried out is removed");
    // Where all others may use it, the group does not matter.
    set_mode(&folder, 0o777);
    as_user(USERS[0], 0o022, || open(&folder, 1).try_out()).unwrap();
}

#[test]
#[ignore = "needs root"]
fn an_object_that_may_not_be_read_says_nothing_of_the_others() {
    for (mode, is_replaced) in [(0o1777, false), (0o777, true)] {
        let (_parent, folder) = shared(mode, 0, GROUP);
        put_all(&folder, USERS[0], &["x"]);
        set_mode(&files(&folder)[0], 0o600);
        put_all(&folder, USERS[0], &["y"]);
        let status = as_user(USERS[1], 0o022, || {
            let cache = open(&folder, 1);
            assert_eq!(cache.get(&name("x"), MOST), None);
            assert!(cache.get(&name("y"), MOST).is_some());
            put(&cache, "x", b"content");
            assert_eq!(cache.get(&name("x"), MOST).is_some(), is_replaced);
            put(&cache, "z", b"content");
            assert!(cache.get(&name("z"), MOST).is_some());
            cache.status()
        });
        assert_eq!(status.reads_paused, None, "{mode:o}");
        assert_eq!(status.writes_paused, None, "{mode:o}");
        assert_eq!(status.not_put, u64::from(!is_replaced), "{mode:o}");
    }
    // A folder that cannot be entered is no single object.
    let (_parent, folder) = shared(0o1777, 0, GROUP);
    put_all(&folder, USERS[0], &["x"]);
    set_mode(&folder.join("v1"), 0o700);
    let status = as_user(USERS[1], 0o022, || {
        let cache = open(&folder, 1);
        assert_eq!(cache.get(&name("x"), MOST), None);
        cache.status()
    });
    let why = status.reads_paused.unwrap();
    assert!(why.contains("Permission denied"), "{why}");
}

#[test]
#[ignore = "needs root"]
fn a_damaged_object_of_another_user_in_a_sticky_folder_is_written_over() {
    let (_parent, folder) = shared(0o1777, 0, GROUP);
    put_all(&folder, USERS[0], &["x"]);
    let file = files(&folder).remove(0);
    let replace = |expected: bool| {
        fs::write(
            &file,
            "damaged, and longer than the object that takes its place",
        )
        .unwrap();
        as_user(USERS[1], 0o022, || {
            let cache = open(&folder, 1);
            assert_eq!(cache.get(&name("x"), MOST), None);
            put(&cache, "x", b"new");
            assert_eq!(cache.get(&name("x"), MOST).is_some(), expected);
        });
    };
    replace(true);
    assert_eq!(files(&folder).len(), 1, "nothing is left beside it");
    // A second name may be one that matters to its owner.
    let other = folder.join("other");
    fs::hard_link(&file, &other).unwrap();
    replace(false);
    assert!(fs::read(&other).unwrap().starts_with(b"damaged"));
}

#[test]
#[ignore = "needs root"]
fn prune_removes_what_it_may_and_counts_what_is_left_of_others() {
    let (_parent, folder) = shared(0o1777, 0, GROUP);
    let all = ["a", "b", "c", "d", "e", "f"];
    put_all(&folder, USERS[0], &all[..4]);
    put_all(&folder, USERS[1], &all[4..]);
    let theirs = files(&folder).into_iter().find(|file| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(file).unwrap().uid() == USERS[0]
    });
    let mut left = theirs.unwrap().into_os_string();
    left.push("#1");
    let file = fs::File::create(&left).unwrap();
    let then = std::time::SystemTime::now() - Duration::from_secs(7200);
    file.set_modified(then).unwrap();
    chown(&left, Some(USERS[0]), None).unwrap();
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let removed = as_user(USERS[1], 0o022, || open(&folder, 1).prune(later)).unwrap();
    assert_eq!(removed.sum.objects, 2);
    assert_eq!(removed.left, [("user 4101".to_owned(), 5)].into());
    assert_eq!(files(&folder).len(), 5);
}
