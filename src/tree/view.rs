//! The tree, and the view of it that one request has.

use crate::{
    api::{Client, types::Run},
    error::Error,
    handover::Handover,
    shared::SharedCache,
    store::{AnswerStore, Store, Usage, Version},
    supervision::{Seen, Supervision},
    tree::{
        activity::Activity,
        answers::{Agents, Answers, FailureLog, Listing, Sharing},
        cache::Cache,
        content::{Content, UnderWay},
        crawlers::Crawlers,
        fetch_key::{Answer, FetchKey, Fetchable, Pool},
        live::Live,
        node::{
            Form, MetaFile, Node, VersionId,
            inodes::{Exceptions, Inodes},
        },
        orders::Orders,
    },
};
use jiff::Timestamp;
use std::{
    cell::RefCell,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// Tables that are held, and the bytes of all of them.
const TABLES: (usize, usize) = (64, 16 << 20);
/// The same for the files in which the mount shows itself.
const PAGES: (usize, usize) = (8, usize::MAX);

/// The name on disk of the inode numbers that are not the ones drawn for their nodes.
const NUMBERS: &str = "inode numbers";

/// How the tree behaves, as the user chooses.
#[derive(Clone)]
pub struct TreeOptions {
    /// How long listings and live objects are fresh.
    pub list_ttl: Duration,
    /// Show symlinks that lead out of their version as they are.
    pub external_symlinks: bool,
    /// Never use the network.
    pub offline: bool,
    /// What the machines of a fleet share.
    pub shared: Option<Arc<SharedCache>>,
    /// What the service's origin and the token are known by, without the secret.
    pub account: String,
    /// When the mount was made.
    pub mounted_at: Timestamp,
    /// What is known of the supervisor.
    pub supervision: Arc<Supervision>,
    /// Names of programs that may start no downloads, beside the known indexers; `None`
    /// where every program may.
    pub crawlers: Option<Vec<String>>,
}

/// A file in which the mount shows itself, with the time it was written.
pub(super) type Page = (Timestamp, Arc<[u8]>);

/// A table of runs as it was made last.
pub(super) struct Table {
    pub(super) bytes: Arc<[u8]>,
    /// When a run in it last changed, if there is any.
    pub(super) changed: Option<Timestamp>,
    /// What it was made of: a listing, and so many answers on single runs and on agents.
    pub(super) listing: Weak<Listing<Run>>,
    pub(super) answers: u64,
}

/// The whole file system, without a kernel.
pub struct Tree {
    pub(super) answers: Answers,
    pub(super) content: Content,
    pub(super) orders: Orders,
    pub(super) crawlers: Crawlers,
    pub(super) activity: Activity,
    pub(super) live: Live,
    pub(super) inodes: Inodes,
    handover: Arc<Handover>,
    /// The answers on disk, and the numbers of inodes beside them.
    pub(super) answer_store: Arc<AnswerStore>,
    pub(super) pages: Cache<MetaFile, Page>,
    /// Tables of all runs and of agents' runs.
    pub(super) tables: Cache<(Option<Arc<str>>, Form), Table>,
    pub(super) external_symlinks: bool,
    pub(super) shared: Option<Arc<SharedCache>>,
    pub(super) account: String,
    pub(super) started: Timestamp,
    pub(super) supervision: Arc<Supervision>,
}

impl Tree {
    /// A tree that has asked for nothing yet. What the kernel and processes hold of an
    /// earlier one that left the handover means the same in this.
    pub fn new(
        api: Client,
        store: Store,
        answer_store: AnswerStore,
        options: TreeOptions,
        handover: Arc<Handover>,
    ) -> Self {
        let answer_store = Arc::new(answer_store);
        let live = Live::new(Pool::STREAMS, handover.clone());
        let failures = FailureLog::new(handover.clone());
        let left = live.left_numbers().into_iter();
        handover.free_all_but(left.chain(failures.left_number()));
        let origin = api.origin().into();
        let content = Content::new(store, origin);
        content.measure(&answer_store);
        let shared = options.shared;
        let sharing = Sharing::new(shared.clone(), api.origin());
        let (list_ttl, offline) = (options.list_ttl, options.offline);
        let answers = Answers::new(
            api,
            answer_store.clone(),
            sharing,
            list_ttl,
            offline,
            failures,
        );
        let (orders, unknown) = Orders::new(handover.clone());
        for (control, error) in unknown {
            answers.failures().note(&control.to_string(), &error);
        }
        Self {
            answers,
            content,
            orders,
            crawlers: Crawlers::new(options.crawlers),
            activity: Activity::default(),
            live,
            inodes: Inodes::new(numbers(&answer_store), handover.clone()),
            handover,
            answer_store,
            pages: Cache::new(PAGES),
            tables: Cache::new(TABLES),
            external_symlinks: options.external_symlinks,
            shared,
            account: options.account,
            started: options.mounted_at,
            supervision: options.supervision,
        }
    }

    /// What the next worker takes over.
    pub(crate) fn handover(&self) -> &Arc<Handover> {
        &self.handover
    }

    /// The downloads that run.
    pub fn downloads(&self) -> Vec<UnderWay> {
        let answers = &self.answers;
        let name = |version: &VersionId| answers.name_of(version.kind, &version.storage);
        self.content.under_way(name)
    }

    /// Who uses the mount now.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Notes what a supervisor has told, so that `.vm0fs/status.json` has it at once: a
    /// command may wait for it.
    pub fn note_supervision(&self, change: impl FnOnce(&mut Seen)) {
        self.supervision.note(change);
        let now = Instant::now();
        self.pages.expire(&MetaFile::Status, now, Duration::ZERO);
    }

    /// Writes nothing more to the cache.
    pub fn close(&self) {
        self.save_numbers();
        self.answer_store.close();
    }

    /// The cache that the machines of a fleet share, where there is one.
    pub fn shared(&self) -> Option<&Arc<SharedCache>> {
        self.shared.as_ref()
    }

    /// Tells since when the API does not answer, where that is so. It holds nothing of the
    /// tree: a thread with descriptors of its own must not be the one that drops it.
    pub fn outage_watch(&self) -> impl Fn() -> Option<Timestamp> + Send + use<> {
        self.answers.service().outage_watch()
    }

    /// Waits until the fleet has what this mount shares, for so long at the most.
    pub fn flush_shared(&self, limit: Duration) {
        if let Some(shared) = &self.shared
            && !shared.flush(limit)
        {
            tracing::info!("not all that was to be shared has been written in time");
        }
    }

    /// Whether a download is under way that another process could only begin anew.
    pub fn begins_anew(&self) -> bool {
        self.content.begins_anew()
    }

    /// Forgets most of what it holds in memory and can have again.
    pub fn shed_memory(&self) {
        self.tables.shed();
        self.answers.shed();
    }

    /// Whether a list of agents is known, if only from an earlier mount.
    pub fn knows_agents(&self) -> bool {
        self.answers.of::<Agents>().last(&()).is_some()
    }

    /// Writes to disk the inode numbers that the next mount would not draw again.
    pub(super) fn save_numbers(&self) {
        if !self.inodes.is_unsaved() {
            return;
        }
        // Another mount may have written some of its own meanwhile.
        let mut all = numbers(&self.answer_store);
        all.extend(self.inodes.save());
        if let Ok(content) = serde_json::to_vec(&all) {
            self.answer_store.put(NUMBERS, &content);
        }
    }

    /// The inode numbers of the files before and after one in its version's archive,
    /// where both are possible; there need not be such files.
    pub fn inodes_around(&self, ino: u64) -> Option<(u64, u64)> {
        self.inodes.around(ino)
    }

    /// The tree for a request that arrived at `since`: an answer that was asked for
    /// after that is fresh enough for it.
    pub fn at(&self, since: Instant) -> View<'_> {
        View {
            tree: self,
            since,
            any_age: false,
            wishes: RefCell::default(),
            sealed: RefCell::default(),
        }
    }
}

/// The inode numbers that earlier mounts of this cache gave instead of those drawn.
fn numbers(answer_store: &AnswerStore) -> Exceptions {
    let content = answer_store.get(NUMBERS);
    let numbers = content.and_then(|content| serde_json::from_slice(&content).ok());
    numbers.unwrap_or_default()
}

/// The operations, for one request.
pub struct View<'a> {
    pub(super) tree: &'a Tree,
    pub(super) since: Instant,
    /// Whether answers of any age will do, as for attributes in a listing.
    pub(super) any_age: bool,
    /// What is to be fetched although the operation does not wait for it.
    wishes: RefCell<Vec<FetchKey>>,
    /// The sealed version that the operation last looked into.
    sealed: RefCell<Option<Arc<Version>>>,
}

impl View<'_> {
    /// The same view, to which answers of any age are good enough.
    pub(super) fn in_passing(&self) -> View<'_> {
        View {
            any_age: true,
            ..self.tree.at(self.since)
        }
    }

    /// Takes what is to be fetched although the operation does not wait for it.
    pub fn take_wishes(&self) -> Vec<FetchKey> {
        self.wishes.take()
    }

    /// Has something fetched without waiting for it.
    pub(super) fn wish(&self, key: FetchKey) {
        self.wishes.borrow_mut().push(key);
    }

    /// Notes the sealed version that the operation looks into.
    pub(super) fn note_sealed(&self, version: &Arc<Version>) {
        *self.sealed.borrow_mut() = Some(version.clone());
    }

    /// Whether the operation met a damaged part of a version's index, so that what it
    /// did not find may exist. Run again, it does not find that version any more.
    pub fn met_damage(&self) -> bool {
        let sealed = self.sealed.borrow();
        sealed
            .as_ref()
            .is_some_and(|version| version.index().is_damaged())
    }

    /// How full the cache is, for `statfs`, as last measured: measuring reads the disk
    /// and can wait for another mount that shares the cache, so it is done for the
    /// next call.
    pub fn usage(&self) -> Usage {
        let (usage, is_old) = self.tree.content.usage();
        if is_old {
            self.wish(FetchKey(Fetchable::Usage));
        }
        usage
    }

    pub(super) fn ino(&self, node: &Node) -> u64 {
        node.ino(&self.tree.inodes)
    }

    pub(super) fn node(&self, ino: u64) -> Answer<Node> {
        Ok(Node::of(ino, &self.tree.inodes).ok_or(Error::Stale)?)
    }
}
