//! A place at which a stream may be entered, on its way to be proved.

use super::{contents::WayPoint, member::Sums};

/// Bytes of output that one can refer back to (RFC 1951, 2).
pub(super) const WINDOW: usize = 32 << 10;
/// Bytes of output that prove a point: more than a stored block has, so that a wrong
/// reading of its header is noticed at its end.
pub(super) const PROOF: usize = 65 << 10;

/// The end of a deflate block, or the start of a member.
#[derive(Debug)]
pub(in crate::store) struct Candidate {
    /// Bytes of the archive before it, and of the tar stream.
    pub(super) input: u64,
    pub(super) output: u64,
    /// The last byte of the archive before it. Some of its bits, but not all, may belong
    /// to what follows.
    pub(super) last: u8,
    /// Of the member's output before it.
    pub(super) sums: Sums,
    /// The output before it.
    pub(super) window: Vec<u8>,
    /// The input and the output after it; none at the start of a member.
    pub(super) next_input: Vec<u8>,
    pub(super) next_output: Vec<u8>,
    /// Those since the candidate before.
    pub(super) way_points: Vec<WayPoint>,
}
