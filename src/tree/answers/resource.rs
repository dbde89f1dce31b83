//! What a resource of the API is to the tree: its keys and values, how an answer
//! is fetched, how long it stays fresh, and how it is written to disk.

use super::{service::Service, value::Value};
use crate::{
    api::Client,
    error::Result,
    progress::Progress,
    tree::{logs::Logs, node::Node},
};
use std::{
    fmt::Debug,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// The most answers of a resource that are held in memory, and the most bytes.
/// Together the bounds of all resources keep the memory of a mount that has seen
/// everything near 200 MB; an answer that is pushed out is asked for again.
pub(crate) type Bounds = (usize, usize);

/// For answers that are one object.
const OBJECTS: Bounds = (20_000, 32 << 20);
/// For resources with a few answers, which may have any size.
pub(crate) const LISTINGS: Bounds = (8, usize::MAX);

/// One kind of answers. Each has a file of its own in [`super::resources`].
pub(crate) trait Resource: Sized {
    /// What tells its answers apart.
    type Key: Clone + Debug + Eq + Hash;
    /// An answer.
    type Value: Value;

    /// How many answers are held.
    const BOUNDS: Bounds = OBJECTS;
    /// Whether only answers that can no longer change are written to disk. They are
    /// read from there instead of calling the service; answers of other resources
    /// are read from disk only while the service cannot be reached.
    const STORES_FINAL_ONLY: bool = false;
    /// The folder that shows the objects of all keys, if it is one.
    const FOLDER: Option<Node> = None;
    /// Whether a fetch goes on from the last answer, if need be that of an earlier
    /// mount.
    const CONTINUES: bool = false;
    /// Whether a new answer is [merged](Self::merge) with the last one.
    const MERGES: bool = false;
    /// Whether the service always has an answer: then "not found" is trouble.
    const ALWAYS_EXISTS: bool = false;

    /// The answer in a user's words.
    fn title(key: &Self::Key) -> String;
    /// The name of the answer on disk.
    fn stored_name(key: &Self::Key) -> String {
        Self::title(key)
    }
    /// The folder that shows the object among many of its kind.
    fn folder(_: &Self::Key) -> Option<Node> {
        Self::FOLDER
    }
    /// The run whose followers decide when a failed fetch is repeated.
    fn followed(_: &Self::Key) -> Option<&Arc<str>> {
        None
    }

    /// Asks the service.
    ///
    /// # Errors
    /// What the call fails with.
    fn fetch(key: &Self::Key, ask: &Ask<'_, Self>) -> Outcome<Self>;
    /// A new answer with what only an earlier one shows.
    fn merge(new: Arc<Self::Value>, _earlier: &Self::Value) -> Arc<Self::Value> {
        new
    }
    /// The version of an artifact that the answer says has been stored: the
    /// artifact's name and the version's id.
    fn stored_version(_: &Self::Value) -> Option<(&str, &str)> {
        None
    }
}

/// Fetches the rows of a run's log. Live runs are above the answers, so a fetch gets
/// this as an argument.
pub(crate) type FetchLogs<'a> = dyn Fn(&Arc<str>, &Progress) -> Result<Fetched<Logs>> + 'a;

/// With what any resource is fetched.
pub(crate) struct Fetch<'a> {
    pub(super) service: &'a Service,
    pub(super) progress: &'a Progress,
    /// How long what is asked for now of a run stays fresh, where the run is known
    /// to have ended.
    pub(super) rest_lasts: &'a dyn Fn(&Arc<str>) -> Option<Duration>,
    /// Notes that a version of an artifact has been stored, by the artifact's name and
    /// the version's id.
    pub(super) expect_version: &'a dyn Fn(&str, &str),
    pub(super) logs: &'a FetchLogs<'a>,
}

/// With what one answer of a resource is fetched.
pub(crate) struct Ask<'a, R: Resource> {
    pub(super) fetch: &'a Fetch<'a>,
    pub(super) api: &'a Client,
    pub(super) progress: &'a Progress,
    /// When the fetch began.
    pub(super) asked: Instant,
    /// The last answer, however old.
    pub(super) earlier: Option<Arc<R::Value>>,
}

impl<R: Resource> Ask<'_, R> {
    /// An answer that is fresh for as long as listings and live objects are, by what
    /// the service has last said of the rate limit.
    pub(super) fn listed(&self, value: R::Value) -> Outcome<R> {
        Ok(Fetched::new(value, self.fetch.service.list_ttl()))
    }
}

/// What the fetch of a resource has brought.
pub(crate) type Outcome<R> = Result<Fetched<<R as Resource>::Value>>;

/// What a fetch has brought.
pub(crate) struct Fetched<T> {
    pub(crate) value: Arc<T>,
    pub(crate) fresh_for: Duration,
}

impl<T> Fetched<T> {
    pub(crate) fn new(value: impl Into<Arc<T>>, fresh_for: Duration) -> Self {
        Self {
            value: value.into(),
            fresh_for,
        }
    }
}
