//! Pages of a directory: what of a listing fits into one answer.

use super::context::{Context, errno, file_type, ttl};
use crate::{
    error::Error,
    tree::{Attributes, Directory, Kind, View},
};
use fuser::{Errno, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, time::Duration};

/// The names of a directory from `offset` on, each with the offset after it.
/// The first two are `.` and `..`.
fn page<'a>(
    view: &'a View<'_>,
    directory: &'a Directory,
    ino: u64,
    offset: u64,
) -> impl Iterator<Item = (u64, Vec<u8>, u64, Kind)> + 'a {
    (offset..).map_while(move |position| match position {
        0 => Some((1, b".".to_vec(), ino, Kind::Directory)),
        1 => Some((2, b"..".to_vec(), view.parent(ino), Kind::Directory)),
        _ => {
            let entry = view.entry_at(directory, usize::try_from(position - 2).ok()?)?;
            Some((position + 1, entry.name, entry.ino, entry.kind))
        }
    })
}

/// The error for a page that stops at its first name without being at the end:
/// the index is damaged there, and a listing cut short is not shown as whole.
fn damaged(directory: &Directory, offset: u64, end: u64) -> Option<Errno> {
    let position = usize::try_from(end.checked_sub(2)?).ok()?;
    if end > offset || position >= directory.len() {
        return None;
    }
    let error = Error::Internal("an entry of the index in the cache is damaged".into());
    tracing::error!("{error}");
    Some(errno(&error))
}

/// Answers with a page of names.
pub(super) fn fill(
    view: &View<'_>,
    directory: &Directory,
    ino: u64,
    offset: u64,
    mut reply: ReplyDirectory,
) {
    let mut end = offset;
    for (position, name, ino, kind) in page(view, directory, ino, offset) {
        let name = OsStr::from_bytes(&name);
        if reply.add(INodeNo(ino), position, file_type(kind), name) {
            return reply.ok();
        }
        end = position;
    }
    match damaged(directory, offset, end) {
        Some(error) => reply.error(error),
        None => reply.ok(),
    }
}

/// Answers with a page of names and attributes, as far as they are known.
pub(super) fn fill_plus(
    context: &Context,
    view: &View<'_>,
    directory: &Directory,
    ino: u64,
    offset: u64,
    mut reply: ReplyDirectoryPlus,
) {
    // The kernel takes no attributes from `.` and `..`.
    let dots = |ino| Attributes {
        ino,
        kind: Kind::Directory,
        size: 0,
        stored: 0,
        mtime: (0, 0),
        mode: 0o555,
        links: 1,
    };
    let entry = |position: u64| match position {
        0 => Some((b".".to_vec(), dots(ino), Duration::ZERO)),
        1 => Some((b"..".to_vec(), dots(view.parent(ino)), Duration::ZERO)),
        _ => {
            let index = usize::try_from(position - 2).ok()?;
            let (entry, stat) = view.entry_with_stat(directory, index)?;
            Some((entry.name, stat.attributes, ttl(stat.lasts)))
        }
    };
    let mut end = offset;
    while let Some((name, attributes, lasts)) = entry(end) {
        let (ino, name) = (INodeNo(attributes.ino), OsStr::from_bytes(&name));
        let attr = context.file_attr(&attributes);
        if reply.add(ino, end + 1, name, &lasts, &attr, Generation(0)) {
            return reply.ok();
        }
        end += 1;
    }
    match damaged(directory, offset, end) {
        Some(error) => reply.error(error),
        None => reply.ok(),
    }
}
