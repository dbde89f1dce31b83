//! Where a symlink of a version leads.

use super::{
    format::{self, ROOT},
    records::Records,
};

/// Links followed for one path: the kernel's own limit (`MAXSYMLINKS`).
const LINKS: u32 = 40;

/// Where a symlink leads.
pub(super) enum End {
    /// To a node of the version.
    Node(u32),
    /// To nothing: a name is missing, a file is in the way, or there are too many links.
    Nothing,
    /// Out of the version.
    Out,
}

/// Follows a symlink in the folder `dir` as the kernel would follow it. `None` where
/// that takes more than the `steps` that are left.
///
/// A path that cannot be resolved leads nowhere on the host. From there on it is
/// followed by its names alone, and must stay inside at every step.
pub(super) fn follow(records: &Records, dir: u32, link: u32, steps: &mut u64) -> Option<End> {
    let target = |node: u32| Some(records.target(records.nodes.get(node as usize)?));
    // Rests of targets still to walk, the innermost last.
    let mut rests = vec![target(link)?];
    let (mut links, mut current) = (1, dir);
    // How deep below `current` the path has gone by names alone, the file that it has
    // come to, and whether it has gone on from there.
    let (mut unreal, mut file, mut is_lost) = (0_u32, None, false);
    while let Some(rest) = rests.pop() {
        *steps = steps.checked_sub(1)?;
        if rest.starts_with(b"/") {
            return Some(End::Out);
        }
        let end = rest.iter().position(|&byte| byte == b'/');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
        if slashes < rest.len() {
            rests.push(&rest[slashes..]);
        }
        is_lost |= unreal > 0;
        match name {
            b"" | b"." => {}
            b".." if unreal > 0 => unreal -= 1,
            b".." if current == ROOT => return Some(End::Out),
            b".." => current = records.nodes.get(current as usize)?.parent,
            _ if unreal > 0 => unreal += 1,
            name => {
                let node = records.child(current, name);
                let kind = node.and_then(|node| Some(records.nodes.get(node as usize)?.kind));
                match (node, kind) {
                    (Some(node), Some(format::DIRECTORY)) => current = node,
                    (Some(node), Some(format::SYMLINK)) if links < LINKS => {
                        links += 1;
                        rests.push(target(node)?);
                    }
                    (node, kind) => {
                        is_lost |= kind != Some(format::FILE);
                        (unreal, file) = (1, node);
                    }
                }
            }
        }
    }
    let node = if unreal > 0 { file } else { Some(current) };
    Some(match node.filter(|_| !is_lost) {
        Some(node) => End::Node(node),
        None => End::Nothing,
    })
}
