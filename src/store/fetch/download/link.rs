//! The presigned URL in use. Only the reader can ask the service for one, since
//! that blocks: a task that needs one waits for the reader, and other tasks for it.

use crate::{
    error::{Error, Result},
    progress::Progress,
};
use std::{
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{
    runtime::Handle,
    select,
    sync::{Mutex, mpsc, oneshot},
};
use url::Url;

/// A task wants a link.
type Ask = oneshot::Sender<Result<Url>>;

/// The tasks' side.
pub(super) struct Links {
    asks: mpsc::Sender<Ask>,
    /// The newest link, or why there is none, and its number from 1 on.
    newest: Mutex<(Option<Result<Url>>, u32)>,
    /// The number of the newest link that the store has accepted, at first 1.
    accepted: AtomicU32,
}

impl Links {
    /// The newest link and its number. The store has refused all links up to number
    /// `refused`: if there is no newer one, the reader is asked for it.
    pub(super) async fn after(&self, refused: u32) -> Result<(Url, u32)> {
        let (newest, number) = &mut *self.newest.lock().await;
        let link = match newest {
            Some(link) if *number > refused => link.clone(),
            _ => {
                let (ask, answer) = oneshot::channel();
                let _ = self.asks.send(ask).await;
                // Without a reader, the task is about to be ended.
                let gone = |_| Err(Error::Internal("a download has no reader".into()));
                *number += 1;
                newest.insert(answer.await.unwrap_or_else(gone)).clone()
            }
        };
        Ok((link?, *number))
    }

    /// Notes that the store has accepted a link.
    pub(super) fn accept(&self, number: u32) {
        self.accepted.fetch_max(number, Ordering::Relaxed);
    }

    /// How many links in a row the store has refused, of any part, once it has refused
    /// this one.
    pub(super) fn refused_in_row(&self, number: u32) -> u32 {
        (number + 1).saturating_sub(self.accepted.load(Ordering::Relaxed))
    }
}

/// The reader's side.
pub(super) struct Asker<'a> {
    link: &'a (dyn Fn() -> Result<Url> + Sync),
    asks: mpsc::Receiver<Ask>,
    runtime: Handle,
    progress: Progress,
}

impl<'a> Asker<'a> {
    /// Both sides; the tasks run on `runtime`.
    pub(super) fn new(
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        runtime: Handle,
        progress: Progress,
    ) -> (Self, Links) {
        let (sender, asks) = mpsc::channel(1);
        let links = Links {
            asks: sender,
            newest: Mutex::default(),
            accepted: AtomicU32::new(1),
        };
        let asker = Self {
            link,
            asks,
            runtime,
            progress,
        };
        (asker, links)
    }

    /// Blocks until `event`, and asks for the links that tasks want meanwhile.
    pub(super) fn wait<T>(&mut self, event: impl Future<Output = T>) -> T {
        let mut event = pin!(event);
        loop {
            let ask = self.runtime.block_on(async {
                select! {
                    biased;
                    value = &mut event => Err(value),
                    Some(ask) = self.asks.recv() => Ok(ask),
                }
            });
            match ask {
                Ok(ask) => drop(ask.send((self.link)())),
                Err(value) => return value,
            }
            self.progress.advance(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::{runtime, task::JoinSet};

    #[test]
    fn one_task_asks_and_the_others_wait_for_it() {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let asked = AtomicU32::new(0);
        let link = || match asked.fetch_add(1, Ordering::SeqCst) {
            2 => Err(Error::NotFound("artifact".into())),
            number => Ok(format!("http://a.test/{number}").parse().unwrap()),
        };
        let handle = runtime.handle().clone();
        let (mut asker, links) = Asker::new(&link, handle, Progress::new());
        let links = Arc::new(links);
        for (refused, links_asked_for, expected) in [
            (0, 1, Some("http://a.test/0")),
            (0, 1, Some("http://a.test/0")),
            (1, 2, Some("http://a.test/1")),
            (0, 2, Some("http://a.test/1")),
            // What failed is not tried again, and not by a task that was refused before.
            (2, 3, None),
            (1, 3, None),
        ] {
            let mut tasks = JoinSet::new();
            for _ in 0..5 {
                let links = Arc::clone(&links);
                tasks.spawn_on(async move { links.after(refused).await }, runtime.handle());
            }
            for link in asker.wait(tasks.join_all()) {
                let url = link.as_ref().ok().map(|(url, _)| url.as_str());
                assert_eq!(url, expected, "after {refused}: {link:?}");
            }
            assert_eq!(asked.load(Ordering::SeqCst), links_asked_for);
        }
    }
}
