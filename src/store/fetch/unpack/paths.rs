//! An entry's name as the components of a path, and what all names may cost.

use super::Fault;
use crate::store::{
    Limits,
    index::{
        builder::{Builder, ROOT},
        format,
        shorten::shorten,
    },
};
use std::borrow::Cow;

/// What paths may cost together, where a byte is 1 and a component, which is looked
/// up, [`COMPONENT`]: a base, and so much for each entry. Of usual entries it is half
/// of that. One global header can give every entry a path of some mebibytes.
const PATHS: u64 = 256 << 20;
const PATHS_ENTRY: u64 = 512;
const COMPONENT: u64 = 16;

/// One component of a path.
#[derive(Clone, Debug)]
pub(super) struct Component<'a> {
    /// As it is shown.
    pub(super) name: Cow<'a, [u8]>,
    /// As the archive has it, where that is longer than a directory can hold.
    own: Option<&'a [u8]>,
}

impl Component<'_> {
    /// Notes the archive's own name of what is shown under a shortened one.
    pub(super) fn note(&self, tree: &mut Builder, dir: u32) -> Result<(), Fault> {
        match self.own {
            Some(own) => tree
                .set_original(dir, &self.name, own)
                .map_err(Fault::Limit),
            None => Ok(()),
        }
    }
}

/// Takes names apart, and counts what that costs.
#[derive(Default)]
pub(super) struct Paths {
    cost: u64,
}

impl Paths {
    /// A path's components; the inner error says why its entry cannot be shown.
    pub(super) fn components<'p>(
        &mut self,
        path: &'p [u8],
        limits: &Limits,
        entries: u64,
    ) -> Result<Result<Vec<Component<'p>>, String>, Fault> {
        if path.len() > limits.path as usize {
            let (is, most) = (path.len(), limits.path);
            return Ok(Err(format!("a path length of {is}; {most} are shown")));
        }
        // Before anything reads it through.
        self.cost += path.len() as u64;
        let allowed = PATHS + PATHS_ENTRY * entries;
        if self.cost > allowed {
            return Err(Fault::Limit(format!(
                "paths of more than {allowed} bytes for {entries} entries (a component counts {COMPONENT} more)"
            )));
        }
        let unusable = || Ok(Err("its name holds `..` or NUL".into()));
        if path.contains(&0) {
            return unusable();
        }
        let most = limits.name as usize;
        let components: Vec<Component<'p>> = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .map(|name| match name.len() > most {
                true => Component {
                    name: shorten(name, most).into(),
                    own: Some(name),
                },
                false => Component {
                    name: name.into(),
                    own: None,
                },
            })
            .collect();
        self.cost += COMPONENT * components.len() as u64;
        if components.iter().any(|component| *component.name == *b"..") {
            return unusable();
        }
        if components.len() > limits.depth as usize {
            let (is, most) = (components.len(), limits.depth);
            return Ok(Err(format!("a depth of {is}; {most} are shown")));
        }
        Ok(Ok(components))
    }
}

/// The directory of that path, made where it is missing.
pub(super) fn make(tree: &mut Builder, parents: &[Component<'_>]) -> Result<u32, Fault> {
    parents.iter().try_fold(ROOT, |dir, component| {
        let node = tree.directory(dir, &component.name).map_err(Fault::Limit)?;
        component.note(tree, dir)?;
        Ok(node)
    })
}

/// What a hard link may name: a file or symlink of that path.
pub(super) fn find(tree: &Builder, path: &[Component<'_>]) -> Option<u32> {
    let node = path
        .iter()
        .try_fold(ROOT, |dir, component| tree.child(dir, &component.name))?;
    (tree.record(node)?.kind != format::DIRECTORY).then_some(node)
}

/// Whether a path leads through another, or is it.
pub(super) fn is_below(path: &[Component<'_>], above: &[Component<'_>]) -> bool {
    path.len() >= above.len()
        && path
            .iter()
            .zip(above)
            .all(|(component, above)| component.name == above.name)
}
