//! The folders of the cache and of the log: whether they are private and whole,
//! and whether the disk has room for what the cache may take.

use super::check::Check;
use crate::{
    config::{CacheSettings, Environment, LEAST_FREE, free_space},
    error::{Result, is_missing},
    humanize::size,
    logging,
    store::Inventory,
    text::shell_path,
};
use nix::unistd::{AccessFlags, Uid, access};
use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Permission bits of all users but the owner, and the mode that a folder should have.
const OTHERS: u32 = 0o077;
const PRIVATE: u32 = 0o700;

const CACHE: &str = "cache";

/// The folders, and what is in the cache.
pub(super) fn check(dir: Option<PathBuf>, environment: &Environment, fix: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    match CacheSettings::load(dir, None, environment) {
        Ok(settings) => {
            let (check, is_usable) = folder(&settings.dir, fix);
            checks.push(check.of("cache folder"));
            let used = match is_usable {
                true => content(&settings, fix, &mut checks),
                false => 0,
            };
            checks.push(space(&settings, used).of("free space"));
        }
        Err(error) => {
            let advice = "mend config.toml, or name a folder with --cache-dir";
            checks.push(Check::fail(error.to_string(), advice).of(CACHE));
        }
    }
    if let Ok(dir) = logging::state_dir(environment) {
        checks.push(folder(&dir, fix).0.of("log folder"));
    }
    checks
}

/// Whether a folder of vm0fs is private; and whether it exists and can be used.
fn folder(dir: &Path, fix: bool) -> (Check, bool) {
    let (shown, word) = (dir.display(), shell_path(dir));
    let data = match fs::metadata(dir) {
        Ok(data) => data,
        // Also where something on the way is no folder.
        Err(error) if is_missing(&error) => {
            return (to_be_made(dir), false);
        }
        Err(error) => {
            let advice = "see which users may enter it (ls -ld)";
            return (Check::fail(format!("{shown}: {error}"), advice), false);
        }
    };
    let own = Uid::effective();
    if !data.is_dir() {
        let advice = "move it away, or name another folder";
        return (
            Check::fail(format!("{shown} is not a folder"), advice),
            false,
        );
    }
    if data.uid() != own.as_raw() && !own.is_root() {
        let found = format!("{shown} belongs to another user ({})", data.uid());
        let advice = format!("as root: chown -R {own} {word}; or name another folder");
        return (Check::fail(found, advice), false);
    }
    let mode = data.permissions().mode();
    if mode & OTHERS != 0 {
        let mode = mode & 0o7777;
        let found = format!("{shown} is open to other users (mode {mode:04o})");
        let advice = format!("chmod 0700 {word} (--fix does)");
        let check = match fix.then(|| fs::set_permissions(dir, Permissions::from_mode(PRIVATE))) {
            Some(Ok(())) => Check::fixed(format!(
                "{shown} was open to other users; its mode is 0700 now"
            )),
            Some(Err(error)) => Check::warn(format!("{found}; {error}"), advice),
            None => Check::warn(found, advice),
        };
        return (check, true);
    }
    let needed = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    if let Err(error) = access(dir, needed) {
        let found = format!("{shown} cannot be used: {}", error.desc());
        let advice = format!("chmod 0700 {word}, or mount its disk for writing");
        return (Check::fail(found, advice), false);
    }
    (Check::ok(format!("{shown} is private")), true)
}

/// Whether a folder that is missing can be made, where the nearest thing above it is.
fn to_be_made(dir: &Path) -> Check {
    let shown = dir.display();
    // Also a link that leads nowhere: nothing can be made in its place.
    let above = dir
        .ancestors()
        .find(|above| above.symlink_metadata().is_ok());
    let above = above.unwrap_or(Path::new("/"));
    let fails = |why: &str, advice: &str| {
        let why = format!("{shown} cannot be made: {}{why}", above.display());
        Check::fail(why, advice)
    };
    if !above.is_dir() {
        let what = match above.is_symlink() && !above.exists() {
            true => " is a link that leads nowhere",
            false => " is not a folder",
        };
        return fails(
            what,
            "move that away, or name another folder (--cache-dir, XDG_STATE_HOME)",
        );
    }
    match access(above, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Check::ok(format!("{shown} is made by the first mount")),
        Err(error) => fails(
            &format!(": {}", error.desc()),
            "set HOME to a folder that you can write, or name another one (--cache-dir, \
             XDG_STATE_HOME)",
        ),
    }
}

/// Checks what the cache holds; returns the bytes that it takes.
fn content(settings: &CacheSettings, fix: bool, checks: &mut Vec<Check>) -> u64 {
    match inventory(settings, fix, checks) {
        Ok(used) => used,
        Err(error) => {
            let advice = "see which users may read it (ls -l), or start anew: vm0fs cache clear --all --pinned";
            checks.push(Check::fail(error.to_string(), advice).of(CACHE));
            0
        }
    }
}

fn inventory(settings: &CacheSettings, fix: bool, checks: &mut Vec<Check>) -> Result<u64> {
    let Some(inventory) = Inventory::open(&settings.dir, settings.size)? else {
        checks.push(Check::ok("empty").of(CACHE));
        return Ok(0);
    };
    let (left, bytes) = inventory.leftovers(fix)?;
    let found = format!("{left} broken off by dead processes, {}", size(bytes));
    let (broken_off, held) = inventory.broken_off()?;
    let check = match (left, fix) {
        (0, _) if broken_off > 0 => {
            let held = size(held);
            Check::ok(format!(
                "{broken_off} to go on with when read again, {held}"
            ))
        }
        (0, _) => Check::ok("none left behind"),
        (_, true) => Check::fixed(format!("removed {found}")),
        (_, false) => Check::warn(found, "--fix removes them, as does the next mount"),
    };
    checks.push(check.of("unfinished downloads"));
    let items = inventory.list()?;
    let broken = items.iter().filter(|item| item.meta.is_none()).count();
    let sum = inventory.breakdown()?;
    let used = sum.total();
    let ceiling = settings.size_beside(used);
    let found = format!(
        "{} of {}, versions: {}",
        size(used),
        size(ceiling),
        sum.versions
    );
    let check = if broken > 0 {
        let advice = "drop what is broken: vm0fs cache verify --fix";
        Check::warn(format!("{found}, broken: {broken}"), advice)
    } else if used > ceiling {
        let advice = "raise --cache-size, or free some: vm0fs cache clear";
        Check::warn(format!("{found}: over its ceiling"), advice)
    } else {
        Check::ok(format!("{found} (vm0fs cache verify reads all of it)"))
    };
    checks.push(check.of(CACHE));
    Ok(used)
}

/// Whether the disk has room for what the cache may still take.
fn space(settings: &CacheSettings, used: u64) -> Check {
    let Some(free) = free_space(&settings.dir) else {
        let found = format!("no disk at {}", settings.dir.display());
        return Check::fail(found, "name another folder with --cache-dir");
    };
    room(
        free,
        settings.size.saturating_sub(used),
        settings.is_usual_size,
    )
}

/// `is_share` says whether what is wanted is a share of what is free: that is never too much.
fn room(free: u64, wanted: u64, is_share: bool) -> Check {
    let found = format!(
        "{} on the cache's disk, {} still allowed to it",
        size(free),
        size(wanted)
    );
    let least = if is_share { u64::MAX } else { wanted };
    if free < LEAST_FREE.min(least) {
        let advice = "free some, or name a folder on another disk with --cache-dir";
        Check::fail(found, advice)
    } else if free < wanted {
        Check::warn(found, "free some, or set a smaller --cache-size")
    } else {
        Check::ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::check::Level, *};

    #[test]
    fn too_little_room_on_the_disk_is_told() {
        let given = |free, wanted| room(free, wanted, false).level;
        assert_eq!(given(10 << 30, 1 << 30), Level::Ok);
        assert_eq!(given(1 << 30, 10 << 30), Level::Warn);
        assert_eq!(given(1 << 20, 10 << 30), Level::Fail);
        // The cache has all that it may take.
        assert_eq!(given(1 << 20, 0), Level::Ok);
        // What it may take by default is a share of what is free.
        assert_eq!(room(1 << 20, 0, true).level, Level::Fail);
        assert_eq!(room(1 << 20, 1 << 20, true).level, Level::Fail);
        assert_eq!(room(1 << 30, 100 << 20, true).level, Level::Ok);
    }
}
