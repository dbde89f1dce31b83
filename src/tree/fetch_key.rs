//! What one fetch brings, and what an operation returns that needs it.

use crate::{
    error::Error,
    store::Missing,
    tree::{
        answers::{Agents, Key, Registered},
        node::{Control, Node, VersionId},
    },
};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// What one fetch brings. Requests with equal keys share one fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchKey(pub(super) Fetchable);

/// What fetches bring, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fetchable {
    /// An answer of the API.
    Answer(Key),
    /// Files of a version.
    Content(VersionId, Need),
    /// How much the cache holds, by a look at the disk.
    Usage,
    /// The events of a run, for as long as a process follows it.
    Stream(Arc<str>),
    /// What came of an order, which changes something at the service: by the file
    /// through which it was given, and its number.
    Order(Control, u64),
}

/// What of a version's files is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// Their names, and that they can be opened.
    Open,
    /// What a read misses of content that comes in parts.
    Part(Missing, Reader),
    /// All of their content.
    All,
    /// The hashes of those whose names have come from the fleet.
    Hashes,
}

/// The file whose read missed a part. Files share blocks, so it tells no fetches apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader(pub(super) u32);

impl PartialEq for Reader {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Reader {}

impl Hash for Reader {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl FetchKey {
    /// Files of a version.
    pub(super) fn content(version: &VersionId, need: Need) -> Self {
        Self(Fetchable::Content(version.clone(), need))
    }

    /// The answer of a resource.
    pub(crate) fn of<R: Registered>(key: R::Key) -> Self {
        Self(Fetchable::Answer(R::key(key)))
    }

    /// The listing of agents.
    pub fn agents() -> Self {
        Self::of::<Agents>(())
    }

    /// The folder that shows what is fetched among many of its kind.
    pub(super) fn folder(&self) -> Option<Node> {
        match &self.0 {
            Fetchable::Answer(key) => key.folder(),
            Fetchable::Content(version, _) => {
                Some(Node::Storage(version.kind, version.storage.clone()))
            }
            Fetchable::Usage | Fetchable::Stream(_) | Fetchable::Order(..) => None,
        }
    }

    /// Whether this brings the same as another, or more of the same version.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Fetchable::Content(one, _), Fetchable::Content(another, _)) => one == another,
            _ => self == other,
        }
    }

    /// Which workers bring it.
    pub fn pool(&self) -> Pool {
        match self.0 {
            Fetchable::Content(_, Need::Part(..)) => Pool::Ranges,
            Fetchable::Content(..) => Pool::Contents,
            Fetchable::Stream(_) => Pool::Streams,
            Fetchable::Answer(_) | Fetchable::Usage | Fetchable::Order(..) => Pool::Calls,
        }
    }

    /// The same as [`fmt::Display`] for a request that is given up while its fetch goes
    /// on: an order may still take effect, or has.
    pub fn given_up(&self) -> String {
        let done = match &self.0 {
            Fetchable::Order(Control::Start(_), _) => "started",
            Fetchable::Order(Control::Cancel(_), _) => "cancelled",
            _ => return self.to_string(),
        };
        format!("{self}, which may have been {done} (look in runs/ before trying again)")
    }

    /// Whether this changes something at the service, so that it is sent once.
    pub fn is_order(&self) -> bool {
        matches!(self.0, Fetchable::Order(..))
    }
}

/// In a user's words, for messages.
impl fmt::Display for FetchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fetchable::Answer(key) => key.fmt(f),
            Fetchable::Content(version, _) => write!(f, "files of {version}"),
            Fetchable::Usage => write!(f, "usage of the cache"),
            Fetchable::Stream(run) => write!(f, "events of run {run}"),
            Fetchable::Order(control, _) => control.fmt(f),
        }
    }
}

/// Workers for fetches of one kind, so that neither a large download nor a stream
/// that stays open delays a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// For JSON.
    Calls,
    /// For archives.
    Contents,
    /// For parts of archives.
    Ranges,
    /// For events, read for as long as a process follows them.
    Streams,
}

impl Pool {
    /// How many pools there are.
    pub const COUNT: usize = 4;
    /// The most streams that are open at a time: each is a connection.
    pub const STREAMS: usize = 16;
}

/// Why an operation has no answer yet, or none at all.
#[derive(Debug)]
pub enum Miss {
    /// Run the operation again when this has been fetched.
    Fetch(FetchKey),
    /// The answer is an error.
    Error(Error),
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What an operation returns.
pub type Answer<T> = Result<T, Miss>;
