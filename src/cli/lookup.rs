//! Finds an object in a tree without a kernel.

use crate::{
    error::{Error, Result},
    pending::PendingRequests,
    text::one_line,
    tree::{Found, Kind, View},
};

/// The tree's root.
const ROOT: u64 = 1;
/// Symlinks in a row that are followed: an id is one to a name, the beginning of a
/// version's id one to the whole.
const LINKS: u32 = 4;
/// Characters of a path in a message.
const SHOWN: usize = 200;

/// The inode of a path, after its symlinks, each of which leads to a name beside it.
///
/// # Errors
/// [`Error::NotFound`] where a name does not exist; what looking it up fails with.
pub(super) fn find<N: AsRef<[u8]>>(pending: &PendingRequests, path: &[N]) -> Result<u64> {
    let mut parent = ROOT;
    for name in path {
        let mut name = name.as_ref().to_vec();
        let mut links = LINKS;
        parent = loop {
            let lookup = |view: &View<'_>| view.lookup(parent, &name);
            let Found::Node(stat, _) = pending.run(lookup)? else {
                let path: Vec<_> = path.iter().map(N::as_ref).collect();
                let path = String::from_utf8_lossy(&path.join(&b'/')).into_owned();
                return Err(Error::NotFound(one_line(&path, SHOWN)));
            };
            let ino = stat.attributes.ino;
            if stat.attributes.kind != Kind::Symlink || links == 0 {
                break ino;
            }
            links -= 1;
            name = pending.run(|view| view.readlink(ino))?;
        };
    }
    Ok(parent)
}
