//! What a read misses, as bytes of the tar stream.

use crate::store::cache::Missing;
use crate::store::seek::SeekIndex;
use std::ops::Range;

/// Bytes of the tar stream that are inflated and not needed rather than asked for apart.
const GAP: u64 = 256 << 10;

/// Where in the tar stream lies what is missing.
pub(super) struct Part {
    /// Of a block of the pack, small files can lie on both sides of a large one.
    pub(super) ranges: Vec<Range<u64>>,
    /// Where the file ends that the read is of, if it has a blob of its own: a reader goes
    /// on to there. From small files it goes on to the next ones.
    pub(super) end: Option<u64>,
}

impl Part {
    pub(super) fn of(seek: &SeekIndex, missing: &Missing) -> Self {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for extent in seek.extents_of_part(missing.part, missing.bytes.clone()) {
            let end = extent.tar + extent.length;
            // What lies before it in its span is inflated in any case.
            let begins = seek.output(seek.span_at(extent.tar)).start;
            match ranges.last_mut() {
                Some(last) if begins <= last.end || extent.tar - last.end <= GAP => last.end = end,
                _ => ranges.push(extent.tar..end),
            }
        }
        let rest = seek.extents_of_part(missing.part, missing.bytes.start..u64::MAX);
        let last = rest.filter(|_| missing.part > 0).last();
        let end = last.map(|extent| extent.tar + extent.length);
        Self { ranges, end }
    }
}
