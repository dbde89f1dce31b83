//! A name in a directory becomes a node.

use crate::{
    api::types::{Row, RunStatus, StorageKind},
    error::Error,
    store,
    text::is_digest,
    tree::{
        answers::{
            Agent, Agents, Listing, Named, Registered, Run, Runs, Storage, Storages, Versions,
        },
        cache::FOR_EVER,
        content::Files,
        fetch_key::{Answer, Miss},
        live::Show,
        node::{
            AgentFile, Kind, Node, VersionId,
            names::{
                NAME_MAX, escape, is_probe, is_uuid, looks_like_id, may_be_run_id,
                may_be_version_prefix,
            },
        },
        ops::attributes::{Stat, entry_stat},
        view::View,
    },
};
use std::{sync::Arc, time::Duration};

/// What a lookup found.
#[derive(Debug)]
pub enum Found {
    /// A node, and for how long the name leads to it.
    Node(Stat, Duration),
    /// No such name, and for how long there is none.
    Absent(Duration),
}

/// A list of versions older than this is asked for again when a whole version
/// id is not in it: rarely enough that probing such names stays cheap.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A child and for how long its name leads to it.
type Child = (Node, Duration);

/// The error for a name that does not exist in a directory.
fn absent(name: &str) -> Miss {
    Miss::Error(Error::NotFound(name.to_owned()))
}

impl View<'_> {
    /// Looks `name` up in the directory `parent`.
    ///
    /// # Errors
    /// ENAMETOOLONG, ENOTDIR, ESTALE, and what a fetch fails with. A name that does not
    /// exist is not an error but [`Found::Absent`].
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Answer<Found> {
        if name.len() > NAME_MAX {
            return Err(Error::NameTooLong.into());
        }
        let ino = parent;
        let parent = self.node(ino)?;
        if let Node::Entry(version, directory) = &parent {
            return match self.entry_child(version, *directory, name)? {
                Some((number, entry, lasts)) => {
                    let beside = self.tree.inodes.beside(ino, Node::entry_place(number));
                    let stat = entry_stat(beside.ok_or(Error::Stale)?, &entry);
                    Ok(Found::Node(Stat { lasts, ..stat }, lasts))
                }
                None => Ok(Found::Absent(FOR_EVER)),
            };
        }
        let found = self.child(&parent, name).and_then(|(node, lasts)| {
            let stat = self.stat(&node)?;
            Ok(Found::Node(stat, lasts))
        });
        match found {
            // For good where all names are fixed; elsewhere the listing's TTL bounds it.
            Err(Miss::Error(error)) if error.is_not_found() => Ok(Found::Absent(match parent {
                Node::Meta | Node::Guide | Node::Root => FOR_EVER,
                _ => Duration::ZERO,
            })),
            answer => answer,
        }
    }

    fn child(&self, parent: &Node, name: &[u8]) -> Answer<Child> {
        // Every name of ours is UTF-8.
        let text = str::from_utf8(name).map_err(|_| absent(&String::from_utf8_lossy(name)))?;
        let mut fixed = None;
        parent.fixed_children(|name, node| {
            if name == text {
                fixed = Some(node);
            }
        });
        if let Some(node) = fixed {
            return Ok((node, FOR_EVER));
        }
        if let Some(table) = parent.table(text) {
            return Ok((table, FOR_EVER));
        }
        match (parent, text) {
            (Node::Agents, _) => {
                self.object_child::<Agents, Agent, _>(&(), text, |id| id, Node::Agent)
            }
            (Node::Agent(id), "config.yaml") => {
                let (row, left) = self.need_or_last::<Agent>(id)?;
                row.value.config.as_ref().ok_or_else(|| absent(text))?;
                Ok((Node::AgentFile(id.clone(), AgentFile::Config), left))
            }
            (Node::Agent(id), "latest") => {
                let target = self.latest_run(id)?.ok_or_else(|| absent(text))?;
                // One that is started through the mount is the newest at once.
                Ok((Node::Link(target), Duration::ZERO))
            }
            (Node::AgentRuns(id), _) => {
                let run = self.named_run(text)?;
                let (row, _) = self.run(&run, Show::Last)?;
                match self.is_run_of(&row.value, id)? {
                    true => Ok((Node::RunOfAgent(run), FOR_EVER)),
                    false => Err(absent(text)),
                }
            }
            (Node::Runs, _) => Ok((Node::Run(self.named_run(text)?), FOR_EVER)),
            (Node::ByStatus, _) => {
                let is_known = RunStatus::KNOWN.iter().any(|each| each.as_str() == text);
                match is_known || !is_probe(text) && self.statuses()?.contains(text) {
                    true => Ok((Node::Status(text.into()), FOR_EVER)),
                    false => Err(absent(text)),
                }
            }
            (Node::Status(word), _) => {
                let run = self.named_run(text)?;
                let (row, left) = self.run(&run, Show::Fresh)?;
                match escape(row.value.status.as_str()) == **word {
                    true => Ok((Node::RunOfStatus(run), left)),
                    false => Err(absent(text)),
                }
            }
            (Node::Run(id), "agent") => {
                let target = self.run_agent(id)?.ok_or_else(|| absent(text))?;
                Ok((Node::Link(target), self.list_ttl()))
            }
            (Node::Run(id), "artifact") => {
                let (target, left) = self.run_artifact(id)?.ok_or_else(|| absent(text))?;
                Ok((Node::Link(target), left))
            }
            (Node::RunVolumes(id), _) => {
                if is_probe(text) && self.tree.answers.of::<Run>().last(id).is_none() {
                    return Err(absent(text));
                }
                let (mut links, left) = self.run_volumes(id)?;
                let target = links.remove(text).ok_or_else(|| absent(text))?;
                Ok((Node::Link(target), left))
            }
            (Node::Storages(kind), _) => {
                let (key, node) = (|id| (*kind, id), |id| Node::Storage(*kind, id));
                self.object_child::<Storages, Storage, _>(kind, text, key, node)
            }
            (Node::Storage(kind, id), _) => self.version_child(*kind, id, text),
            _ if parent.kind() == Some(Kind::Directory) => Err(absent(text)),
            _ => Err(Error::NotDirectory.into()),
        }
    }

    /// The object of a name among those of a listing: `key` and `node` are its key as a
    /// resource and its node, by its id.
    fn object_child<L, R, T>(
        &self,
        list: &L::Key,
        name: &str,
        key: impl Fn(Arc<str>) -> R::Key,
        node: impl Fn(Arc<str>) -> Node,
    ) -> Answer<Child>
    where
        L: Registered<Value = Listing<T>>,
        R: Registered<Value = Row<T>>,
        T: Named,
    {
        let answers = &self.tree.answers;
        let listed = |listing: &Listing<T>| match listing.component(name) {
            Some(item) => Some(node(item.id.clone())),
            None => Some(Node::Link(listing.id(name)?.component.as_str().into())),
        };
        if is_probe(name) {
            // Only a listing that is known already can show such a name.
            let found = answers.of::<L>().last(list);
            let found = found.and_then(|(listing, _)| listed(&listing));
            return Ok((found.ok_or_else(|| absent(name))?, self.list_ttl()));
        }
        let (listing, left) = self.need_or_last::<L>(list)?;
        if let Some(node) = listed(&listing) {
            return Ok((node, left));
        }
        // An object that was reached by its id also has its name.
        let reached = |row: &Row<T>| {
            let object = &row.value;
            listing.id(object.id()).is_none() && escape(object.name()) == name
        };
        let is_reached =
            |of: &R::Key, row: &Row<T>| reached(row) && *of == key(row.value.id().into());
        if let Some(key) = answers.of::<R>().find(is_reached) {
            let (row, left) = self.need_or_last::<R>(&key)?;
            return match reached(&row) {
                true => Ok((node(row.value.id().into()), left)),
                false => Err(absent(name)),
            };
        }
        if !listing.may_have(name) {
            return Err(absent(name));
        }
        let (row, left) = self.need_or_last::<R>(&key(name.into()))?;
        Ok((Node::Link(escape(row.value.name()).into()), left))
    }

    /// The run of an id, from a listing or, where none shows it, by a call.
    fn named_run(&self, name: &str) -> Answer<Arc<str>> {
        let answers = &self.tree.answers;
        if let Some((listing, _)) = answers.of::<Runs>().last(&())
            && let Some(item) = listing.component(name)
        {
            // Runs do not vanish.
            return Ok(item.id.clone());
        }
        if !may_be_run_id(name) {
            return Err(absent(name));
        }
        if !is_uuid(name) {
            let (listing, _) = self.need_or_last::<Runs>(&())?;
            if let Some(item) = listing.component(name) {
                return Ok(item.id.clone());
            }
            if !listing.may_have(name) {
                return Err(absent(name));
            }
        }
        let id: Arc<str> = name.into();
        self.run(&id, Show::Last)?;
        Ok(id)
    }

    fn version_child(&self, kind: StorageKind, id: &Arc<str>, name: &str) -> Answer<Child> {
        if name == "latest" {
            let (row, left) = self.storage_item(kind, id)?;
            let version = row.value.current_version_id.as_deref();
            let version = version.ok_or_else(|| absent(name))?;
            let version = VersionId::new(kind, id.clone(), version);
            return Ok((Node::Latest(version), left));
        }
        let entry = |version: &str| {
            let version = VersionId::new(kind, id.clone(), version);
            (Node::Entry(version, 0), FOR_EVER)
        };
        let key = (kind, id.clone());
        if let Some((versions, _)) = self.tree.answers.of::<Versions>().last(&key)
            && let Some(found) = versions.component(name)
        {
            return Ok(entry(found));
        }
        if !may_be_version_prefix(name) {
            return Err(absent(name));
        }
        let (mut versions, mut left) = self.need_or_last::<Versions>(&key)?;
        if versions.component(name).is_none() && (is_digest(name) || looks_like_id(name)) {
            // A run that has just ended points at a version which is newer than
            // the list: a whole id is worth looking again.
            let known = self.tree.answers.of::<Versions>();
            known.expire(&key, self.since, LOOK_AGAIN);
            (versions, left) = self.need_or_last::<Versions>(&key)?;
        }
        if let Some(found) = versions.component(name) {
            return Ok(entry(found));
        }
        if versions.may_lack(name) {
            // A run can point at it; there is no other way to ask for it than
            // to fetch it.
            self.files(&VersionId::new(kind, id.clone(), name))?;
            return Ok(entry(name));
        }
        // An ambiguous prefix names nothing.
        let target = versions.by_prefix(name).ok_or_else(|| absent(name))?;
        Ok((Node::Link(target.into()), left))
    }

    /// The node under a name in a directory of a version.
    fn entry_child(
        &self,
        version: &VersionId,
        directory: u32,
        name: &[u8],
    ) -> Answer<Option<(u32, store::Node, Duration)>> {
        match self.files(version) {
            Ok(Files::None) if directory == 0 => Ok(None),
            Ok(Files::None) => Err(Error::Stale.into()),
            Ok(Files::Sealed(sealed)) => {
                let index = sealed.index();
                let Some(number) = index.child(directory, name) else {
                    return Ok(None);
                };
                let node = index.node(number).ok_or(Error::Stale)?;
                Ok(Some((number, node, FOR_EVER)))
            }
            // What has not passed yet may still come, and a later entry of the
            // archive may still change what has.
            Ok(Files::Partial(partial)) => {
                let not_yet = || self.content_miss(version);
                let number = partial.child(directory, name).ok_or_else(not_yet)?;
                let node = partial.node(number).ok_or_else(not_yet)?;
                Ok(Some((number, node, Duration::ZERO)))
            }
            // The version is gone, which says nothing of a name in it: the
            // kernel looks the path up again from its start.
            Err(Miss::Error(error)) if error.is_not_found() => Err(Error::Stale.into()),
            Err(miss) => Err(miss),
        }
    }
}
