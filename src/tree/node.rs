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
    objects::Object,
};

pub use self::files::START_FILE;
pub use crate::store::NodeKind as Kind;

use crate::{api::types::StorageKind, guide::PAGES};
use inodes::Inodes;
use sha2::{Digest, Sha256};
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
    /// `.vm0fs/help/<topic>.md`
    GuidePage(&'static str),
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
    /// `agents/.agents.jsonl`, which no listing shows
    AgentsTable,
    /// `volumes/.volumes.jsonl`, `artifacts/.artifacts.jsonl`, likewise
    StoragesTable(StorageKind),
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
const FIXED: [(u32, Node); 18] = [
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
    (15, Node::AgentsTable),
    (16, Node::StoragesTable(StorageKind::Volume)),
    (17, Node::StoragesTable(StorageKind::Artifact)),
    (18, Node::MetaFile(MetaFile::Activity)),
];

/// Whether a number is that of a file in which the mount shows itself.
pub(crate) fn is_of_meta(ino: u64) -> bool {
    let Ok(number) = u32::try_from(ino) else {
        return false;
    };
    let is_meta = |(each, node): &(u32, Node)| {
        *each == number && matches!(node, Node::Meta | Node::MetaFile(_))
    };
    FIXED.iter().any(is_meta)
}

/// The children of the root, by name.
pub(crate) const TOP: [(&str, Node); 5] = [
    ("agents", Node::Agents),
    ("runs", Node::Runs),
    ("volumes", Node::Storages(StorageKind::Volume)),
    ("artifacts", Node::Storages(StorageKind::Artifact)),
    (".vm0fs", Node::Meta),
];

/// A node of an object, by its number in it.
type Numbered = (u32, fn(Arc<str>) -> Node);

// Numbers inside an object. They are part of what a user may rely on (inodes
// outlive a restart): never reuse one.
const SELF: u32 = 1;
const AGENT: [Numbered; 5] = [
    (SELF, Node::Agent),
    (2, Node::AgentRuns),
    (3, |id| Node::Control(Control::Start(id))),
    (4, |id| Node::RunsTable(Some(id), Form::Jsonl)),
    (5, |id| Node::RunsTable(Some(id), Form::Csv)),
];
const RUN: [Numbered; 5] = [
    (SELF, Node::Run),
    (2, Node::RunVolumes),
    (3, Node::RunOfAgent),
    (4, Node::RunOfStatus),
    (5, |id| Node::Control(Control::Cancel(id))),
];
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

/// The number of a page of the guide, which comes from its name: pages that are added
/// or taken away leave it as it is.
fn guide_number(name: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let [a, b, c, d, ..] = digest;
    // Above all numbers that are given by hand.
    u32::from_le_bytes([a, b, c, d]) | 1 << 31
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
                for page in PAGES {
                    visit(&format!("{}.md", page.name), Self::GuidePage(page.name));
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

    /// The table of a listing's objects, which can be read and is not listed: programs
    /// that read all of a folder need not make it.
    pub(crate) fn table(&self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Agents, ".agents.jsonl") => Some(Self::AgentsTable),
            (Self::Storages(kind), ".volumes.jsonl" | ".artifacts.jsonl")
                if name[1..].starts_with(kind.plural()) =>
            {
                Some(Self::StoragesTable(*kind))
            }
            _ => None,
        }
    }

    /// Whether only the user who mounted, and root, may use it: a control file acts with
    /// that user's token, and who reads what is no other user's business.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Control(_) | Self::MetaFile(MetaFile::Activity))
    }

    fn place(&self) -> (Object, u32) {
        let number = |numbers: &[Numbered], id: &Arc<str>| {
            let mut numbers = numbers.iter();
            let found = numbers.find(|(_, node)| node(id.clone()) == *self);
            found.map_or(0, |(number, _)| *number)
        };
        match self {
            Self::Agent(id)
            | Self::AgentRuns(id)
            | Self::RunsTable(Some(id), _)
            | Self::Control(Control::Start(id)) => (Object::Agent(id.clone()), number(&AGENT, id)),
            Self::AgentFile(id, file) => {
                let number = table_position(&AgentFile::ALL, file);
                (Object::Agent(id.clone()), number)
            }
            Self::Run(id)
            | Self::RunVolumes(id)
            | Self::RunOfAgent(id)
            | Self::RunOfStatus(id)
            | Self::Control(Control::Cancel(id)) => (Object::Run(id.clone()), number(&RUN, id)),
            Self::RunFile(id, file) => {
                let number = table_position(&RunFile::ALL, file);
                (Object::Run(id.clone()), number)
            }
            Self::Storage(kind, id) => (Object::Storage(*kind, id.clone()), SELF),
            Self::VersionsJson(kind, id) => (Object::Storage(*kind, id.clone()), VERSIONS_JSON),
            Self::Status(word) => (Object::Status(word.clone()), SELF),
            Self::Link(target) => (Object::Link(target.clone()), SELF),
            Self::Latest(version) => (Object::Version(version.clone()), LATEST),
            Self::Entry(version, n) => (Object::Version(version.clone()), Self::entry_place(*n)),
            Self::GuidePage(name) => (Object::Fixed, guide_number(name)),
            // All others stand in the table.
            _ => {
                let place = FIXED.iter().find(|(_, node)| node == self);
                (Object::Fixed, place.map_or(0, |(number, _)| *number))
            }
        }
    }

    fn at(object: Object, number: u32) -> Option<Self> {
        let numbered = |numbers: &[Numbered], id: Arc<str>| {
            let (_, node) = numbers.iter().find(|(each, _)| *each == number)?;
            Some(node(id))
        };
        match (object, number) {
            (Object::Fixed, FILES..) => {
                let mut names = PAGES.iter().map(|page| page.name);
                names
                    .find(|name| guide_number(name) == number)
                    .map(Self::GuidePage)
            }
            (Object::Fixed, _) => {
                let (_, node) = FIXED.iter().find(|(each, _)| *each == number)?;
                Some(node.clone())
            }
            (Object::Status(word), SELF) => Some(Self::Status(word)),
            (Object::Link(target), SELF) => Some(Self::Link(target)),
            (Object::Agent(id), FILES..) => {
                table_entry(&AgentFile::ALL, number).map(|file| Self::AgentFile(id, file))
            }
            (Object::Agent(id), _) => numbered(&AGENT, id),
            (Object::Run(id), FILES..) => {
                table_entry(&RunFile::ALL, number).map(|file| Self::RunFile(id, file))
            }
            (Object::Run(id), _) => numbered(&RUN, id),
            (Object::Storage(kind, id), SELF) => Some(Self::Storage(kind, id)),
            (Object::Storage(kind, id), VERSIONS_JSON) => Some(Self::VersionsJson(kind, id)),
            (Object::Version(version), LATEST) => Some(Self::Latest(version)),
            (Object::Version(version), ENTRIES..) => Some(Self::Entry(version, number - ENTRIES)),
            _ => None,
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
            | Self::AgentsTable
            | Self::StoragesTable(_)
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
        nodes.extend(PAGES.iter().map(|page| Node::GuidePage(page.name)));
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
        for (_, file) in MetaFile::ALL {
            assert!(is_of_meta(Node::MetaFile(file).ino(&inodes)));
        }
        assert!(!is_of_meta(ROOT_INO) && !is_of_meta((8 << 32) + 8));
    }

    #[test]
    fn a_page_of_the_guide_has_the_number_of_its_name() {
        // The first four bytes of `printf tree | sha256sum`, the last one first.
        assert_eq!(guide_number("tree"), 0xdb5e_9cdc);
        let inodes = Inodes::fresh();
        let ino = Node::GuidePage("tree").ino(&inodes);
        assert_eq!(Node::of(ino, &inodes), Some(Node::GuidePage("tree")));
        assert!(Node::of(ino + 1, &inodes).is_none());
    }
}
