//! Programs that read everything they find: indexers and makers of thumbnails.
//! They may list names and read what is on disk, and join a download that is
//! under way; by default they start none.

use super::{Tree, Want};
use crate::{
    error::{Error, Result},
    text::one_line,
};
use lru::LruCache;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What the kernel keeps of a program's name (`TASK_COMM_LEN` without its NUL).
const COMM: usize = 15;

/// The names of their programs. `find` and `kioworker` are not among them:
/// users' own copies and searches go by the same names.
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

/// Refusals whose telling is remembered, by program and version: of more, one
/// is told again.
const TOLD: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Programs whose refusals are counted: who runs them chooses their names.
const COUNTED: usize = 64;

/// Who makes a request, as far as `/proc` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The process's id.
    pub pid: u32,
    /// Its name, which the kernel cuts to 15 bytes.
    pub comm: Option<String>,
    /// The name of the program's file, where one may know it: that of the
    /// interpreter for a script.
    pub program: Option<String>,
}

impl Asker {
    fn goes_by(&self, name: &str) -> bool {
        // Wherever the cut falls, so bytes are compared.
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

/// What has been refused.
pub(crate) struct Refusals(Mutex<State>);

struct State {
    counts: BTreeMap<String, u64>,
    told: LruCache<(String, Want), ()>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(State {
            counts: BTreeMap::new(),
            told: LruCache::new(TOLD),
        }))
    }
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a refusal; whether it is the first of that version to be told.
    fn count(&self, name: &str, want: &Want) -> bool {
        let mut state = self.lock();
        let name = match state.counts.contains_key(name) || state.counts.len() < COUNTED {
            true => name,
            false => "others",
        };
        *state.counts.entry(name.to_owned()).or_default() += 1;
        state
            .told
            .put((name.to_owned(), want.clone()), ())
            .is_none()
    }

    /// Requests refused, by program.
    pub(super) fn counts(&self) -> Map<String, Value> {
        let state = self.lock();
        let counts = state.counts.iter();
        counts
            .map(|(name, n)| (name.clone(), (*n).into()))
            .collect()
    }
}

impl Tree {
    /// Decides whether a request may have `want` brought. Only a download that
    /// is still to be started has a question in it, and `asker` is called then:
    /// to look a process up costs more than most answers.
    ///
    /// # Errors
    /// [`Error::Denied`] for a crawler.
    pub fn permit(&self, want: &Want, asker: impl FnOnce() -> Asker) -> Result<()> {
        let Want::Content(kind, id, version) = want else {
            return Ok(());
        };
        let key = self.version_key(*kind, id, version);
        if self.store.growing(&key).is_some() {
            return Ok(());
        }
        let asker = asker();
        let (name, pid) = (asker.name(), asker.pid);
        let crawls = |own: &Vec<String>| {
            let mut names = KNOWN.into_iter().chain(own.iter().map(String::as_str));
            names.any(|name| asker.goes_by(name))
        };
        if !self.options.crawlers.as_ref().is_some_and(crawls) {
            tracing::info!("{name} (pid {pid}) asks for {want}");
            return Ok(());
        }
        let error = Error::Denied(format!(
            "refused to {name} (pid {pid}): indexers do not start downloads; \
             --crawlers allow changes that"
        ));
        if self.refusals.count(&name, want) {
            // Each program has a line of its own.
            self.journal.note(&format!("{want} for {name}"), &error);
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(comm: &str, program: Option<&str>) -> Asker {
        Asker {
            pid: 7,
            comm: Some(comm.to_owned()),
            program: program.map(str::to_owned),
        }
    }

    #[test]
    fn names_as_the_kernel_cuts_them() {
        assert!(asker("tracker-extract", None).goes_by("tracker-extract-3"));
        assert!(asker("tumblerd", None).goes_by("tumblerd"));
        assert!(asker("renamed", Some("tracker-extract-3")).goes_by("tracker-extract-3"));
        for (own, name) in [
            ("cat", "updatedb"),
            ("updatedb", "updatedb.plocate"),
            ("tracker-extract-3", "tracker-extract-3"),
            ("", ""),
            // Cut within a character.
            ("abc", "abcdefghijklmné"),
        ] {
            assert!(!asker(own, Some("cat")).goes_by(name), "{own} {name}");
        }
        assert!(!Asker::default().goes_by("updatedb"));
    }

    #[test]
    fn counts_and_telling_are_bounded() {
        let refusals = Refusals::default();
        let want = Want::Agents;
        assert!(refusals.count("a", &want));
        assert!(!refusals.count("a", &want));
        assert!(refusals.count("a", &Want::Runs));
        for n in 0..1000 {
            refusals.count(&format!("x{n}"), &want);
        }
        let counts = refusals.counts();
        assert_eq!(counts.len(), COUNTED + 1);
        assert_eq!(counts["a"], 3);
        assert_eq!(counts["others"], 1000 - (COUNTED as u64 - 1));
    }
}
