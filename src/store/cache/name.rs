//! A storage's name beside each of its versions, for the commands that look at the
//! cache without a mount.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file in a version's directory that holds the name.
const NAME: &str = "name";
/// The longest name that is read: a path component and its escapes.
const NAME_BYTES: u64 = 1024;

/// The name, if it was noted.
pub(super) fn read_name(version: &Path) -> Option<String> {
    let mut name = String::new();
    let file = File::open(version.join(NAME)).ok()?;
    file.take(NAME_BYTES).read_to_string(&mut name).ok()?;
    Some(name).filter(|name| !name.is_empty())
}

/// Writes a storage's name beside a version, unless it is the same as before.
/// A failure is only logged: the name is a convenience.
pub(super) fn note_name(version: &Path, name: &str) {
    if name.len() as u64 > NAME_BYTES || read_name(version).as_deref() == Some(name) {
        return;
    }
    // By a rename: no process may read half of it.
    let new = version.join(format!("{NAME}.{}", std::process::id()));
    let mut open = OpenOptions::new();
    let open = open.write(true).create(true).truncate(true).mode(0o600);
    let written = open
        .open(&new)
        .and_then(|mut file| file.write_all(name.as_bytes()))
        .and_then(|()| fs::rename(&new, version.join(NAME)));
    if let Err(error) = written {
        let _ = fs::remove_file(&new);
        tracing::debug!(%error, "could not note a name in the cache");
    }
}
