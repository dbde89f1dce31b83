//! How a version that is fetched whole is cut into ranges of its archive.

use crate::store::{cache::Partly, seek::SeekIndex};
use std::ops::Range;

/// Bytes of the archive that one thread fetches at once for a whole version, if no span is
/// longer: one request.
pub(super) const RUN: u64 = 4 << 20;

/// The bytes of the archive from the start of a span up to what gives `to` of the tar
/// stream.
pub(super) fn input(seek: &SeekIndex, first: usize, to: u64) -> Range<u64> {
    let last = seek.span_at(to.saturating_sub(1));
    seek.input(first, to).start..seek.input(last, to).end
}

/// The spans of a version that threads have yet to fetch.
pub(super) struct Runs {
    missing: Vec<usize>,
    /// What they take of the archive.
    pub(super) bytes: u64,
    /// Whether spans were left out that a single read had taken.
    pub(super) left_out: bool,
}

impl Runs {
    /// All that have not come.
    pub(super) fn of(partly: &Partly<'_>) -> Self {
        let seek = partly.seek();
        let mut missing: Vec<usize> = (0..seek.spans())
            .filter(|span| partly.absent(Some(seek.output(*span))) > 0)
            .collect();
        // Taken from the end.
        missing.reverse();
        let length = |span: &usize| {
            let bytes = input(seek, *span, seek.output(*span).end);
            bytes.end - bytes.start
        };
        Self {
            bytes: missing.iter().map(length).sum(),
            missing,
            left_out: false,
        }
    }

    /// The next spans, one after another; none that a single read brings or has brought.
    pub(super) fn next(
        &mut self,
        seek: &SeekIndex,
        is_taken: impl Fn(usize) -> bool,
    ) -> Option<Range<usize>> {
        let first = loop {
            let next = self.missing.pop()?;
            if !is_taken(next) {
                break next;
            }
            self.left_out = true;
        };
        let mut spans = first..first + 1;
        while self.missing.last() == Some(&spans.end) && !is_taken(spans.end) {
            let bytes = input(seek, first, seek.output(spans.end).end);
            if bytes.end - bytes.start > RUN {
                break;
            }
            self.missing.pop();
            spans.end += 1;
        }
        Some(spans)
    }

    /// Ends it: a fetch has failed.
    pub(super) fn stop(&mut self) {
        self.missing.clear();
    }
}
