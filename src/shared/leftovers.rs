//! What writers that were killed have left in a folder: an object is written as `NAME#1`
//! (or another number) before it gets its name, and no listing shows such a file.

use super::{listed::Removed, owner::owner};
use std::{
    fs::{self, DirEntry},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

/// A writer needs a minute at most (`bucket::LONGEST`). Longer, in case the clocks of
/// machines differ.
const AGE: Duration = Duration::from_secs(60 * 60);
/// Digits of an object's name in hexadecimal: of its folder's, and of its own.
const DIGITS: (usize, usize) = (1, 63);

/// Removes the files below `root`, of objects in folders, that no writer writes any more.
///
/// # Errors
/// Where a folder cannot be read, or a file cannot be removed that is no other user's.
pub(super) fn remove(root: &Path) -> io::Result<Removed> {
    let mut all = Removed::default();
    for folder in entries(root)? {
        let is_ours = is_hex(name(&folder).as_deref(), DIGITS.0) && folder.file_type()?.is_dir();
        let files = if is_ours {
            entries(&folder.path())?
        } else {
            Vec::new()
        };
        for file in files.iter().filter(|file| is_leftover(file)) {
            let Ok(about) = file.metadata() else {
                // Another machine prunes too.
                continue;
            };
            let age = SystemTime::now().duration_since(about.modified()?);
            if !(about.is_file() && age.is_ok_and(|age| age >= AGE)) {
                continue;
            }
            match fs::remove_file(file.path()) {
                Ok(()) => all.sum.add(about.len()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    all.leave(owner(&about));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(all)
}

/// What is in a folder; nothing where it is missing.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn name(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

fn is_leftover(file: &DirEntry) -> bool {
    let name = name(file);
    let parts = name.as_deref().and_then(|name| name.split_once('#'));
    parts.is_some_and(|(name, number)| {
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number && is_hex(Some(name), DIGITS.1)
    })
}

fn is_hex(name: Option<&str>, digits: usize) -> bool {
    name.is_some_and(|name| {
        name.len() == digits && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
