//! Runs operations, again after each fetch, and turns their results into fuser's
//! types.

use super::{
    asked::{Asked, Task},
    busy_poll::BusyPoll,
    gate::{Gate, hold},
    handles::{Handles, Open, OpenHandle},
    handshake::Offer,
    outdated::Outdated,
    page_fill::PageFill,
};
use crate::{
    error::{Error, Result},
    handover::Guard,
    pending::{PendingRequests, Wake},
    tree::{Answer, Attributes, Directory, Handle, Kind, Miss, Opened, Seek, Stat, Tree, View},
};
use fuser::{Errno, FileAttr, FileType, INodeNo, Notifier, Request};
use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// The longest time for which the kernel is told to keep anything: for good in the
/// life of a mount, and far from the limits of the kernel's clock arithmetic.
const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many fetches one request may need one after another. The deepest chain
/// is four (listing, versions, content, content again after an eviction); more
/// means that the cache drops content as fast as it comes.
pub(super) const MOST_ROUNDS: u32 = 16;

/// The largest file that is stored in the page cache when it is opened: as much as
/// readahead would ask for at once.
const MOST_GIVEN: u64 = 64 * 1024;

thread_local! {
    /// Each thread reads through one buffer.
    pub(super) static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What `stat` gives as the best size for a read: one kernel request.
const BLOCK_SIZE: u32 = 128 * 1024;

/// What an operation needs to run, and to run again.
pub(super) struct Context {
    pub(super) tree: Arc<Tree>,
    pub(super) pending: Arc<PendingRequests>,
    pub(super) handles: Handles,
    pub(super) page_fill: PageFill,
    pub(super) outdated: Outdated,
    pub(super) busy_poll: Arc<BusyPoll>,
    /// The way to the kernel's page cache; set once the mount is made.
    pub(super) notifier: OnceLock<Notifier>,
    /// The mount's device, as `mountinfo` writes it; set then too.
    pub(super) device: OnceLock<Option<String>>,
    pub(super) gate: Arc<Gate>,
    /// What the kernel offered when the mount was made.
    pub(super) offer: OnceLock<Offer>,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Context {
    /// Puts a small file that can never change into the kernel's page cache,
    /// unless an open of it has been answered before. For every open of a file
    /// of a version, before it is answered. Gives how many bytes were put there: no read
    /// that could be counted comes for them.
    pub(super) fn give_small(&self, ino: u64, opened: &Opened) -> u64 {
        let mut given = 0;
        match &opened.handle {
            Handle::Content(content, _) if opened.is_final && content.size() <= MOST_GIVEN => {
                let give = || given = self.store(ino, &opened.handle);
                self.page_fill.once(ino, give);
            }
            Handle::Content(..) | Handle::Partial(_) => self.page_fill.once(ino, || ()),
            Handle::Bytes(_) | Handle::Page(_) | Handle::Log(_) | Handle::Control(_) => {}
        }
        given
    }

    fn store(&self, ino: u64, handle: &Handle) -> u64 {
        let Some(notifier) = self.notifier.get() else {
            return 0;
        };
        BUFFER.with_borrow_mut(|buffer| {
            let view = self.tree.at(Instant::now());
            if view.read(handle, 0, MOST_GIVEN as usize, buffer).is_err() {
                return 0;
            }
            match notifier.store(INodeNo(ino), 0, buffer) {
                Ok(()) => buffer.len() as u64,
                Err(error) => {
                    // The kernel reads it the ordinary way, then.
                    tracing::debug!("storing inode {ino}: {error}");
                    0
                }
            }
        })
    }

    /// Stores the file that follows the one just opened, if that one followed another
    /// that was opened before. To be called after the reply: the program is busy then.
    /// Gives how many bytes were stored.
    pub(super) fn give_next(&self, ino: u64) -> u64 {
        let Some((before, next)) = self.tree.inodes_around(ino) else {
            return 0;
        };
        if !self.page_fill.has(before) || self.page_fill.has(next) {
            return 0;
        }
        // What it misses is not fetched: no program has asked for this file.
        match self.tree.at(Instant::now()).open(next, false) {
            Ok(opened) => self.give_small(next, &opened),
            Err(_) => 0,
        }
    }

    /// Whether a request comes from the user who mounted, or from root.
    pub(super) fn is_owner(&self, request: &Request) -> bool {
        request.uid() == self.uid || request.uid() == 0
    }

    pub(super) fn file_attr(&self, attributes: &Attributes) -> FileAttr {
        let mtime = system_time(attributes.mtime);
        FileAttr {
            ino: INodeNo(attributes.ino),
            size: attributes.size,
            blocks: attributes.stored.div_ceil(512),
            atime: mtime,
            mtime,
            ctime: mtime,
            crtime: mtime,
            kind: file_type(attributes.kind),
            perm: attributes.mode,
            nlink: attributes.links,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: BLOCK_SIZE,
            flags: 0,
        }
    }

    pub(super) fn read(
        &self,
        view: &View<'_>,
        handle: u64,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        let handle = self.handles.get(handle)?;
        let read = match self.opened(view, &handle) {
            Ok(Open::File(file)) => {
                let read = view.read(file, offset, size, buffer);
                self.handles.note_growth(&handle, file);
                read
            }
            Ok(Open::Directory(_)) => Err(Error::IsDirectory.into()),
            Err(miss) => Err(miss),
        };
        if let Err(Miss::Error(error)) = &read {
            tracing::warn!("read failed: {error}");
        }
        read
    }

    /// Where the next data or hole of an open file is; `None` where there is none.
    pub(super) fn seek(
        &self,
        view: &View<'_>,
        ino: u64,
        handle: u64,
        offset: u64,
        what: Seek,
    ) -> Answer<Option<u64>> {
        match self.opened(view, &*self.handles.get(handle)?)? {
            Open::File(file) => view.seek(ino, file, offset, what),
            Open::Directory(_) => Err(Error::IsDirectory.into()),
        }
    }

    /// Refuses a request that has killed workers, and reports it.
    ///
    /// # Errors
    /// EIO for such a request.
    pub(super) fn admit(&self, task: &Task) -> Result<()> {
        let Some(deadly) = self.tree.handover().refuse(&task.work()) else {
            return Ok(());
        };
        let error = Error::from(&deadly);
        if deadly.is_news {
            self.tree.note_failure(&deadly.work, &error);
        }
        Err(error)
    }

    /// Notes what this thread works on.
    pub(super) fn working_on(&self, task: &Task) -> Guard<'_> {
        self.tree.handover().working_on(&task.work())
    }

    /// What a handle stands for; it is opened again where an earlier worker has
    /// opened it.
    pub(super) fn opened<'a>(&self, view: &View<'_>, handle: &'a OpenHandle) -> Answer<&'a Open> {
        handle.open(view, self.tree.handover())
    }

    /// The attributes of an inode, through a handle if the kernel names one.
    pub(super) fn attributes(
        &self,
        view: &View<'_>,
        ino: u64,
        handle: Option<u64>,
    ) -> Answer<Stat> {
        // The kernel names a handle when it reads through the page cache.
        let handle = handle.and_then(|handle| self.handles.get(handle).ok());
        let Some(handle) = handle.filter(|handle| handle.has_own_size()) else {
            return view.getattr(ino);
        };
        match self.opened(view, &handle)? {
            Open::File(file) => {
                let stat = view.getattr_of(ino, file);
                self.handles.note_growth(&handle, file);
                stat
            }
            Open::Directory(_) => view.getattr(ino),
        }
    }

    /// The listing a directory handle reads from at `offset`.
    pub(super) fn listing(
        &self,
        view: &View<'_>,
        ino: u64,
        handle: u64,
        offset: u64,
    ) -> Answer<Listing> {
        let handle = self.handles.get(handle)?;
        let Open::Directory(listing) = self.opened(view, &handle)? else {
            return Err(Error::NotDirectory.into());
        };
        // Offset 0 is a first reading, or rewinddir, which asks for a new listing.
        let known = listing.lock().clone().filter(|_| offset > 0);
        let is_new = known.is_none();
        let directory = match known {
            Some(directory) => directory,
            None => {
                let left = match offset > 0 {
                    true => handle.left_listing(view, self.tree.handover())?,
                    false => None,
                };
                let directory = match left {
                    Some(left) => left,
                    None => view.directory(ino)?,
                };
                let directory = Arc::new(directory);
                *listing.lock() = Some(directory.clone());
                directory
            }
        };
        Ok(Listing {
            handle,
            directory,
            is_new: is_new && offset == 0,
        })
    }
}

/// The listing that a page of a directory is taken from.
pub(super) struct Listing {
    pub(super) handle: Arc<OpenHandle>,
    pub(super) directory: Arc<Directory>,
    /// Whether no page of it has been answered yet.
    pub(super) is_new: bool,
}

/// Runs an operation, and again whenever what it misses has been fetched, for so many
/// rounds.
pub(super) fn attempt<T: 'static>(
    context: Arc<Context>,
    mut asked: Asked,
    rounds: u32,
    operation: impl Fn(&Context, &View<'_>) -> Answer<T> + Send + 'static,
    reply: impl FnOnce(&Context, Result<T>) + Send + 'static,
) {
    if let Err(error) = context.admit(&asked.task) {
        return reply(&context, Err(error));
    }
    let since = asked.since;
    let working = context.working_on(&asked.task);
    let view = context.tree.at(since);
    let run = AssertUnwindSafe(|| operation(&context, &view));
    // A panic would end fuser's thread, and with it the mount.
    let outcome = catch_unwind(run)
        .unwrap_or_else(|_| Err(Error::Internal("an operation panicked".into()).into()));
    let is_answer = !matches!(outcome, Err(Miss::Fetch(_)));
    if is_answer && rounds > 0 && view.met_damage() {
        drop((view, working));
        return attempt(context, asked, rounds - 1, operation, reply);
    }
    context.pending.grant_wishes(&view, since);
    let result = match outcome {
        Ok(value) => Ok(value),
        Err(Miss::Error(error)) => Err(error),
        Err(Miss::Fetch(key)) if rounds == 0 => Err(Error::Internal(format!(
            "{key} is lost as soon as it is fetched"
        ))),
        Err(Miss::Fetch(key)) => match asked.permit(&context.tree, &key) {
            Err(error) => Err(error),
            Ok(()) => {
                drop((view, working));
                let pending = context.pending.clone();
                let activity = context.tree.activity();
                let is_first = !std::mem::replace(&mut asked.has_waited, true);
                activity.waits(asked.tid, asked.task.ino, is_first, Instant::now());
                let again = move |wake| {
                    context.tree.activity().goes_on(asked.tid);
                    // Looking again as more bytes come does not count as a round.
                    let rounds = rounds - u32::from(wake == Wake::Settled);
                    attempt(context, asked, rounds, operation, reply);
                };
                return pending.wait(key, since, Box::new(again));
            }
        },
    };
    if context.tree.handover().is_left() {
        // What was done may not have been kept: the next worker does it again, and answers.
        hold();
    }
    // A page of a directory is filled while replying, so this can panic too.
    if catch_unwind(AssertUnwindSafe(|| reply(&context, result))).is_err() {
        tracing::error!("a reply panicked; its caller got EIO");
    }
}

/// What `lseek` looks for. All other ways the kernel answers by itself.
pub(super) fn sought(whence: i32) -> Option<Seek> {
    match whence {
        libc::SEEK_DATA => Some(Seek::Data),
        libc::SEEK_HOLE => Some(Seek::Hole),
        _ => None,
    }
}

pub(super) fn errno(error: &Error) -> Errno {
    Errno::from_i32(error.errno())
}

pub(super) fn ttl(lasts: Duration) -> Duration {
    lasts.min(LONGEST_TTL)
}

pub(super) fn file_type(kind: Kind) -> FileType {
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

/// A negative dentry: FUSE's way to say for how long a name does not exist.
pub(super) fn absent(context: &Context) -> FileAttr {
    context.file_attr(&Attributes::default())
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
            // Any time will do, but no panic.
            let _ = system_time(absurd);
        }
    }
    #[test]
    fn a_panic_ends_neither_the_thread_nor_the_mount() {
        let bench = crate::tree::tests::Bench::new(crate::demo::World::empty());
        let pending = Arc::new(PendingRequests::new(
            bench.tree.clone(),
            Duration::from_secs(5),
        ));
        let fs = super::super::Fs::new(bench.tree.clone(), pending, 0, 0);
        let (reply, replied) = std::sync::mpsc::channel();
        fs.serve::<()>(
            0,
            Task::on("read", 1),
            |_, _| panic!("an operation"),
            move |_, result| reply.send(result.unwrap_err().errno()).unwrap(),
        );
        assert_eq!(replied.recv().unwrap(), libc::EIO);
        fs.serve(
            0,
            Task::on("read", 1),
            |_, _| Ok(()),
            |_, _| panic!("a reply"),
        );
    }
}
