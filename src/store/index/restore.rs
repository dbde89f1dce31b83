//! The records of a sealed index, read back for the proof of content.

use super::{
    reader::Index,
    records::{Dirent, NONE, Records},
};

/// Maximum size of all names and targets: that of `Limits`, and the padding of chunks.
const ARENA: usize = 512 << 20;

/// All records of an index; `None` where it contradicts itself.
pub(in crate::store) fn restore(index: &Index) -> Option<Records> {
    let nodes: Option<Vec<_>> = (0..index.len()).map(|node| index.record(node)).collect();
    let mut records = Records {
        nodes: nodes?,
        ..Records::default()
    };
    for dir in 0..index.len() {
        let count = index.child_count(dir);
        if count > 0 {
            let record = &mut records.nodes[dir as usize];
            (record.location, record.children) = (records.dirents.len() as u64, count);
        }
        for position in 0..count {
            let (name, node) = index.child_at(dir, position)?;
            // Directories that share entries would be more than the index holds.
            let most = index.header().dirents as usize;
            (node < index.len() && records.dirents.len() < most).then_some(())?;
            let here = u32::try_from(records.dirents.len()).ok()?;
            if let Some(own) = index.original(dir, position) {
                let (offset, length) = keep(&mut records.arena, own)?;
                records.longs.push((here, offset, length));
            }
            let (offset, length) = keep(&mut records.arena, name)?;
            let length = u16::try_from(length).ok()?;
            records.dirents.push(Dirent {
                parent: dir,
                name: offset,
                length,
                node,
                next: NONE,
            });
        }
    }
    for node in 0..index.len() {
        if let Some(target) = index.target(node) {
            let (offset, _) = keep(&mut records.arena, target)?;
            records.nodes[node as usize].location = u64::from(offset);
        }
    }
    records.set_digests(|node, _| index.digest(node));
    Some(records)
}

/// Adds a text to an arena; returns its offset and length. `None` if that makes it larger
/// than that of any genuine index.
fn keep(arena: &mut Vec<u8>, text: &[u8]) -> Option<(u32, u32)> {
    let offset = u32::try_from(arena.len()).ok()?;
    (arena.len() + text.len() <= ARENA).then(|| arena.extend_from_slice(text))?;
    Some((offset, u32::try_from(text.len()).ok()?))
}
