//! The tree against a real server and a real store, without a kernel: what a
//! request is answered, for how long, and what it costs.

mod absence;
mod freshness;
mod seeds;

use super::*;
use crate::{
    api::{Client, ClientConfig, Token, types::StorageKind},
    error::Result,
    fake::{
        Action, Agent, Fault, File, Kind as Storages, Port, Quirks, Run, Server, VersionSpec, World,
    },
    handover::Handover,
    progress::Progress,
    store::{Limits, Store, StoreConfig},
};
use answers::Runs;
use fetch_key::Need;
use node::{Node, VersionId};
use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

impl FetchKey {
    pub(crate) fn runs() -> Self {
        Self::of::<Runs>(())
    }

    pub(crate) fn run(id: &str) -> Self {
        Self::of::<answers::Run>(id.into())
    }

    pub(crate) fn logs(run: &str) -> Self {
        Self::of::<answers::RunLogs>(run.into())
    }

    pub(crate) fn volume_version(volume: &str, id: &str) -> Self {
        Self::content(&VersionId::new(StorageKind::Volume, volume, id), Need::Open)
    }
}

/// The lifetime of listings here: short enough to wait for.
const TTL: Duration = Duration::from_millis(300);

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) tree: Arc<Tree>,
    dir: tempfile::TempDir,
    list_ttl: Duration,
}

fn tree(server: &Server, dir: &Path, list_ttl: Duration, handover: Handover) -> Arc<Tree> {
    let timeout = Duration::from_secs(5);
    let client = Client::new(ClientConfig {
        base: server.api_url().parse().unwrap(),
        token: Token::new(server.token()).unwrap(),
        timeout,
        allow_http: true,
        user_agent: "vm0fs-test".into(),
    });
    let store = Store::open(StoreConfig {
        dir: dir.to_owned(),
        ceiling: 1 << 30,
        limits: Limits::default(),
        timeout,
        user_agent: "vm0fs-test".into(),
        allow_http: true,
        verify: crate::store::Verify::default(),
    });
    let answer_store = crate::store::AnswerStore::open(dir, "test", 16 << 20);
    let options = TreeOptions {
        account: String::new(),
        mounted_at: jiff::Timestamp::now(),
        supervision: Arc::default(),
        list_ttl,
        external_symlinks: false,
        offline: false,
        shared: None,
        crawlers: None,
    };
    Arc::new(Tree::new(
        client.unwrap(),
        store.unwrap(),
        answer_store.unwrap(),
        options,
        Arc::new(handover),
    ))
}

impl Bench {
    pub(crate) fn new(world: World) -> Self {
        Self::with_ttl(world, TTL)
    }

    pub(crate) fn with_ttl(world: World, list_ttl: Duration) -> Self {
        let server = Server::start(world).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let handover = Handover::new().unwrap();
        Self {
            tree: tree(&server, dir.path(), list_ttl, handover),
            server,
            dir,
            list_ttl,
        }
    }

    /// Has another worker take over what this one leaves, which ends without a farewell.
    pub(crate) fn replace(&mut self) {
        let left = self.tree.handover();
        let fd = left.fd().try_clone_to_owned().unwrap();
        left.close();
        let handover = Handover::take_over(fd).unwrap();
        self.tree = tree(&self.server, self.dir.path(), self.list_ttl, handover);
    }

    /// Removes what is kept of the service's answers on disk.
    pub(crate) fn forget_answers(&self) {
        std::fs::remove_dir_all(self.dir.path().join("v1/answers")).unwrap();
    }

    /// Runs an operation to its end, as pending requests do.
    pub(crate) fn ask<T>(&self, operation: impl Fn(&View<'_>) -> Answer<T>) -> Result<T> {
        let since = Instant::now();
        for _ in 0..8 {
            match operation(&self.tree.at(since)) {
                Ok(value) => return Ok(value),
                Err(Miss::Error(error)) => return Err(error),
                Err(Miss::Fetch(key)) => {
                    drop(self.tree.fetch(&key, since, &Progress::new(), &|| ()));
                }
            }
        }
        panic!("it wants the same again and again");
    }

    fn lookup(&self, parent: u64, name: &str) -> Result<Found> {
        self.ask(|view| view.lookup(parent, name.as_bytes()))
    }

    /// What the last component of a path leads to, with the name's lifetime.
    #[track_caller]
    fn walk(&self, path: &str) -> (Stat, Duration) {
        let mut found = None;
        for name in path.split('/') {
            let parent = found.map_or(1, |(stat, _): (Stat, Duration)| stat.attributes.ino);
            match self.lookup(parent, name) {
                Ok(Found::Node(stat, lasts)) => found = Some((stat, lasts)),
                other => panic!("{path}: {name}: {other:?}"),
            }
        }
        found.unwrap()
    }

    #[track_caller]
    pub(crate) fn ino(&self, path: &str) -> u64 {
        self.walk(path).0.attributes.ino
    }

    #[track_caller]
    fn target(&self, path: &str) -> String {
        let ino = self.ino(path);
        String::from_utf8(self.ask(|view| view.readlink(ino)).unwrap()).unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let ino = self.ino(path);
        let opened = self.ask(|view| view.open(ino, true)).unwrap();
        let mut buffer = Vec::new();
        let view = self.tree.at(Instant::now());
        view.read(&opened.handle, 0, 1 << 20, &mut buffer).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    /// A directory's names, each with what the kernel is told in passing.
    #[track_caller]
    fn entries(&self, path: &str) -> Vec<(String, Stat)> {
        let ino = self.ino(path);
        let directory = self.ask(|view| view.directory(ino)).unwrap();
        let view = self.tree.at(Instant::now());
        (0..directory.len())
            .map(|position| view.entry_with_stat(&directory, position).unwrap())
            .map(|(entry, stat)| (String::from_utf8(entry.name).unwrap(), stat))
            .collect()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        let calls = self.server.requests_to(Port::Api, "");
        self.server.clear_requests();
        calls.iter().map(|call| call.line()).collect()
    }
}

/// Longer than anything of the listings lasts.
fn expire() {
    thread::sleep(TTL + Duration::from_millis(50));
}

fn files(text: &str) -> VersionSpec {
    VersionSpec::files(vec![File::new("a.txt", text.to_owned())])
}

pub(super) fn html(status: u16) -> Action {
    Action::Status {
        status,
        body: "<html><title>nginx</title></html>".into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    }
}
