//! The store itself: requests of `object_store` on a runtime of their own, each of
//! which is waited for a bounded time.

mod s3;

use super::{
    access::{Access, Place, SHARED},
    leftovers,
    listed::Listed,
};
use crate::{
    error::{Error, Result, TransportKind},
    http, humanize,
};
use jiff::Timestamp;
use object_store::{
    self as store, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, local::LocalFileSystem, path::Path as At,
};
use s3::words;
use std::{
    path::PathBuf,
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
    /// The folder that has to exist: it would be made on the disk below a file system
    /// that is not mounted.
    folder: Option<PathBuf>,
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
        let (place, at) = (Arc::clone(&self.place), self.place.at(name));
        let (tell, events) = mpsc::channel();
        let own = Arc::clone(&place);
        self.runtime()?.spawn(async move {
            let start = Instant::now();
            let mut first = None;
            let ended = place
                .fetch(&at, most, patience, |length| {
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
    pub(super) fn put(&self, name: &str, object: Vec<u8>, replace: bool) -> Result<bool> {
        let (place, at) = (&self.place, self.place.at(name));
        let object = PutPayload::from(object);
        self.runtime()?.block_on(place.bounded("writing", async {
            place.make_folder(name).await?;
            let creates = !replace && !place.only_overwrites.load(Relaxed);
            if creates {
                let create = PutOptions::from(PutMode::Create);
                match place.store.put_opts(&at, object.clone(), create).await {
                    // Another machine's is as good.
                    Err(store::Error::AlreadyExists { .. } | store::Error::Precondition { .. }) => {
                        return Ok(false);
                    }
                    Err(error) if place.may_overwrite(&error) => {}
                    ended => return ended.map(|_| true),
                }
            }
            place.store.put(&at, object).await?;
            if creates {
                // It was the condition that was refused.
                place.only_overwrites.store(true, Relaxed);
            }
            Ok(true)
        }))
    }

    /// Removes objects, several at once.
    pub(super) fn remove(&self, names: Vec<String>) -> Result<()> {
        self.runtime()?.block_on(async {
            let mut tasks = JoinSet::new();
            let mut names = names.into_iter();
            loop {
                while tasks.len() < REMOVALS
                    && let Some(name) = names.next()
                {
                    let place = Arc::clone(&self.place);
                    tasks.spawn(async move {
                        let at = place.at(&name);
                        let removed = async {
                            match place.store.delete(&at).await {
                                // Another machine prunes too.
                                Err(store::Error::NotFound { .. }) => Ok(()),
                                removed => removed,
                            }
                        };
                        place.bounded("removing", removed).await
                    });
                }
                match tasks.join_next().await {
                    None => return Ok(()),
                    Some(Ok(removed)) => removed?,
                    Some(Err(error)) => return Err(Error::Internal(error.to_string())),
                }
            }
        })
    }

    /// Removes what killed writers have left in a folder; a bucket has no such thing. Gives
    /// how many files there were, and their bytes.
    pub(super) fn remove_leftovers(&self) -> Result<(u64, u64)> {
        let Some(folder) = &self.place.folder else {
            return Ok((0, 0));
        };
        let root = folder.join(FORMAT);
        let remove = async {
            let removed = tokio::task::spawn_blocking(move || leftovers::remove(&root)).await?;
            removed.map_err(folder_failed)
        };
        self.runtime()?
            .block_on(self.place.bounded("removing", remove))
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
        let looked = tokio::task::spawn_blocking(move || std::fs::metadata(folder)).await?;
        looked.map(drop).map_err(folder_failed)
    }

    /// Makes the folder of an object in one that has to exist, as that is: all who write
    /// there write here too.
    ///
    /// # Errors
    /// Where the folder is missing, or cannot be written.
    async fn make_folder(&self, name: &str) -> store::Result<()> {
        let Some(folder) = self.folder.clone() else {
            return Ok(());
        };
        let below = [FORMAT.to_owned(), name[..1].to_owned()];
        let make = move || -> std::io::Result<()> {
            let permissions = std::fs::metadata(&folder)?.permissions();
            let mut path = folder;
            for name in below {
                path.push(name);
                match std::fs::create_dir(&path) {
                    // The umask takes rights away.
                    Ok(()) => std::fs::set_permissions(&path, permissions.clone())?,
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let made = tokio::task::spawn_blocking(make).await?;
        made.map_err(folder_failed)
    }

    /// Whether a put that was refused may be taken without its condition: some stores refuse
    /// the condition in their own way, and some folders have no hard links, which make a file
    /// only where there is none.
    fn may_overwrite(&self, error: &store::Error) -> bool {
        let text = error.to_string();
        let says = |status: u16| text.contains(&format!("status code: {status}"));
        let is_not_implemented = matches!(error, store::Error::NotImplemented { .. });
        self.folder.is_some() || is_not_implemented || [400, 405, 501].into_iter().any(says)
    }

    async fn fetch(
        &self,
        at: &At,
        most: u64,
        patience: Duration,
        mut began: impl FnMut(u64),
    ) -> Result<Option<Vec<u8>>> {
        let answer = async {
            self.require_folder().await?;
            self.store.get_opts(at, GetOptions::default()).await
        };
        let answer = match timeout(BACKGROUND, answer).await {
            Err(_) => return Err(self.slow(BACKGROUND)),
            Ok(Err(error @ store::Error::NotFound { .. })) if !is_no_bucket(&error) => {
                return Ok(None);
            }
            Ok(answer) => answer.map_err(|error| self.failure("reading", &error))?,
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

fn folder_failed(error: std::io::Error) -> store::Error {
    store::Error::Generic {
        store: "folder",
        source: Box::new(error),
    }
}

/// Whether the bucket is missing, and not only the object.
fn is_no_bucket(error: &store::Error) -> bool {
    error.to_string().contains("NoSuchBucket")
}
