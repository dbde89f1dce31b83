//! The tree that settings describe, and its first words with the service.

use crate::{
    api::Client,
    config::{self, Crawlers, LEAST_FREE, Settings},
    error::{Error, Result},
    handover::Handover,
    humanize::size,
    pending::PendingRequests,
    shared::SharedCache,
    store::{AnswerStore, Inventory, Limits, Store, StoreConfig},
    supervision::{API_WARNING, Supervision},
    threads,
    tree::{FetchKey, Tree, TreeOptions},
};
use jiff::Timestamp;
use std::{
    sync::{
        Arc,
        mpsc::{self, SendError},
    },
    time::{Duration, Instant},
};

/// How long the command waits for the API to accept the token. Longer, and a
/// network that swallows packets would make every mount slow.
const GREETING: Duration = Duration::from_secs(5);

/// How long it then waits to hear whether the shared cache answers.
pub(super) const SHARED: Duration = Duration::from_millis(500);

/// The share of the cache that holds answers of the API, and its maximum in bytes:
/// listings, details and logs of ended runs are small beside archives.
const ANSWERS_SHARE: u64 = 10;
const MOST_ANSWERS: u64 = 256 << 20;

/// What a tree goes on from.
pub(super) struct Origin {
    /// When the mount was made.
    pub(super) mounted_at: Timestamp,
    /// What the workers before have left.
    pub(super) handover: Arc<Handover>,
    /// What is known of the supervisor.
    pub(super) supervision: Arc<Supervision>,
}

impl Origin {
    /// A mount that no worker has served before.
    ///
    /// # Errors
    /// Where there is no memory.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            mounted_at: Timestamp::now(),
            handover: Arc::new(Handover::new()?),
            supervision: Arc::default(),
        })
    }
}

/// The tree that settings describe, and where requests to it wait: all of a
/// mount but the kernel.
///
/// # Errors
/// [`Error::Setup`] for settings that cannot be used.
pub fn open(settings: &Settings) -> Result<(Arc<Tree>, Arc<PendingRequests>)> {
    open_from(settings, &Origin::new()?)
}

/// The same for a mount, of which there may have been workers before.
///
/// # Errors
/// As [`open`].
pub(super) fn open_from(
    settings: &Settings,
    origin: &Origin,
) -> Result<(Arc<Tree>, Arc<PendingRequests>)> {
    let client = Client::new(settings.client_config())?;
    let (versions, answers) = ceilings(settings);
    let account = format!("{} {:x?}", client.origin(), settings.token.fingerprint());
    let shared = match &settings.shared_cache {
        Some((shared, key)) if !settings.options.offline => {
            Some(Arc::new(SharedCache::open(&shared.access, key)?))
        }
        _ => None,
    };
    let store = Store::open(StoreConfig {
        dir: settings.cache_dir.clone(),
        ceiling: versions,
        limits: Limits::default(),
        timeout: settings.timeout,
        user_agent: config::USER_AGENT.into(),
        // The API decides where its downloads are; the client has checked
        // that. A development service on plain HTTP has such links itself.
        allow_http: settings.options.connection.allow_http || settings.api_url.scheme() == "http",
        verify: settings.options.verify.unwrap_or_default(),
    })
    .map_err(cache_error)?
    .sharing(shared.clone());
    let options = TreeOptions {
        shared,
        account: settings.account(),
        mounted_at: origin.mounted_at,
        supervision: origin.supervision.clone(),
        list_ttl: settings.list_ttl,
        external_symlinks: settings.options.allow_external_symlinks,
        offline: settings.options.offline,
        crawlers: match settings.options.crawlers.unwrap_or_default() {
            Crawlers::Deny => Some(settings.options.crawler_names.clone()),
            Crawlers::Allow => None,
        },
    };
    let shelf = AnswerStore::open(&settings.cache_dir, &account, answers)?;
    let tree = Arc::new(Tree::new(
        client,
        store,
        shelf,
        options,
        origin.handover.clone(),
    ));
    let pending = Arc::new(PendingRequests::new(tree.clone(), settings.timeout));
    Ok((tree, pending))
}

/// Bytes of versions and of answers at most.
fn ceilings(settings: &Settings) -> (u64, u64) {
    // Answers take their share of the cache, so that its size holds for both.
    let answers = (settings.cache_size / ANSWERS_SHARE).min(MOST_ANSWERS);
    let versions = settings.cache_size - answers;
    if settings.options.cache_size.is_some() || settings.cache_size == config::DEFAULT_CACHE_SIZE {
        return (versions, answers);
    }
    // Where it cannot be read, opening it says why.
    let held = Inventory::open(&settings.cache_dir, versions)
        .and_then(|cache| cache.map(|cache| cache.held()).transpose())
        .ok()
        .flatten()
        .unwrap_or_default();
    (
        config::size_beside(versions, true, held.versions),
        config::size_beside(answers, true, held.answers.min(MOST_ANSWERS)),
    )
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

/// Looks whether the shared cache answers, beside what else is asked; the warning comes by
/// the channel if it does not.
pub(super) fn look_at_shared(tree: &Tree) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel();
    if let Some(shared) = tree.shared().cloned() {
        let look = move || {
            if let Err(error) = shared.reach() {
                let text = "mounted all the same, and the service is asked instead";
                let warning = format!("{error}; {text}");
                // The command waits no longer for one that swallows packets.
                if let Err(SendError(late)) = tell.send(warning) {
                    tracing::warn!("{late}");
                }
            }
        };
        // Without a thread there is no warning.
        let _ = threads::start("vm0fs-shared", look);
    }
    told
}

/// Warns where the disk of the cache is too full to show content.
pub(super) fn full_disk(settings: &Settings) -> Option<String> {
    let free = config::free_space(&settings.cache_dir)?;
    // A size that a user has given may be in use already.
    let is_full = settings.options.cache_size.is_none() && free < LEAST_FREE;
    is_full.then(|| {
        format!(
            "the disk at {} is full ({} free): content of artifacts and volumes may not be \
             readable; free some space there, or mount with a folder on another disk \
             (--cache-dir)",
            settings.cache_dir.display(),
            size(free)
        )
    })
}

/// Asks the API for its agents: whether it knows the token, and the first
/// listing that a user will want. Returns warnings.
pub(super) fn greet(tree: &Arc<Tree>, pending: &PendingRequests) -> Result<Vec<String>> {
    let (done, wait) = mpsc::channel();
    // Fails if it comes too late.
    let waiter = move |_| done.send(()).unwrap_or_default();
    pending.wait(FetchKey::agents(), Instant::now(), Box::new(waiter));
    if wait.recv_timeout(GREETING).is_err() {
        return Ok(vec![format!(
            "the API has not answered within {} s; {API_WARNING}",
            GREETING.as_secs()
        )]);
    }
    match tree.last_failure(&FetchKey::agents()) {
        None => Ok(Vec::new()),
        // Answers of an earlier mount show that it was the right server then.
        Some(error @ Error::NotV1 { .. }) if !tree.knows_agents() => {
            Err(Error::Setup(error.to_string()))
        }
        Some(error) if matches!(error.status(), Some(401 | 403)) => {
            Err(Error::Setup(format!("the API refuses the token: {error}")))
        }
        Some(error) => Ok(vec![format!("{error}; {API_WARNING} and `vm0fs doctor`")]),
    }
}
