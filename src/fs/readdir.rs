//! Pages of a directory: what of a listing fits into one answer.

use super::context::{Context, Listing, ttl};
use crate::{
    error::{Error, Result},
    tree::{Attributes, Kind},
};
use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, Instant},
};

/// Gives the entries of a listing from `offset` on to `add`, until that says that the
/// answer is full: the offset after each, its name, its attributes, as far as they are
/// known, and for how long these are good.
///
/// # Errors
/// Those of the listing; where the index is damaged at the first entry, since a listing
/// cut short is not shown as whole.
pub(super) fn fill(
    context: &Context,
    listing: Result<Listing>,
    ino: u64,
    offset: u64,
    mut add: impl FnMut(u64, &OsStr, &Attributes, Duration) -> bool,
) -> Result<()> {
    let Listing {
        handle,
        directory,
        is_new,
    } = listing?;
    // Before a process sees a page of it.
    if is_new {
        context.handles.note_listing(&handle, &directory);
    }
    let view = context.tree.at(Instant::now());
    // The kernel takes no attributes from `.` and `..`.
    let dots = |ino| Attributes {
        ino,
        kind: Kind::Directory,
        mode: 0o555,
        links: 1,
        ..Attributes::default()
    };
    let entry = |position: u64| match position {
        0 => Some((b".".to_vec(), dots(ino), Duration::ZERO)),
        1 => Some((b"..".to_vec(), dots(view.parent(ino)), Duration::ZERO)),
        _ => {
            let index = usize::try_from(position - 2).ok()?;
            let (entry, stat) = view.entry_with_stat(&directory, index)?;
            Some((entry.name, stat.attributes, ttl(stat.lasts)))
        }
    };
    let mut end = offset;
    while let Some((name, attributes, lasts)) = entry(end) {
        end += 1;
        if add(end, OsStr::from_bytes(&name), &attributes, lasts) {
            return Ok(());
        }
    }
    let rest = directory.len().saturating_add(2) as u64;
    if end > offset || end >= rest {
        return Ok(());
    }
    let error = Error::Internal("an entry of the index in the cache is damaged".into());
    tracing::error!("{error}");
    Err(error)
}
