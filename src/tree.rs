//! The file system as operations on what is known. Nothing in here waits: an
//! operation answers, fails, or says what it [wants](Want). [`Tree::fetch`] is
//! the other half: it brings what is wanted, and may take its time.

mod answers;
mod cache;
mod content;
mod csv;
mod fetch;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod live;
mod logs;
mod metrics;
mod node;
mod ops;

pub use crate::store::{Seek, Usage};
pub use ops::{
    attributes::{Access, Attributes, Stat},
    control::{START_FILE, Writing},
    crawlers::Caller,
    directories::{Directory, DirectoryEntry},
    files::{Handle, Opened},
    lookup::Found,
};

use crate::{
    api::{Client, types::StorageKind},
    error::Error,
    store::{Shelf, Store, Verify, Version},
    sync::Mutex,
};
use answers::{
    breaker::Outage,
    failure_log::FailureLog,
    known::{Known, USAGE_TTL},
};
use content::transfers::Transfers;
use jiff::Timestamp;
use live::{follow::Follows, reasons::Reasons};
use logs::Logs;
use lru::LruCache;
use node::{Node, inodes::Inodes};
use ops::{control::Controls, crawlers::Refusals};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// File, directory or symlink: the tree has nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
}

/// Something that only a fetch can bring. Requests with equal wants share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// The listing of agents.
    Agents,
    /// One agent with its configuration.
    Agent(Arc<str>),
    /// The versions of an agent.
    AgentVersions(Arc<str>),
    /// The listing of runs.
    Runs,
    /// One run in full.
    Run(Arc<str>),
    /// Every log row of a run.
    Logs(Arc<str>),
    /// The metrics of a run.
    Metrics(Arc<str>),
    /// The listing of volumes or of artifacts.
    Storages(StorageKind),
    /// One volume or artifact.
    Storage(StorageKind, Arc<str>),
    /// The versions of a volume or an artifact.
    Versions(StorageKind, Arc<str>),
    /// The files of a version: kind, storage id, version id.
    Content(StorageKind, Arc<str>, Arc<str>),
    /// What the cache holds, by a look at the disk.
    Usage,
    /// The events of a run, for as long as somebody follows it.
    Follow(Arc<str>),
    /// That a run of an agent starts: its id, and the number of the order.
    Start(Arc<str>, u64),
    /// That a run is cancelled: its id, and the number of the order.
    Cancel(Arc<str>, u64),
}

impl Want {
    /// Which workers bring it.
    pub fn pool(&self) -> Pool {
        match self {
            Self::Content(..) => Pool::Contents,
            Self::Follow(_) => Pool::Streams,
            _ => Pool::Calls,
        }
    }

    /// Whether this changes something at the service: it is done once.
    pub(crate) fn is_order(&self) -> bool {
        matches!(self, Self::Start(..) | Self::Cancel(..))
    }
}

/// Fetches of one kind, which have workers of their own: neither a large
/// download nor a stream that stays open delays a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Some JSON.
    Calls,
    /// An archive.
    Contents,
    /// Events for as long as somebody follows them.
    Streams,
}

impl Pool {
    /// How many kinds there are.
    pub const COUNT: usize = 3;
    /// How many streams are open at a time, at the most: each is a connection.
    pub const STREAMS: usize = 16;
}

/// For messages: what is wanted, in a user's words.
impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agents => write!(f, "list of agents"),
            Self::Agent(id) => write!(f, "agent {id}"),
            Self::AgentVersions(id) => write!(f, "versions of agent {id}"),
            Self::Runs => write!(f, "list of runs"),
            Self::Run(id) => write!(f, "run {id}"),
            Self::Logs(id) => write!(f, "logs of run {id}"),
            Self::Metrics(id) => write!(f, "metrics of run {id}"),
            Self::Storages(kind) => write!(f, "list of {}", kind.plural()),
            Self::Storage(kind, id) => write!(f, "{}/{id}", kind.plural()),
            Self::Versions(kind, id) => write!(f, "versions of {}/{id}", kind.plural()),
            Self::Content(kind, id, version) => {
                write!(f, "files of {}/{id}/{version}", kind.plural())
            }
            Self::Usage => write!(f, "usage of the cache"),
            Self::Follow(id) => write!(f, "events of run {id}"),
            Self::Start(id, _) => write!(f, "start of a run of agent {id}"),
            Self::Cancel(id, _) => write!(f, "cancel of run {id}"),
        }
    }
}

/// Why an operation has no answer yet, or none at all.
#[derive(Debug)]
pub enum Miss {
    /// Run the operation again when this is there.
    Want(Want),
    /// The answer is an error.
    Error(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Answers whose time of writing is remembered; of others they are written
/// again, which costs little.
const KEPT_TIMES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What an operation returns.
pub type Answer<T> = Result<T, Miss>;

/// How the tree behaves, as far as a user may choose.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// For how long listings and live objects are shown without asking again.
    pub list_ttl: Duration,
    /// Show symlinks that lead out of their version as they are.
    pub external_symlinks: bool,
    /// Never ask the network.
    pub offline: bool,
    /// What to do about content that is not what its version's id says.
    pub verify: Verify,
    /// Names of programs that start no downloads, beside those that are known
    /// as indexers; `None` where every program may.
    pub crawlers: Option<Vec<String>>,
}

/// The whole file system, without a kernel.
pub struct Tree {
    inodes: Inodes,
    known: Known,
    failures: FailureLog,
    transfers: Transfers,
    follows: Follows,
    /// The logs that grow, for as long as anybody holds them.
    live: Mutex<HashMap<Arc<str>, Weak<Logs>>>,
    controls: Controls,
    refusals: Refusals,
    reasons: Reasons,
    api: Client,
    store: Store,
    /// Answers on disk, and when each listing was last written there.
    shelf: Shelf,
    kept_at: Mutex<LruCache<Want, Instant>>,
    outage: Outage,
    options: TreeOptions,
    started: Timestamp,
    /// Before every request.
    opened: Instant,
    /// `api.origin()`, shared by all version keys.
    origin: Arc<str>,
}

impl Tree {
    /// A tree that knows nothing yet.
    pub fn new(api: Client, store: Store, shelf: Shelf, options: TreeOptions) -> Self {
        let origin = api.origin().into();
        let known = Known::new();
        known.measure(&store, &shelf);
        Self {
            inodes: Inodes::new(answers::persisted::numbers(&shelf)),
            known,
            failures: FailureLog::default(),
            transfers: Transfers::default(),
            follows: Follows::default(),
            live: Mutex::default(),
            controls: Controls::default(),
            refusals: Refusals::default(),
            reasons: Reasons::default(),
            api,
            store,
            shelf,
            kept_at: Mutex::new(LruCache::new(KEPT_TIMES)),
            outage: Outage::default(),
            options,
            started: Timestamp::now(),
            opened: Instant::now(),
            origin,
        }
    }

    /// Lets nothing be written to the cache any more on its own account.
    pub fn close(&self) {
        self.keep_numbers();
        self.shelf.close();
    }

    /// The inode numbers of the files before and after one in its version's
    /// archive, where there can be both; neither need exist.
    pub fn inodes_around(&self, ino: u64) -> Option<(u64, u64)> {
        self.inodes.around(ino)
    }

    /// The tree from the view of a request that arrived at `since`: whatever
    /// was asked of the API after that is fresh enough for it.
    pub fn at(&self, since: Instant) -> View<'_> {
        View {
            tree: self,
            since,
            whatever_is_known: false,
            wishes: RefCell::default(),
            sealed: RefCell::default(),
        }
    }
}

/// The operations, for one request.
pub struct View<'a> {
    tree: &'a Tree,
    since: Instant,
    /// Answers however old will do, as for what is told in passing.
    whatever_is_known: bool,
    /// What would be good to have, though the answer does not wait for it.
    wishes: RefCell<Vec<Want>>,
    /// The sealed version that the operation last looked into.
    sealed: RefCell<Option<Arc<Version>>>,
}

impl View<'_> {
    /// Takes what the operation left to be fetched behind its back.
    pub fn take_wishes(&self) -> Vec<Want> {
        self.wishes.take()
    }

    /// Whether a part of a version's index turned out damaged under the
    /// operation: what it then did not find may exist. To be run again, which
    /// finds that version no more.
    pub fn met_damage(&self) -> bool {
        let sealed = self.sealed.borrow();
        sealed
            .as_ref()
            .is_some_and(|version| version.index().is_damaged())
    }

    /// What the cache holds, for `statfs`: at once, as last measured, since
    /// even a look at the disk can wait for another mount that shares the
    /// cache. An old measure is taken anew for the next question.
    pub fn usage(&self) -> Usage {
        let last = self.tree.known.usage.last(&());
        if last
            .as_ref()
            .is_none_or(|(_, at)| at.elapsed() >= USAGE_TTL)
        {
            self.wishes.borrow_mut().push(Want::Usage);
        }
        last.map(|(usage, _)| *usage).unwrap_or_default()
    }

    fn ino(&self, node: &Node) -> u64 {
        node.ino(&self.tree.inodes)
    }

    fn node(&self, ino: u64) -> Answer<Node> {
        Ok(Node::of(ino, &self.tree.inodes).ok_or(Error::Stale)?)
    }
}

#[cfg(test)]
pub(crate) mod tests;
