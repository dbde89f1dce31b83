//! A name in a directory becomes a node.

use crate::{
    api::types::{Row, RunStatus, StorageKind},
    error::Error,
    guide::PAGES,
    store,
    tree::{
        answers::{
            Agent, Agents, Listing, Named, Registered, Run, Runs, Storage, Storages, Versions,
        },
        cache::FOR_EVER,
        content::Files,
        fetch_key::{Answer, Miss},
        node::{
            AgentFile, Control, Form, MetaFile, Node, RunFile, TOP, VersionId,
            names::{
                NAME_MAX, escape, is_content_id, is_probe, is_uuid, looks_like_id, may_be_run_id,
                may_be_version_prefix,
            },
        },
        ops::{
            attributes::{Stat, entry_stat},
            freshness::Age,
            meta::{GUIDE, file_name},
        },
        orders::START_FILE,
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

/// The form of the table of runs that has this name.
fn table_form(name: &str) -> Option<Form> {
    let found = Form::ALL.iter().find(|(each, _)| *each == name);
    found.map(|(_, form)| *form)
}

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
            Err(Miss::Error(error)) if error.is_not_found() => {
                Ok(Found::Absent(self.absent_for(&parent)))
            }
            answer => answer,
        }
    }

    /// How long a name that does not exist stays so, outside of versions: for
    /// good where all names are fixed; elsewhere the listing's TTL bounds it.
    fn absent_for(&self, parent: &Node) -> Duration {
        match parent {
            Node::Meta | Node::Guide | Node::Root => FOR_EVER,
            _ => Duration::ZERO,
        }
    }

    fn child(&self, parent: &Node, name: &[u8]) -> Answer<Child> {
        // Every name of ours is UTF-8.
        let text = str::from_utf8(name).map_err(|_| absent(&String::from_utf8_lossy(name)))?;
        let fixed = |node: Node| Ok((node, FOR_EVER));
        match parent {
            Node::Root => match TOP.iter().find(|(each, _)| *each == text) {
                Some((_, node)) => fixed(node.clone()),
                None => Err(absent(text)),
            },
            Node::Meta if text == GUIDE => fixed(Node::Guide),
            Node::Guide => match PAGES
                .iter()
                .zip(0..)
                .find(|(page, _)| file_name(page) == text)
            {
                Some((_, number)) => fixed(Node::GuidePage(number)),
                None => Err(absent(text)),
            },
            Node::Meta => match MetaFile::ALL.iter().find(|(each, _)| *each == text) {
                Some((_, file)) => fixed(Node::MetaFile(*file)),
                None => Err(absent(text)),
            },
            Node::Agents => self.object_child::<Agents, Agent, _>(&(), text, |id| id, Node::Agent),
            Node::Agent(id) => self.agent_file(id, text),
            Node::AgentRuns(id) => {
                let (run, left) = self.named_run(text)?;
                self.run_of_agent(id, &run)?;
                Ok((Node::RunOfAgent(run), left))
            }
            Node::Runs if text == ".by-status" => fixed(Node::ByStatus),
            Node::Runs if let Some(form) = table_form(text) => fixed(Node::RunsTable(None, form)),
            Node::Runs => {
                let (run, left) = self.named_run(text)?;
                Ok((Node::Run(run), left))
            }
            Node::ByStatus => {
                let known = RunStatus::KNOWN
                    .iter()
                    .any(|status| status.as_str() == text);
                if known || !is_probe(text) && self.statuses()?.contains(text) {
                    fixed(Node::Status(text.into()))
                } else {
                    Err(absent(text))
                }
            }
            Node::Status(word) => {
                let (run, _) = self.named_run(text)?;
                let (row, left) = self.run(&run, Age::Current)?;
                if escape(row.value.status.as_str()) != **word {
                    return Err(absent(text));
                }
                Ok((Node::RunOfStatus(run), left))
            }
            Node::Run(id) => self.run_child(id, text),
            Node::RunVolumes(id)
                if is_probe(text) && self.tree.answers.of::<Run>().last(id).is_none() =>
            {
                Err(absent(text))
            }
            Node::RunVolumes(id) => {
                let (mut links, left) = self.run_volumes(id)?;
                let target = links.remove(text).ok_or_else(|| absent(text))?;
                Ok((Node::Link(target), left))
            }
            Node::Storages(kind) => {
                let (key, node) = (|id| (*kind, id), |id| Node::Storage(*kind, id));
                self.object_child::<Storages, Storage, _>(kind, text, key, node)
            }
            Node::Storage(kind, id) => self.version_child(*kind, id, text),
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

    fn agent_file(&self, id: &Arc<str>, name: &str) -> Answer<Child> {
        match name {
            "runs" => return Ok((Node::AgentRuns(id.clone()), FOR_EVER)),
            "latest" => {
                let target = self.latest_run(id)?.ok_or_else(|| absent(name))?;
                // One that is started through the mount is the newest at once.
                return Ok((Node::Link(target), Duration::ZERO));
            }
            START_FILE => return Ok((Node::Control(Control::Start(id.clone())), FOR_EVER)),
            _ => {}
        }
        if let Some(form) = table_form(name) {
            return Ok((Node::RunsTable(Some(id.clone()), form), FOR_EVER));
        }
        let file = AgentFile::ALL.iter().find(|(each, _)| *each == name);
        let (_, file) = file.ok_or_else(|| absent(name))?;
        if *file == AgentFile::Config {
            let (row, left) = self.agent_detail(id)?;
            row.value.config.as_ref().ok_or_else(|| absent(name))?;
            return Ok((Node::AgentFile(id.clone(), *file), left));
        }
        Ok((Node::AgentFile(id.clone(), *file), FOR_EVER))
    }

    /// The run of an id, from a listing or, where none shows it, by a call.
    fn named_run(&self, name: &str) -> Answer<(Arc<str>, Duration)> {
        let answers = &self.tree.answers;
        if let Some((listing, _)) = answers.of::<Runs>().last(&())
            && let Some(item) = listing.component(name)
        {
            // Runs do not vanish.
            return Ok((item.id.clone(), FOR_EVER));
        }
        if !may_be_run_id(name) {
            return Err(absent(name));
        }
        if !is_uuid(name) {
            let (listing, _) = self.runs()?;
            if let Some(item) = listing.component(name) {
                return Ok((item.id.clone(), FOR_EVER));
            }
            if !listing.may_have(name) {
                return Err(absent(name));
            }
        }
        let id: Arc<str> = name.into();
        self.run(&id, Age::Any)?;
        Ok((id, FOR_EVER))
    }

    fn run_of_agent(&self, agent: &Arc<str>, run: &Arc<str>) -> Answer<()> {
        let (row, _) = self.run(run, Age::Any)?;
        if self.is_run_of(&row.value, agent)? {
            Ok(())
        } else {
            Err(absent(run))
        }
    }

    fn run_child(&self, id: &Arc<str>, name: &str) -> Answer<Child> {
        if let Some((_, file)) = RunFile::ALL.iter().find(|(each, _)| *each == name) {
            return Ok((Node::RunFile(id.clone(), *file), FOR_EVER));
        }
        match name {
            "volumes" => Ok((Node::RunVolumes(id.clone()), FOR_EVER)),
            "cancel" => Ok((Node::Control(Control::Cancel(id.clone())), FOR_EVER)),
            "agent" => {
                let target = self.run_agent(id)?.ok_or_else(|| absent(name))?;
                Ok((Node::Link(target), self.list_ttl()))
            }
            "artifact" => {
                let (target, left) = self.run_artifact(id)?.ok_or_else(|| absent(name))?;
                Ok((Node::Link(target), left))
            }
            _ => Err(absent(name)),
        }
    }

    fn version_child(&self, kind: StorageKind, id: &Arc<str>, name: &str) -> Answer<Child> {
        match name {
            ".versions.json" => {
                return Ok((Node::VersionsJson(kind, id.clone()), FOR_EVER));
            }
            "latest" => {
                let (_, row, left) = self.storage_item(kind, id)?;
                let version = row.value.current_version_id.as_deref();
                let version = version.ok_or_else(|| absent(name))?;
                return Ok((
                    Node::Latest(VersionId::new(kind, id.clone(), version)),
                    left,
                ));
            }
            _ => {}
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
        let (mut versions, mut left) = self.versions(kind, id)?;
        if versions.component(name).is_none() && (is_content_id(name) || looks_like_id(name)) {
            // A run that has just ended points at a version which is newer than
            // the list: a whole id is worth looking again.
            let answers = &self.tree.answers;
            answers
                .of::<Versions>()
                .expire(&key, self.since, LOOK_AGAIN);
            (versions, left) = self.versions(kind, id)?;
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
                Ok(Some((
                    number,
                    index.node(number).ok_or(Error::Stale)?,
                    FOR_EVER,
                )))
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
