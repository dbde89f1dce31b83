//! An entry's name as the components of a path, and what all names may cost.

use super::fault::{Fault, omit};
use crate::store::index::format::{self, ROOT};
use crate::store::index::{Builder, TooMuch, shorten};
use crate::store::limits::Limits;
use std::borrow::Cow;

/// Maximum cost of all paths: a base, and so much for each entry. A byte costs 1, and a
/// component, which is looked up, [`COMPONENT`]; usual entries cost half of that. Without
/// it, one global header could give every entry a path of some mebibytes.
const PATHS: u64 = 256 << 20;
const PATHS_ENTRY: u64 = 512;
const COMPONENT: u64 = 16;

/// One component of a path.
#[derive(Clone, Debug)]
pub(super) struct Component<'a> {
    /// As it is shown.
    name: Cow<'a, [u8]>,
    /// As the archive has it, if that is longer than a directory can hold.
    own: Option<&'a [u8]>,
}

impl Component<'_> {
    /// Keeps the archive's own name of an entry that is shown under a shortened one.
    fn note(&self, index: &mut Builder, dir: u32) -> Result<(), TooMuch> {
        match self.own {
            Some(own) => index.set_original(dir, &self.name, own),
            None => Ok(()),
        }
    }
}

/// Splits paths into components, and counts what that costs.
#[derive(Default)]
pub(super) struct Paths {
    cost: u64,
}

impl Paths {
    /// A path's components; [`Fault::Entry`] if it cannot be shown.
    pub(super) fn components<'p>(
        &mut self,
        path: &'p [u8],
        limits: &Limits,
        entries: u64,
    ) -> Result<Vec<Component<'p>>, Fault> {
        if path.len() > limits.path as usize {
            let (is, most) = (path.len(), limits.path);
            return omit(format!("a path length of {is}; {most} are shown"));
        }
        // Counted before its bytes are read.
        self.cost += path.len() as u64;
        let allowed = PATHS + PATHS_ENTRY * entries;
        if self.cost > allowed {
            return Err(Fault::Limit(format!(
                "paths of more than {allowed} bytes for {entries} entries (a component counts {COMPONENT} more)"
            )));
        }
        let unusable = || omit("its name holds `..` or NUL");
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
            return omit(format!("a depth of {is}; {most} are shown"));
        }
        Ok(components)
    }
}

/// Makes the missing directories of a path, and calls `add` with the last directory and
/// the last component; returns the node that it added.
pub(super) fn enter(
    index: &mut Builder,
    path: &[Component<'_>],
    add: impl FnOnce(&mut Builder, u32, &[u8]) -> Result<u32, TooMuch>,
) -> Result<u32, TooMuch> {
    let Some((last, parents)) = path.split_last() else {
        return Ok(ROOT);
    };
    let mut dir = ROOT;
    for component in parents {
        let node = index.directory(dir, &component.name)?;
        component.note(index, dir)?;
        dir = node;
    }
    let node = add(index, dir, &last.name)?;
    last.note(index, dir)?;
    Ok(node)
}

/// The file or symlink of that path, which a hard link may name.
pub(super) fn find(index: &Builder, path: &[Component<'_>]) -> Option<u32> {
    let node = path
        .iter()
        .try_fold(ROOT, |dir, component| index.child(dir, &component.name))?;
    (index.record(node)?.kind != format::DIRECTORY).then_some(node)
}

/// Whether a path leads through another, or is it.
pub(super) fn is_below(path: &[Component<'_>], above: &[Component<'_>]) -> bool {
    path.len() >= above.len()
        && path
            .iter()
            .zip(above)
            .all(|(component, above)| component.name == above.name)
}
