//! What a seek index is made of.

use super::extents::Extents;
use std::ops::Range;

/// Bytes of the tar stream from one point to the next.
pub(in crate::store) const SPACING: u64 = 2 << 20;

/// The archive that a seek index is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Archive {
    /// In bytes.
    pub(in crate::store) length: u64,
    /// As the object store gave it.
    pub(in crate::store) etag: Option<String>,
}

/// How an archive leads to the tar stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is the tar stream.
    Stored,
    Gzip {
        points: Vec<Point>,
        /// The windows of all points, as `window` stores them.
        windows: Vec<u8>,
        way_points: Vec<WayPoint>,
    },
}

/// Where the stream can be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// Offset in the archive of the byte that the block begins in.
    pub(super) input: u64,
    /// Offset in the tar stream.
    pub(super) output: u64,
    /// How many bits of that byte belong to the block, 0 if all do.
    pub(super) bits: u8,
    /// Where its stored window is; empty if it needs none.
    pub(super) window: Range<usize>,
}

/// So many bytes of the archive give so many bytes of the tar stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WayPoint {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// The proved points of a stream, in order.
#[derive(Debug, Default)]
pub(in crate::store) struct Proved {
    pub(super) points: Vec<Point>,
    /// Their stored windows.
    pub(super) windows: Vec<u8>,
    pub(super) way_points: Vec<WayPoint>,
}

/// All of a seek index.
#[derive(Debug)]
pub(in crate::store) struct Contents {
    pub(super) archive: Archive,
    pub(super) way: Way,
    /// Bytes of the archive up to the end of its last member, and of the tar stream.
    pub(super) end: WayPoint,
    pub(super) extents: Extents,
}
