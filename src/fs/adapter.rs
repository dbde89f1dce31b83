//! fuser's trait: each request becomes an operation of the tree, or is refused.

use super::{
    Fs,
    asked::Task,
    context::{BUFFER, errno, file_type, sought},
    handles::Open,
    handshake::Offer,
    negotiate::negotiate,
    open_writers,
    readdir::fill,
    replies,
};
use crate::{
    error::Error,
    pending::LET_GO,
    tree::{Access, Attributes, LIST_ANEW, Miss, START_FILE, WriteRequest, Writing},
};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, Generation,
    INodeNo, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::{
    cell::Cell,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Instant, SystemTime},
};

/// Operations that always fail, with the same errno.
macro_rules! refuse {
    ($($errno:ident $operation:ident($($argument:ty),*) $reply:ty;)+) => {
        $(fn $operation(&self, _: &Request, _: INodeNo, $(_: $argument,)* reply: $reply) {
            reply.error(Errno::$errno);
        })+
    };
}

/// The bit that the kernel sets in the number of a request that it sends again
/// (`FUSE_UNIQUE_RESEND`).
const RESENT: u64 = 1 << 63;

impl Filesystem for Fs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Only the first counts, and there is only one.
        let _ = self.context.offer.set(Offer::of(config));
        negotiate(config);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.serve(
            request.pid(),
            Task::on("lookup", parent.0).named(&name),
            move |_, view| view.lookup(parent.0, &name),
            |context, found| replies::entry(context, found, reply),
        );
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let fh = fh.map(|fh| fh.0);
        self.serve(
            request.pid(),
            Task::on("getattr", ino.0),
            move |context, view| context.attributes(view, ino.0, fh),
            |context, stat| replies::attr(context, stat, reply),
        );
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.serve(
            request.pid(),
            Task::on("readlink", ino.0),
            move |_, view| view.readlink(ino.0),
            |_, target| replies::data(target, reply),
        );
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let (is_owner, tid) = (self.context.is_owner(request), request.pid());
        let rounds = Cell::new(0_u32);
        self.serve(
            tid,
            Task::on("open", ino.0),
            move |_, view| {
                rounds.set(rounds.get() + 1);
                let opened = match writes {
                    true => view.open_to_write(ino.0, is_owner),
                    false => view.open(ino.0, is_owner),
                };
                opened.map(|opened| (opened, rounds.get() > 1))
            },
            move |context, opened| replies::opened(context, ino.0, tid, opened, reply),
        );
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.context.gate.pass();
        let size = size as usize;
        let task = Task::on("read", ino.0).at(offset);
        // Nearly every read is answered at once, from one buffer.
        let waits = BUFFER.with_borrow_mut(|buffer| {
            let now = Instant::now();
            self.context.busy_poll.note(now);
            if let Err(error) = self.context.admit(&task) {
                reply.error(errno(&error));
                return None;
            }
            let _working = self.context.working_on(&task);
            let view = self.context.tree.at(now);
            match self.context.read(&view, fh.0, offset, size, buffer) {
                Ok(()) => {
                    reply.data(buffer);
                    let (activity, bytes) = (self.context.tree.activity(), buffer.len() as u64);
                    activity.asked();
                    activity.read(request.pid(), ino.0, bytes, false, now);
                }
                Err(Miss::Error(error)) => reply.error(errno(&error)),
                Err(Miss::Fetch(_)) => return Some(reply),
            }
            self.context.pending.grant_wishes(&view, now);
            None
        });
        let Some(reply) = waits else { return };
        let tid = request.pid();
        self.serve(
            tid,
            task,
            move |context, view| {
                let mut buffer = Vec::new();
                context.read(view, fh.0, offset, size, &mut buffer)?;
                Ok(buffer)
            },
            move |context, read| {
                let bytes = read.as_ref().map_or(0, |read| read.len() as u64);
                replies::data(read, reply);
                let activity = context.tree.activity();
                activity.read(tid, ino.0, bytes, true, Instant::now());
            },
        );
    }

    fn flush(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _: LockOwner,
        reply: ReplyEmpty,
    ) {
        // ENOSYS, the default, would switch FLUSH off for the whole mount.
        let (context, handles) = (&self.context, &self.context.handles);
        let Some(handle) = handles.written(fh.0) else {
            return reply.ok();
        };
        let view = context.tree.at(Instant::now());
        let position = match context.opened(&view, &handle) {
            Ok(open) => open.writing().and_then(Writing::position),
            // What was written is lost.
            Err(Miss::Error(error)) => return reply.error(errno(&error)),
            Err(Miss::Fetch(_)) => None,
        };
        let device = context.device.get();
        // A single opening owns every open descriptor. Of several, each starts a run of
        // its own, so it is told from the others.
        let other_openers = handles.other_openers(&handle);
        let file = open_writers::Held {
            device: device.and_then(Option::as_deref),
            ino: ino.0,
            name: START_FILE,
            position: position.filter(|_| !other_openers.is_empty()),
            opener: handle.opener(),
            other_openers,
        };
        match open_writers::is_held(&file) {
            true => reply.ok(),
            false => self.finish(request.pid(), handle, |_, done, _| {
                replies::empty(done, reply);
            }),
        }
    }

    fn release(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let handles = &self.context.handles;
        let Some(handle) = handles.written(fh.0) else {
            handles.remove(fh.0);
            return reply.ok();
        };
        handles.take(fh.0);
        // The writer is gone, and hears no result. The next worker knows what is written
        // until that has become an order.
        self.finish(request.pid(), handle, |context, done, handle| {
            context.handles.free(handle);
            replies::empty(done, reply);
        });
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.serve(
            request.pid(),
            Task::on("opendir", ino.0),
            move |_, view| view.open_directory(ino.0),
            move |context, opened| replies::opened_directory(context, ino.0, opened, reply),
        );
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.serve(
            request.pid(),
            Task::on("readdir", ino.0).at(offset),
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, listing| {
                let add = |next, name: &OsStr, entry: &Attributes, _| {
                    reply.add(INodeNo(entry.ino), next, file_type(entry.kind), name)
                };
                match fill(context, listing, ino.0, offset, add) {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(errno(&error)),
                }
            },
        );
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.serve(
            request.pid(),
            Task::on("readdir", ino.0).at(offset),
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, listing| {
                let add = |next, name: &OsStr, entry: &Attributes, lasts| {
                    let attr = context.file_attr(entry);
                    reply.add(attr.ino, next, name, &lasts, &attr, Generation(0))
                };
                match fill(context, listing, ino.0, offset, add) {
                    Ok(()) => reply.ok(),
                    Err(error) => reply.error(errno(&error)),
                }
            },
        );
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.context.handles.remove(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.serve(
            request.pid(),
            Task::on("statfs", 0),
            |_, view| Ok(view.usage()),
            |_, usage| replies::statfs(&usage.unwrap_or_default(), reply),
        );
    }

    fn access(&self, request: &Request, ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let access = Access {
            read: mask.contains(AccessFlags::R_OK),
            write: mask.contains(AccessFlags::W_OK),
            execute: mask.contains(AccessFlags::X_OK),
            is_owner: self.context.is_owner(request),
        };
        self.serve(
            request.pid(),
            Task::on("access", ino.0),
            move |_, view| view.access(ino.0, access),
            |_, allowed| replies::empty(allowed, reply),
        );
    }

    fn getxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        size: u32,
        reply: ReplyXattr,
    ) {
        if ino == INodeNo::ROOT && name == LET_GO && self.context.is_owner(request) {
            self.context.pending.let_go();
            return replies::xattr(Ok(Vec::new()), size, reply);
        }
        if name == LIST_ANEW && !self.context.is_owner(request) {
            let why = "it costs calls of an account that is not this user's";
            return replies::xattr(Err(Error::Denied(why.into())), size, reply);
        }
        let name = name.as_bytes().to_vec();
        self.serve(
            request.pid(),
            Task::on("getxattr", ino.0).named(&name),
            move |_, view| view.getxattr(ino.0, &name),
            move |_, value| replies::xattr(value, size, reply),
        );
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.serve(
            request.pid(),
            Task::on("listxattr", ino.0),
            move |_, view| view.listxattr(ino.0),
            move |_, names| replies::xattr(names, size, reply),
        );
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        fh: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let open = fh.and_then(|fh| self.context.handles.written(fh.0));
        let is_owner = self.context.is_owner(request);
        self.serve(
            request.pid(),
            Task::on("setattr", ino.0),
            // Of a control file, `> run` cuts the length, `touch` sets times, and
            // programs that copy a file onto it set mode and owner too.
            move |context, view| {
                let open = match &open {
                    Some(handle) => Some(context.opened(view, handle)?),
                    None => None,
                };
                let draft = open.and_then(Open::writing);
                view.touch(ino.0, is_owner, draft.zip(size))
            },
            |context, stat| replies::attr(context, stat, reply),
        );
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // One that is sent again, after a worker was replaced, has a bit more.
        let number = request.unique().0 & !RESENT;
        let appends = flags.0 & libc::O_APPEND != 0;
        let Some(handle) = self.context.handles.written(fh.0) else {
            return reply.error(Errno::EROFS);
        };
        let data = data.to_vec();
        let length = data.len() as u32;
        self.serve(
            request.pid(),
            Task::on("write", ino.0).at(offset),
            move |context, view| match context.opened(view, &handle)?.writing() {
                Some(writing) => {
                    let write = WriteRequest {
                        request: number,
                        offset,
                        appends,
                        data: &data,
                    };
                    view.write(writing, &write)
                }
                None => Err(Error::ReadOnly.into()),
            },
            move |_, written| match written {
                Ok(()) => reply.written(length),
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    // Changes are answered with EROFS, for root too. The defaults are ENOSYS and
    // EPERM, which tools understand as something else.
    refuse! {
        EROFS mknod(&OsStr, u32, u32, u32) ReplyEntry;
        EROFS mkdir(&OsStr, u32, u32) ReplyEntry;
        EROFS unlink(&OsStr) ReplyEmpty;
        EROFS rmdir(&OsStr) ReplyEmpty;
        EROFS symlink(&OsStr, &Path) ReplyEntry;
        EROFS rename(&OsStr, INodeNo, &OsStr, RenameFlags) ReplyEmpty;
        EROFS link(INodeNo, &OsStr) ReplyEntry;
        EROFS create(&OsStr, u32, u32, i32) ReplyCreate;
        // Many programs ask of every file whether it is a terminal. fuser's own
        // answer would log a warning each time.
        ENOTTY ioctl(FileHandle, IoctlFlags, u32, &[u8], u32) ReplyIoctl;
        // Only control files can be open to write, and they reserve no room.
        EOPNOTSUPP fallocate(FileHandle, u64, u64, i32) ReplyEmpty;
        // From a file of the mount into a control file: the kernel then reads and
        // writes, as between two file systems.
        ENOSYS copy_file_range(
            FileHandle, u64, INodeNo, FileHandle, u64, u64, CopyFileRangeFlags
        ) ReplyWrite;
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        self.no_xattr(request, ino, reply);
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.no_xattr(request, ino, reply);
    }

    fn lseek(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Some(what) = sought(whence) else {
            return reply.error(Errno::EINVAL);
        };
        self.serve(
            request.pid(),
            Task::on("lseek", ino.0).at(offset.unsigned_abs()),
            move |context, view| context.seek(view, ino.0, fh.0, offset.unsigned_abs(), what),
            |_, found| replies::sought(found, reply),
        );
    }
}
