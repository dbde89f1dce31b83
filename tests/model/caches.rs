//! The caches of a life: what is evicted, damaged or lost there, which no reader sees.

use super::scene::Scene;
use crate::{
    cache::versions_in,
    support::{Mount, Who, seeds::Random},
};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

/// All content that no process has open goes: what is read next comes in parts.
pub(super) fn evict(scene: &Scene, cache: &Path) {
    let mut command = scene.bench.command(Who::Myself);
    command.args(["cache", "clear", "--cache-dir"]);
    let cleared = command.arg(cache).output().unwrap();
    assert!(cleared.status.success(), "{cleared:?}");
    scene.tally.evicted.fetch_add(1, Ordering::Relaxed);
}

/// Leaves the beginning of a file.
fn cut(path: &Path, place: u64) -> io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let length = file.metadata()?.len();
    file.set_len(place % (length + 1))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Objects that a mount's last worker had from the shared cache.
pub(super) fn from_shared(mount: &Mount) -> u64 {
    let status = fs::read(mount.join(".vm0fs/status.json")).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    status["shared_cache"]["hits"].as_u64().unwrap()
}

/// A byte on disk turns over, if there is any.
pub(super) fn damage(cache: &Path, random: &mut Random) -> bool {
    let mut files = Vec::new();
    for version in versions_in(cache) {
        for entry in fs::read_dir(version).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let known = ["pack", "tree", "seek", "present"].contains(&&*name);
            if known || name.starts_with("blob-") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    if files.is_empty() {
        return false;
    }
    let path = random.pick(&files);
    let place = random.next();
    // It may be evicted at any moment.
    let Ok(file) = File::options().read(true).write(true).open(path) else {
        return false;
    };
    let length = file.metadata().unwrap().len();
    let mut byte = [0];
    let is_there = length > 0 && file.read_at(&mut byte, place % length).unwrap() == 1;
    if is_there {
        file.write_all_at(&[byte[0] ^ 0x10], place % length)
            .unwrap();
    }
    is_there
}

/// An object of the shared cache is lost, cut or something else: it counts as missing.
pub(super) fn spoil(shared: &Path, random: &mut Random) {
    let mut objects = files_below(shared);
    objects.sort();
    if objects.is_empty() {
        return;
    }
    let object = random.pick(&objects);
    let place = random.next();
    let spoilt = match random.below(3) {
        0 => fs::remove_file(object),
        1 => fs::write(object, "of another program"),
        _ => cut(object, place),
    };
    // A worker that was killed may have gone on for a moment.
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    assert!(spoilt.as_ref().err().is_none_or(is_gone), "{spoilt:?}");
}
