//! The nodes of the tree, their inode numbers, and the names of fixed children. The
//! path grammar is here, in [`files`] and in [`names`], and nowhere else.

pub(crate) mod files;
pub(crate) mod ids;
pub(crate) mod inodes;
pub(crate) mod names;
mod objects;

pub(crate) use self::{
    files::{AgentFile, Control, Form, MetaFile, RunFile},
    ids::{StorageId, VersionId},
};

pub use self::files::START_FILE;
pub use crate::store::NodeKind as Kind;

use crate::{api::types::StorageKind, guide::PAGES};
use inodes::Inodes;
use objects::Object;
use std::sync::Arc;

/// One inode.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Root,
    Agents,
    Runs,
    Storages(StorageKind),
    Meta,
    MetaFile(MetaFile),
    /// `.vm0fs/help`
    Guide,
    /// `.vm0fs/help/<topic>.md`, by its place among the guide's pages
    GuidePage(u32),
    /// `runs/.by-status`
    ByStatus,
    /// `runs/.by-status/<word>`, the word as a path component
    Status(Arc<str>),
    Agent(Arc<str>),
    AgentFile(Arc<str>, AgentFile),
    /// `agents/<name>/runs`
    AgentRuns(Arc<str>),
    Run(Arc<str>),
    RunFile(Arc<str>, RunFile),
    /// `runs/.runs.jsonl`, `runs/.runs.csv`; of an agent's id, those in its
    /// directory
    RunsTable(Option<Arc<str>>, Form),
    /// `agents/<name>/run`, `runs/<id>/cancel`
    Control(Control),
    /// `runs/<id>/volumes`
    RunVolumes(Arc<str>),
    /// `agents/<name>/runs/<id>`, a symlink to the run
    RunOfAgent(Arc<str>),
    /// `runs/.by-status/<word>/<id>`, a symlink to the run
    RunOfStatus(Arc<str>),
    Storage(StorageKind, Arc<str>),
    /// `<storage>/latest`, a symlink. The version is part of the node: the
    /// kernel caches a symlink's target with its inode, so a new target needs a
    /// new inode.
    Latest(VersionId),
    /// `<storage>/.versions.json`
    VersionsJson(StorageKind, Arc<str>),
    /// Any other symlink of ours (`agents/<id>`, `<storage>/<prefix>`,
    /// `runs/<id>/artifact` …). It is its target, for the reason given at
    /// [`Node::Latest`].
    Link(Arc<str>),
    /// A node of a version's own tree; 0 is its root directory
    Entry(VersionId, u32),
}

/// The inode number of the mount's root, which FUSE fixes.
const ROOT_INO: u64 = 1;

/// The nodes of [`Object::Fixed`].
const FIXED: [(u32, Node); 14] = [
    (ROOT_INO as u32, Node::Root),
    (2, Node::Agents),
    (3, Node::Runs),
    (4, Node::Storages(StorageKind::Volume)),
    (5, Node::Storages(StorageKind::Artifact)),
    (6, Node::Meta),
    (7, Node::ByStatus),
    (8, Node::MetaFile(MetaFile::Status)),
    (9, Node::MetaFile(MetaFile::Errors)),
    (10, Node::MetaFile(MetaFile::Help)),
    (11, Node::MetaFile(MetaFile::Transfers)),
    (12, Node::RunsTable(None, Form::Jsonl)),
    (13, Node::RunsTable(None, Form::Csv)),
    (14, Node::Guide),
];

/// The children of the root, by name.
pub(crate) const TOP: [(&str, Node); 5] = [
    ("agents", Node::Agents),
    ("runs", Node::Runs),
    ("volumes", Node::Storages(StorageKind::Volume)),
    ("artifacts", Node::Storages(StorageKind::Artifact)),
    (".vm0fs", Node::Meta),
];

// Numbers inside an object. They are part of what a user may rely on (inodes
// outlive a restart): never reuse one.
const SELF: u32 = 1;
const AGENT_RUNS: u32 = 2;
const AGENT_RUN: u32 = 3;
const AGENT_RUNS_JSONL: u32 = 4;
const AGENT_RUNS_CSV: u32 = 5;
const RUN_VOLUMES: u32 = 2;
const RUN_OF_AGENT: u32 = 3;
const RUN_OF_STATUS: u32 = 4;
const RUN_CANCEL: u32 = 5;
const VERSIONS_JSON: u32 = 2;
/// Files of an object begin here, in the order of their table.
const FILES: u32 = 0x40;
/// The node of a version that is not in its archive, and the first that is.
const LATEST: u32 = 1;
const ENTRIES: u32 = 2;

fn table_position<T: PartialEq>(table: &[(&'static str, T)], file: &T) -> u32 {
    let position = table.iter().position(|(_, each)| each == file);
    FILES + position.unwrap_or_default() as u32
}

fn table_entry<T: Copy>(table: &[(&'static str, T)], number: u32) -> Option<T> {
    let (_, file) = table.get(number.checked_sub(FILES)? as usize)?;
    Some(*file)
}

impl Node {
    /// Its inode number, the same in all mounts.
    pub(crate) fn ino(&self, inodes: &Inodes) -> u64 {
        let (object, number) = self.place();
        inodes.number(&object, number)
    }

    /// The node behind a number that the kernel gave; `None` if no node was
    /// ever given that number.
    pub(crate) fn of(ino: u64, inodes: &Inodes) -> Option<Self> {
        let (object, number) = inodes.resolve(ino)?;
        Self::at(object, number)
    }

    /// The place in its version's object of a node that is in its archive.
    pub(super) fn entry_place(number: u32) -> u32 {
        // There are no more than `Limits::entries` of them.
        number.saturating_add(ENTRIES)
    }

    /// Visits the children that a directory always has, each with its name, in the order
    /// in which they are listed.
    pub(crate) fn fixed_children(&self, mut visit: impl FnMut(&str, Self)) {
        match self {
            Self::Root => TOP
                .iter()
                .for_each(|(name, node)| visit(name, node.clone())),
            Self::Meta => {
                for (name, file) in MetaFile::ALL {
                    visit(name, Self::MetaFile(file));
                }
                visit("help", Self::Guide);
            }
            Self::Guide => {
                for (page, number) in PAGES.iter().zip(0..) {
                    visit(&format!("{}.md", page.name), Self::GuidePage(number));
                }
            }
            Self::Agent(id) => {
                // Not every agent has a config.
                let files = AgentFile::ALL.into_iter();
                for (name, file) in files.filter(|(_, file)| *file != AgentFile::Config) {
                    visit(name, Self::AgentFile(id.clone(), file));
                }
                visit(START_FILE, Self::Control(Control::Start(id.clone())));
                for (name, form) in Form::ALL {
                    visit(name, Self::RunsTable(Some(id.clone()), form));
                }
                visit("runs", Self::AgentRuns(id.clone()));
            }
            Self::Runs => {
                // Hidden, so that `runs/*` stays runs only.
                visit(".by-status", Self::ByStatus);
                for (name, form) in Form::ALL {
                    visit(name, Self::RunsTable(None, form));
                }
            }
            Self::Run(id) => {
                for (name, file) in RunFile::ALL {
                    visit(name, Self::RunFile(id.clone(), file));
                }
                visit("volumes", Self::RunVolumes(id.clone()));
                visit("cancel", Self::Control(Control::Cancel(id.clone())));
            }
            Self::Storage(kind, id) => {
                visit(".versions.json", Self::VersionsJson(*kind, id.clone()));
            }
            _ => {}
        }
    }

    fn place(&self) -> (Object, u32) {
        let agent = |id: &Arc<str>| Object::Agent(id.clone());
        let run = |id: &Arc<str>| Object::Run(id.clone());
        let storage = |kind: &StorageKind, id: &Arc<str>| Object::Storage(*kind, id.clone());
        match self {
            Self::Root
            | Self::Agents
            | Self::Runs
            | Self::Storages(_)
            | Self::Meta
            | Self::Guide
            | Self::MetaFile(_)
            | Self::RunsTable(None, _)
            | Self::ByStatus => {
                // All of these stand in the table.
                let place = FIXED.iter().find(|(_, node)| node == self);
                (Object::Fixed, place.map_or(0, |(number, _)| *number))
            }
            Self::GuidePage(page) => (Object::Fixed, FILES + page),
            Self::Status(word) => (Object::Status(word.clone()), SELF),
            Self::Agent(id) => (agent(id), SELF),
            Self::AgentRuns(id) => (agent(id), AGENT_RUNS),
            Self::RunsTable(Some(id), Form::Jsonl) => (agent(id), AGENT_RUNS_JSONL),
            Self::RunsTable(Some(id), Form::Csv) => (agent(id), AGENT_RUNS_CSV),
            Self::AgentFile(id, file) => (agent(id), table_position(&AgentFile::ALL, file)),
            Self::Control(Control::Start(id)) => (agent(id), AGENT_RUN),
            Self::Run(id) => (run(id), SELF),
            Self::RunVolumes(id) => (run(id), RUN_VOLUMES),
            Self::RunOfAgent(id) => (run(id), RUN_OF_AGENT),
            Self::RunOfStatus(id) => (run(id), RUN_OF_STATUS),
            Self::Control(Control::Cancel(id)) => (run(id), RUN_CANCEL),
            Self::RunFile(id, file) => (run(id), table_position(&RunFile::ALL, file)),
            Self::Storage(kind, id) => (storage(kind, id), SELF),
            Self::VersionsJson(kind, id) => (storage(kind, id), VERSIONS_JSON),
            Self::Link(target) => (Object::Link(target.clone()), SELF),
            Self::Latest(version) => (Object::Version(version.clone()), LATEST),
            Self::Entry(version, n) => (Object::Version(version.clone()), Self::entry_place(*n)),
        }
    }

    fn at(object: Object, number: u32) -> Option<Self> {
        match object {
            Object::Fixed if number >= FILES => {
                let page = number - FILES;
                ((page as usize) < PAGES.len()).then_some(Self::GuidePage(page))
            }
            Object::Fixed => FIXED
                .iter()
                .find(|(each, _)| *each == number)
                .map(|(_, node)| node.clone()),
            Object::Status(word) => (number == SELF).then_some(Self::Status(word)),
            Object::Link(target) => (number == SELF).then_some(Self::Link(target)),
            Object::Agent(id) => match number {
                SELF => Some(Self::Agent(id)),
                AGENT_RUNS => Some(Self::AgentRuns(id)),
                AGENT_RUNS_JSONL => Some(Self::RunsTable(Some(id), Form::Jsonl)),
                AGENT_RUNS_CSV => Some(Self::RunsTable(Some(id), Form::Csv)),
                AGENT_RUN => Some(Self::Control(Control::Start(id))),
                _ => table_entry(&AgentFile::ALL, number).map(|file| Self::AgentFile(id, file)),
            },
            Object::Run(id) => match number {
                SELF => Some(Self::Run(id)),
                RUN_VOLUMES => Some(Self::RunVolumes(id)),
                RUN_OF_AGENT => Some(Self::RunOfAgent(id)),
                RUN_OF_STATUS => Some(Self::RunOfStatus(id)),
                RUN_CANCEL => Some(Self::Control(Control::Cancel(id))),
                _ => table_entry(&RunFile::ALL, number).map(|file| Self::RunFile(id, file)),
            },
            Object::Storage(kind, id) => match number {
                SELF => Some(Self::Storage(kind, id)),
                VERSIONS_JSON => Some(Self::VersionsJson(kind, id)),
                _ => None,
            },
            Object::Version(version) => match number {
                0 => None,
                LATEST => Some(Self::Latest(version)),
                _ => Some(Self::Entry(version, number - ENTRIES)),
            },
        }
    }

    /// File, directory or symlink, where the node itself says so: for an entry
    /// of a version only its index knows.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Root
            | Self::Agents
            | Self::Runs
            | Self::Storages(_)
            | Self::Meta
            | Self::Guide
            | Self::ByStatus
            | Self::Status(_)
            | Self::Agent(_)
            | Self::AgentRuns(_)
            | Self::Run(_)
            | Self::RunVolumes(_)
            | Self::Storage(..)
            | Self::Entry(_, 0) => Some(Kind::Directory),
            Self::MetaFile(_)
            | Self::GuidePage(_)
            | Self::RunsTable(..)
            | Self::AgentFile(..)
            | Self::RunFile(..)
            | Self::Control(_)
            | Self::VersionsJson(..) => Some(Kind::File),
            Self::RunOfAgent(_) | Self::RunOfStatus(_) | Self::Latest(..) | Self::Link(_) => {
                Some(Kind::Symlink)
            }
            Self::Entry(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_comes_back_from_its_number() {
        let id: Arc<str> = "0b7f1c9e-3c1d-4a52-9b1e-2f0a6f4f9d11".into();
        let version: Arc<str> = "deadbeef".into();
        let mut nodes: Vec<Node> = FIXED.iter().map(|(_, node)| node.clone()).collect();
        nodes.extend((0..PAGES.len() as u32).map(Node::GuidePage));
        nodes.extend([
            Node::Status("running".into()),
            Node::Link("../../agents/x".into()),
            Node::Agent(id.clone()),
            Node::AgentRuns(id.clone()),
            Node::RunsTable(Some(id.clone()), Form::Jsonl),
            Node::RunsTable(Some(id.clone()), Form::Csv),
            Node::Run(id.clone()),
            Node::RunVolumes(id.clone()),
            Node::RunOfAgent(id.clone()),
            Node::RunOfStatus(id.clone()),
            Node::Control(Control::Start(id.clone())),
            Node::Control(Control::Cancel(id.clone())),
        ]);
        nodes.extend(AgentFile::ALL.map(|(_, file)| Node::AgentFile(id.clone(), file)));
        nodes.extend(RunFile::ALL.map(|(_, file)| Node::RunFile(id.clone(), file)));
        for kind in [StorageKind::Volume, StorageKind::Artifact] {
            nodes.extend([
                Node::Storage(kind, id.clone()),
                Node::VersionsJson(kind, id.clone()),
                Node::Latest(VersionId::new(kind, id.clone(), version.clone())),
                Node::Entry(VersionId::new(kind, id.clone(), version.clone()), 0),
                Node::Entry(VersionId::new(kind, id.clone(), version.clone()), 1_000_000),
            ]);
        }
        let inodes = Inodes::fresh();
        let mut seen = std::collections::HashSet::new();
        for node in nodes {
            let ino = node.ino(&inodes);
            assert!(seen.insert(ino), "{node:?} shares its number");
            assert_eq!(Node::of(ino, &inodes), Some(node));
        }
        assert_eq!(Node::Root.ino(&inodes), ROOT_INO);
    }
}
