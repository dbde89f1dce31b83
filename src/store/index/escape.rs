//! Which symlinks lead out of their version: absolute ones, and those whose
//! path, followed as the kernel would follow it, climbs above the root.
//!
//! A path that cannot be resolved (a missing name, a file in the way, too many
//! links) leads nowhere on the host. From there on the path is followed by
//! its names alone and must stay inside at every step.

use super::{
    format::{self, ROOT},
    records::Records,
};

/// Links followed for one path: the kernel's own limit (`MAXSYMLINKS`).
const LINKS: u32 = 40;
/// Steps for all symlinks of a version together, so that chains made for it
/// cannot cost hours; about a second. Past it, a link counts as leading out
/// unless it plainly cannot: refusing is the safe mistake.
const STEPS: u64 = 50_000_000;

/// Sets the flag of each symlink that leads out from any of its names.
pub(in crate::store) fn mark(records: &mut Records) {
    let mut steps = STEPS;
    let escaping: Vec<u32> = records
        .dirents
        .iter()
        .filter(|dirent| records.nodes[dirent.node as usize].kind == format::SYMLINK)
        .filter(|dirent| escapes(records, dirent.parent, dirent.node, &mut steps))
        .map(|dirent| dirent.node)
        .collect();
    for node in escaping {
        records.nodes[node as usize].flags |= format::ESCAPES;
    }
}

fn escapes(records: &Records, dir: u32, link: u32, steps: &mut u64) -> bool {
    let target = |node: u32| records.target(&records.nodes[node as usize]);
    if target(link).starts_with(b"/") {
        return true;
    }
    // Rests of targets still to walk, the innermost last.
    let mut rests: Vec<&[u8]> = vec![target(link)];
    let mut links = 1;
    let mut current = dir;
    // How deep below `current` the path has gone by names alone.
    let mut unreal = 0_u32;
    while let Some(rest) = rests.pop() {
        let (name, rest) = match rest.iter().position(|&byte| byte == b'/') {
            Some(slash) => (&rest[..slash], &rest[slash + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        if !rest.is_empty() {
            rests.push(rest);
        }
        if *steps == 0 {
            return true;
        }
        *steps -= 1;
        match name {
            b"" | b"." => {}
            b".." if unreal > 0 => unreal -= 1,
            b".." if current == ROOT => return true,
            b".." => current = records.nodes[current as usize].parent,
            _ if unreal > 0 => unreal += 1,
            name => match records.child(current, name) {
                Some(node) => match records.nodes[node as usize].kind {
                    format::DIRECTORY => current = node,
                    format::SYMLINK if links < LINKS => {
                        links += 1;
                        if target(node).starts_with(b"/") {
                            return true;
                        }
                        rests.push(target(node));
                    }
                    _ => unreal = 1,
                },
                None => unreal = 1,
            },
        }
    }
    false
}
