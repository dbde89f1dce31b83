//! The data of the fake service: plain values, which a test may change as it likes.
//! Ids follow from names, so that a test knows them beforehand.

mod forms;
mod records;
mod rows;

pub use forms::uuid;
pub(crate) use forms::{after, iso};
pub use records::{
    Agent, AgentVersion, Kind, Run, Sample, Storage, Version, VersionSpec, is_terminal,
};
pub use rows::LogRow;

use jiff::Timestamp;
use std::time::Duration;

/// The service's data, and how it behaves.
#[derive(Debug)]
pub struct World {
    /// The only token that the API accepts; the server makes one if absent.
    pub token: Option<String>,
    /// Which oddities of the running service are in force.
    pub quirks: Quirks,
    /// How fast started runs progress; `None` leaves them pending.
    pub pace: Option<Pace>,
    /// Time between two SSE heartbeats.
    pub heartbeat: Duration,
    /// How often a stream checks for news: once a second in production, far
    /// more often for tests.
    pub look: Duration,
    /// How long a presigned URL is valid.
    pub url_lifetime: Duration,
    /// When the world was made: relative times count from here.
    pub born: Timestamp,
    /// The agents.
    pub agents: Vec<Agent>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The volumes and the artifacts.
    pub storages: Vec<Storage>,
    /// Ids of runs that go on logging while a server lives.
    pub live: Vec<String>,
}

/// Oddities of the running service. [`Quirks::default`] is how it runs.
#[derive(Clone, Debug)]
pub struct Quirks {
    /// List cursors are the last row's id, and the next page is the newest
    /// rows with a greater id.
    pub cursor_by_id: bool,
    /// Log cursors are timestamps, and a page begins strictly after its cursor;
    /// `has_more` is false for rows of one type. The service cuts cursors, `since` and
    /// `until` to whole milliseconds.
    pub log_cursor_by_time: bool,
    /// `agent_id` and `since` do not filter the list of runs.
    pub ignore_run_filters: bool,
    /// The database keeps ids in columns of UUIDs: another text is a 500, not a 404.
    pub uuid_columns: bool,
    /// `config` is absent from agents and their versions.
    pub hide_agent_config: bool,
    /// Reads allowed per endpoint and hour.
    pub read_limit: u64,
    /// Writes allowed per endpoint and hour.
    pub write_limit: u64,
    /// Whether a request over the limit is answered with 429, or only counted.
    pub enforce_limits: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            cursor_by_id: true,
            log_cursor_by_time: true,
            ignore_run_filters: true,
            uuid_columns: true,
            hide_agent_config: false,
            read_limit: 5_000,
            write_limit: 500,
            enforce_limits: false,
        }
    }
}

impl Quirks {
    /// The service as its documentation has it.
    pub fn none() -> Self {
        Self {
            cursor_by_id: false,
            log_cursor_by_time: false,
            ignore_run_filters: false,
            uuid_columns: false,
            ..Self::default()
        }
    }
}

/// How fast a started run progresses.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Time spent pending.
    pub pending: Duration,
    /// Time between two log rows.
    pub row: Duration,
    /// Log rows until the run completes.
    pub rows: u32,
}

impl Pace {
    /// A run that a person can watch: about twenty seconds.
    pub const WATCHABLE: Self = Self {
        pending: Duration::from_millis(1_500),
        row: Duration::from_millis(700),
        rows: 26,
    };
    /// A run that a test can wait for: about a tenth of a second.
    pub const QUICK: Self = Self {
        pending: Duration::from_millis(20),
        row: Duration::from_millis(10),
        rows: 8,
    };
}

impl Default for World {
    fn default() -> Self {
        Self::empty()
    }
}

impl World {
    /// An empty world with the service's quirks.
    pub fn empty() -> Self {
        Self {
            token: None,
            quirks: Quirks::default(),
            pace: Some(Pace::QUICK),
            heartbeat: Duration::from_secs(15),
            look: Duration::from_millis(50),
            url_lifetime: Duration::from_secs(3_600),
            born: Timestamp::now(),
            agents: Vec::new(),
            runs: Vec::new(),
            storages: Vec::new(),
            live: Vec::new(),
        }
    }

    /// The time `seconds` before the world was made.
    pub fn ago(&self, seconds: i64) -> Timestamp {
        after(self.born, -seconds.saturating_mul(1_000))
    }

    /// Adds an agent; gives its id.
    pub fn add_agent(&mut self, agent: Agent) -> String {
        let id = agent.id.clone();
        self.agents.push(agent);
        id
    }

    /// Adds a run; gives its id.
    pub fn add_run(&mut self, mut run: Run) -> String {
        if run.id.is_empty() {
            run.id = uuid(&format!("run:{}", self.runs.len()));
        }
        let id = run.id.clone();
        self.runs.push(run);
        id
    }

    /// Adds a volume or an artifact without versions; gives its id.
    pub fn add_storage(&mut self, kind: Kind, name: &str) -> String {
        let id = uuid(&format!("{}:{name}", kind.word()));
        self.storages.push(Storage {
            kind,
            id: id.clone(),
            name: name.into(),
            created_at: self.born,
            updated_at: self.born,
            versions: Vec::new(),
        });
        id
    }

    /// Adds a version to the storage of that id; gives the version's id, or
    /// an empty string where there is no such storage.
    pub fn add_version(&mut self, storage_id: &str, spec: VersionSpec) -> String {
        let born = self.born;
        let storage = self.storages.iter_mut().find(|s| s.id == storage_id);
        storage.map_or_else(String::new, |storage| storage.add(spec, born))
    }

    /// The agent of that name.
    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == name)
    }

    /// The run of that id.
    pub fn run(&self, id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.id == id)
    }

    /// The run of that id, to change it.
    pub fn run_mut(&mut self, id: &str) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    /// The storage of that kind and name.
    pub fn storage(&self, kind: Kind, name: &str) -> Option<&Storage> {
        self.storages
            .iter()
            .find(|storage| storage.kind == kind && storage.name == name)
    }

    /// The version of that id in the storage of that kind and name.
    pub fn version(&self, kind: Kind, name: &str, id: &str) -> Option<&Version> {
        let storage = self.storage(kind, name)?;
        storage.versions.iter().find(|version| version.id == id)
    }

    /// The version of the volume that an agent reads by its configuration.
    pub(crate) fn agent_volume(&self, agent: &str) -> Option<&Version> {
        let config = self.agent(agent)?.versions.last()?.config.as_ref()?;
        let (_, volume) = config.get("volumes")?.as_object()?.iter().next()?;
        self.storage(Kind::Volume, volume.get("name")?.as_str()?)?
            .current()
    }

    /// Adds a row to the log of the run of that id, if there is one.
    pub fn add_log(&mut self, run_id: &str, row: LogRow) {
        if let Some(run) = self.run_mut(run_id) {
            run.log(row);
        }
    }

    /// Puts the run of that id in another state, now.
    pub fn set_status(&mut self, run_id: &str, status: &str) {
        if let Some(run) = self.run_mut(run_id) {
            let now = Timestamp::now();
            run.status = status.into();
            if status == "running" {
                run.started_at.get_or_insert(now);
            }
            run.completed_at = is_terminal(status).then_some(now);
        }
    }
}
