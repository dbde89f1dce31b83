//! Gives the result of an operation to fuser's replies.

use super::{
    caller::{process_of, uses_io_uring},
    context::{Context, absent, errno, ttl},
    passthrough::opened_backed,
};
use crate::{
    error::{Error, Result},
    tree::{Found, Handle, Opened, Stat, Usage},
};
use fuser::{
    Errno, FileHandle, FopenFlags, Generation, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr,
};
use std::time::Instant;

pub(super) fn entry(context: &Context, found: Result<Found>, reply: ReplyEntry) {
    match found {
        Ok(Found::Node(Stat { attributes, lasts }, name_lasts)) => {
            let attr = context.file_attr(&attributes);
            reply.entry_with_ttls(&ttl(lasts), &ttl(name_lasts), &attr, Generation(0));
        }
        Ok(Found::Absent(lasts)) if lasts.is_zero() => reply.error(Errno::ENOENT),
        Ok(Found::Absent(lasts)) => reply.entry(&ttl(lasts), &absent(context), Generation(0)),
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn data(bytes: Result<Vec<u8>>, reply: ReplyData) {
    match bytes {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(errno(&error)),
    }
}

/// Answers an open of thread `tid`, which has waited for it or not.
pub(super) fn opened(
    context: &Context,
    ino: u64,
    tid: u32,
    opened: Result<(Opened, bool)>,
    reply: ReplyOpen,
) {
    match opened {
        Ok((opened, has_waited)) => {
            let is_written = matches!(opened.handle, Handle::Control(_));
            let is_content = matches!(opened.handle, Handle::Content(..));
            let flags = if opened.is_final && !context.outdated.contains(ino) {
                FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH
            } else if is_content {
                // Programs that opened it while its archive arrived read the same bytes.
                context.outdated.remove(ino);
                FopenFlags::FOPEN_NOFLUSH
            } else if !is_written && uses_io_uring(tid) {
                // Through the page cache, which is filled anew with each such open.
                context.outdated.insert(ino);
                FopenFlags::FOPEN_NOFLUSH
            } else {
                // The handle's own bytes, also where the kernel knows another size.
                FopenFlags::FOPEN_DIRECT_IO
            };
            let given = context.give_small(ino, &opened);
            let has_next = opened.is_final && is_content;
            let opener = if is_written { process_of(tid) } else { 0 };
            let (handle, backing) = context.handles.add_file(ino, opened.handle, opener);
            match backing {
                Some(id) => opened_backed(reply, handle, id),
                None => reply.opened(FileHandle(handle), flags),
            }
            // The reader's as well: it is the one that is about to open it.
            let ahead = match has_next {
                true => context.give_next(ino),
                false => 0,
            };
            let activity = context.tree.activity();
            activity.opened(tid, ino, given + ahead, has_waited, Instant::now());
        }
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn opened_directory(
    context: &Context,
    ino: u64,
    is_final: Result<bool>,
    reply: ReplyOpen,
) {
    match is_final {
        Ok(is_final) => {
            let flags = if is_final {
                FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
            } else {
                FopenFlags::empty()
            };
            let handle = context.handles.add_directory(ino);
            reply.opened(FileHandle(handle), flags);
        }
        Err(error) => reply.error(errno(&error)),
    }
}

/// The cache stands for the disk: what it holds of what it may.
pub(super) fn statfs(usage: &Usage, reply: ReplyStatfs) {
    let block = 4096;
    let blocks = usage.ceiling / block;
    let free = blocks.saturating_sub(usage.bytes / block);
    reply.statfs(blocks, free, free, 0, 0, block as u32, 255, block as u32);
}

pub(super) fn sought(found: Result<Option<u64>>, reply: ReplyLseek) {
    match found.map(|found| found.map(i64::try_from)) {
        Ok(Some(Ok(offset))) => reply.offset(offset),
        Ok(_) => reply.error(Errno::ENXIO),
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn empty(result: Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn attr(context: &Context, stat: Result<Stat>, reply: ReplyAttr) {
    match stat {
        Ok(Stat { attributes, lasts }) => {
            reply.attr(&ttl(lasts), &context.file_attr(&attributes));
        }
        Err(error) => reply.error(errno(&error)),
    }
}

pub(super) fn xattr(value: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
    match value {
        Ok(value) if size == 0 => match u32::try_from(value.len()) {
            Ok(length) => reply.size(length),
            Err(_) => reply.error(errno(&Error::Range)),
        },
        Ok(value) if value.len() <= size as usize => reply.data(&value),
        Ok(_) => reply.error(errno(&Error::Range)),
        Err(error) => reply.error(errno(&error)),
    }
}
