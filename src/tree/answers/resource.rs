//! What a resource of the API is to the tree: its keys and values, how an answer
//! is fetched, how long it stays fresh, and how it is written to disk.

use super::{
    listing::{Listing, Named},
    service::Service,
};
use crate::{
    api::{Client, types::Row},
    error::Result,
    json,
    progress::Progress,
    tree::node::Node,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
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

    /// Asks the service. Gives the answer, and for how long it is fresh.
    ///
    /// # Errors
    /// What the call fails with.
    fn fetch(key: &Self::Key, ask: &Ask<'_, Self>) -> Outcome<Self>;
    /// A new answer with what only an earlier one shows.
    fn merge(new: Self::Value, _earlier: &Self::Value) -> Self::Value {
        new
    }
    /// The version of an artifact that the answer says has been stored: the
    /// artifact's name and the version's id.
    fn stored_version(_: &Self::Value) -> Option<(&str, &str)> {
        None
    }
}

/// What the fetch of a resource has brought.
pub(crate) type Outcome<R> = Result<(<R as Resource>::Value, Duration)>;

/// With what an answer of a resource is fetched.
pub(crate) struct Ask<'a, R: Resource> {
    pub(super) service: &'a Service,
    pub(super) progress: &'a Progress,
    /// When the fetch began.
    pub(super) asked: Instant,
    /// The last answer, however old.
    pub(super) earlier: Option<Arc<R::Value>>,
    /// How long what is asked for now of a run stays fresh, where the run is known
    /// to have ended.
    pub(super) rest_lasts: &'a dyn Fn(&Arc<str>) -> Option<Duration>,
}

impl<R: Resource> Ask<'_, R> {
    pub(super) fn api(&self) -> &Client {
        self.service.api()
    }

    /// An answer that is fresh for as long as listings and live objects are, by what
    /// the service has last said of the rate limit.
    pub(super) fn listed(&self, value: R::Value) -> Outcome<R> {
        Ok((value, self.service.list_ttl()))
    }
}

/// An answer: one row, some rows, or a listing of named objects. It is written to disk
/// as the service sent it.
pub(crate) trait Value: Sized {
    /// Bytes in memory, roughly.
    fn weight(&self) -> usize;
    /// The answer as it is written to disk.
    fn encode(&self) -> Option<Vec<u8>>;
    /// The answer that was written to disk; it counts as asked for at `asked`.
    fn decode(content: &[u8], asked: Instant) -> Option<Self>;
}

impl<T: DeserializeOwned> Value for Row<T> {
    fn weight(&self) -> usize {
        // The parsed half is about as large as the text.
        2 * self.raw.get().len() + 128
    }

    fn encode(&self) -> Option<Vec<u8>> {
        Some(self.raw.get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        parsed(serde_json::from_slice(content).ok()?)
    }
}

impl Value for Vec<Box<RawValue>> {
    fn weight(&self) -> usize {
        self.iter().map(|row| row.get().len()).sum()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.iter().map(AsRef::as_ref))
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        serde_json::from_slice(content).ok()
    }
}

impl<T: Named + DeserializeOwned> Value for Listing<T> {
    fn weight(&self) -> usize {
        // As that of rows; names and maps come on top.
        self.raw().map(|raw| 2 * raw.get().len() + 256).sum()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.raw())
    }

    fn decode(content: &[u8], asked: Instant) -> Option<Self> {
        Some(Self::new(rows(content)?, asked))
    }
}

/// A JSON array of rows as they were sent.
pub(super) fn array<'a>(raw: impl Iterator<Item = &'a RawValue>) -> Option<Vec<u8>> {
    serde_json::to_vec(&raw.collect::<Vec<_>>()).ok()
}

/// The rows of a JSON array.
pub(super) fn rows<T: DeserializeOwned>(content: &[u8]) -> Option<Vec<Row<T>>> {
    let raw: Vec<Box<RawValue>> = serde_json::from_slice(content).ok()?;
    raw.into_iter().map(parsed).collect()
}

fn parsed<T: DeserializeOwned>(raw: Box<RawValue>) -> Option<Row<T>> {
    let value = json::parse(raw.get()).ok()?;
    Some(Row { value, raw })
}
