//! Symlinks: where they lead, and which of them a run has.

use crate::{
    api::types::{Run, RunStatus},
    error::Error,
    tree::{
        answers::{Agents, Runs},
        cache::for_good,
        content::Files,
        fetch_key::Answer,
        live::Show,
        node::{
            Node,
            names::{escape, looks_like_id},
        },
        view::View,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The path of a version below its storages' folder.
fn version_path(name: &str, version: &str) -> String {
    format!("{}/{}", escape(name), escape(version))
}

impl View<'_> {
    /// The target of a symlink.
    ///
    /// # Errors
    /// EINVAL for another kind of node; EACCES for a link of an archive that
    /// leads out of its version, unless the mount shows such links.
    pub fn readlink(&self, ino: u64) -> Answer<Vec<u8>> {
        match self.node(ino)? {
            Node::Link(target) => Ok(target.as_bytes().to_vec()),
            Node::Latest(version) => Ok(escape(&version.id).into_bytes()),
            Node::RunOfAgent(id) => Ok(format!("../../../runs/{}", escape(&id)).into_bytes()),
            Node::RunOfStatus(id) => Ok(format!("../../{}", escape(&id)).into_bytes()),
            Node::Entry(version, node) => {
                let sealed = match self.files(&version)? {
                    Files::Sealed(sealed) => sealed,
                    // Whether it leads out is known at the end.
                    Files::Partial(_) => return Err(self.content_miss(&version)),
                    Files::None => return Err(Error::Stale.into()),
                };
                let entry = sealed.index().node(node).ok_or(Error::Stale)?;
                let target = sealed.index().target(node).ok_or_else(not_a_link)?;
                if entry.escapes && !self.tree.external_symlinks {
                    return Err(Error::Denied(
                        "the symlink leads out of its version (its target is in the attribute \
                         user.vm0.symlinks of its directory; --allow-external-symlinks shows it)"
                            .into(),
                    )
                    .into());
                }
                Ok(target.to_vec())
            }
            _ => Err(not_a_link().into()),
        }
    }

    /// The target of `runs/<id>/agent`. It is a file of the agent and not its
    /// folder, which leads to the agent's runs, and so back: a program that follows
    /// links into folders would never come to an end.
    pub(super) fn run_agent(&self, id: &Arc<str>) -> Answer<Option<Arc<str>>> {
        let (row, _) = self.run(id, Show::Last)?;
        let run = &row.value;
        // Where the listing is at hand it knows the agent's component, which
        // is not its bare name where two agents share one.
        let listing = self.tree.answers.of::<Agents>().last(&());
        let agent = run.agent_id.as_deref();
        let listed = agent.and_then(|agent| listing.as_ref()?.0.id(agent));
        let component = match (listed, agent, &run.agent_name) {
            (Some(item), ..) => item.component.clone(),
            // One that the listing's pages skip is found by its id alone.
            (None, Some(id), _) if listing.is_some() && looks_like_id(id) => escape(id),
            (None, _, Some(name)) => escape(name),
            (None, Some(id), None) => escape(id),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(format!("../../agents/{component}/agent.json").into()))
    }

    /// The target of `runs/<id>/artifact`, where the run has one, and for how
    /// long: that of a live run can change.
    pub(super) fn run_artifact(&self, id: &Arc<str>) -> Answer<Option<(Arc<str>, Duration)>> {
        let (row, left) = self.run_detail(id, Show::Fresh)?;
        let run = &row.value;
        let stored = match (&run.artifact_name, &run.artifact_version) {
            (Some(name), Some(version)) => Some((name, version)),
            // Named, but nothing has been stored by this run yet.
            (Some(_), None) => None,
            _ => run.artifacts.iter().flatten().next(),
        };
        let Some((name, version)) = stored else {
            return Ok(None);
        };
        let path = version_path(name, version);
        // That of a run that goes on is another one as soon as it ends.
        let lasts = if for_good(left) { left } else { Duration::ZERO };
        Ok(Some((format!("../../artifacts/{path}").into(), lasts)))
    }

    /// The links in `runs/<id>/volumes`, name and target, and for how long
    /// they are these.
    pub(super) fn run_volumes(
        &self,
        id: &Arc<str>,
    ) -> Answer<(BTreeMap<String, Arc<str>>, Duration)> {
        let (row, left) = self.run_detail(id, Show::Fresh)?;
        let volumes = row.value.volumes.iter().flatten();
        let links = volumes.map(|(name, version)| {
            let target = format!("../../../volumes/{}", version_path(name, version));
            (escape(name), target.into())
        });
        Ok((links.collect(), left))
    }

    /// Whether a run is one of an agent's; older answers give the name only.
    pub(super) fn is_run_of(&self, run: &Run, agent: &Arc<str>) -> Answer<bool> {
        match (&run.agent_id, &run.agent_name) {
            (Some(id), _) => Ok(**id == **agent),
            (None, Some(name)) => Ok(self.agent_item(agent)?.0.value.name == *name),
            (None, None) => Ok(false),
        }
    }

    /// The status words that have a folder: all known ones, and those seen.
    pub(super) fn statuses(&self) -> Answer<BTreeSet<String>> {
        let (listing, _) = self.need_or_last::<Runs>(&())?;
        let seen = listing.items().iter().map(|item| &item.row.value.status);
        let all = RunStatus::KNOWN.iter().chain(seen);
        Ok(all.map(|status| escape(status.as_str())).collect())
    }
}

fn not_a_link() -> Error {
    Error::Invalid("not a symbolic link".into())
}
