//! Proves the points of a stream, on a thread of its own.
//!
//! zlib-rs tells where a deflate block ends in bytes, not how many bits of the last byte
//! belong to the next one. All eight possibilities are tried against the output that
//! followed, and the window is cut down to what that refers to. What is kept is what has
//! been read back: from the stored window to the last byte of the proof.

use super::{
    candidate::{Candidate, PROOF, WINDOW},
    checkpoint,
    contents::{Point, Proved},
    deflated::Deflater,
    resume::lead_in,
    window::{self, GROUP, Window},
};
use std::{
    cell::LazyCell,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::Receiver,
    },
};
use zlib_rs::{Inflate, InflateFlush};

/// Bytes of output by which most wrong readings are told, at little cost.
const TRIAL: usize = 4 << 10;
/// Candidates that may wait.
pub(in crate::store) const WAITING: usize = 20;

/// Proves candidates until there are no more, and adds them to what is `proved`. Tells how
/// many bytes all `windows` take, and `journal` the record of each point.
pub(in crate::store) fn prove_all(
    candidates: Receiver<Candidate>,
    windows: &AtomicU64,
    mut proved: Proved,
    journal: impl Fn(&[u8]),
) -> Proved {
    // Small archives have nothing to prove.
    let mut prover = LazyCell::new(Proof::new);
    let Proved {
        points,
        windows: kept,
        ..
    } = &proved;
    // Where it is damaged, no reader will have one either.
    let mut dictionary = window::dictionary(points, kept, points.len()).unwrap_or_default();
    let mut told = proved.way_points.len();
    for candidate in candidates {
        proved.way_points.extend(&candidate.way_points);
        let is_first = proved.points.len().is_multiple_of(GROUP);
        if is_first {
            dictionary.clear();
        }
        let proof = match candidate.next_output.is_empty() {
            // The start of a member.
            true => Some((0, Window::default(), Vec::new())),
            false => prover.prove(&candidate, &dictionary),
        };
        let Some((bits, kept, window)) = proof else {
            continue;
        };
        if is_first {
            dictionary = kept.into_dictionary();
        }
        let start = proved.windows.len();
        windows.fetch_add(window.len() as u64, Ordering::Relaxed);
        let point = Point {
            input: candidate.input - u64::from(bits > 0),
            output: candidate.output,
            bits,
            window: start..start + window.len(),
        };
        let ways = &proved.way_points[told..];
        journal(&checkpoint::encode(&point, candidate.sums, ways, &window));
        told = proved.way_points.len();
        proved.windows.extend(window);
        proved.points.push(point);
    }
    proved
}

/// Room for proofs.
struct Proof {
    trials: Trials,
    deflater: Deflater,
    /// Two windows that number their bytes: one with the low and one with the high bits. No
    /// byte is the same in both.
    low: Vec<u8>,
    high: Vec<u8>,
}

/// Room for trials.
struct Trials {
    inflate: Inflate,
    output: Vec<u8>,
}

impl Proof {
    fn new() -> Self {
        let numbered = |byte: fn(usize) -> usize| (0..WINDOW).map(|at| byte(at) as u8).collect();
        Self {
            trials: Trials {
                inflate: Inflate::new(false, 15),
                output: vec![0; PROOF],
            },
            deflater: Deflater::new(),
            low: numbered(|at| at),
            high: numbered(|at| at >> 8 << 1 | !at & 1),
        }
    }

    /// How many bits of its last byte belong to the block, what is kept of the window, and
    /// that as it is stored with this dictionary.
    fn prove(&mut self, candidate: &Candidate, dictionary: &[u8]) -> Option<(u8, Window, Vec<u8>)> {
        let expected = &candidate.next_output[..];
        (0..8).find_map(|bits| {
            let trial = self.trials.run(candidate, bits, &candidate.window, TRIAL)?;
            (trial == &expected[..TRIAL]).then_some(())?;
            let window = self.sparse(candidate, bits)?;
            let stored = window.encode(&mut self.deflater, dictionary);
            let again = Window::decode(&stored, dictionary)?.bytes();
            let output = self.trials.run(candidate, bits, &again, expected.len())?;
            (output == expected).then_some((bits, window, stored))
        })
    }

    /// The part of the window that what follows refers to.
    ///
    /// The numbered windows tell by what they give which byte of the output comes from
    /// where: what comes from no window is the same from both.
    fn sparse(&mut self, candidate: &Candidate, bits: u8) -> Option<Window> {
        let window = &candidate.window;
        let (low, high) = (&self.low[..window.len()], &self.high[..window.len()]);
        let from_low = self.trials.run(candidate, bits, low, WINDOW)?.to_vec();
        let from_high = self.trials.run(candidate, bits, high, WINDOW)?;
        let mut used = vec![false; WINDOW];
        for (low, high) in from_low.iter().zip(from_high) {
            if low != high {
                used[usize::from(*low) | usize::from(high >> 1) << 8] = true;
            }
        }
        Some(Window::of(window, &used))
    }
}

impl Trials {
    /// What follows the candidate, if the block has so many bits of the last byte, and
    /// the output before is `window`. `None` unless there are `length` bytes.
    fn run(
        &mut self,
        candidate: &Candidate,
        bits: u8,
        window: &[u8],
        length: usize,
    ) -> Option<&[u8]> {
        self.inflate.reset(false);
        if !window.is_empty() {
            self.inflate.set_dictionary(window).ok()?;
        }
        for input in [&lead_in(bits, candidate.last), &candidate.next_input] {
            let output = &mut self.output[self.inflate.total_out() as usize..length];
            self.inflate
                .decompress(input, output, InflateFlush::NoFlush)
                .ok()?;
        }
        (self.inflate.total_out() == length as u64).then_some(&self.output[..length])
    }
}
