//! A seek index as its readers ask it.

use super::{
    contents::{Archive, Contents, SPACING, Way},
    extents::Extent,
    format,
    span::SpanReader,
    window,
};
use crate::store::index::format::Header;
use std::{fs::File, io::Read, ops::Range};

/// Bytes that are reserved for a file at once.
const ROOM: u64 = 16 << 20;

/// The seek index of a version, as a whole in memory; windows stay deflated.
#[derive(Debug)]
pub(in crate::store) struct SeekIndex(Contents);

impl SeekIndex {
    /// Reads the file `seek` of a version; `None` if it is damaged, or of another `tree`.
    pub(in crate::store) fn read(file: &File, tree: &Header) -> Option<Self> {
        let length = file.metadata().ok()?.len();
        let most = length.min(format::LONGEST);
        let mut bytes = Vec::with_capacity(most.min(ROOM) as usize);
        file.take(most).read_to_end(&mut bytes).ok()?;
        Self::decode(bytes, tree)
    }

    /// Reads the bytes of such a file.
    pub(in crate::store) fn decode(bytes: Vec<u8>, tree: &Header) -> Option<Self> {
        format::decode(bytes, tree).map(Self)
    }

    /// The archive that it is of.
    pub(in crate::store) fn archive(&self) -> &Archive {
        &self.0.archive
    }

    /// Bytes of memory.
    pub(in crate::store) fn memory(&self) -> u64 {
        let way = match &self.0.way {
            Way::Stored => 0,
            Way::Gzip {
                points,
                windows,
                way_points,
            } => size_of_val(&points[..]) + windows.len() + size_of_val(&way_points[..]),
        };
        (size_of_val(self) + way + self.0.extents.memory()) as u64
    }

    /// How many spans there are, at least one.
    pub(in crate::store) fn spans(&self) -> usize {
        match &self.0.way {
            Way::Stored => self.0.end.output.div_ceil(SPACING).max(1) as usize,
            Way::Gzip { points, .. } => points.len(),
        }
    }

    /// The span that holds this offset of the tar stream; the last one for what is past
    /// its end.
    pub(in crate::store) fn span_at(&self, output: u64) -> usize {
        let span = match &self.0.way {
            Way::Stored => (output / SPACING) as usize,
            Way::Gzip { points, .. } => points
                .partition_point(|point| point.output <= output)
                .saturating_sub(1),
        };
        span.min(self.spans() - 1)
    }

    /// The bytes of the tar stream that a span holds; none past the last span.
    pub(in crate::store) fn output(&self, span: usize) -> Range<u64> {
        let start = |span: usize| {
            let start = match &self.0.way {
                Way::Stored => (span as u64).checked_mul(SPACING),
                Way::Gzip { points, .. } => points.get(span).map(|point| point.output),
            };
            start.map_or(self.0.end.output, |start| start.min(self.0.end.output))
        };
        start(span)..start(span.saturating_add(1))
    }

    /// The bytes of the archive that give the span from its start up to `to` of the tar
    /// stream, at most to its end.
    pub(in crate::store) fn input(&self, span: usize, to: u64) -> Range<u64> {
        let output = self.output(span);
        let to = to.min(output.end);
        if to <= output.start {
            return 0..0;
        }
        let Way::Gzip {
            points, way_points, ..
        } = &self.0.way
        else {
            return output.start..to;
        };
        let (start, end) = (points[span].input, self.end_of(span));
        let enough = way_points.partition_point(|point| point.output < to);
        let enough = way_points.get(enough).map_or(end, |point| point.input);
        start..enough.clamp(start, end)
    }

    /// Where the bytes of the archive end that give a span.
    fn end_of(&self, span: usize) -> u64 {
        match &self.0.way {
            Way::Stored => self.output(span).end,
            // A block may begin inside of the last byte of the one before.
            Way::Gzip { points, .. } => points
                .get(span.saturating_add(1))
                .map_or(self.0.end.input, |next| {
                    next.input.saturating_add(u64::from(next.bits > 0))
                }),
        }
    }

    /// Up to where the tar stream can be had from the bytes of the archive that
    /// [`Self::input`] gives for `to` in the same span.
    pub(in crate::store) fn reach(&self, to: u64) -> u64 {
        let Way::Gzip { way_points, .. } = &self.0.way else {
            return to;
        };
        let span = self.span_at(to.saturating_sub(1));
        let end = self.output(span).end;
        let enough = way_points.partition_point(|point| point.output < to);
        match way_points.get(enough) {
            Some(way) if way.input < self.end_of(span) => way.output.min(end),
            _ => end,
        }
    }

    /// Inflates from the start of a span up to `to` of the tar stream, which may lie in a
    /// later one. `source` gives the bytes of the archive from `input(span, ..).start` on;
    /// what is read are the bytes of the tar stream from `output(span).start` to `to`. More
    /// than `source` is good for is an `UnexpectedEof`.
    pub(in crate::store) fn inflate<R: Read>(
        &self,
        span: usize,
        to: u64,
        source: R,
    ) -> SpanReader<R> {
        let start = self.output(span).start;
        let left = to.min(self.0.end.output).saturating_sub(start);
        match &self.0.way {
            Way::Stored => SpanReader::stored(source, left),
            Way::Gzip {
                points, windows, ..
            } => {
                let window = window::read(points, windows, span);
                let bits = points.get(span).map_or(0, |point| point.bits);
                SpanReader::gzip(source, bits, window.as_deref(), left)
            }
        }
    }

    /// The content in these bytes of a part (0: the pack; n + 1: blob n), in order.
    pub(in crate::store) fn extents_of_part(
        &self,
        part: usize,
        bytes: Range<u64>,
    ) -> impl Iterator<Item = Extent> {
        self.0.extents.of_part(part, bytes)
    }

    /// The content in these bytes of the tar stream, in order.
    pub(in crate::store) fn extents_of_output(
        &self,
        output: Range<u64>,
    ) -> impl Iterator<Item = Extent> {
        self.0.extents.of_output(output)
    }
}
