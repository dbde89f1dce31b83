//! Which symlinks lead out of their version: absolute ones, and those whose
//! path, followed as the kernel would follow it, climbs above the root.

use super::{
    follow::{End, follow},
    format,
    records::Records,
};

/// Steps for all symlinks of a version together, so that chains made for it
/// cannot cost hours; about a second. Past it, a link counts as leading out
/// unless it plainly cannot: refusing is the safe mistake.
const STEPS: u64 = 50_000_000;

/// Sets the flag of each symlink that leads out from any of its names.
pub(in crate::store) fn mark(records: &mut Records) {
    let mut steps = STEPS;
    let mut escapes = |dir, link| {
        let end = follow(records, dir, link, &mut steps);
        matches!(end, None | Some(End::Out))
    };
    let escaping: Vec<u32> = records
        .dirents
        .iter()
        .filter(|dirent| records.nodes[dirent.node as usize].kind == format::SYMLINK)
        .filter(|dirent| escapes(dirent.parent, dirent.node))
        .map(|dirent| dirent.node)
        .collect();
    for node in escaping {
        records.nodes[node as usize].flags |= format::ESCAPES;
    }
}
