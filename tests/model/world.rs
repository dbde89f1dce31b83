//! What the service holds, as the model has it: versions, runs, and what was
//! true when.

use super::{
    large,
    trees::{self, Tree},
};
use crate::support::{Bench, seeds::Random};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use vm0fs::demo::{Agent, Kind, Run, VersionSpec, World};

/// How long the mounts here take a listing for true.
pub(super) const LIST_TTL: &str = "500ms";

/// What was true longer ago is not to be shown on a good wire: the TTL, and
/// what a busy machine takes to answer.
const LAG: Duration = Duration::from_secs(4);

/// What something was, and since when.
pub(super) struct Story<T>(Vec<(Instant, T)>);

impl<T: PartialEq> Story<T> {
    fn new(value: T) -> Self {
        Self(vec![(Instant::now(), value)])
    }

    fn becomes(&mut self, value: T) {
        self.0.push((Instant::now(), value));
    }

    pub(super) fn now(&self) -> &T {
        &self.0.last().unwrap().1
    }

    /// Whether it was so a moment before `asked`, or at any time since.
    pub(super) fn was(&self, value: &T, asked: Instant) -> bool {
        let ends = self.0.iter().skip(1).map(|(end, _)| Some(*end));
        let mut all = self.0.iter().zip(ends.chain([None]));
        all.any(|((_, each), end)| each == value && end.is_none_or(|end| end + LAG > asked))
    }

    /// The last place of a value in the story.
    pub(super) fn place(&self, value: &T) -> Option<usize> {
        self.0.iter().rposition(|(_, each)| each == value)
    }
}

/// A volume or an artifact.
pub(super) struct Storage {
    pub(super) kind: Kind,
    pub(super) id: String,
    /// Its name, and how a path has it.
    pub(super) name: &'static str,
    pub(super) component: &'static str,
    pub(super) latest: Story<Option<String>>,
}

impl Storage {
    pub(super) fn folder(&self) -> String {
        format!("{}s/{}", self.kind.word(), self.component)
    }
}

/// A version.
pub(super) struct Version {
    pub(super) storage: usize,
    pub(super) folder: String,
    pub(super) by_id: String,
    pub(super) id: String,
    pub(super) tree: Tree,
    /// Its id is the hash of what it holds.
    pub(super) is_honest: bool,
    /// It is the one of [`large`].
    pub(super) is_large: bool,
    pub(super) message: Option<&'static str>,
    pub(super) size: u64,
    pub(super) files: u64,
    pub(super) made: Instant,
}

/// A run.
pub(super) struct ARun {
    pub(super) id: String,
    pub(super) prompt: String,
    pub(super) status: Story<&'static str>,
    /// The target of its symlink.
    pub(super) artifact: Story<Option<String>>,
}

/// All of it.
pub(super) struct Truth {
    pub(super) storages: Vec<Storage>,
    pub(super) versions: Vec<Arc<Version>>,
    pub(super) runs: Vec<ARun>,
}

/// No version of a random tree is so large.
const LARGE: u64 = 10_000_000;

pub(super) const AGENT: &str = "writer";

const STORAGES: [(Kind, &str, &str); 4] = [
    (Kind::Volume, "raw-sales", "raw-sales"),
    (Kind::Artifact, "report", "report"),
    (Kind::Volume, "a/b", "a%2Fb"),
    (Kind::Artifact, "two words \u{e9}", "two words \u{e9}"),
];

impl Truth {
    /// A small world, and the service's side of it.
    pub(super) fn new(random: &mut Random) -> (Self, World) {
        let mut world = World::empty();
        world.pace = None;
        // A life is too short to save calls.
        world.quirks.read_limit = 10_000_000;
        world.add_agent(Agent::new(AGENT, world.ago(20_000)));
        let storages = STORAGES.map(|(kind, name, component)| Storage {
            kind,
            id: world.add_storage(kind, name),
            name,
            component,
            latest: Story::new(None),
        });
        let mut truth = Self {
            storages: storages.into(),
            versions: Vec::new(),
            runs: Vec::new(),
        };
        for _ in 0..5 + random.below(6) {
            truth.add_version(random, &mut world);
        }
        for _ in 0..3 {
            truth.add_run(random, &mut world);
        }
        (truth, world)
    }

    /// A storage with a version that is larger than all others; gives its size.
    pub(super) fn add_large(&mut self, random: &mut Random, world: &mut World) -> u64 {
        let (kind, name) = (Kind::Artifact, "large");
        self.storages.push(Storage {
            kind,
            id: world.add_storage(kind, name),
            name,
            component: name,
            latest: Story::new(None),
        });
        let made = large::random(random);
        self.insert(random, world, self.storages.len() - 1, made);
        self.large().unwrap().size
    }

    pub(super) fn large(&self) -> Option<Arc<Version>> {
        let mut versions = self.versions.iter();
        versions.find(|version| version.is_large).cloned()
    }

    pub(super) fn add_version(&mut self, random: &mut Random, world: &mut World) {
        let number = random.below(self.storages.len() as u64) as usize;
        let made = trees::random(random);
        self.insert(random, world, number, made);
    }

    fn insert(
        &mut self,
        random: &mut Random,
        world: &mut World,
        number: usize,
        (tree, spec, is_honest): (Tree, VersionSpec, bool),
    ) {
        let storage = &mut self.storages[number];
        let message = *random.pick(&[None, Some("two words"), Some("a\nb")]);
        let mut spec = spec
            .created_by("agent:writer")
            .created_at(jiff::Timestamp::now());
        if let Some(message) = message {
            spec = spec.message(message);
        }
        let id = world.add_version(&storage.id, spec);
        if self.versions.iter().any(|other| other.id == id) {
            // The same again, which the service would not keep twice.
            let it = world.storages.iter_mut().find(|it| it.id == storage.id);
            it.unwrap().versions.pop();
            return;
        }
        let made = world.version(storage.kind, storage.name, &id).unwrap();
        let kind = storage.kind.word();
        let version = Version {
            storage: number,
            folder: format!("{}/{id}", storage.folder()),
            by_id: format!("{kind}s/{}/{}", storage.id, &id[..12]),
            tree,
            is_honest,
            is_large: made.size > LARGE,
            message,
            size: made.size,
            files: made.file_count,
            made: Instant::now(),
            id,
        };
        storage.latest.becomes(Some(version.id.clone()));
        self.versions.push(version.into());
    }

    pub(super) fn add_run(&mut self, random: &mut Random, world: &mut World) {
        let status = *random.pick(&["pending", "running", "completed", "failed"]);
        let prompt = format!("prompt {} \u{e9}", random.below(1_000));
        let now = jiff::Timestamp::now();
        let id = world.add_run(Run::new(AGENT, now).status(status).prompt(&*prompt));
        self.runs.push(ARun {
            id,
            prompt,
            status: Story::new(status),
            artifact: Story::new(None),
        });
    }

    /// A run goes on.
    pub(super) fn change_run(&mut self, random: &mut Random, bench: &Bench, number: usize) {
        let mut world = bench.server.world();
        let run = &mut self.runs[number];
        let next = match *run.status.now() {
            "pending" => "running",
            "running" => *random.pick(&["running", "completed", "failed", "cancelled"]),
            _ => return,
        };
        let artifacts = self
            .versions
            .iter()
            .filter(|version| self.storages[version.storage].kind == Kind::Artifact);
        let artifacts: Vec<_> = artifacts.collect();
        if !artifacts.is_empty() && random.one_in(2) {
            let version = *random.pick(&artifacts);
            let storage = &self.storages[version.storage];
            let it = world.run_mut(&run.id).unwrap();
            it.artifact_name = Some(storage.name.to_owned());
            it.artifact_version = Some(version.id.clone());
            run.artifact
                .becomes(Some(format!("../../{}", version.folder)));
        }
        // Told last: a run that has ended does not change any more.
        world.set_status(&run.id, next);
        run.status.becomes(next);
    }
}
