//! Programs that read everything they find: indexers and makers of thumbnails.
//! They may list names, read what is on disk and join a running download; by default
//! they start no download.
//!
//! File managers count the items of each folder that they show: they ask for every
//! run, or for all versions, when a user looks at the list. Requests within a second
//! of a listing are refused as item counting; a user who opens a folder comes later.

use crate::{
    error::{Error, Result},
    sync::Mutex,
    text::one_line,
    tree::{answers::FailureLog, fetch_key::FetchKey, node::Node},
};
use lru::LruCache;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// Bytes that the kernel keeps of a program's name (`TASK_COMM_LEN` without its NUL).
const COMM: usize = 15;

/// The names of such programs. `find` and `kioworker` are not among them: a user's
/// own searches and copies have the same names.
const KNOWN: [&str; 31] = [
    // locate: mlocate, plocate, and the links to them.
    "updatedb",
    "updatedb.mlocate",
    "updatedb.plocate",
    // GNOME: Tracker, and LocalSearch as it is called since version 3.8.
    "tracker-miner-fs",
    "tracker-miner-fs-3",
    "tracker-extract",
    "tracker-extract-3",
    "localsearch",
    "localsearch-3",
    "localsearch-extractor-3",
    "zeitgeist-datahub",
    // KDE.
    "baloo_file",
    "baloo_file_extractor",
    "baloo_filemetadata_temp_extractor",
    "baloorunner",
    // Of no desktop.
    "recollindex",
    "beagled",
    "strigidaemon",
    "docfetcher-daemon",
    // Thumbnails: Xfce's service, and what file managers start for a file.
    "tumblerd",
    "ffmpegthumbnailer",
    "totem-video-thumbnailer",
    "gst-video-thumbnailer",
    "gdk-pixbuf-thumbnailer",
    "glycin-thumbnailer",
    "gnome-thumbnail-font",
    "gsf-office-thumbnailer",
    "evince-thumbnailer",
    "papers-thumbnailer",
    "atril-thumbnailer",
    "xreader-thumbnailer",
];

/// File managers that count the items of folders on all file systems except network
/// file systems, which they know by name.
const COUNTING: [&str; 5] = ["nautilus", "nemo", "caja", "dolphin", "io.elementary.files"];

/// A request of a file manager this soon after a listing, or after its last refused
/// request, is item counting: no user clicks so fast.
const COUNTS_WITHIN: Duration = Duration::from_secs(1);

/// Lists whose reading is remembered: a user looks at fewer within that time.
const LISTED: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// Lines of the log that are remembered, so that none is written twice: refusals by program
/// and version or list, and downloads by process and version.
const TOLD: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// A process that goes on asking for a version has one line of the log, until it has not
/// asked for so long.
const ASKS_WITHIN: Duration = Duration::from_secs(600);

/// Programs whose refusals are counted by name: users choose the names of programs,
/// so there may be any number.
const COUNTED: usize = 64;

/// The process that makes a request, as far as `/proc` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The process's id.
    pub pid: u32,
    /// Its name, which the kernel cuts to 15 bytes.
    pub comm: Option<String>,
    /// The name of the program's file, where this process may read it; for a script
    /// that of the interpreter.
    pub program: Option<String>,
}

impl Caller {
    fn goes_by(&self, name: &str) -> bool {
        // The kernel may cut within a character, so bytes are compared.
        let cut = &name.as_bytes()[..name.len().min(COMM)];
        let comm = self.comm.as_ref().map(String::as_bytes);
        !name.is_empty() && (comm == Some(cut) || self.program.as_deref() == Some(name))
    }

    /// Its name, fit for a message.
    fn name(&self) -> String {
        match &self.comm {
            Some(name) => one_line(name, COMM),
            None => "a process".into(),
        }
    }
}

/// What crawlers may have fetched, and what they were refused.
pub(crate) struct Crawlers {
    /// Names of programs that start no downloads, beside those that are known
    /// as indexers; `None` where every program may.
    own: Option<Vec<String>>,
    state: Mutex<State>,
}

struct State {
    counts: BTreeMap<String, u64>,
    told: LruCache<(String, String), ()>,
    /// When each process has last asked for a version.
    asked: LruCache<(u32, String, String), Instant>,
    listed: LruCache<Node, Instant>,
}

impl Crawlers {
    pub(super) fn new(own: Option<Vec<String>>) -> Self {
        Self {
            own,
            state: Mutex::new(State {
                counts: BTreeMap::new(),
                told: LruCache::new(TOLD),
                asked: LruCache::new(TOLD),
                listed: LruCache::new(LISTED),
            }),
        }
    }

    /// The value of `--crawlers` that this is.
    pub(super) fn policy(&self) -> &'static str {
        match self.own {
            Some(_) => "deny",
            None => "allow",
        }
    }

    /// Decides whether a request may have `key` fetched. `caller` is called only where
    /// the decision depends on it, since looking a process up costs more than most
    /// answers: for a fetch that starts a download, and shortly after a listing.
    ///
    /// # Errors
    /// [`Error::Denied`] for a crawler.
    pub(super) fn permit(
        &self,
        key: &FetchKey,
        starts_download: bool,
        caller: impl FnOnce() -> Caller,
        failures: &FailureLog,
    ) -> Result<()> {
        let Some(folder) = key.folder() else {
            return Ok(());
        };
        let own = self.own.as_deref();
        let was_just_listed = own.is_some() && self.was_just_listed(&folder);
        if !starts_download && !was_just_listed {
            return Ok(());
        }
        let caller = caller();
        let (name, pid) = (caller.name(), caller.pid);
        let goes_by = |names: &[&str]| names.iter().any(|name| caller.goes_by(name));
        let is_own = |own: &[String]| own.iter().any(|name| caller.goes_by(name));
        let crawls = own.is_some_and(|own| goes_by(&KNOWN) || is_own(own));
        let (what, why) = if starts_download && crawls {
            (key.to_string(), "indexers do not start downloads")
        } else if was_just_listed && goes_by(&COUNTING) {
            // The file manager counts folder after folder, for as long as that takes.
            self.note_listing(&folder);
            let what = format!("what is in each of {}", path(&folder));
            (what, "it is not counted before a user opens it")
        } else {
            if starts_download && self.asks_anew((pid, name.clone(), key.to_string())) {
                tracing::info!("{name} (pid {pid}) asks for {key}");
            }
            return Ok(());
        };
        let error = Error::Denied(format!(
            "refused to {name} (pid {pid}): {why}; --crawlers allow changes that"
        ));
        if self.count(&name, &what) {
            // Each program has a line of its own.
            failures.note(&format!("{what} for {name}"), &error);
        }
        Err(error)
    }

    /// Notes that a process has just read a list, or counts its items.
    pub(super) fn note_listing(&self, list: &Node) {
        self.state.lock().listed.put(list.clone(), Instant::now());
    }

    fn was_just_listed(&self, list: &Node) -> bool {
        let mut state = self.state.lock();
        let listed = state.listed.get(list);
        listed.is_some_and(|listed| listed.elapsed() < COUNTS_WITHIN)
    }

    /// Counts a refusal. Whether it is to be reported: the first of `what` is.
    fn count(&self, name: &str, what: &str) -> bool {
        let mut state = self.state.lock();
        let name = match state.counts.contains_key(name) || state.counts.len() < COUNTED {
            true => name,
            false => "others",
        };
        *state.counts.entry(name.to_owned()).or_default() += 1;
        let told = (name.to_owned(), what.to_owned());
        state.told.put(told, ()).is_none()
    }

    /// Notes that a process has a version downloaded. Whether it has not for a while: a
    /// process that reads content in parts asks for each of them.
    fn asks_anew(&self, asked: (u32, String, String)) -> bool {
        let now = Instant::now();
        let last = self.state.lock().asked.put(asked, now);
        last.is_none_or(|last| now - last > ASKS_WITHIN)
    }

    /// Requests refused, by program.
    pub(super) fn counts(&self) -> Map<String, Value> {
        let state = self.state.lock();
        let counts = state.counts.iter();
        counts
            .map(|(name, n)| (name.clone(), (*n).into()))
            .collect()
    }
}

/// A folder of many objects as a path.
fn path(folder: &Node) -> String {
    match folder {
        Node::Agents => "agents".into(),
        Node::Storages(kind) => kind.plural().into(),
        Node::Storage(kind, id) => format!("{}/{id}", kind.plural()),
        _ => "runs".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(comm: &str, program: Option<&str>) -> Caller {
        Caller {
            pid: 7,
            comm: Some(comm.to_owned()),
            program: program.map(str::to_owned),
        }
    }

    #[test]
    fn programs_are_known_by_names_that_the_kernel_has_cut() {
        assert!(caller("tracker-extract", None).goes_by("tracker-extract-3"));
        assert!(caller("tumblerd", None).goes_by("tumblerd"));
        assert!(caller("renamed", Some("tracker-extract-3")).goes_by("tracker-extract-3"));
        for (own, name) in [
            ("cat", "updatedb"),
            ("updatedb", "updatedb.plocate"),
            ("tracker-extract-3", "tracker-extract-3"),
            ("", ""),
            // Cut within a character.
            ("abc", "abcdefghijklmné"),
        ] {
            assert!(!caller(own, Some("cat")).goes_by(name), "{own} {name}");
        }
        assert!(!Caller::default().goes_by("updatedb"));
    }

    #[test]
    fn counted_and_reported_refusals_are_bounded() {
        let crawlers = Crawlers::new(None);
        assert!(crawlers.count("a", "one"));
        assert!(!crawlers.count("a", "one"));
        assert!(crawlers.count("a", "two"));
        for n in 0..1000 {
            crawlers.count(&format!("x{n}"), "one");
        }
        let counts = crawlers.counts();
        assert_eq!(counts.len(), COUNTED + 1);
        assert_eq!(counts["a"], 3);
        assert_eq!(counts["others"], 1000 - (COUNTED as u64 - 1));
    }

    #[test]
    fn a_process_that_goes_on_asking_has_one_line_for_ten_minutes() {
        let crawlers = Crawlers::new(None);
        let asked = |pid| (pid, "cat".to_owned(), "files of a version".to_owned());
        assert!(crawlers.asks_anew(asked(7)));
        assert!(!crawlers.asks_anew(asked(7)));
        assert!(crawlers.asks_anew(asked(8)));
        let long_ago = Instant::now().checked_sub(2 * ASKS_WITHIN).unwrap();
        crawlers.state.lock().asked.put(asked(7), long_ago);
        assert!(crawlers.asks_anew(asked(7)));
    }

    #[test]
    fn a_listing_is_remembered_for_a_second() {
        let crawlers = Crawlers::new(None);
        assert!(!crawlers.was_just_listed(&Node::Runs));
        crawlers.note_listing(&Node::Runs);
        assert!(crawlers.was_just_listed(&Node::Runs));
        assert!(!crawlers.was_just_listed(&Node::Agents));
        let before = Instant::now().checked_sub(COUNTS_WITHIN).unwrap();
        crawlers.state.lock().listed.put(Node::Runs, before);
        assert!(!crawlers.was_just_listed(&Node::Runs));
    }
}
