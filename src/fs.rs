//! The fuser adapter: a request in, an operation of the tree, bytes out. No
//! decisions are made here, and no callback waits.

mod handles;
mod stored;

use crate::{
    error::{Error, Result},
    park::{Park, Woken},
    tree::{Answer, Attributes, Directory, Found, Handle, Kind, Miss, Opened, Stat, Tree, View},
};
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType,
    Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner,
    Notifier, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use handles::{Handles, Open};
use std::{
    cell::RefCell,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use stored::Stored;

/// The longest that the kernel is told to keep anything: for good, in the life
/// of a mount, yet far from the edges of the kernel's clock arithmetic.
const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many fetches one request may need one after another. The deepest chain
/// is four (listing, versions, content, content again after an eviction); more
/// means that answers are lost as fast as they come.
const MOST_ROUNDS: u32 = 16;

/// Requests the kernel may have under way in the background (readahead). The
/// default of 16 is soon full of reads that wait for one download.
const MAX_BACKGROUND: u16 = 64;

/// The largest file that is given to the kernel when it is opened: what its
/// readahead would ask for at once.
const MOST_GIVEN: u64 = 64 * 1024;

thread_local! {
    /// What is read goes through one buffer of each thread.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What `stat` gives as the best size for a read: one kernel request.
const BLOCK_SIZE: u32 = 128 * 1024;

/// What an operation needs to run, and to run again.
struct Context {
    tree: Arc<Tree>,
    park: Arc<Park>,
    handles: Handles,
    stored: Stored,
    /// Set once the mount is made: the way to the kernel's page cache.
    notifier: OnceLock<Notifier>,
    uid: u32,
    gid: u32,
}

/// The file system as fuser sees it.
pub struct Fs {
    context: Arc<Context>,
}

impl Fs {
    /// An adapter whose files belong to `uid` and `gid`.
    pub fn new(tree: Arc<Tree>, park: Arc<Park>, uid: u32, gid: u32) -> Self {
        Self {
            context: Arc::new(Context {
                tree,
                park,
                handles: Handles::default(),
                stored: Stored::default(),
                notifier: OnceLock::new(),
                uid,
                gid,
            }),
        }
    }

    /// What is to be given the mount's notifier when there is one.
    pub fn on_mounted(&self) -> impl FnOnce(Notifier) + use<> {
        let context = self.context.clone();
        move |notifier| {
            // Only the first counts, and there is only one.
            let _ = context.notifier.set(notifier);
        }
    }

    /// Runs an operation now and, where it misses something, again whenever
    /// that has been fetched, until it settles.
    fn serve<T: 'static>(
        &self,
        operation: impl Fn(&Context, &View<'_>) -> Answer<T> + Send + 'static,
        reply: impl FnOnce(&Context, Result<T>) + Send + 'static,
    ) {
        attempt(
            self.context.clone(),
            Instant::now(),
            MOST_ROUNDS,
            operation,
            reply,
        );
    }
}

fn attempt<T: 'static>(
    context: Arc<Context>,
    since: Instant,
    rounds: u32,
    operation: impl Fn(&Context, &View<'_>) -> Answer<T> + Send + 'static,
    reply: impl FnOnce(&Context, Result<T>) + Send + 'static,
) {
    let view = context.tree.at(since);
    let run = AssertUnwindSafe(|| operation(&context, &view));
    // A panic would end fuser's thread, and with it the mount.
    let outcome = catch_unwind(run)
        .unwrap_or_else(|_| Err(Error::Internal("an operation panicked".into()).into()));
    for want in view.take_wishes() {
        context.park.wait(want, since, Box::new(|_| ()));
    }
    let result = match outcome {
        Ok(value) => Ok(value),
        Err(Miss::Error(error)) => Err(error),
        Err(Miss::Want(want)) if rounds == 0 => Err(Error::Internal(format!(
            "{want} is lost as soon as it is fetched"
        ))),
        Err(Miss::Want(want)) => {
            let park = context.park.clone();
            let again = move |woken| {
                // Looking again as more comes is no sign of going in circles.
                let rounds = rounds - u32::from(woken == Woken::Settled);
                attempt(context, since, rounds, operation, reply);
            };
            return park.wait(want, since, Box::new(again));
        }
    };
    // A page of a directory is filled while replying, so this can panic too.
    if catch_unwind(AssertUnwindSafe(|| reply(&context, result))).is_err() {
        tracing::error!("a reply panicked; its caller got EIO");
    }
}

fn errno(error: &Error) -> Errno {
    Errno::from_i32(error.errno())
}

fn ttl(lasts: Duration) -> Duration {
    lasts.min(LONGEST_TTL)
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Symlink => FileType::Symlink,
    }
}

fn system_time((seconds, nanoseconds): (i64, u32)) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    // An archive may claim any time: one out of range is shown as 1970.
    let part = Duration::from_nanos(u64::from(nanoseconds));
    base.and_then(|base| base.checked_add(part))
        .unwrap_or(UNIX_EPOCH)
}

impl Context {
    /// Puts a small file that can never change into the kernel's page cache.
    fn give_small(&self, ino: u64, opened: &Opened) {
        let Some(notifier) = self.notifier.get() else {
            return;
        };
        let Handle::Content(content) = &opened.handle else {
            return;
        };
        if !opened.is_final || content.size() > MOST_GIVEN || !self.stored.is_first(ino) {
            return;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let view = self.tree.at(Instant::now());
            if view
                .read(&opened.handle, 0, MOST_GIVEN as usize, buffer)
                .is_ok()
                && let Err(error) = notifier.store(INodeNo(ino), 0, buffer)
            {
                // It is read the ordinary way, then.
                tracing::debug!("storing inode {ino}: {error}");
            }
        });
    }

    fn file_attr(&self, attributes: &Attributes) -> FileAttr {
        let mtime = system_time(attributes.mtime);
        let perm = match attributes.kind {
            Kind::Directory => 0o555,
            Kind::File if attributes.executable => 0o555,
            Kind::File => 0o444,
            Kind::Symlink => 0o777,
        };
        FileAttr {
            ino: INodeNo(attributes.ino),
            size: attributes.size,
            blocks: attributes.size.div_ceil(512),
            atime: mtime,
            mtime,
            ctime: mtime,
            crtime: mtime,
            kind: file_type(attributes.kind),
            perm,
            nlink: attributes.links,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        }
    }

    fn read(
        &self,
        view: &View<'_>,
        handle: u64,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        let open = self.handles.get(handle)?;
        let read = match &*open {
            Open::File(handle) => view.read(handle, offset, size, buffer),
            Open::Directory(_) => Err(Error::IsDirectory.into()),
        };
        if let Err(Miss::Error(error)) = &read {
            tracing::warn!("read failed: {error}");
        }
        read
    }

    /// The listing a directory handle reads from at `offset`.
    fn listing(
        &self,
        view: &View<'_>,
        ino: u64,
        handle: u64,
        offset: u64,
    ) -> Answer<Arc<Directory>> {
        let open = self.handles.get(handle)?;
        // Offset 0 is a first reading, or rewinddir, which asks for it anew.
        if offset > 0
            && let Some(directory) = open.snapshot()
        {
            return Ok(directory);
        }
        let directory = Arc::new(view.directory(ino)?);
        open.set_snapshot(directory.clone());
        Ok(directory)
    }
}

/// A negative dentry: FUSE's way to say for how long a name does not exist.
fn absent(context: &Context) -> FileAttr {
    let nothing = Attributes {
        ino: 0,
        kind: Kind::File,
        size: 0,
        mtime: (0, 0),
        executable: false,
        links: 0,
    };
    context.file_attr(&nothing)
}

impl Filesystem for Fs {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each by itself: an older kernel may lack any of them.
        for capability in [
            // Without it one parked lookup blocks all others in its directory.
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_MAX_PAGES,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_AUTO_INVAL_DATA,
            // Files that still change are opened with FOPEN_DIRECT_IO; without
            // this they cannot be mapped shared, as many readers map files.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
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

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes().to_vec();
        self.serve(
            move |_, view| view.lookup(parent.0, &name),
            |context, found| match found {
                Ok(Found::Node(Stat { attributes, lasts }, name_lasts)) => {
                    let attr = context.file_attr(&attributes);
                    reply.entry_with_ttls(&ttl(lasts), &ttl(name_lasts), &attr, Generation(0));
                }
                Ok(Found::Absent(lasts)) if lasts.is_zero() => reply.error(Errno::ENOENT),
                Ok(Found::Absent(lasts)) => {
                    reply.entry(&ttl(lasts), &absent(context), Generation(0));
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.serve(
            move |_, view| view.getattr(ino.0),
            |context, stat| match stat {
                Ok(Stat { attributes, lasts }) => {
                    reply.attr(&ttl(lasts), &context.file_attr(&attributes));
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        self.serve(
            move |_, view| view.readlink(ino.0),
            |_, target| match target {
                Ok(target) => reply.data(&target),
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn open(&self, _request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        self.serve(
            move |_, view| view.open(ino.0),
            move |context, opened| match opened {
                Ok(opened) => {
                    let flags = if opened.is_final {
                        FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH
                    } else {
                        // The handle's own bytes, whatever size was known before.
                        FopenFlags::FOPEN_DIRECT_IO
                    };
                    context.give_small(ino.0, &opened);
                    let handle = context.handles.add(Open::File(opened.handle));
                    reply.opened(FileHandle(handle), flags);
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn read(
        &self,
        _request: &Request,
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
            let view = self.context.tree.at(Instant::now());
            match self.context.read(&view, fh.0, offset, size, buffer) {
                Ok(()) => {
                    reply.data(buffer);
                    None
                }
                Err(Miss::Error(error)) => {
                    reply.error(errno(&error));
                    None
                }
                Err(Miss::Want(_)) => Some(reply),
            }
        });
        let Some(reply) = waits else { return };
        self.serve(
            move |context, view| {
                let mut buffer = Vec::new();
                context.read(view, fh.0, offset, size, &mut buffer)?;
                Ok(buffer)
            },
            |_, read| match read {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _lock_owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // ENOSYS, the default, would switch FLUSH off for the whole mount.
        reply.ok();
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.context.handles.remove(fh.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn opendir(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.serve(
            move |_, view| view.open_directory(ino.0),
            |context, opened| match opened {
                Ok(is_final) => {
                    let flags = if is_final {
                        FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE
                    } else {
                        FopenFlags::empty()
                    };
                    let handle = context.handles.add(Open::Directory(Default::default()));
                    reply.opened(FileHandle(handle), flags);
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.serve(
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, directory| match directory {
                Ok(directory) => {
                    let view = context.tree.at(Instant::now());
                    for (position, name, ino, kind) in page(&view, &directory, ino.0, offset) {
                        if reply.add(
                            INodeNo(ino),
                            position,
                            file_type(kind),
                            OsStr::from_bytes(&name),
                        ) {
                            break;
                        }
                    }
                    reply.ok();
                }
                Err(error) => reply.error(errno(&error)),
            },
        );
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.serve(
            move |context, view| context.listing(view, ino.0, fh.0, offset),
            move |context, directory| match directory {
                Ok(directory) => {
                    let view = context.tree.at(Instant::now());
                    fill_plus(context, &view, &directory, ino.0, offset, &mut reply);
                    reply.ok();
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

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.serve(
            |_, view| Ok(view.usage()),
            |_, usage| {
                // The cache stands for the disk: what it holds of what it may.
                let usage = usage.unwrap_or_default();
                let block = 4096;
                let blocks = usage.ceiling / block;
                let free = blocks.saturating_sub(usage.bytes / block);
                reply.statfs(blocks, free, free, 0, 0, block as u32, 255, block as u32);
            },
        );
    }

    fn access(&self, _request: &Request, _ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        // With default_permissions the kernel decides; this is for a mount without.
        if mask.contains(AccessFlags::W_OK) {
            reply.error(Errno::EROFS)
        } else {
            reply.ok()
        }
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let name = name.as_bytes().to_vec();
        self.serve(
            move |_, view| view.getxattr(ino.0, &name),
            move |_, value| reply_xattr(value, size, reply),
        );
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.serve(
            move |_, view| view.listxattr(ino.0),
            move |_, names| reply_xattr(names, size, reply),
        );
    }

    // What would change something: EROFS, whoever asks. The defaults answer
    // ENOSYS or EPERM, which tools take for other things.

    fn setattr(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

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

    fn write(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
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
        _request: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
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
        reply.error(Errno::EROFS);
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
        reply.error(Errno::EROFS);
    }
}

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

fn fill_plus(
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
            executable: false,
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

fn reply_xattr(value: Result<Vec<u8>>, size: u32, reply: ReplyXattr) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_archive() {
        assert_eq!(system_time((1, 5)), UNIX_EPOCH + Duration::new(1, 5));
        assert_eq!(
            system_time((-2, 500_000_000)),
            UNIX_EPOCH - Duration::from_millis(1500)
        );
        for absurd in [(i64::MAX, u32::MAX), (i64::MIN, u32::MAX)] {
            // Whatever comes out, it must come out.
            let _ = system_time(absurd);
        }
    }
    #[test]
    fn a_panic_ends_neither_the_thread_nor_the_mount() {
        let bench = crate::tree::tests::Bench::new(crate::demo::World::empty());
        let park = Arc::new(Park::new(bench.tree.clone(), Duration::from_secs(5)));
        let fs = Fs::new(bench.tree.clone(), park, 0, 0);
        let (reply, replied) = std::sync::mpsc::channel();
        fs.serve::<()>(
            |_, _| panic!("an operation"),
            move |_, result| reply.send(result.unwrap_err().errno()).unwrap(),
        );
        assert_eq!(replied.recv().unwrap(), libc::EIO);
        fs.serve(|_, _| Ok(()), |_, _| panic!("a reply"));
    }
}
