//! Makes a mount from its settings, serves it, and ends it in order.

mod background;
mod mountpoint;

use crate::{
    api::Client,
    config::{self, Crawlers, Settings},
    error::{Error, Result},
    fs::{self, Fs},
    handover::Handover,
    pending::PendingRequests,
    proc::{self, MountEntry},
    shared::SharedCache,
    signals::Signals,
    store::{AnswerStore, Limits, Store, StoreConfig},
    tree::{FetchKey, Tree, TreeOptions},
    unmount,
};
use background::Side;
use fuser::{Config, MountOption, Session, SessionACL};
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{Gid, Uid},
};
use std::{
    io, mem,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// What the kernel's mount table calls the type: `fuse.vm0fs`.
const SUBTYPE: &str = "vm0fs";

/// Maximum number of threads that read requests: more contend for one queue.
const MOST_SESSION_THREADS: usize = 4;

/// Threads that read requests: half as many as there are cores, since the programs
/// that send them need cores too. Operations do not wait, so one thread can serve
/// many; on 2 cores, a second one makes `grep -r` over small files a quarter slower.
fn session_threads() -> usize {
    (cores() / 2).clamp(1, MOST_SESSION_THREADS)
}

/// Whether a mount has one such thread and programs have another core, which is when
/// waking cores costs the most.
fn is_sole() -> bool {
    session_threads() == 1 && cores() > 1
}

/// The file by which a mount keeps the cores awake while requests follow one another,
/// and whether it may; `None` where it would not.
pub fn may_keep_awake() -> Option<(&'static str, io::Result<()>)> {
    is_sole().then(fs::may_keep_awake)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// How long the command waits for the API to accept the token. Longer, and a
/// network that swallows packets would make every mount slow.
const GREETING: Duration = Duration::from_secs(5);

/// The share of the cache that holds answers of the API, and its maximum in bytes:
/// listings, details and logs of ended runs are small beside archives.
const ANSWERS_SHARE: u64 = 10;
const MOST_ANSWERS: u64 = 256 << 20;

/// Warns users of `--allow-other` of what it means.
const EXPOSED: &str = "--allow-other: every user of this machine can read what your token can \
    read: runs, logs, volumes and artifacts; only you and root can start and cancel runs";

/// How long a mount that ends goes on writing to the fleet's shared cache.
const SHARING_END: Duration = Duration::from_secs(1);

/// How long the session may take to end once it is unmounted.
const SESSION_END: Duration = Duration::from_secs(1);

/// What `vm0fs mount` is to do.
#[derive(Debug)]
pub struct Options {
    /// The folder to mount at.
    pub mountpoint: PathBuf,
    /// How the mount behaves.
    pub settings: Settings,
    /// Stay in the foreground.
    pub foreground: bool,
}

/// How the command ends.
#[derive(Debug)]
pub enum Outcome {
    /// A mount lives in the background; these warnings, one a line, are for the user.
    Background(String),
    /// The background process failed, and has printed why.
    Failed,
    /// This process has served the mount to its end.
    Ended,
}

/// Mounts, and serves the mount to its end unless it goes to the background.
/// `set_up_logs` is called in the process that serves, `ready` when it can be
/// used, with the mountpoint and the warnings.
///
/// # Errors
/// [`Error::Setup`] for a mountpoint that cannot be used or a token that the
/// API refuses, and where the kernel or `fusermount3` refuses to mount.
pub fn run(
    options: Options,
    set_up_logs: impl FnOnce(),
    ready: impl FnOnce(&Path, &[String]),
) -> Result<Outcome> {
    let report = match options.foreground {
        true => None,
        false => match background::detach()? {
            Side::Command(warnings) => return Ok(Outcome::Background(warnings)),
            Side::Failed => return Ok(Outcome::Failed),
            Side::Server(report) => Some(report),
        },
    };
    // Before anything is written, which can be too much for a limit.
    let signals = Signals::outlast_others()?;
    set_up_logs();
    raise_open_files();
    // After the fork, since looking at what is mounted there starts threads.
    let prepared = mountpoint::prepare(&options.mountpoint)?;
    let mounted = Mounted::start(prepared.path.clone(), &options.settings)
        .inspect_err(|_| prepared.take_back())?;
    match report {
        Some(report) => {
            if let Err(error) = report.report(&mounted.warnings.join("\n")) {
                drop(mounted);
                prepared.take_back();
                return Err(error);
            }
        }
        None => ready(&mounted.mountpoint, &mounted.warnings),
    }
    mounted.serve(signals);
    Ok(Outcome::Ended)
}

/// The tree that settings describe, and where requests to it wait: all of a
/// mount but the kernel.
///
/// # Errors
/// [`Error::Setup`] for settings that cannot be used.
pub fn open(settings: &Settings) -> Result<(Arc<Tree>, Arc<PendingRequests>)> {
    let client = Client::new(settings.client_config())?;
    // Answers take their share of the cache, so that the ceiling holds for both.
    let answers = (settings.cache_size / ANSWERS_SHARE).min(MOST_ANSWERS);
    let account = format!("{} {:x?}", client.origin(), settings.token.fingerprint());
    let shared = match &settings.shared_cache {
        Some((shared, key)) if !settings.options.offline => {
            Some(Arc::new(SharedCache::open(&shared.access, key)?))
        }
        _ => None,
    };
    let store = Store::open(StoreConfig {
        dir: settings.cache_dir.clone(),
        ceiling: settings.cache_size - answers,
        limits: Limits::default(),
        timeout: settings.timeout,
        user_agent: config::USER_AGENT.into(),
        // The API decides where its downloads are; the client has checked
        // that. A development service on plain HTTP has such links itself.
        allow_http: settings.options.connection.allow_http || settings.api_url.scheme() == "http",
    })
    .map_err(cache_error)?
    .sharing(shared.clone());
    let options = TreeOptions {
        shared,
        list_ttl: settings.list_ttl,
        external_symlinks: settings.options.allow_external_symlinks,
        offline: settings.options.offline,
        verify: settings.options.verify.unwrap_or_default(),
        crawlers: match settings.options.crawlers.unwrap_or_default() {
            Crawlers::Deny => Some(settings.options.crawler_names.clone()),
            Crawlers::Allow => None,
        },
    };
    let shelf = AnswerStore::open(&settings.cache_dir, &account, answers)?;
    let handover = Arc::new(Handover::new()?);
    let tree = Arc::new(Tree::new(client, store, shelf, options, handover));
    let pending = Arc::new(PendingRequests::new(tree.clone(), settings.timeout));
    Ok((tree, pending))
}

/// Raises this process's limit of open files as far as it may: each file that a
/// program has open in the mount can be one of this process, and many systems start
/// programs with a limit of 1,024.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}

/// A mount that is being served.
struct Mounted {
    mountpoint: PathBuf,
    /// This mount in the kernel's table: in its place there may be another by
    /// the time it ends.
    entry: Option<MountEntry>,
    tree: Arc<Tree>,
    pending: Arc<PendingRequests>,
    warnings: Vec<String>,
    /// Whether it has come to its orderly end.
    is_over: bool,
    events: mpsc::Sender<Event>,
    happens: mpsc::Receiver<Event>,
}

enum Event {
    Signal(&'static str),
    /// The session has ended: a user or a program has unmounted it.
    Ended,
    /// The session has failed, and left the mount.
    Failed,
}

impl Mounted {
    fn start(mountpoint: PathBuf, settings: &Settings) -> Result<Self> {
        let (tree, pending) = open(settings)?;
        let mut warnings = greet(&tree, &pending)?;
        if settings.options.allow_other {
            warnings.push(EXPOSED.into());
        }
        let (user, group) = (Uid::effective().as_raw(), Gid::effective().as_raw());
        let fs = Fs::new(tree.clone(), pending.clone(), user, group);
        let on_mounted = fs.on_mounted();
        let session = open_session(fs, &mountpoint, settings.options.allow_other)?;
        let entry = proc::mount_at(&mountpoint)?;
        let device = entry.as_ref().map(|entry| entry.device.clone());
        // Several threads have connections of their own, of which fuser shows one.
        let connection = is_sole().then(|| session.as_fd().try_clone_to_owned().ok());
        on_mounted(session.notifier(), device, connection.flatten());
        let (events, happens) = mpsc::channel();
        let ended = events.clone();
        let serve = move || {
            let event = match serve_session(session) {
                Ok(()) => Event::Ended,
                Err(error) => {
                    tracing::error!("the session with the kernel failed: {error}");
                    Event::Failed
                }
            };
            // Fails if the mount is ending anyway.
            let _ = ended.send(event);
        };
        let thread = thread::Builder::new().name("vm0fs-session".into());
        thread.spawn(serve).map_err(Error::no_thread)?;
        tracing::info!("mounted at {}", mountpoint.display());
        Ok(Self {
            mountpoint,
            entry,
            tree,
            pending,
            warnings,
            is_over: false,
            events,
            happens,
        })
    }

    /// Waits for a signal or an unmount, and ends in order.
    fn serve(mut self, signals: Signals) {
        let signalled = self.events.clone();
        let listen = move || {
            while let Ok(signal) = signals.wait() {
                if signalled.send(Event::Signal(signal)).is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("vm0fs-signals".into());
        if let Err(error) = thread.spawn(listen) {
            tracing::error!("signals are not heard, only `vm0fs unmount` ends this: {error}");
        }
        match self.happens.recv() {
            Ok(Event::Signal(signal)) => {
                tracing::info!("{signal}: unmounting {}", self.mountpoint.display());
                // Requests that wait for the network would keep it busy.
                self.pending.stop();
                self.unmount();
                // What is not over by then ends with the process.
                let _ = self.happens.recv_timeout(SESSION_END);
            }
            Ok(Event::Failed) => self.unmount(),
            Ok(Event::Ended) | Err(_) => {}
        }
        self.is_over = true;
        self.tree.flush_shared(SHARING_END);
        tracing::info!("unmounted");
    }

    fn unmount(&self) {
        let path = self.mountpoint.as_path();
        match proc::mount_at(path) {
            Ok(Some(found)) if self.entry.as_ref() == Some(&found) => {}
            // It was detached before: a mount there now belongs to another process.
            Ok(_) => return,
            Err(error) => return tracing::error!("{error}"),
        }
        let Err(error) = unmount::unmount(path, false, |_| ()) else {
            return;
        };
        tracing::warn!("{error}");
        // The user asked for the end: programs that use it get an error, no hang.
        if let Err(error) = unmount::unmount(path, true, |_| ()) {
            tracing::error!("{error}");
        }
    }
}

impl Drop for Mounted {
    /// An error or a panic of this thread that ends the process must not leave a dead
    /// mount behind.
    fn drop(&mut self) {
        self.pending.stop();
        if !self.is_over {
            self.unmount();
        }
    }
}

/// Serves a session to its end, and never unmounts: fuser 0.18 would, by the
/// path, also where another process has done so long before (it takes POLLERR of the
/// device for a living mount), and so take away a newer mount.
fn serve_session(session: Session<Fs>) -> std::io::Result<()> {
    let mut session = session.spawn()?;
    let nothing = thread::Builder::new().spawn(|| Ok(()))?;
    let guard = mem::replace(&mut session.guard, nothing);
    // With it goes fuser's wish to unmount. The device stays open until the
    // process ends, which is soon after the session has.
    mem::forget(session);
    guard
        .join()
        .unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")))
}

/// Asks the API for its agents: whether it knows the token, and the first
/// listing that a user will want. Returns warnings.
fn greet(tree: &Arc<Tree>, pending: &PendingRequests) -> Result<Vec<String>> {
    let (done, wait) = mpsc::channel();
    // Fails if it comes too late.
    let waiter = move |_| done.send(()).unwrap_or_default();
    pending.wait(FetchKey::agents(), Instant::now(), Box::new(waiter));
    if wait.recv_timeout(GREETING).is_err() {
        return Ok(vec![format!(
            "the API has not answered within {} s; mounted all the same, see .vm0fs/errors",
            GREETING.as_secs()
        )]);
    }
    match tree.last_failure(&FetchKey::agents()) {
        None => Ok(Vec::new()),
        // Answers of an earlier mount show that it was the right server then.
        Some(error @ Error::NotV1 { .. }) if !tree.knows_agents() => {
            Err(Error::Setup(error.to_string()))
        }
        Some(error) if matches!(error.status(), Some(401 | 403)) => Err(Error::Setup(format!(
            "the API refuses the token: {error}\nLog in again with `vm0 auth login`, or set \
             VM0_API_KEY or --token-file to a valid token"
        ))),
        Some(error) => Ok(vec![format!(
            "{error}; mounted all the same, see .vm0fs/errors"
        )]),
    }
}

/// Says what to do about a cache that cannot be used.
fn cache_error(error: Error) -> Error {
    match error {
        // It says so already.
        Error::NoSpace(_) => error,
        _ => Error::Setup(format!(
            "the cache cannot be used: {error}; name a folder of yours with --cache-dir"
        )),
    }
}

fn open_session(fs: Fs, mountpoint: &Path, allow_other: bool) -> Result<Session<Fs>> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::FSName(SUBTYPE.into()),
        // fuser tells its own `Subtype` to fusermount only, and a mount of root
        // would be of type `fuse`, which `updatedb` cannot be told to leave out.
        MountOption::CUSTOM(format!("subtype={SUBTYPE}")),
    ];
    config.acl = match allow_other {
        true => SessionACL::All,
        false => SessionACL::Owner,
    };
    config.n_threads = Some(session_threads());
    config.clone_fd = true;
    Session::new(fs, mountpoint, &config)
        .map_err(|error| mount_error(mountpoint, allow_other, &error))
}

/// Says what to do about the usual reasons why a mount fails.
fn mount_error(mountpoint: &Path, allow_other: bool, error: &std::io::Error) -> Error {
    let advice = if !Path::new("/dev/fuse").exists() {
        "; /dev/fuse is missing: load the kernel module with `modprobe fuse`, or give the \
         container --device /dev/fuse"
    } else if error.kind() == std::io::ErrorKind::NotFound {
        "; an ordinary user needs fusermount3: install the package fuse3"
    } else if allow_other && !Uid::effective().is_root() {
        "; --allow-other needs the line user_allow_other in /etc/fuse.conf"
    } else {
        "; see that /dev/fuse may be opened, the package fuse3 is installed and the folder is yours"
    };
    Error::Setup(format!(
        "cannot mount at {}: {error}{advice}",
        mountpoint.display()
    ))
}
