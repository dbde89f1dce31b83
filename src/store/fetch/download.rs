//! An archive as a stream of bytes from its presigned URL: large ones as
//! several range requests in flight, read in order; resumed where a
//! connection broke.
//!
//! ```text
//! the service → link → part ⇄ request, response      one task a part
//!                        │ channel, within the window
//!                        ↓
//!            tasks → parts in order → reader          the thread that unpacks
//! ```
//!
//! The first answer describes the object, and the plan of the other parts is made from
//! it. One task starts them in order, as far as the number of connections and the window
//! allow. A part that fails says so in its channel. The tasks run on a thread of their
//! own; the reader asks the service for links, since that blocks.
//!
//! No `Authorization` is ever sent and no redirect followed; queries of
//! presigned URLs appear in no error.

mod channel;
mod get;
mod link;
mod part;
mod plan;
mod reader;
mod retries;
mod tasks;
mod window;

use crate::{
    error::{Error, Result},
    http,
    progress::Progress,
    sync::Mutex,
};
use bytes::Bytes;
pub(in crate::store) use get::Object;
use get::ObjectStore;
use link::Asker;
use part::Source;
use plan::Plan;
pub(in crate::store) use plan::Sizes;
use reader::{Download, Parts};
use reqwest::Client;
use std::{io, ops::Range, sync::Arc, time::Duration};
use tokio::{
    runtime::Runtime,
    sync::{SetOnce, mpsc},
};
use url::Url;
use window::Window;

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
    runtime: Runtime,
}

impl Drop for Downloader {
    fn drop(&mut self) {
        // An ordinary drop of the runtime would wait for look-ups of host names.
        if let Some(made) = self.made.lock().take() {
            made.runtime.shutdown_background();
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

    /// Starts a stream. Its first link is asked for by the first wait for its bytes.
    pub(in crate::store) fn start<'a>(
        &self,
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        progress: &Progress,
    ) -> Result<Download<'a>> {
        let window = Window::new(&self.sizes, self.sizes.first);
        self.begin(link, progress, SetOnce::new(), window, 0)
    }

    /// Starts a stream of a range of the object that an earlier answer has described, of which
    /// so much may be in memory as `sizes` say.
    pub(in crate::store) fn range<'a>(
        &self,
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        object: Object,
        bytes: Range<u64>,
        sizes: &Sizes,
        progress: &Progress,
    ) -> Result<Download<'a>> {
        let start = bytes.start;
        let plan = Plan::of_range(object, bytes, sizes);
        let window = Window::new(sizes, 0);
        self.begin(link, progress, SetOnce::new_with(Some(plan)), window, start)
    }

    fn begin<'a>(
        &self,
        link: &'a (dyn Fn() -> Result<Url> + Sync),
        progress: &Progress,
        plan: SetOnce<Plan>,
        window: Window,
        position: u64,
    ) -> Result<Download<'a>> {
        let mut made = self.made.lock();
        let made = match &mut *made {
            Some(made) => made,
            none => none.insert(self.make()?),
        };
        let (asker, links) = Asker::new(link, made.runtime.handle().clone(), progress.clone());
        let source = Arc::new(Source {
            store: ObjectStore {
                client: made.client.clone(),
                timeout: self.timeout,
                allow_http: self.allow_http,
            },
            links,
            plan,
            window,
            progress: progress.clone(),
            sizes: self.sizes,
        });
        let (start, started) = mpsc::unbounded_channel();
        let task = made.runtime.spawn(tasks::run(Arc::clone(&source), start));
        Ok(Download {
            asker,
            parts: Parts {
                source,
                started,
                current: None,
                position,
            },
            task: task.abort_handle(),
            chunk: Bytes::new(),
            failed: None,
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
        Ok(Made { client, runtime })
    }
}
