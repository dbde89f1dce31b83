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
    let mut end = offset;
    for (position, name, ino, kind) in page(view, directory, ino, offset).take_while(|_| offset < 2)
    {
        // The kernel takes no attributes from these two.
        if position > 2 {
            break;
        }
        let dots = Attributes {
            ino,
            kind,
            size: 0,
            stored: 0,
            mtime: (0, 0),
            mode: 0o555,
            links: 1,
        };
        let attr = context.file_attr(&dots);
        let name = OsStr::from_bytes(&name);
        if reply.add(
            INodeNo(ino),
            position,
            name,
            &Duration::ZERO,
            &attr,
            Generation(0),
        ) {
            return reply.ok();
        }
        end = position;
    }
    for position in offset.max(2).. {
        let entry = usize::try_from(position - 2).ok();
        let entry = entry.and_then(|index| view.entry_with_stat(directory, index));
        let Some((entry, stat)) = entry else {
            break;
        };
        let attr = context.file_attr(&stat.attributes);
        let name = OsStr::from_bytes(&entry.name);
        let lasts = ttl(stat.lasts);
        if reply.add(
            INodeNo(entry.ino),
            position + 1,
            name,
            &lasts,
            &attr,
            Generation(0),
        ) {
            return reply.ok();
        }
        end = position + 1;
    }
    match damaged(directory, offset, end) {
        Some(error) => reply.error(error),
        None => reply.ok(),
    }
}
