//! The store itself: requests of `object_store` on a runtime of their own, each of
//! which is waited for a bounded time.

mod folder;
mod s3;

use super::{
    access::{Access, Place, SHARED},
    leftovers,
    listed::{Listed, Removed},
};
use crate::{
    error::{Error, Result, TransportKind},
    http, humanize,
};
use folder::{Folder, Put};
use jiff::Timestamp;
use object_store::{
    self as store, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, local::LocalFileSystem, path::Path as At,
};
use s3::{has_no_condition, words};
use std::{
    collections::BTreeMap,
    error::Error as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::timeout,
};

/// A request goes on for so long in the background after its reader has given up: the
/// first one to a distant store also makes the connection that the next will use.
const BACKGROUND: Duration = Duration::from_secs(10);
/// Bytes a second; a store that sends fewer is slow.
const SLOWEST: u64 = 1 << 20;
/// What is below the prefix or folder, with the version of its layout.
const FORMAT: &str = "v1";
/// How long one write, listing or removal may take.
const LONGEST: Duration = Duration::from_secs(60);
/// Objects that are removed at once.
const REMOVALS: usize = 16;
/// Threads for files; a folder that hangs takes no more.
const FILE_THREADS: usize = 4;

/// A bucket and prefix, or a folder.
pub(super) struct Bucket {
    /// `None` once it ends.
    runtime: Option<Runtime>,
    place: Arc<Objects>,
}

struct Objects {
    store: Box<dyn ObjectStore>,
    root: At,
    /// Where objects are files: `store` reads them, and this writes them.
    folder: Option<Folder>,
    /// The longest that a reader may wait for the rest of an object.
    longest: Duration,
    /// Whether the store has no conditional put.
    only_overwrites: AtomicBool,
    /// The place in messages.
    shown: String,
}

/// What a lookup tells its reader.
enum Event {
    /// The answer has begun; its length.
    Began(u64),
    Ended(Result<Option<Vec<u8>>>),
}

impl Bucket {
    /// Asks for nothing yet.
    ///
    /// # Errors
    /// [`Error::Setup`] for a URL, endpoint or credentials that cannot be used.
    pub(super) fn open(access: &Access) -> Result<Self> {
        let (store, root, folder): (Box<dyn ObjectStore>, _, _) = match access.place()? {
            Place::Bucket { bucket, prefix } => (
                s3::client(access, &bucket)?,
                At::from(prefix.as_str()),
                None,
            ),
            Place::Folder(folder) => {
                let root = At::from_absolute_path(&folder);
                let root =
                    root.map_err(|error| Error::Setup(format!("--shared-cache: {error}")))?;
                let folder = Folder::new(folder, FORMAT);
                (Box::new(LocalFileSystem::new()), root, Some(folder))
            }
        };
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(FILE_THREADS)
            .thread_name("vm0fs-shared")
            .enable_all()
            .build()
            .map_err(|error| Error::io("starting the thread of the shared cache", error))?;
        Ok(Self {
            runtime: Some(runtime),
            place: Arc::new(Objects {
                store,
                root: root.join(FORMAT),
                folder,
                longest: access.timeout / 2,
                only_overwrites: AtomicBool::new(false),
                shown: format!("{SHARED} {}", access.url.trim()),
            }),
        })
    }

    fn runtime(&self) -> Result<&Runtime> {
        let runtime = self.runtime.as_ref();
        runtime.ok_or_else(|| Error::Internal("the shared cache has been closed".into()))
    }

    /// Looks an object of up to `most` bytes up; a larger one counts as missing. `told`
    /// gets to know how the request has ended, and what was wrong: also when it took
    /// longer than `patience`.
    pub(super) fn look_up(
        &self,
        name: &str,
        most: u64,
        patience: Duration,
        told: impl FnOnce(Option<&Error>) + Send + 'static,
    ) -> Result<LookUp> {
        let (place, name) = (Arc::clone(&self.place), name.to_owned());
        let (tell, events) = mpsc::channel();
        let own = Arc::clone(&place);
        self.runtime()?.spawn(async move {
            let start = Instant::now();
            let mut first = None;
            let ended = place
                .fetch(&name, most, patience, |length| {
                    first = Some(start.elapsed());
                    // The reader may have given up.
                    let _ = tell.send(Event::Began(length));
                })
                .await;
            let is_slow = first.unwrap_or_else(|| start.elapsed()) > patience;
            let slow = is_slow.then(|| place.slow(patience));
            told(ended.as_ref().err().or(slow.as_ref()));
            let _ = tell.send(Event::Ended(ended));
        });
        Ok(LookUp {
            events,
            patience,
            place: own,
        })
    }

    /// Writes an object, and leaves one that is there unless it is to be replaced, or
    /// the store cannot tell; whether it was written.
    ///
    /// # Errors
    /// [`Error::Denied`] where another user's object may not be replaced; any other says
    /// something of the store.
    pub(super) fn put(&self, name: &str, object: Vec<u8>, replace: bool) -> Result<bool> {
        let (runtime, place) = (self.runtime()?, &self.place);
        match place.folder.clone() {
            Some(folder) => runtime.block_on(place.put_file(folder, name, object, replace)),
            None => runtime.block_on(place.put(name, object, replace)),
        }
    }

    /// Why others of a folder's group cannot use an object that this process has written.
    pub(super) fn closed_to_group(&self, name: &str) -> Result<Option<String>> {
        let (place, name) = (&self.place, name.to_owned());
        let Some(folder) = place.folder.clone() else {
            return Ok(None);
        };
        let look = move || folder.closed_to_group(&name);
        self.runtime()?.block_on(place.on_files("reading", look))
    }

    /// Removes objects, several at once. Gives those that only their owners may remove, each
    /// with its owner.
    pub(super) fn remove(&self, names: Vec<String>) -> Result<BTreeMap<String, String>> {
        self.runtime()?.block_on(async {
            let mut left = BTreeMap::new();
            let mut tasks = JoinSet::new();
            let mut names = names.into_iter();
            loop {
                while tasks.len() < REMOVALS
                    && let Some(name) = names.next()
                {
                    let place = Arc::clone(&self.place);
                    tasks.spawn(async move {
                        let owner = place.remove(&name).await?;
                        Ok::<_, Error>(owner.map(|owner| (name, owner)))
                    });
                }
                match tasks.join_next().await {
                    None => return Ok(left),
                    Some(Ok(ended)) => left.extend(ended?),
                    Some(Err(error)) => return Err(Error::Internal(error.to_string())),
                }
            }
        })
    }

    /// Removes what killed writers have left in a folder; a bucket has no such thing.
    pub(super) fn remove_leftovers(&self) -> Result<Removed> {
        let Some(folder) = self.place.folder.clone() else {
            return Ok(Removed::default());
        };
        let remove = move || leftovers::remove(&folder.root);
        self.runtime()?
            .block_on(self.place.on_files("removing", remove))
    }

    /// All objects of this format, in groups of a sixteenth.
    pub(super) fn list(&self, mut each: impl FnMut(Vec<Listed>) -> Result<()>) -> Result<()> {
        let (runtime, place) = (self.runtime()?, &self.place);
        let list = |at: &At| {
            runtime.block_on(place.bounded("listing", async {
                place.require_folder().await?;
                match place.store.list_with_delimiter(Some(at)).await {
                    Ok(listed) => Ok((listed.common_prefixes, listed.objects)),
                    Err(store::Error::NotFound { .. }) => Ok((Vec::new(), Vec::new())),
                    Err(error) => Err(error),
                }
            }))
        };
        for folder in list(&place.root)?.0 {
            let objects = list(&folder)?.1;
            each(
                objects
                    .iter()
                    .filter_map(|object| place.listed(object))
                    .collect(),
            )?;
        }
        Ok(())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // A plain drop waits for a folder that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A lookup at work.
pub(super) struct LookUp {
    events: mpsc::Receiver<Event>,
    patience: Duration,
    place: Arc<Objects>,
}

impl LookUp {
    /// Waits until the object has come: for `patience` until it begins, and then as
    /// long as it takes a store that is not slow.
    ///
    /// # Errors
    /// Why it has not.
    pub(super) fn wait(self) -> Result<Option<Vec<u8>>> {
        let mut limit = self.patience;
        loop {
            match self.events.recv_timeout(limit) {
                Ok(Event::Began(length)) => limit = self.place.body_limit(self.patience, length),
                Ok(Event::Ended(ended)) => return ended,
                Err(_) => return Err(self.place.slow(limit)),
            }
        }
    }
}

impl Objects {
    /// How long the rest of an object may take whose beginning has come.
    fn body_limit(&self, patience: Duration, length: u64) -> Duration {
        let seconds = length as f64 / SLOWEST as f64;
        (patience + Duration::from_secs_f64(seconds)).min(self.longest)
    }

    /// Where the object of a name in hexadecimal is.
    fn at(&self, name: &str) -> At {
        self.root.clone().join(&name[..1]).join(&name[1..])
    }

    /// What is known of an object; `None` for one that vm0fs has not named.
    fn listed(&self, object: &ObjectMeta) -> Option<Listed> {
        let rest = object.location.as_ref().strip_prefix(self.root.as_ref())?;
        let name = rest.replace('/', "");
        let is_ours = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then(|| Listed {
            name,
            bytes: object.size,
            written: Timestamp::from_second(object.last_modified.timestamp()).unwrap_or_default(),
        })
    }

    /// # Errors
    /// Where the folder is missing, which is no missing object.
    async fn require_folder(&self) -> store::Result<()> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let looked = tokio::task::spawn_blocking(move || std::fs::metadata(folder.top)).await?;
        looked.map(drop).map_err(folder_failed)
    }

    async fn put(&self, name: &str, object: Vec<u8>, replace: bool) -> Result<bool> {
        let (at, object) = (self.at(name), PutPayload::from(object));
        let put = async {
            let creates = !replace && !self.only_overwrites.load(Relaxed);
            if creates {
                let create = PutOptions::from(PutMode::Create);
                match self.store.put_opts(&at, object.clone(), create).await {
                    // Another machine's is as good.
                    Err(store::Error::AlreadyExists { .. } | store::Error::Precondition { .. }) => {
                        return Ok(false);
                    }
                    Err(error) if has_no_condition(&error) => {}
                    ended => return ended.map(|_| true),
                }
            }
            self.store.put(&at, object).await?;
            if creates {
                // It was the condition that was refused.
                self.only_overwrites.store(true, Relaxed);
            }
            Ok(true)
        };
        self.bounded("writing", put).await
    }

    async fn put_file(
        &self,
        folder: Folder,
        name: &str,
        object: Vec<u8>,
        replace: bool,
    ) -> Result<bool> {
        let (shown, file) = (&self.shown, folder.path(name));
        let name = name.to_owned();
        let put = move || folder.put(&name, &object, replace);
        match self.on_files("writing", put).await? {
            Put::Written => Ok(true),
            Put::There => Ok(false),
            Put::Refused(owner) => Err(Error::Denied(format!(
                "{shown}: {} is of no use, and only {owner} may replace it; {owner} or root can \
                 remove it",
                file.display()
            ))),
        }
    }

    /// Removes an object; gives its owner, where no other user may.
    async fn remove(&self, name: &str) -> Result<Option<String>> {
        if let Some(folder) = self.folder.clone() {
            let name = name.to_owned();
            return self
                .on_files("removing", move || folder.remove(&name))
                .await;
        }
        let at = self.at(name);
        let removed = async {
            match self.store.delete(&at).await {
                // Another machine prunes too.
                Err(store::Error::NotFound { .. }) => Ok(None),
                removed => removed.map(|()| None),
            }
        };
        self.bounded("removing", removed).await
    }

    async fn fetch(
        &self,
        name: &str,
        most: u64,
        patience: Duration,
        mut began: impl FnMut(u64),
    ) -> Result<Option<Vec<u8>>> {
        let at = self.at(name);
        let answer = async {
            self.require_folder().await?;
            self.store.get_opts(&at, GetOptions::default()).await
        };
        let answer = match timeout(BACKGROUND, answer).await {
            Err(_) => return Err(self.slow(BACKGROUND)),
            Ok(Err(error @ store::Error::NotFound { .. })) if !is_no_bucket(&error) => {
                return Ok(None);
            }
            Ok(Err(error)) => return Err(self.unread(name, &error).await),
            Ok(Ok(answer)) => answer,
        };
        let length = answer.meta.size;
        began(length);
        if length > most {
            return Ok(None);
        }
        let limit = self.body_limit(patience, length);
        match timeout(limit, answer.bytes()).await {
            Err(_) => Err(self.slow(limit)),
            Ok(Ok(bytes)) => Ok(Some(bytes.into())),
            Ok(Err(error)) => Err(self.failure("reading", &error)),
        }
    }

    /// Why an object was not read: where only this one refuses, that says nothing of the others.
    async fn unread(&self, name: &str, error: &store::Error) -> Error {
        if is_denied(error)
            && let Some(folder) = self.folder.clone()
        {
            let name = name.to_owned();
            let owner = tokio::task::spawn_blocking(move || folder.owner(&name)).await;
            if let Ok(Some(owner)) = owner {
                let message = format!("this user may not read it, which is a file of {owner}");
                return Error::Denied(message);
            }
        }
        self.failure("reading", error)
    }

    /// Works on files, on a thread for that.
    ///
    /// # Errors
    /// Why that has failed, or that it takes too long.
    async fn on_files<T: Send + 'static>(
        &self,
        doing: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let work = async {
            let done = tokio::task::spawn_blocking(work).await?;
            done.map_err(folder_failed)
        };
        self.bounded(doing, work).await
    }

    /// # Errors
    /// Why the request has failed, or that it takes too long.
    async fn bounded<T>(
        &self,
        doing: &str,
        request: impl Future<Output = store::Result<T>>,
    ) -> Result<T> {
        match timeout(LONGEST, request).await {
            Err(_) => Err(self.slow(LONGEST)),
            Ok(ended) => ended.map_err(|error| self.failure(doing, &error)),
        }
    }

    fn slow(&self, limit: Duration) -> Error {
        let message = format!("no answer within {}", humanize::took(limit));
        http::transport(&self.shown, TransportKind::Stalled, message)
    }

    fn failure(&self, doing: &str, error: &store::Error) -> Error {
        let message = format!("{doing} failed: {}", words(error));
        http::transport(&self.shown, TransportKind::Broken, message)
    }
}

fn folder_failed(error: io::Error) -> store::Error {
    store::Error::Generic {
        store: "folder",
        source: Box::new(error),
    }
}

/// Whether the system has refused access to a file.
fn is_denied(error: &store::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return error.kind() == io::ErrorKind::PermissionDenied;
        }
        cause = error.source();
    }
    false
}

/// Whether the bucket is missing, and not only the object.
fn is_no_bucket(error: &store::Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}
