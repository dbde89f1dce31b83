//! The fuser adapter: a request in, an operation of the tree, bytes out. No
//! decisions are made here, and no callback waits.

mod busy_poll;
mod caller;
mod context;
mod cpu_latency;
mod handles;
mod open_writers;
mod page_fill;
mod readdir;
mod replies;

use crate::{
    error::{Error, Result},
    pending::{LET_GO, PendingRequests},
    tree::{Access, Answer, Miss, START_FILE, Tree, View, Writing},
};
use context::{BUFFER, Context, MOST_ROUNDS, Passing, attempt, errno, sought};
use cpu_latency::CpuLatency;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, INodeNo,
    InitFlags, IoctlFlags, KernelConfig, LockOwner, Notifier, OpenAccMode, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use handles::{Handles, Open};
use page_fill::PageFill;
use readdir::{fill, fill_plus};
use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::Path,
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime},
};

/// Requests the kernel may have under way in the background (readahead). The
/// default of 16 is soon full of reads that wait for one download.
const MAX_BACKGROUND: u16 = 64;

/// Where the kernel lets a process keep the cores awake, and whether it lets this
/// one.
///
/// # Errors
/// EACCES for who may not, ENOENT where the kernel knows of no such thing.
pub fn may_keep_awake() -> (&'static str, io::Result<()>) {
    (cpu_latency::BOUNDS, CpuLatency::new().map(drop))
}

/// The file system as fuser sees it.
pub struct Fs {
    context: Arc<Context>,
}

impl Fs {
    /// An adapter whose files belong to `uid` and `gid`.
    pub fn new(tree: Arc<Tree>, pending: Arc<PendingRequests>, uid: u32, gid: u32) -> Self {
        Self {
            context: Arc::new(Context {
                tree,
                pending,
                handles: Handles::default(),
                page_fill: PageFill::default(),
                passing: Passing::default(),
                busy_poll: Arc::default(),
                notifier: OnceLock::new(),
                device: OnceLock::new(),
                uid,
                gid,
            }),
        }
    }

    /// What is to be given the mount's notifier when there is one, its device,
    /// where that is known, and the connection to the kernel, where one thread
    /// only takes requests from it and there are more cores than that.
    pub fn on_mounted(&self) -> impl FnOnce(Notifier, Option<String>, Option<OwnedFd>) + use<> {
        let context = self.context.clone();
        move |notifier, device, connection| {
            if let Some(connection) = connection {
                let awake = CpuLatency::new().inspect_err(|error| {
                    tracing::debug!("the cores may halt between requests: {error}");
                });
                context.busy_poll.begin(connection, awake.ok());
            }
            // Only the first counts, and there is only one.
            let _ = context.notifier.set(notifier);
            let _ = context.device.set(device);
        }
    }

    /// Runs an operation for thread `tid` now and, where it misses something,
    /// again whenever that has been fetched, until it settles.
    fn serve<T: 'static>(
        &self,
        tid: u32,
        operation: impl Fn(&Context, &View<'_>) -> Answer<T> + Send + 'static,
        reply: impl FnOnce(&Context, Result<T>) + Send + 'static,
    ) {
        let now = Instant::now();
        self.context.busy_poll.note(now);
        attempt(
            self.context.clone(),
            tid,
            now,
            MOST_ROUNDS,
            operation,
            reply,
        );
    }

    /// Refuses to change an attribute.
    fn no_xattr(&self, request: &Request, ino: INodeNo, reply: ReplyEmpty) {
        self.serve(
            request.pid(),
            move |_, view| Err(view.xattr_refusal(ino.0)?.into()),
            |_, refused: Result<()>| replies::empty(refused, reply),
        );
    }

    /// Ends the writing of a control file.
    fn finish(&self, tid: u32, open: Arc<Open>, reply: ReplyEmpty) {
        self.serve(
            tid,
            move |_, view| match open.writing() {
                Some(writing) => view.finish(writing),
                None => Ok(()),
            },
            |_, done| replies::empty(done, reply),
        );
    }
}

impl Filesystem for Fs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each by itself: an older kernel may lack any of them.
        for capability in [
            // Without it one parked lookup blocks all others in its directory.
            InitFlags::FUSE_PARALLEL_DIROPS,
            // Always, and not where the kernel thinks it worth it: `find -size` and
            // `du` read a folder to its end before they ask for attributes, which
            // then were a request for each entry but those of the first page.
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_AUTO_INVAL_DATA,
            // Files that still change are opened with FOPEN_DIRECT_IO; without
            // this they cannot be mapped shared, as many readers map files.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
            // Without it, of such a file io_uring and libaio are told of more bytes
            // than there are (seen with 6.18).
            InitFlags::FUSE_ASYNC_DIO,
        ] {
            if config.add_capabilities(capability).is_err() {
                tracing::debug!("the kernel does not offer {capability:?}");
            }
        }
        if let Err(nearest) = config.set_max_readahead(u32::MAX) {
            // It cannot be raised over what the kernel offers.
            let _ = config.set_max_readahead(nearest);
        }
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.serve(
            request.pid(),
            move |_, view| view.lookup(parent.0, &name),
            |context, found| replies::entry(context, found, reply),
        );
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        // The kernel names a handle when it reads through the page cache.
        let open = fh.and_then(|fh| self.context.handles.get(fh.0).ok());
        self.serve(
            request.pid(),
            move |_, view| match open.as_deref() {
                Some(Open::File(handle)) => view.getattr_of(ino.0, handle),
                Some(Open::Directory(_)) | None => view.getattr(ino.0),
            },
            |context, stat| replies::attr(context, stat, reply),
        );
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        self.serve(
            request.pid(),
            move |_, view| view.readlink(ino.0),
            |_, target| replies::data(target, reply),
        );
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let writes = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let (is_owner, tid) = (self.context.is_owner(request), request.pid());
        self.serve(
            tid,
            move |_, view| match writes {
                true => view.open_to_write(ino.0, is_owner),
                false => view.open(ino.0, is_owner),
            },
            move |context, opened| replies::opened(context, ino.0, tid, opened, reply),
        );
    }

    fn read(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = size as usize;
        // Nearly every read is answered here and now, from one buffer.
        let waits = BUFFER.with_borrow_mut(|buffer| {
            let now = Instant::now();
            self.context.busy_poll.note(now);
            let view = self.context.tree.at(now);
            match self.context.read(&view, fh.0, offset, size, buffer) {
                Ok(()) => {
                    reply.data(buffer);
                    None
                }
                Err(Miss::Error(error)) => {
                    reply.error(errno(&error));
                    None
                }
                Err(Miss::Fetch(_)) => Some(reply),
            }
        });
        let Some(reply) = waits else { return };
        self.serve(
            request.pid(),
            move |context, view| {
                let mut buffer = Vec::new();
                context.read(view, fh.0, offset, size, &mut buffer)?;
                Ok(buffer)
            },
            |_, read| replies::data(read, reply),
        );
    }

    fn flush(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // ENOSYS, the default, would switch FLUSH off for the whole mount.
        let Some(open) = self.context.handles.written(fh.0) else {
            return reply.ok();
        };
        let device = self.context.device.get();
        // Where only this opening is there, whatever is open is its own. Else its
        // position tells it from those of others, who start runs of their own.
        let writing = open.writing();
        let position = writing
            .filter(|writing| self.context.handles.is_written_beside(writing))
            .and_then(Writing::position);
        let file = open_writers::Held {
            device: device.and_then(Option::as_deref),
            ino: ino.0,
            name: START_FILE,
            position,
        };
        match open_writers::is_held(&file) {
            true => reply.ok(),
            false => self.finish(request.pid(), open, reply),
        }
    }

    fn release(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let written = self.context.handles.written(fh.0);
        self.context.handles.remove(fh.0);
        match written {
            // Whoever wrote it is gone: nobody hears how it ends.
            Some(open) => self.finish(request.pid(), open, reply),
            None => reply.ok(),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.serve(
            request.pid(),
            move |_, view| view.open_directory(ino.0),
            |context, opened| replies::opened_directory(context, opened, reply),
        );
    }

    fn readdir(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.serve(
            request.pid(),
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, directory| match directory {
                Ok(directory) => {
                    let view = context.tree.at(Instant::now());
                    fill(&view, &directory, ino.0, offset, reply);
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.serve(
            request.pid(),
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, directory| match directory {
                Ok(directory) => {
                    let view = context.tree.at(Instant::now());
                    fill_plus(context, &view, &directory, ino.0, offset, reply);
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.context.handles.remove(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.serve(
            request.pid(),
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
        let name = name.as_bytes().to_vec();
        self.serve(
            request.pid(),
            move |_, view| view.getxattr(ino.0, &name),
            move |_, value| replies::xattr(value, size, reply),
        );
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.serve(
            request.pid(),
            move |_, view| view.listxattr(ino.0),
            move |_, names| replies::xattr(names, size, reply),
        );
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let open = fh.and_then(|fh| self.context.handles.written(fh.0));
        let is_owner = self.context.is_owner(request);
        self.serve(
            request.pid(),
            // Of a control file, `> run` cuts the length, `touch` sets times, and
            // programs that copy a file onto it set mode and owner too.
            move |_, view| {
                let draft = open.as_ref().and_then(|open| open.writing());
                view.touch(ino.0, is_owner, draft.zip(size))
            },
            |context, stat| replies::attr(context, stat, reply),
        );
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let place = (flags.0 & libc::O_APPEND == 0).then_some(offset);
        let Some(open) = self.context.handles.written(fh.0) else {
            return reply.error(Errno::EROFS);
        };
        let data = data.to_vec();
        let length = data.len() as u32;
        self.serve(
            request.pid(),
            move |_, view| match open.writing() {
                Some(writing) => view
                    .write(writing, place, &data)
                    .inspect(|()| writing.note_write(offset, data.len())),
                None => Err(Error::ReadOnly.into()),
            },
            move |_, written| match written {
                Ok(()) => reply.written(length),
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    // What would change something: EROFS, whoever asks. The defaults answer
    // ENOSYS or EPERM, which tools take for other things.

    fn mknod(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _newparent: INodeNo,
        _newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn create(
        &self,
        _request: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        if ino == INodeNo::ROOT && name == LET_GO && self.context.is_owner(request) {
            self.context.pending.let_go();
            return reply.ok();
        }
        self.no_xattr(request, ino, reply);
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.no_xattr(request, ino, reply);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _cmd: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        // Many programs ask of all that they open whether it is a terminal.
        // fuser's own answer would be a warning in the log each time.
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        // Only control files can be open to be written, and take no room ahead.
        reply.error(Errno::EOPNOTSUPP);
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
            move |context, view| context.seek(view, ino.0, fh.0, offset.unsigned_abs(), what),
            |_, found| replies::sought(found, reply),
        );
    }

    fn copy_file_range(
        &self,
        _request: &Request,
        _ino_in: INodeNo,
        _fh_in: FileHandle,
        _offset_in: u64,
        _ino_out: INodeNo,
        _fh_out: FileHandle,
        _offset_out: u64,
        _len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // From a file of the mount into a control file: the kernel then reads and
        // writes, as between any two file systems.
        reply.error(Errno::ENOSYS);
    }
}
