//! Points as a journal keeps them while an archive is unpacked, for another process to go
//! on from the last one.
//!
//! A record is, as `varint` writes numbers: the point's place in the archive and in the tar
//! stream, its bits, CRC and length of its member up to there; how many way-points
//! there are since the record before, and each; then its window as `window` stores it.

use super::{
    contents::{Point, Proved, WayPoint},
    member::{Member, Sums},
    varint, window,
};

/// Where inflating begins.
#[derive(Debug, Default)]
pub(in crate::store) enum Start {
    /// At the first byte of the archive, of which nothing is known.
    #[default]
    New,
    /// At this byte of an archive that is not compressed.
    Stored(u64),
    Point(Box<Entered>),
}

/// A point to go on from, and what is known up to there.
#[derive(Debug)]
pub(in crate::store) struct Entered {
    /// The point is the last one.
    proved: Proved,
    point: Point,
    window: Vec<u8>,
    sums: Sums,
}

/// The records of a journal.
#[derive(Debug, Default)]
pub(in crate::store) struct Checkpoints {
    proved: Proved,
    /// For each point, and how many way-points there were by then.
    sums: Vec<(Sums, usize)>,
}

/// The record of a point, its window and the way-points before it.
pub(super) fn encode(point: &Point, sums: Sums, ways: &[WayPoint], window: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(window.len() + 16 * ways.len() + 64);
    let Sums { crc, length } = sums;
    let own = [point.input, point.output, u64::from(point.bits)];
    let rest = [u64::from(crc), u64::from(length), ways.len() as u64];
    let ways = ways.iter().flat_map(|way| [way.input, way.output]);
    own.into_iter()
        .chain(rest)
        .chain(ways)
        .for_each(|number| varint::put(&mut bytes, number));
    bytes.extend_from_slice(window);
    bytes
}

impl Checkpoints {
    /// Takes a record; `None` if it is malformed.
    pub(in crate::store) fn add(&mut self, record: &[u8]) -> Option<()> {
        let mut rest = record;
        let mut next = || varint::take(&mut rest);
        let (input, output) = (next()?, next()?);
        let bits = u8::try_from(next()?).ok().filter(|bits| *bits < 8)?;
        let crc = u32::try_from(next()?).ok()?;
        let length = u32::try_from(next()?).ok()?;
        let count = next()?;
        let mut ways = Vec::new();
        for _ in 0..count {
            let (input, output) = (next()?, next()?);
            ways.push(WayPoint { input, output });
        }
        let Proved {
            points,
            windows,
            way_points,
        } = &mut self.proved;
        let is_next = match points.last() {
            Some(last) => output > last.output && input >= last.input,
            None => output == 0,
        };
        is_next.then_some(())?;
        for way in ways {
            let last = way_points.last().copied().unwrap_or_default();
            if way.input > last.input && way.output >= last.output {
                way_points.push(way);
            }
        }
        let start = windows.len();
        windows.extend_from_slice(rest);
        points.push(Point {
            input,
            output,
            bits,
            window: start..windows.len(),
        });
        self.sums.push((Sums { crc, length }, way_points.len()));
        Some(())
    }

    /// Forgets what lies behind so many bytes of the tar stream: a process that goes on from
    /// there finds points of its own, and windows depend on how many there are before.
    pub(in crate::store) fn cut(&mut self, output: u64) {
        let proved = &mut self.proved;
        let count = proved
            .points
            .partition_point(|point| point.output <= output);
        proved.points.truncate(count);
        self.sums.truncate(count);
        let end = proved.points.last().map_or(0, |point| point.window.end);
        proved.windows.truncate(end);
        let ways = self.sums.last().map_or(0, |(_, ways)| *ways);
        proved.way_points.truncate(ways);
    }

    /// The last point in so many bytes of the tar stream; `None` also if that is damaged.
    pub(in crate::store) fn enter(mut self, output: u64) -> Option<Entered> {
        self.cut(output);
        let Self { proved, sums } = self;
        let (sums, _) = *sums.last()?;
        let point = proved.points.last()?.clone();
        let last = proved.points.len() - 1;
        let window = window::read(&proved.points, &proved.windows, last)?;
        Some(Entered {
            proved,
            point,
            window,
            sums,
        })
    }
}

impl Entered {
    /// How many bits of the first byte belong to the stream; 0 if all do.
    pub(in crate::store) fn bits(&self) -> u8 {
        self.point.bits
    }

    /// Bytes of the archive before what is inflated next, and of the tar stream.
    pub(super) fn at(&self) -> WayPoint {
        WayPoint {
            input: self
                .point
                .input
                .saturating_add(u64::from(self.point.bits > 0)),
            output: self.point.output,
        }
    }

    /// The newest way-point.
    pub(super) fn noted(&self) -> u64 {
        self.proved.way_points.last().map_or(0, |way| way.input)
    }

    /// Bytes of all windows.
    pub(super) fn windows(&self) -> u64 {
        self.proved.windows.len() as u64
    }

    /// The member to go on with, whose checksum is held against all of it.
    pub(in crate::store) fn member(&self) -> Option<Member> {
        Member::entered(&self.window, self.sums)
    }
}

impl Start {
    /// Bytes of the archive that are not read again.
    pub(in crate::store) fn input(&self) -> u64 {
        match self {
            Self::New => 0,
            Self::Stored(at) => *at,
            Self::Point(entered) => entered.point.input,
        }
    }

    /// Bytes of the tar stream that are not inflated again.
    pub(in crate::store) fn output(&self) -> u64 {
        match self {
            Self::New => 0,
            Self::Stored(at) => *at,
            Self::Point(entered) => entered.point.output,
        }
    }

    /// What is proved up to here.
    pub(in crate::store) fn take_proved(&mut self) -> Proved {
        match self {
            Self::Point(entered) => std::mem::take(&mut entered.proved),
            Self::New | Self::Stored(_) => Proved::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{deflated::Deflater, window::Window},
        *,
    };

    fn record(input: u64, output: u64, ways: &[u64]) -> Vec<u8> {
        let point = Point {
            input,
            output,
            bits: 3,
            window: 0..0,
        };
        let sums = Sums {
            crc: input as u32,
            length: output as u32,
        };
        let way = |input: &u64| WayPoint {
            input: *input,
            output: input * 2,
        };
        let ways: Vec<_> = ways.iter().map(way).collect();
        // The first is the dictionary of the others.
        let dictionary = if output == 0 { &[][..] } else { &[10; 5] };
        let window = Window::of(&[input as u8; 5], &[true; 5]);
        let window = window.encode(&mut Deflater::new(), dictionary);
        encode(&point, sums, &ways, &window)
    }

    fn checkpoints(records: &[Vec<u8>]) -> Checkpoints {
        let mut all = Checkpoints::default();
        records.iter().for_each(|one| all.add(one).unwrap());
        all
    }

    #[test]
    fn the_last_point_that_is_covered_is_entered() {
        let records = [
            record(10, 0, &[]),
            record(500, 1000, &[100, 400]),
            record(900, 2000, &[600, 950]),
            record(1200, 2500, &[950, 1100]),
        ];
        for (output, point, ways) in [
            (0, 10, &[][..]),
            (999, 10, &[]),
            (1000, 500, &[100, 400]),
            (2499, 900, &[100, 400, 600, 950]),
            (u64::MAX, 1200, &[100, 400, 600, 950, 1100]),
        ] {
            let entered = checkpoints(&records).enter(output).unwrap();
            assert_eq!(entered.point.input, point);
            let known = entered.proved.way_points.iter();
            assert_eq!(known.map(|way| way.input).collect::<Vec<_>>(), ways);
            assert_eq!(entered.sums.crc, point as u32);
            assert_eq!(entered.window, [point as u8; 5]);
        }
        let mut again = checkpoints(&records);
        again.cut(1999);
        again.add(&record(700, 1500, &[600, 720])).unwrap();
        let entered = again.enter(u64::MAX).unwrap();
        let known = entered.proved.way_points.iter().map(|way| way.input);
        assert_eq!(Vec::from_iter(known), [100, 400, 600, 720]);
        assert_eq!(entered.window, [700_u64 as u8; 5]);
        assert_eq!(checkpoints(&records).add(&records[1]), None, "not in order");
        assert!(Checkpoints::default().add(&records[1]).is_none());
        assert!(Checkpoints::default().enter(0).is_none());
    }

    #[test]
    fn a_record_that_is_cut_is_refused() {
        let whole = record(500, 0, &[100, 400]);
        for cut in 0..10 {
            assert!(Checkpoints::default().add(&whole[..cut]).is_none(), "{cut}");
        }
    }
}
