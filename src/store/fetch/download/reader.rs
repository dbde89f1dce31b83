//! A download as its reader sees it: a stream of bytes.

use super::{
    channel::Chunks,
    get::{Failed, Object, Remedy},
    link::Asker,
    part::Source,
};
use crate::{
    error::{Error, Result, no_memory},
    malloc,
};
use bytes::{Buf, Bytes};
use std::{
    io::{self, Read},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};
use tokio::{sync::mpsc::UnboundedReceiver, task::AbortHandle};

/// A download at work. Its read errors hold an [`Error`].
///
/// A read that fills the whole buffer means that more is at hand already.
pub(in crate::store) struct Download<'a> {
    pub(super) asker: Asker<'a>,
    pub(super) parts: Parts,
    pub(super) task: AbortHandle,
    /// What is left of the chunk at work.
    pub(super) chunk: Bytes,
    pub(super) failed: Option<Failed>,
}

/// The bytes of all parts in order.
pub(super) struct Parts {
    pub(super) source: Arc<Source>,
    /// The parts that are started, in order; the window bounds their number.
    pub(super) started: UnboundedReceiver<Chunks>,
    pub(super) current: Option<Chunks>,
    /// Bytes taken so far.
    pub(super) position: u64,
}

impl Parts {
    /// The next chunk; `None` at the end of the object. A caller that stops waiting
    /// loses no byte.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let chunk = match &mut self.current {
                Some(part) => part.recv().await,
                None => match self.started.recv().await {
                    None if self.is_complete() => return Ok(None),
                    None => None,
                    part => {
                        self.current = part;
                        continue;
                    }
                },
            };
            let early = || Err(Error::Internal("a download's task ended early".into()).into());
            let chunk = chunk.unwrap_or_else(early)?;
            if !chunk.is_empty() {
                self.position += chunk.len() as u64;
                self.source.window.give_back(chunk.len() as u64);
                return Ok(Some(chunk));
            }
            self.current = None;
        }
    }

    fn is_complete(&self) -> bool {
        let plan = self.source.plan.get();
        plan.is_some_and(|plan| plan.end.is_none_or(|end| end == self.position))
    }
}

impl Download<'_> {
    /// Waits for the first bytes; gives the size of the object, if the store told it.
    pub(in crate::store) fn length(&mut self) -> Result<Option<u64>> {
        if self.chunk.is_empty() {
            self.chunk = self.next()?.unwrap_or_default();
        }
        let plan = self.parts.source.plan.get();
        Ok(plan.and_then(|plan| plan.object.length))
    }

    /// The object, once its length is known.
    pub(in crate::store) fn object(&self) -> Option<Object> {
        Some(self.parts.source.plan.get()?.object.clone())
    }

    /// Whether it has failed.
    pub(in crate::store) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether it failed because the object is another one by now.
    pub(in crate::store) fn changed(&self) -> bool {
        self.asks_for(Remedy::StartOver)
    }

    /// Whether it failed because the store sends no ranges.
    pub(in crate::store) fn lacks_ranges(&self) -> bool {
        self.asks_for(Remedy::NoRange)
    }

    /// Whether the store has refused it for good.
    pub(in crate::store) fn was_refused(&self) -> bool {
        let all = [Remedy::Nothing, Remedy::NewLink, Remedy::Moved];
        all.into_iter().any(|remedy| self.asks_for(remedy))
    }

    fn asks_for(&self, remedy: Remedy) -> bool {
        let failed = self.failed.as_ref();
        failed.is_some_and(|failed| failed.remedy == remedy)
    }

    /// Waits for the next chunk; `None` at the end.
    fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(chunk) = self.at_hand() {
            return Ok(Some(chunk));
        }
        if let Some(failed) = &self.failed {
            return Err(failed.error.clone());
        }
        if malloc::ran_out_here() {
            return Err(Error::io("fetching content", no_memory()));
        }
        let (started, position) = (Instant::now(), self.parts.position);
        let next = self.asker.wait(self.parts.next());
        if position > 0 {
            self.parts.source.window.waited(started.elapsed());
        }
        next.map_err(|failed| self.failed.insert(failed).error.clone())
    }

    /// The next chunk, where it has come already.
    fn at_hand(&mut self) -> Option<Bytes> {
        if self.failed.is_some() {
            return None;
        }
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.parts.next()).poll(&mut context) {
            Poll::Ready(Ok(chunk)) => chunk,
            Poll::Ready(Err(failed)) => {
                self.failed = Some(failed);
                None
            }
            Poll::Pending => None,
        }
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.next()?.unwrap_or_default();
        }
        let mut n = 0;
        while !self.chunk.is_empty() && n < buf.len() {
            let m = self.chunk.len().min(buf.len() - n);
            self.chunk.copy_to_slice(&mut buf[n..n + m]);
            n += m;
            if self.chunk.is_empty() {
                self.chunk = self.at_hand().unwrap_or_default();
            }
        }
        // The buffer is full, but no more bytes are at hand: one is kept back.
        if self.chunk.is_empty() && n == buf.len() && n > 1 {
            n -= 1;
            self.chunk = Bytes::copy_from_slice(&buf[n..]);
        }
        Ok(n)
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match buf.is_empty() {
            true => Ok(0),
            false => self.fill(buf).map_err(io::Error::other),
        }
    }
}

impl Drop for Download<'_> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            channel::Outlet,
            get::ObjectStore,
            plan::{Plan, Sizes},
            window::Window,
        },
        *,
    };
    use crate::{http, progress::Progress};
    use std::time::Duration;
    use tokio::{
        runtime,
        sync::{SetOnce, mpsc},
    };

    /// What a reader gets of parts, the last of which ends if it is to.
    fn read(length: Option<u64>, parts: &[&str], ends: bool) -> Result<String, String> {
        let runtime = runtime::Builder::new_multi_thread().build().unwrap();
        let link = || unreachable!();
        let (asker, links) = Asker::new(&link, runtime.handle().clone(), Progress::new());
        let (sizes, timeout) = (Sizes::default(), Duration::from_secs(1));
        let store = ObjectStore {
            client: http::http1_builder("test", timeout)
                .unwrap()
                .build()
                .unwrap(),
            timeout,
            allow_http: false,
        };
        let object = Object {
            length,
            etag: None,
            ranges: false,
        };
        let source = Source {
            store,
            links,
            plan: SetOnce::new_with(Some(Plan::new(object, &sizes))),
            window: Window::new(&sizes, sizes.first),
            progress: Progress::new(),
            sizes,
        };
        let (start, started) = mpsc::unbounded_channel();
        for (at, part) in parts.iter().enumerate() {
            let (mut outlet, chunks) = Outlet::new(10);
            runtime.block_on(outlet.push(Bytes::copy_from_slice(part.as_bytes())));
            if ends || at + 1 < parts.len() {
                runtime.block_on(outlet.end(Ok(())));
            }
            start.send(chunks).unwrap();
        }
        drop(start);
        let mut download = Download {
            asker,
            parts: Parts {
                source: Arc::new(source),
                started,
                current: None,
                position: 0,
            },
            task: runtime.spawn(async {}).abort_handle(),
            chunk: Bytes::new(),
            failed: None,
        };
        let mut text = String::new();
        let result = download.read_to_string(&mut text);
        result.map(|_| text).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_is_complete_ends() {
        let whole = Ok("abcdef".to_owned());
        assert_eq!(read(Some(6), &["abc", "def"], true), whole);
        assert_eq!(read(None, &["abc", "def"], true), whole);
        for (length, parts, ends) in [
            (Some(6), vec!["abc"], true),
            (Some(6), vec!["abc", "def"], false),
            (Some(6), vec!["abc", "de"], true),
            (Some(6), vec![], true),
            (None, vec!["abc", "def"], false),
        ] {
            let error = read(length, &parts, ends).unwrap_err();
            assert!(
                error.contains("ended early"),
                "{length:?} {parts:?}: {error}"
            );
        }
    }
}
