//! The fuser adapter: a request in, an operation of the tree, bytes out. It makes no
//! decisions, and none of its callbacks waits.

mod adapter;
mod asked;
mod busy_poll;
mod caller;
mod context;
mod cpu_latency;
mod gate;
mod handles;
mod handshake;
mod negotiate;
mod open_writers;
mod outdated;
mod page_fill;
mod readdir;
mod replies;

pub use self::{
    gate::Gate,
    handshake::{Offer, reply as init_reply, shake_hands},
};
use crate::{
    error::Result,
    pending::PendingRequests,
    tree::{Answer, Tree, View},
};
use asked::{Asked, Task};
use context::{Context, MOST_ROUNDS, attempt};
use cpu_latency::CpuLatency;
use fuser::{INodeNo, Notifier, ReplyEmpty, Request};
use handles::{Handles, OpenHandle};
use outdated::Outdated;
use page_fill::PageFill;
use std::{
    io,
    os::fd::OwnedFd,
    sync::{Arc, OnceLock},
    time::Instant,
};

/// The file by which a process keeps the cores awake, and whether this process may
/// use it.
///
/// # Errors
/// EACCES where it may not, ENOENT where the kernel has no such file.
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
        let handles = Handles::new(tree.handover().clone());
        Self {
            context: Arc::new(Context {
                page_fill: PageFill::where_open(handles.inodes().into_iter()),
                handles,
                outdated: Outdated::new(tree.handover().clone()),
                tree,
                pending,
                gate: Arc::default(),
                offer: OnceLock::new(),
                busy_poll: Arc::default(),
                notifier: OnceLock::new(),
                device: OnceLock::new(),
                uid,
                gid,
            }),
        }
    }

    /// Where requests come in.
    pub fn gate(&self) -> Arc<Gate> {
        self.context.gate.clone()
    }

    /// A function that tells what the kernel offers, once it has said so.
    pub fn offer(&self) -> impl Fn() -> Option<Offer> + use<> {
        let context = self.context.clone();
        move || context.offer.get().copied()
    }

    /// A function to call once the mount is made: with its notifier, its device where
    /// that is known, and the connection to the kernel if a single thread takes
    /// requests from it and there are more cores than that.
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

    /// Runs an operation for thread `tid` now and, where it misses something, again
    /// each time that has been fetched, until it succeeds or fails. One that has killed
    /// workers fails at once.
    fn serve<T: 'static>(
        &self,
        tid: u32,
        task: Task,
        operation: impl Fn(&Context, &View<'_>) -> Answer<T> + Send + 'static,
        reply: impl FnOnce(&Context, Result<T>) + Send + 'static,
    ) {
        self.context.gate.pass();
        let now = Instant::now();
        self.context.busy_poll.note(now);
        self.context.tree.activity().asked();
        attempt(
            self.context.clone(),
            Asked {
                tid,
                task,
                since: now,
                has_waited: false,
                permitted: None,
            },
            MOST_ROUNDS,
            operation,
            reply,
        );
    }

    /// Refuses to change an attribute.
    fn no_xattr(&self, request: &Request, ino: INodeNo, reply: ReplyEmpty) {
        self.serve(
            request.pid(),
            Task::on("set xattr", ino.0),
            move |_, view| Err(view.xattr_refusal(ino.0)?.into()),
            |_, refused: Result<()>| replies::empty(refused, reply),
        );
    }

    /// Ends the writing of a control file.
    fn finish(
        &self,
        tid: u32,
        handle: Arc<OpenHandle>,
        reply: impl FnOnce(&Context, Result<()>, &OpenHandle) + Send + 'static,
    ) {
        let own = handle.clone();
        self.serve(
            tid,
            Task::on("close", handle.ino()),
            move |context, view| match context.opened(view, &handle)?.writing() {
                Some(writing) => view.finish(writing),
                None => Ok(()),
            },
            move |context, done| reply(context, done, &own),
        );
    }
}
