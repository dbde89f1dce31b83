//! The shared cache in a folder.

mod folders;
mod users;

use super::*;
use std::{fs, path::Path, path::PathBuf, time::Instant};

const LONG: Duration = Duration::from_secs(30);

pub(crate) fn access(folder: &Path) -> Access {
    Access {
        url: format!("file://{}", folder.display()),
        aws: Default::default(),
        allow_http: false,
        timeout: LONG,
        user_agent: "test".into(),
    }
}

/// One that waits for long: on a busy machine the answer of a folder may be late.
pub(crate) fn open(folder: &Path, key: u8) -> SharedCache {
    let mut cache = open_as_users_do(folder, key);
    Arc::get_mut(&mut cache.0).unwrap().patience = LONG;
    cache
}

fn open_as_users_do(folder: &Path, key: u8) -> SharedCache {
    SharedCache::open(&access(folder), &SharedKey::from([key; 32])).unwrap()
}

fn name(part: &str) -> Name {
    Name::new("test", &[part])
}

/// Writes an object, and waits until it is written.
fn put(cache: &SharedCache, part: &str, content: &[u8]) {
    cache.put_later(name(part), content.to_vec());
    assert!(cache.flush(LONG), "{:?}", cache.status());
}

/// The files of objects.
fn files(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let Ok(true) = folder.join("v1").try_exists() else {
        return Vec::new();
    };
    let folders = list(&folder.join("v1"));
    folders
        .flat_map(|folder| list(&folder).collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_one_machine_writes_others_with_its_key_read() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open(folder.path(), 1), open(folder.path(), 1));
    assert_eq!(first.get(&name("x"), MOST), None);
    put(&first, "x", b"content");
    assert_eq!(
        second.get(&name("x"), MOST).as_deref(),
        Some(&b"content"[..])
    );
    assert_eq!(
        second.get(&name("x"), 6),
        None,
        "longer than the reader takes"
    );
    assert_eq!(second.get(&name("y"), MOST), None);
    let stranger = open(folder.path(), 2);
    assert_eq!(stranger.get(&name("x"), MOST), None);
    let (first, second) = (first.status(), second.status());
    assert_eq!((first.misses, first.puts, first.not_put), (1, 1, 0));
    assert_eq!((second.hits, second.misses, second.damaged), (1, 2, 0));
}

#[test]
fn a_damaged_object_is_replaced_by_the_machine_that_found_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "x", b"content");
    put(&cache, "x", b"other content of the same worth");
    let read = |cache: &SharedCache| cache.get(&name("x"), MOST);
    assert_eq!(
        read(&cache).as_deref(),
        Some(&b"content"[..]),
        "the first one stays"
    );
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).unwrap();
    for damaged in [
        &whole[..whole.len() - 1],
        b"",
        b"vm0fs\0s2 of a later version",
    ] {
        fs::write(&file, damaged).unwrap();
        assert_eq!(read(&cache), None);
        put(&cache, "x", b"content");
        assert_eq!(read(&cache).as_deref(), Some(&b"content"[..]));
    }
    assert_eq!(cache.status().damaged, 3);
    assert_eq!(cache.status().reads_paused, None, "the store answers");
}

#[test]
fn an_object_in_the_place_of_another_is_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "x", b"of x");
    let of_x = files(folder.path()).remove(0);
    put(&cache, "y", b"of y");
    let of_y = files(folder.path()).into_iter().find(|file| *file != of_x);
    fs::copy(&of_x, of_y.unwrap()).unwrap();
    assert_eq!(cache.get(&name("y"), MOST), None);
    assert!(cache.get(&name("x"), MOST).is_some());
}

#[test]
fn neither_names_nor_contents_tell_anything() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "secret-project", &b"secret-content ".repeat(100));
    let file = files(folder.path()).remove(0);
    assert!(!file.to_string_lossy().contains("secret"));
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|bytes| bytes == b"secret"));
    assert!(
        bytes.len() < 200,
        "{} bytes of compressible content",
        bytes.len()
    );
}

#[test]
fn a_folder_that_is_gone_is_left_alone_and_not_made() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("not-mounted");
    let cache = open(&folder, 1);
    assert_eq!(cache.get(&name("x"), MOST), None);
    put(&cache, "x", b"content");
    let status = cache.status();
    assert!(
        status.reads_paused.unwrap().contains("No such file"),
        "says why"
    );
    assert!(status.writes_paused.is_some());
    assert_eq!(
        (status.passed_over, status.misses, status.not_put),
        (1, 0, 1)
    );
    assert!(!folder.exists());
    cache.get(&name("x"), MOST);
    assert_eq!(cache.status().passed_over, 2);
}

#[test]
fn a_folder_that_hangs_delays_one_lookup() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_as_users_do(folder.path(), 1);
    put(&cache, "x", b"content");
    // To open a pipe that no process writes takes for ever.
    let file = files(folder.path()).remove(0);
    fs::remove_file(&file).unwrap();
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let start = Instant::now();
    assert_eq!(cache.get(&name("x"), MOST), None);
    assert!(start.elapsed() >= PATIENCE, "it was waited for");
    let status = cache.status();
    assert!(status.reads_paused.unwrap().contains("within 0.5 s"));
    for _ in 0..100 {
        assert_eq!(cache.get(&name("x"), MOST), None);
    }
    assert_eq!(cache.status().misses, 0, "no other lookup was made");
    drop(cache);
    // The end does not wait for it either; this lets the thread go.
    drop(fs::OpenOptions::new().write(true).open(&file));
}

#[test]
fn try_out_sum_and_prune_touch_only_objects() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    assert_eq!(cache.sum().unwrap(), Sum::default());
    cache.try_out().unwrap();
    assert_eq!(files(folder.path()).len(), 0);
    for part in ["x", "y", "z"] {
        put(&cache, part, part.as_bytes());
    }
    fs::write(folder.path().join("v1/notes"), "a user's").unwrap();
    fs::create_dir(folder.path().join("v1/other")).unwrap();
    fs::write(folder.path().join("v1/other/file"), "a user's").unwrap();
    let sum = cache.sum().unwrap();
    assert_eq!(sum.objects, 3);
    let day = jiff::SignedDuration::from_hours(24);
    assert_eq!(
        cache.prune(Timestamp::now() - day).unwrap(),
        Removed::default()
    );
    assert_eq!(cache.prune(Timestamp::now() + day).unwrap().sum, sum);
    assert_eq!(cache.sum().unwrap(), Sum::default());
    assert!(folder.path().join("v1/notes").exists());
    assert!(folder.path().join("v1/other/file").exists());
}

#[test]
fn prune_removes_what_killed_writers_left_an_hour_ago() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), 1);
    put(&cache, "x", b"content");
    let object = files(folder.path()).remove(0);
    let beside = |ending: &str, age: u64| {
        let mut path = object.clone().into_os_string();
        path.push(ending);
        let file = fs::File::create(&path).unwrap();
        file.set_len(1000).unwrap();
        let then = std::time::SystemTime::now() - Duration::from_secs(age);
        file.set_modified(then).unwrap();
        PathBuf::from(path)
    };
    let old = [beside("#1", 3700), beside("#12", 3 * 86_400)];
    let stay = [
        beside("#2", 3500),
        beside("#1x", 4000),
        beside("#", 4000),
        beside("x#1", 4000),
        object.clone(),
    ];
    assert_eq!(cache.sum().unwrap().objects, 1, "they are no objects");
    let pruned = cache.prune(Timestamp::MIN).unwrap().sum;
    assert_eq!((pruned.objects, pruned.bytes), (2, 2000));
    assert!(old.iter().all(|path| !path.exists()));
    assert!(stay.iter().all(|path| path.exists()));
    assert_eq!(cache.prune(Timestamp::MIN).unwrap(), Removed::default());
}
