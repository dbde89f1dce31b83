//! One part of an object, with as many requests as it takes.

use super::{
    channel::Outlet,
    get::{Failed, Get, ObjectStore, Remedy},
    link::Links,
    plan::{Plan, Sizes},
    retries::Retries,
    window::Window,
};
use crate::{error::TransportKind, progress::Progress};
use bytes::Bytes;
use reqwest::Response;
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::{
    sync::SetOnce,
    time::{sleep, timeout},
};

/// Links refused in a row, of one part or of all: each new one costs a call of the API.
const REFUSALS: u32 = 2;
/// How long the end of an answer is waited for once all bytes of the part have come.
const END: Duration = Duration::from_millis(100);

/// What the parts of one download have in common.
pub(super) struct Source {
    pub(super) store: ObjectStore,
    pub(super) links: Links,
    /// Made from the first answer.
    pub(super) plan: SetOnce<Plan>,
    pub(super) window: Window,
    pub(super) progress: Progress,
    pub(super) sizes: Sizes,
}

/// A part at work.
pub(super) struct Part {
    source: Arc<Source>,
    outlet: Outlet,
    /// Where the next byte belongs.
    offset: u64,
    /// Where it ends; `None` while only the stream will tell.
    end: Option<u64>,
    retries: Retries,
    /// The numbers of the link in use and of the last one that was refused.
    link: u32,
    refused: u32,
    /// Links in a row that were refused to this part.
    refusals: u32,
}

impl Part {
    /// Some bytes of an object; of the first part, the most to ask for.
    pub(super) fn new(source: Arc<Source>, outlet: Outlet, bytes: Range<u64>) -> Self {
        Self {
            source,
            outlet,
            offset: bytes.start,
            end: Some(bytes.end),
            retries: Retries::new(bytes.start),
            link: 0,
            refused: 0,
            refusals: 0,
        }
    }

    /// Sends all its bytes to the reader, or the error that it gave up with; gives
    /// whether it has got all of them.
    pub(super) async fn run(mut self) -> bool {
        let result = self.fetch().await;
        let is_complete = result.is_ok();
        self.outlet.end(result).await;
        is_complete
    }

    async fn fetch(&mut self) -> Result<(), Failed> {
        while let Err(failed) = self.attempt().await {
            self.recover(failed).await?;
        }
        Ok(())
    }

    /// Prepares for another attempt, or gives up.
    async fn recover(&mut self, failed: Failed) -> Result<(), Failed> {
        tracing::debug!(byte = self.offset, remedy = ?failed.remedy, "{}", failed.error);
        match failed.remedy {
            Remedy::NoRange if self.source.plan.get().is_none() => self.end = None,
            remedy @ (Remedy::NewLink | Remedy::Moved) if self.may_ask_for_link(remedy) => {
                self.refusals += 1;
                self.refused = self.link;
            }
            Remedy::Retry => {
                let timeout = self.source.store.timeout;
                let pause = self.retries.pause(self.offset, failed.error, timeout)?;
                self.outlet.meanwhile(sleep(pause)).await;
                self.source.progress.advance(0);
            }
            Remedy::NoRange
            | Remedy::NewLink
            | Remedy::Moved
            | Remedy::StartOver
            | Remedy::Nothing => {
                return Err(failed);
            }
        }
        Ok(())
    }

    /// Whether another link is worth asking for, after those in a row that were refused.
    fn may_ask_for_link(&self, remedy: Remedy) -> bool {
        let most = if remedy == Remedy::Moved { 1 } else { REFUSALS };
        self.refusals < most && self.source.links.refused_in_row(self.link) <= most
    }

    /// One request and its answer.
    async fn attempt(&mut self) -> Result<(), Failed> {
        let source = Arc::clone(&self.source);
        let link = source.links.after(self.refused);
        let (url, number) = self.outlet.meanwhile(link).await?;
        if number != self.link {
            self.link = number;
            self.retries.heard();
        }
        let plan = source.plan.get();
        let known = plan.map(|plan| &plan.object);
        let range = match self.end {
            None if self.offset == 0 => None,
            end => Some((
                self.offset,
                end.filter(|_| end != known.and_then(|it| it.length)),
            )),
        };
        let url = &url;
        let get = Get { url, range, known };
        let answer = self.within(&get, get.send(&source.store)).await?;
        let (response, start, object) = answer?;
        if plan.is_some_and(|plan| plan.is_range) && !object.ranges {
            return Err(get.without_range());
        }
        source.progress.advance(0);
        self.refusals = 0;
        source.links.accept(number);
        if plan.is_none() {
            source.progress.expect(object.length.unwrap_or(0));
            let plan = Plan::new(object, &source.sizes);
            self.end = plan.first_end;
            let _ = source.plan.set(plan);
        }
        self.receive(&get, response, start).await
    }

    /// Sends the missing bytes from the body of an answer; the body starts at byte `at`
    /// of the object.
    async fn receive(
        &mut self,
        get: &Get<'_>,
        mut response: Response,
        mut at: u64,
    ) -> Result<(), Failed> {
        while self.end != Some(self.offset) {
            match self.within(get, response.chunk()).await? {
                Ok(Some(chunk)) => {
                    let length = chunk.len() as u64;
                    self.give(at, chunk).await;
                    at += length;
                }
                Ok(None) if self.end.is_none() && at == self.offset => return Ok(()),
                Ok(None) => {
                    let message = format!("the connection ended at byte {at}");
                    return Err(get.cut(TransportKind::Broken, message));
                }
                Err(error) => return Err(get.broken(&self.source.store, &error)),
            }
            self.retries.heard();
        }
        // Read to its end, the connection can be used again.
        let _ = timeout(END, response.chunk()).await;
        Ok(())
    }

    /// Sends those of the bytes at `at` that are missing.
    async fn give(&mut self, at: u64, chunk: Bytes) {
        let length = chunk.len() as u64;
        let from = (self.offset - at).min(length);
        let to = self
            .end
            .map_or(length, |end| length.min(end - at))
            .max(from);
        self.outlet
            .push(chunk.slice(from as usize..to as usize))
            .await;
        self.offset += to - from;
        self.source.progress.advance(to - from);
    }

    /// Waits for half of the timeout, which leaves time for another request.
    async fn within<T>(
        &mut self,
        get: &Get<'_>,
        event: impl Future<Output = T>,
    ) -> Result<T, Failed> {
        let event = timeout(self.source.store.timeout / 2, event);
        self.outlet.meanwhile(event).await.map_err(|_| {
            let message = format!("no byte came after byte {}", self.offset);
            get.cut(TransportKind::Stalled, message)
        })
    }
}
