//! The shared cache of a fleet: immutable things that one machine has made and all
//! others can use, in an object store or a folder that they have in common.
//!
//! Every object is sealed under the fleet's key and found by a hash under it
//! (`shared/seal`), so the store learns nothing and is not trusted: what is not as it
//! was written reads as missing. Any writer's object is as good as another's, so no
//! store has to promise anything about races.
//!
//! The cache fails no read but that of a hash of a file (`store/fetch/hashes`). A lookup that gets no answer within [`PATIENCE`]
//! opens a circuit breaker: until a probe in the background has found the store quick
//! again, all lookups miss at once. Writing has a breaker of its own, since a store
//! may be there to read only.

mod access;
#[cfg(feature = "shared-cache")]
mod bucket;
#[cfg(not(feature = "shared-cache"))]
#[path = "shared/no_bucket.rs"]
mod bucket;
mod counters;
mod key;
#[cfg(feature = "shared-cache")]
mod leftovers;
mod listed;
mod name;
#[cfg(feature = "shared-cache")]
mod owner;
mod queue;
mod seal;

pub use access::{Access, SHARED};
pub use counters::SharedStatus;
pub use key::SharedKey;
pub use listed::{Listed, Removed, Sum};
pub use name::Name;

use crate::{
    breaker::{Breaker, State, Verdict},
    error::{Error, Result, TransportKind},
    http,
    sync::Mutex,
    text::hex,
    threads,
};
use bucket::Bucket;
use counters::Counters;
use jiff::Timestamp;
use queue::{Added, Queue};
use seal::{Address, OVERHEAD, Sealer};
use std::{collections::HashSet, io::Read, sync::Arc, time::Duration};

/// How long a lookup waits for the store to begin an answer: once in an outage.
pub const PATIENCE: Duration = Duration::from_millis(500);
/// The same where a user asks whether the store answers.
const REACH: Duration = Duration::from_secs(5);
/// A lookup takes this share of the time at most that a reader bears silence.
const SHARE: u32 = 4;
/// The most bytes of an object's content; what is larger is not shared.
pub const MOST: u64 = 64 << 20;
/// Damaged objects that are remembered, to be replaced.
const REMEMBERED: usize = 1024;

/// A shared cache in use.
pub struct SharedCache(Arc<Inner>);

struct Inner {
    url: String,
    bucket: Bucket,
    sealer: Sealer,
    patience: Duration,
    reads: Arc<Breaker>,
    writes: Breaker,
    counters: Counters,
    /// Where objects are that are not what they should be, or are of no use.
    damaged: Mutex<HashSet<Address>>,
    queue: Queue,
}

impl SharedCache {
    /// Prepares its use. Asks the store for nothing.
    ///
    /// # Errors
    /// [`Error::Setup`] for a URL, endpoint or credentials that cannot be used.
    pub fn open(access: &Access, key: &SharedKey) -> Result<Self> {
        let sealer = Sealer::new(key);
        let breaker = |server| Breaker::new(server, judge);
        Ok(Self(Arc::new(Inner {
            url: access.url.trim().to_owned(),
            bucket: Bucket::open(access)?,
            sealer: sealer.map_err(|error| Error::Internal(error.to_string()))?,
            patience: access::patience(PATIENCE).min(access.timeout / SHARE),
            reads: Arc::new(breaker("the shared cache")),
            writes: breaker("the shared cache, to be written,"),
            counters: Counters::default(),
            damaged: Mutex::default(),
            queue: Queue::default(),
        })))
    }

    /// The content that a machine of the fleet has stored under a name, if it is not
    /// longer than `most` bytes. Blocks for [`PATIENCE`] at most until it begins to
    /// come, and then for a second a MiB, at most half of the time that a reader bears
    /// silence.
    pub fn get(&self, name: &Name, most: u64) -> Option<Vec<u8>> {
        self.find(name, most).ok().flatten()
    }

    /// The same, where it matters whether the store has no such object or gives no answer.
    ///
    /// # Errors
    /// [`Error::Transport`] where the store does not answer, or did not a moment ago.
    pub fn find(&self, name: &Name, most: u64) -> Result<Option<Vec<u8>>> {
        let inner = &self.0;
        let address = inner.sealer.address(name);
        let most = most.min(MOST);
        let Some(object) = inner.look_up(&address, most + OVERHEAD)? else {
            return Ok(None);
        };
        let length = object.len() as u64;
        Ok(match inner.sealer.open(&address, object, most) {
            Ok(None) => {
                inner.counters.misses.add(1);
                None
            }
            Ok(Some(content)) => inner.counters.hit(length, content),
            Err(reason) => inner.leave_aside(address, reason),
        })
    }

    /// The same, of up to [`MOST`] bytes, inflated as it is read. That fails for nothing
    /// that a machine with the key has written.
    pub fn stream(&self, name: &Name) -> Option<impl Read + use<>> {
        let inner = &self.0;
        let address = inner.sealer.address(name);
        let object = inner.look_up(&address, MOST + OVERHEAD).ok().flatten()?;
        let length = object.len() as u64;
        match inner.sealer.unseal(&address, object) {
            Ok(content) => inner.counters.hit(length, content.take(MOST)),
            Err(reason) => inner.leave_aside(address, reason),
        }
    }

    /// Has the content under a name written in the background; an object that is there
    /// is left as it is. Does nothing where too much waits already. Whether it will be
    /// tried.
    pub fn put_later(&self, name: Name, content: Vec<u8>) -> bool {
        let inner = &self.0;
        let added = match content.len() as u64 <= MOST {
            true => inner.queue.add(name, content),
            false => Added::Full,
        };
        let started = match added {
            Added::Waits => return true,
            Added::Full => false,
            Added::First => {
                let inner = Arc::clone(inner);
                let thread = threads::start("vm0fs-share", move || {
                    while let Some((name, content)) = inner.queue.take() {
                        inner.put(&name, &content);
                    }
                });
                thread.is_ok()
            }
        };
        if !started {
            inner.counters.not_put.add(1);
        }
        if !started && added == Added::First {
            inner.queue.close();
        }
        started
    }

    /// Notes that the content under a name has turned out to be of no use: what is written
    /// next takes its place.
    pub fn give_up(&self, name: &Name) {
        let inner = &self.0;
        inner.note_damaged(inner.sealer.address(name));
    }

    /// Waits until all is written that was to be, for so long at the most; and whether
    /// it is.
    pub fn flush(&self, limit: Duration) -> bool {
        self.0.queue.flush(limit)
    }

    /// Counts, and what is paused and why.
    pub fn status(&self) -> SharedStatus {
        let inner = &self.0;
        let reason = |breaker: &Breaker| breaker.error().map(|error| error.to_string());
        let (reads, writes) = (reason(&inner.reads), reason(&inner.writes));
        inner.counters.status(&inner.url, reads, writes)
    }

    /// Looks for an object that no machine writes: whether the store answers. Needs no
    /// right but that of reading.
    ///
    /// # Errors
    /// Why it does not.
    pub fn reach(&self) -> Result<()> {
        let inner = &self.0;
        let address = inner.sealer.address(&Name::new("reach", &[]));
        let looked = inner.bucket.look_up(&hex(&address), MOST, REACH, |_| ())?;
        looked.wait().map(drop)
    }

    /// Writes an object, reads it, and removes it again.
    ///
    /// # Errors
    /// The first of these that fails.
    pub fn try_out(&self) -> Result<()> {
        let inner = &self.0;
        let now = Timestamp::now().to_string();
        let address = inner.sealer.address(&Name::new("try-out", &[&now]));
        let name = hex(&address);
        let sealed = inner.sealer.seal(&address, now.as_bytes());
        let sealed = sealed.ok_or_else(|| Error::Internal("sealing failed".into()))?;
        // As a mount writes.
        inner.bucket.put(&name, sealed.clone(), false)?;
        let read = inner
            .bucket
            .look_up(&name, MOST, access::patience(PATIENCE), |_| ())?
            .wait()?;
        let closed = inner.bucket.closed_to_group(&name);
        inner.bucket.remove(vec![name])?;
        if let Some(why) = closed? {
            return Err(Error::Setup(format!("{}: {why}", inner.url)));
        }
        match read == Some(sealed) {
            true => Ok(()),
            false => Err(Error::Setup(format!(
                "{}: the store returned other bytes than were written",
                inner.url
            ))),
        }
    }

    /// What it holds, of all keys.
    ///
    /// # Errors
    /// Where it cannot be listed.
    pub fn sum(&self) -> Result<Sum> {
        let mut sum = Sum::default();
        self.0.bucket.list(|objects| {
            objects.iter().for_each(|object| sum.add(object.bytes));
            Ok(())
        })?;
        Ok(sum)
    }

    /// Removes the objects that were written before a time, of all keys, and what killed
    /// writers have left more than an hour ago; what other users alone may remove is left.
    ///
    /// # Errors
    /// Where it cannot be listed, or objects cannot be removed.
    pub fn prune(&self, before: Timestamp) -> Result<Removed> {
        let mut all = Removed::default();
        self.0.bucket.list(|mut objects| {
            objects.retain(|object| object.written < before);
            let names = objects.iter().map(|object| object.name.clone()).collect();
            let mut left = self.0.bucket.remove(names)?;
            for object in objects {
                match left.remove(&object.name) {
                    Some(owner) => all.leave(owner),
                    None => all.sum.add(object.bytes),
                }
            }
            Ok(())
        })?;
        let Removed { sum, left } = self.0.bucket.remove_leftovers()?;
        all.sum.objects += sum.objects;
        all.sum.bytes += sum.bytes;
        for (owner, count) in left {
            *all.left.entry(owner).or_default() += count;
        }
        Ok(all)
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

impl Inner {
    /// Notes an object that is not what it should be, to have it replaced.
    fn leave_aside<T>(&self, address: Address, reason: &str) -> Option<T> {
        tracing::warn!(
            "an object of the shared cache is left aside: {reason} ({})",
            hex(&address)
        );
        self.counters.damaged.add(1);
        self.note_damaged(address);
        None
    }

    /// Has the next write of an object replace what is there.
    fn note_damaged(&self, address: Address) {
        let mut damaged = self.damaged.lock();
        if damaged.len() >= REMEMBERED {
            damaged.clear();
        }
        damaged.insert(address);
    }

    /// The object at an address, if the store has one.
    ///
    /// # Errors
    /// [`Error::Transport`] where the store does not answer soon.
    fn look_up(&self, address: &Address, most: u64) -> Result<Option<Vec<u8>>> {
        let is_probe = match self.reads.admit() {
            State::Closed => false,
            State::HalfOpen => true,
            State::Open(error) => {
                self.counters.passed_over.add(1);
                return Err(error);
            }
        };
        let reads = Arc::clone(&self.reads);
        let told = move |error: Option<&Error>| match is_probe {
            true => reads.probed(error),
            false => note(&reads, error),
        };
        let looked = self
            .bucket
            .look_up(&hex(address), most, self.patience, told);
        if is_probe {
            // It tells whether the store is back; no reader waits for that.
            self.counters.passed_over.add(1);
            let message = "it is tried again after a failure".to_owned();
            let tried = || http::transport(&self.url, TransportKind::Stalled, message);
            return Err(self.reads.error().unwrap_or_else(tried));
        }
        match looked.and_then(bucket::LookUp::wait) {
            Ok(object) => {
                self.counters.misses.add(u64::from(object.is_none()));
                Ok(object)
            }
            Err(Error::Denied(reason)) => Ok(self.leave_aside(*address, &reason)),
            Err(error) => {
                self.counters.passed_over.add(1);
                note(&self.reads, Some(&error));
                Err(error)
            }
        }
    }

    fn put(&self, name: &Name, content: &[u8]) {
        let is_probe = match self.writes.admit() {
            State::Closed => false,
            State::HalfOpen => true,
            State::Open(_) => return self.counters.not_put.add(1),
        };
        let address = self.sealer.address(name);
        let replace = self.damaged.lock().remove(&address);
        let sealed = self.sealer.seal(&address, content);
        let sealed = sealed.ok_or_else(|| Error::Internal("sealing failed".into()));
        let put = sealed.and_then(|object| {
            let length = object.len() as u64;
            let is_written = self.bucket.put(&hex(&address), object, replace)?;
            Ok(is_written.then_some(length))
        });
        match is_probe {
            true => self.writes.probed(put.as_ref().err()),
            false => note(&self.writes, put.as_ref().err()),
        }
        match put {
            Ok(Some(length)) => {
                self.counters.puts.add(1);
                self.counters.bytes_written.add(length);
            }
            Ok(None) => self.counters.already_there.add(1),
            Err(error) => {
                self.counters.not_put.add(1);
                if matches!(error, Error::Denied(_)) {
                    tracing::warn!("{error}");
                }
                if replace {
                    self.note_damaged(address);
                }
            }
        }
    }
}

/// What a failure says of the store: that of another user's object says nothing of the others.
fn judge(error: &Error) -> Verdict {
    match error {
        Error::Denied(_) => Verdict::Answers,
        _ => Verdict::Unreachable,
    }
}

/// Notes how a request has ended; the first failure of an outage is a line of the log.
fn note(breaker: &Breaker, error: Option<&Error>) {
    if let Some(error) = error
        && judge(error) == Verdict::Unreachable
        && breaker.error().is_none()
    {
        tracing::warn!("{error}; it is left alone for a while");
    }
    breaker.note(error);
}

#[cfg(test)]
pub(crate) mod tests;
