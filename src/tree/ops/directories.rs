//! What a directory lists. Names only: nothing is fetched for attributes.

use crate::{
    error::Error,
    store::{self, Version},
    tree::{
        answers::{Agent, Agents, Runs, Storages, Versions},
        cache::FOR_EVER,
        content::Files,
        fetch_key::{Answer, Miss},
        node::{AgentFile, Kind, Node, VersionId, names::escape},
        ops::attributes::{Stat, entry_stat},
        view::View,
    },
};
use std::{sync::Arc, time::Duration};

/// One name of a directory.
#[derive(Clone, Debug)]
pub struct DirectoryEntry {
    /// The path component.
    pub name: Vec<u8>,
    /// Its inode number.
    pub ino: u64,
    /// Its kind.
    pub kind: Kind,
}

/// A directory as it was when a process began to read it. A handle holds it, so that
/// the pages of one reading fit together.
pub enum Directory {
    /// Names of a listing.
    Listed(Vec<(DirectoryEntry, ListedNode)>),
    /// A directory of a version, which cannot change: read from its index.
    Sealed(SealedDirectory),
}

/// The node behind a listed name, for its attributes.
pub struct ListedNode(pub(super) Node);

/// A directory in a sealed version.
pub struct SealedDirectory {
    version: Arc<Version>,
    /// The inode number of the version's root.
    root: u64,
    number: u32,
}

impl Directory {
    /// How many names it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Listed(entries) => entries.len(),
            Self::Sealed(sealed) => sealed.version.index().child_count(sealed.number) as usize,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl View<'_> {
    /// Takes the listing of a directory.
    ///
    /// # Errors
    /// ENOTDIR, ESTALE, and what a fetch fails with.
    pub fn directory(&self, ino: u64) -> Answer<Directory> {
        let mut entries: Vec<(Vec<u8>, Node)> = Vec::new();
        let mut add = |name: &str, node: Node| entries.push((name.as_bytes().to_vec(), node));
        let node = self.node(ino)?;
        if matches!(
            node,
            Node::Agents | Node::Runs | Node::Storages(_) | Node::Storage(..)
        ) {
            self.tree.crawlers.note_listing(&node);
        }
        node.fixed_children(&mut add);
        match node {
            Node::Root | Node::Meta | Node::Guide => {}
            Node::Agents => {
                for item in self.need_or_last::<Agents>(&())?.0.items() {
                    add(&item.component, Node::Agent(item.id.clone()));
                }
            }
            Node::Agent(id) => {
                let (row, _) = self.need_or_last::<Agent>(&id)?;
                if row.value.config.is_some() {
                    add(
                        "config.yaml",
                        Node::AgentFile(id.clone(), AgentFile::Config),
                    );
                }
                match self.latest_run(&id) {
                    Ok(Some(target)) => add("latest", Node::Link(target)),
                    // The other names can be listed without it.
                    Ok(None) | Err(Miss::Error(_)) => {}
                    Err(miss) => return Err(miss),
                }
            }
            Node::AgentRuns(id) => {
                for item in self.need_or_last::<Runs>(&())?.0.items() {
                    if self.is_run_of(&item.row.value, &id)? {
                        add(&item.component, Node::RunOfAgent(item.id.clone()));
                    }
                }
            }
            Node::Runs => {
                for item in self.need_or_last::<Runs>(&())?.0.items() {
                    add(&item.component, Node::Run(item.id.clone()));
                }
            }
            Node::ByStatus => {
                for word in self.statuses()? {
                    add(&word, Node::Status(word.as_str().into()));
                }
            }
            Node::Status(word) => {
                for item in self.need_or_last::<Runs>(&())?.0.items() {
                    if escape(item.row.value.status.as_str()) == *word {
                        add(&item.component, Node::RunOfStatus(item.id.clone()));
                    }
                }
            }
            Node::Run(id) => {
                if let Some((target, _)) = self.run_artifact(&id)? {
                    add("artifact", Node::Link(target));
                }
                if let Some(target) = self.run_agent(&id)? {
                    add("agent", Node::Link(target));
                }
            }
            Node::RunVolumes(id) => {
                for (name, target) in self.run_volumes(&id)?.0 {
                    add(&name, Node::Link(target));
                }
            }
            Node::Storages(kind) => {
                for item in self.need_or_last::<Storages>(&kind)?.0.items() {
                    add(&item.component, Node::Storage(kind, item.id.clone()));
                }
            }
            Node::Storage(kind, id) => {
                let (row, _) = self.storage_item(kind, &id)?;
                if let Some(version) = &row.value.current_version_id {
                    let version = VersionId::new(kind, id.clone(), version.as_str());
                    add("latest", Node::Latest(version));
                }
                for (component, row) in &self.need_or_last::<Versions>(&(kind, id.clone()))?.0.rows
                {
                    let version = VersionId::new(kind, id.clone(), row.value.id.as_str());
                    add(component, Node::Entry(version, 0));
                }
            }
            Node::Entry(version, number) => match self.files(&version)? {
                Files::None => {}
                Files::Partial(_) => return Err(self.content_miss(&version)),
                Files::Sealed(sealed) => {
                    let entry = sealed.index().node(number).ok_or(Error::Stale)?;
                    if entry.kind != Kind::Directory {
                        return Err(Error::NotDirectory.into());
                    }
                    let root = self.ino(&Node::Entry(version, 0));
                    let sealed = SealedDirectory {
                        version: sealed,
                        root,
                        number,
                    };
                    sealed.read_through();
                    return Ok(Directory::Sealed(sealed));
                }
            },
            _ => return Err(Error::NotDirectory.into()),
        }
        let list = |(name, node): (Vec<u8>, Node)| {
            // Only entries of versions do not know their kind, and the only
            // such entry in a listing is a version's root.
            let kind = node.kind().unwrap_or(Kind::Directory);
            (
                DirectoryEntry {
                    name,
                    ino: self.ino(&node),
                    kind,
                },
                ListedNode(node),
            )
        };
        Ok(Directory::Listed(entries.into_iter().map(list).collect()))
    }

    /// The inode of a directory's parent, for its `..`.
    pub fn parent(&self, ino: u64) -> u64 {
        let parent = match Node::of(ino, &self.tree.inodes) {
            Some(Node::Status(_)) => Node::ByStatus,
            Some(Node::ByStatus | Node::Run(_)) => Node::Runs,
            Some(Node::Agent(_)) => Node::Agents,
            Some(Node::Guide) => Node::Meta,
            Some(Node::AgentRuns(id)) => Node::Agent(id),
            Some(Node::RunVolumes(id)) => Node::Run(id),
            Some(Node::Storage(kind, _)) => Node::Storages(kind),
            Some(Node::Entry(version, 0)) => Node::Storage(version.kind, version.storage),
            Some(Node::Entry(version, number)) => {
                let sealed = self.tree.content.sealed(&version);
                let parent = sealed.and_then(|sealed| sealed.index().node(number));
                Node::Entry(version, parent.map_or(0, |entry| entry.parent))
            }
            _ => Node::Root,
        };
        self.ino(&parent)
    }

    /// For how long a listed name leads to its node, as far as its attributes
    /// do not say: a symlink of ours *is* its target, so what changes is which
    /// one has the name.
    fn name_lasts(&self, node: &Node) -> Duration {
        match node {
            Node::Latest(version) => match self.storage_item(version.kind, &version.storage) {
                Ok((row, left)) if row.value.current_version_id.as_deref() == Some(&version.id) => {
                    left
                }
                _ => Duration::ZERO,
            },
            Node::Link(_) => Duration::ZERO,
            _ => FOR_EVER,
        }
    }

    /// The name at a position of a directory, with attributes as far as they are known
    /// without a fetch.
    pub fn entry_with_stat(
        &self,
        directory: &Directory,
        position: usize,
    ) -> Option<(DirectoryEntry, Stat)> {
        match directory {
            Directory::Listed(entries) => {
                let (entry, ListedNode(node)) = entries.get(position)?;
                let mut stat = self.stat_if_known(node, entry.kind);
                // The kernel is told one lifetime for the name and for what it
                // leads to.
                stat.lasts = stat.lasts.min(self.name_lasts(node));
                Some((entry.clone(), stat))
            }
            Directory::Sealed(sealed) => {
                let (name, number, node) = sealed.child(position)?;
                let inodes = &self.tree.inodes;
                let entry = DirectoryEntry {
                    name: name.to_vec(),
                    ino: inodes.beside(sealed.root, Node::entry_place(number))?,
                    kind: node.kind,
                };
                let stat = entry_stat(entry.ino, &node);
                Some((entry, stat))
            }
        }
    }
}

impl SealedDirectory {
    /// Reads all of it from the disk, so that damage shows before the first page is
    /// answered ([`View::met_damage`]), and not as the end of the directory.
    fn read_through(&self) {
        let count = self.version.index().child_count(self.number) as usize;
        // Nothing is missing from an index that is not damaged.
        let _ = (0..count).all(|position| self.child(position).is_some());
    }

    /// The name at a position, and its node.
    fn child(&self, position: usize) -> Option<(&[u8], u32, store::Node)> {
        let index = self.version.index();
        let (name, number) = index.child_at(self.number, u32::try_from(position).ok()?)?;
        Some((name, number, index.node(number)?))
    }
}
