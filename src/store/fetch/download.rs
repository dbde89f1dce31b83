//! An archive as a stream of bytes from its presigned URL: large ones as
//! several range requests in flight, read in order; resumed where a
//! connection broke.
//!
//! The requests run as tasks on a thread of the downloader's own. The reader
//! takes what has come, and asks for new links, since that blocks.
//!
//! No `Authorization` is ever sent and no redirect followed; queries of
//! presigned URLs appear in no error.

mod parts;
mod request;

use crate::{
    error::{Error, Result},
    http,
    progress::Progress,
    sync::{Mutex, MutexGuard},
};
use bytes::{Buf, Bytes};
pub(in crate::store) use parts::Sizes;
use parts::{Shared, State};
use reqwest::Client;
use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};
use tokio::runtime::Runtime;
use url::Url;

/// A reader looks at least so often whether the tasks are still there.
const LOOK: Duration = Duration::from_secs(1);

/// Makes downloads.
pub(in crate::store) struct Downloader {
    timeout: Duration,
    user_agent: String,
    allow_http: bool,
    pub(in crate::store) sizes: Sizes,
    /// Made at the first download: many mounts need none.
    made: Mutex<Option<Made>>,
}

struct Made {
    client: Client,
    /// One thread: the tasks only move bytes, and connections outlive a download.
    runtime: Option<Runtime>,
}

impl Drop for Made {
    fn drop(&mut self) {
        // An ordinary drop would wait for look-ups of host names.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Downloader {
    pub(in crate::store) fn new(timeout: Duration, user_agent: String, allow_http: bool) -> Self {
        Self {
            timeout,
            user_agent,
            allow_http,
            sizes: Sizes::default(),
            made: Mutex::new(None),
        }
    }

    /// Starts a stream. Its first link is asked for by whoever waits for it.
    pub(in crate::store) fn start<'a>(
        &self,
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        progress: &Progress,
    ) -> Result<Download<'a>> {
        let mut made = self.made();
        let made = self.ready(&mut made)?;
        let shared = Arc::new(Shared::new(
            made.client.clone(),
            progress.clone(),
            self.timeout,
            self.allow_http,
            self.sizes,
        ));
        if let Some(runtime) = &made.runtime {
            Shared::spawn(&shared, runtime.handle(), 0);
        }
        Ok(Download {
            shared,
            link,
            chunk: Bytes::new(),
        })
    }

    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock()
    }

    fn ready<'a>(&self, made: &'a mut Option<Made>) -> Result<&'a Made> {
        Ok(match made {
            Some(made) => made,
            None => made.insert(self.make()?),
        })
    }

    fn make(&self) -> Result<Made> {
        let failed = |error: String| Error::Io {
            context: "preparing downloads".into(),
            source: Arc::new(io::Error::other(error)),
        };
        // No timeouts but for connecting: the tasks have their own for every wait.
        let client = http::http1_builder(&self.user_agent, self.timeout)?
            .build()
            .map_err(|error| failed(http::cause(&error)))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("vm0fs-download")
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Made {
            client,
            runtime: Some(runtime),
        })
    }
}

/// A download at work. Its read errors hold an [`Error`].
///
/// A read that fills the whole buffer means that more is at hand already.
pub(in crate::store) struct Download<'a> {
    shared: Arc<Shared>,
    link: &'a (dyn Fn() -> Result<Url> + Sync),
    /// What is left of the chunk at work.
    chunk: Bytes,
}

/// What a reader finds.
enum Next {
    Chunk(Bytes),
    End,
    /// Another link is wanted.
    Link,
}

impl Download<'_> {
    /// Waits for the first headers; gives the bytes of the whole object, where
    /// the store said.
    pub(in crate::store) fn length(&self) -> Result<Option<u64>> {
        loop {
            let mut state = self.shared.state();
            loop {
                if let Some(error) = &state.failed {
                    return Err(error.clone());
                }
                if state.begun {
                    return Ok(state.length);
                }
                if state.link_wanted() {
                    break;
                }
                state = self.shared.wait(state, LOOK);
            }
            drop(state);
            self.renew()?;
        }
    }

    /// Whether it failed because the object is another one by now.
    pub(in crate::store) fn changed(&self) -> bool {
        self.shared.state().changed
    }

    fn renew(&self) -> Result<()> {
        let link = (self.link)();
        self.shared.progress.advance(0);
        let mut state = self.shared.state();
        match link {
            Ok(link) => state.set_link(link),
            Err(error) => {
                state.failed = Some(error.clone());
                return Err(error);
            }
        }
        drop(state);
        self.shared.wake.notify_waiters();
        Ok(())
    }

    /// Waits for the next chunk, in order.
    fn next(&self) -> Result<Next> {
        let mut state = self.shared.state();
        loop {
            if let Some((chunk, awaited)) = state.take() {
                drop(state);
                if awaited {
                    self.shared.wake.notify_waiters();
                }
                return Ok(Next::Chunk(chunk));
            }
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.is_at_end() {
                return Ok(Next::End);
            }
            if state.link_wanted() {
                return Ok(Next::Link);
            }
            state = self.shared.wait(state, LOOK);
        }
    }

    /// The next chunk, where it is there already.
    fn at_hand(&self) -> Option<Bytes> {
        let (chunk, awaited) = self.shared.state().take()?;
        if awaited {
            self.shared.wake.notify_waiters();
        }
        Some(chunk)
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        while self.chunk.is_empty() {
            match self.next()? {
                Next::Chunk(chunk) => self.chunk = chunk,
                Next::End => return Ok(0),
                Next::Link => self.renew()?,
            }
        }
        let most = buf.len();
        let mut n = 0;
        loop {
            let m = self.chunk.len().min(most - n);
            self.chunk.copy_to_slice(&mut buf[n..n + m]);
            n += m;
            if !self.chunk.is_empty() {
                return Ok(n);
            }
            match self.at_hand() {
                Some(chunk) => self.chunk = chunk,
                // Filled, but with nothing more at hand: one byte is kept back.
                None if n == most && n > 1 => {
                    self.chunk = Bytes::copy_from_slice(&buf[n - 1..n]);
                    return Ok(n - 1);
                }
                None => return Ok(n),
            }
        }
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.fill(buf).map_err(io::Error::other)
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        State::cancel(&mut self.shared.state());
    }
}
