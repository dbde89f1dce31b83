//! How an object is cut into parts.

use super::get::Object;
use std::{iter, ops::Range, time::Duration};

/// How a download is cut.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Sizes {
    /// The first request asks for so many bytes: archives up to this size, nearly
    /// all, come with one request; of larger ones it tells the size.
    pub(in crate::store) first: u64,
    /// Bytes of each further request: large beside what a round trip costs,
    /// small beside the memory for those that wait for an earlier one.
    pub(in crate::store) part: u64,
    /// Requests in flight: object stores limit the rate of each, not of their sum.
    pub(in crate::store) connections: u64,
    /// Bytes that may be in memory or asked for, beyond what was read: all the
    /// parts in flight, and one that is being read.
    pub(in crate::store) window: u64,
    /// The same until the reader had to wait: where the network is faster
    /// than the unpacking, more in flight would only take memory.
    pub(in crate::store) opening: u64,
    /// How long a reader must have waited in all for that.
    pub(in crate::store) patience: Duration,
    /// What waits to be read is kept in chunks of so many bytes.
    pub(in crate::store) chunk: usize,
}

impl Sizes {
    /// For one of several downloads at once: each has one part in memory or in flight.
    pub(in crate::store) fn one_of_several(&self) -> Self {
        Self {
            window: self.part,
            opening: self.part,
            ..*self
        }
    }
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            first: 8 << 20,
            part: 4 << 20,
            connections: 6,
            window: 28 << 20,
            opening: 12 << 20,
            patience: Duration::from_millis(50),
            chunk: 256 << 10,
        }
    }
}

/// What the first answer has told of an object, and the parts that follow from it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) object: Object,
    /// Where the first part ends, unless only the stream will tell.
    pub(super) first_end: Option<u64>,
    /// Where the download ends, unless only the stream will tell.
    pub(super) end: Option<u64>,
    /// Whether a range of a known object is read, so that no answer may bring all of it.
    pub(super) is_range: bool,
    /// How many parts may be in flight.
    pub(super) connections: u64,
    /// Bytes of each further part.
    step: u64,
}

impl Plan {
    pub(super) fn new(object: Object, sizes: &Sizes) -> Self {
        let first_end = match object.ranges {
            true => object.length.map(|length| length.min(sizes.first)),
            // The store sends all of it.
            false => object.length,
        };
        // Without a strong ETag, parts could be of different objects.
        let (connections, step) = match object.strong_etag() {
            Some(_) if first_end < object.length => (sizes.connections, sizes.part),
            _ => (1, u64::MAX),
        };
        Self {
            end: object.length,
            is_range: false,
            object,
            first_end,
            connections,
            step,
        }
    }

    /// The plan of a range of an object that an earlier download has described.
    pub(super) fn of_range(object: Object, bytes: Range<u64>, sizes: &Sizes) -> Self {
        Self {
            object,
            first_end: Some(bytes.start),
            end: Some(bytes.end),
            is_range: true,
            connections: sizes.connections,
            step: sizes.part,
        }
    }

    /// The parts after the first one, in order.
    pub(super) fn rest(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let (end, step) = (self.end.unwrap_or(0), self.step);
        let mut next = self.first_end.unwrap_or(0);
        iter::from_fn(move || {
            let start = next;
            next = start.saturating_add(step).min(end);
            (start < next).then_some(start..next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        first: 10,
        part: 4,
        connections: 3,
        window: 20,
        opening: 20,
        patience: Duration::ZERO,
        chunk: 2,
    };

    #[test]
    // One part is a list of one range.
    #[allow(clippy::single_range_in_vec_init)]
    fn parts_by_what_the_first_answer_tells() {
        let (strong, weak, none) = (Some("\"1\""), Some("W/\"1\""), None);
        for (ranges, etag, length, first, parallel, rest) in [
            (true, strong, Some(0), Some(0), false, vec![]),
            (true, strong, Some(9), Some(9), false, vec![]),
            (true, strong, Some(10), Some(10), false, vec![]),
            (true, strong, Some(11), Some(10), true, vec![10..11]),
            (true, strong, Some(14), Some(10), true, vec![10..14]),
            (
                true,
                strong,
                Some(19),
                Some(10),
                true,
                vec![10..14, 14..18, 18..19],
            ),
            (true, weak, Some(19), Some(10), false, vec![10..19]),
            (true, none, Some(19), Some(10), false, vec![10..19]),
            (
                true,
                none,
                Some(u64::MAX),
                Some(10),
                false,
                vec![10..u64::MAX],
            ),
            (false, strong, Some(19), Some(19), false, vec![]),
            (false, strong, Some(u64::MAX), Some(u64::MAX), false, vec![]),
            (false, none, None, None, false, vec![]),
        ] {
            let etag = etag.map(str::to_owned);
            let object = Object {
                length,
                etag,
                ranges,
            };
            let plan = Plan::new(object.clone(), &SIZES);
            assert_eq!(plan.first_end, first, "{object:?}");
            assert_eq!((plan.connections > 1), parallel, "{object:?}");
            assert_eq!(plan.rest().collect::<Vec<_>>(), rest, "{object:?}");
        }
        // The last part of an object of an absurd length still ends.
        let object = Object {
            length: Some(u64::MAX),
            etag: strong.map(str::to_owned),
            ranges: true,
        };
        let sizes = Sizes {
            part: 1 << 62,
            ..SIZES
        };
        let ends: Vec<_> = Plan::new(object, &sizes)
            .rest()
            .map(|part| part.end)
            .collect();
        assert_eq!((ends.len(), ends[3]), (4, u64::MAX));
    }
}
