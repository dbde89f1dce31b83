//! Pages of a directory: what of a listing fits into one answer.

use super::context::{Context, file_type, ttl};
use crate::tree::{Attributes, Directory, Kind, View};
use fuser::{Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
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

/// Fills a page of names.
pub(super) fn fill(
    view: &View<'_>,
    directory: &Directory,
    ino: u64,
    offset: u64,
    reply: &mut ReplyDirectory,
) {
    for (position, name, ino, kind) in page(view, directory, ino, offset) {
        let name = OsStr::from_bytes(&name);
        if reply.add(INodeNo(ino), position, file_type(kind), name) {
            return;
        }
    }
}

/// Fills a page of names with attributes, as far as they are known.
pub(super) fn fill_plus(
    context: &Context,
    view: &View<'_>,
    directory: &Directory,
    ino: u64,
    offset: u64,
    reply: &mut ReplyDirectoryPlus,
) {
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
            return;
        }
    }
    for position in offset.max(2).. {
        let Ok(index) = usize::try_from(position - 2) else {
            return;
        };
        let Some((entry, stat)) = view.entry_with_stat(directory, index) else {
            return;
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
            return;
        }
    }
}
