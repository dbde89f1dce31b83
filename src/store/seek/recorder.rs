//! Notes where a stream can be entered, on the thread that inflates it.
//!
//! It copies some 160 KiB for each point and decides nothing more: `proof` finds out on
//! another thread what a candidate is good for.

use super::{
    candidate::{Candidate, PROOF, WINDOW},
    checkpoint::Start,
    contents::{SPACING, WayPoint},
    member::{Event, Sums},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{SyncSender, TrySendError},
};

/// Bytes of the archive between two way-points.
const WAY: u64 = 32 << 10;
/// So many points and way-points at most before their distances grow with the stream.
const POINTS: u64 = 1 << 10;
const WAY_POINTS: u64 = 1 << 13;
/// Bytes of the archive from one point to the next, where they come before [`SPACING`]: up
/// to the end of a block it is half a MiB, which is what a read of any place fetches at
/// most, or up to twice that where the proof was behind, or where [`SHARE`] asks for it.
/// Windows of data that compresses badly take little.
const INPUT_SPACING: u64 = 480 << 10;
/// Bytes of the tar stream before the end of a large file from which on a point is wanted:
/// some blocks of deflate, one of which is likely to end before the file does.
const BEFORE_END: u64 = 96 << 10;
/// Such a point is not wanted so soon after another one.
const NEAR: u64 = 128 << 10;
/// So many bytes of the archive come for each byte of windows before the next point: the
/// index takes about 1 % of the archive. Of long texts windows are large.
const SHARE: u64 = 104;
/// Maximum bytes of input for the proof of a point: blocks without content have no end.
const INPUT: usize = 128 << 10;

/// Sees a stream while it is inflated.
pub(in crate::store) struct Recorder {
    candidates: SyncSender<Candidate>,
    /// Bytes of the windows of all points that have been proved.
    windows: Arc<AtomicU64>,
    /// Where the newest large file ends in the tar stream, as far as that is known.
    file_end: Arc<AtomicU64>,
    /// Bytes of the archive and of the tar stream so far.
    at: WayPoint,
    last: u8,
    /// Those since the last candidate, and where the newest of all is in the archive.
    way_points: Vec<WayPoint>,
    noted: u64,
    /// Where the last point is.
    point: WayPoint,
    /// From here on in the archive, or in the tar stream, a point is wanted.
    wanted: WayPoint,
    /// Bytes of the archive before which no more windows are wanted.
    paid: u64,
    /// The newest output, at most a window, if a point is wanted soon.
    history: Vec<u8>,
    /// A candidate of which more is to come.
    open: Option<Candidate>,
    stored: bool,
}

/// What a recorder knows of a stream at its end.
#[derive(Debug)]
pub(in crate::store) struct Recorded {
    pub(super) end: WayPoint,
    /// Those since the last candidate.
    pub(super) way_points: Vec<WayPoint>,
    /// The archive is not compressed.
    pub(super) stored: bool,
}

impl Recorder {
    /// One whose candidates go to a proof, which tells how many bytes their `windows` take.
    /// The thread that unpacks tells where the large file that it is at ends: a small one
    /// behind it is entered near its start.
    pub(in crate::store) fn new(
        candidates: SyncSender<Candidate>,
        windows: Arc<AtomicU64>,
        file_end: Arc<AtomicU64>,
        start: &Start,
    ) -> Self {
        let mut recorder = Self {
            candidates,
            windows,
            file_end,
            at: WayPoint::default(),
            last: 0,
            way_points: Vec::new(),
            noted: 0,
            point: WayPoint::default(),
            wanted: WayPoint::default(),
            paid: 0,
            history: Vec::new(),
            open: None,
            stored: false,
        };
        match start {
            Start::New => {}
            Start::Stored(at) => recorder.passed(*at),
            Start::Point(entered) => {
                recorder.at = entered.at();
                recorder.noted = entered.noted();
                recorder.windows.store(entered.windows(), Ordering::Relaxed);
                recorder.has_point(entered.at());
            }
        }
        recorder
    }

    /// Whether the next step of inflating is to stop at the end of a block.
    pub(in crate::store) fn wants_boundary(&self) -> bool {
        let (at, wanted) = (&self.at, &self.wanted);
        self.open.is_none() && (at.output >= wanted.output || at.input >= wanted.input)
    }

    /// Maximum input and output of the next step: not past where a point is wanted, since
    /// only from there on it stops at the end of a block.
    pub(in crate::store) fn most(&self) -> (usize, usize) {
        if let Some(open) = &self.open {
            return (usize::MAX, PROOF - open.next_output.len());
        }
        let left = |wanted: u64, at: u64| match wanted.saturating_sub(at) {
            0 => usize::MAX,
            left => usize::try_from(left).unwrap_or(usize::MAX),
        };
        let (at, wanted) = (&self.at, &self.wanted);
        (left(wanted.input, at.input), left(wanted.output, at.output))
    }

    /// Notes bytes of an archive that is not compressed.
    pub(in crate::store) fn passed(&mut self, bytes: u64) {
        self.at.input += bytes;
        self.at.output += bytes;
        self.stored = true;
    }

    /// Notes the byte in which the point lies that inflating begins at.
    pub(in crate::store) fn led_in(&mut self, first: u8) {
        self.last = first;
    }

    /// Notes a step: the input that it took, the output that it gave, and the sums of the
    /// member by then.
    pub(in crate::store) fn stepped(
        &mut self,
        taken: &[u8],
        given: &[u8],
        event: Event,
        sums: Sums,
    ) {
        self.at.input += taken.len() as u64;
        self.at.output += given.len() as u64;
        self.last = *taken.last().unwrap_or(&self.last);
        if self.at.input.saturating_sub(self.noted) >= WAY.max(self.noted / WAY_POINTS) {
            self.way_points.push(self.at);
            self.noted = self.at.input;
        }
        self.heed_end();
        if let Some(open) = &mut self.open {
            open.next_input.extend_from_slice(taken);
            open.next_output.extend_from_slice(given);
            if open.next_output.len() == PROOF {
                self.close();
            } else if event == Event::Done {
                // The next member can be entered at its start.
                self.open = None;
            } else if open.next_input.len() > INPUT {
                self.open = None;
                self.want_soon();
            }
        } else if self.is_wanted_soon() {
            self.remember(given);
        }
        let is_place = matches!(event, Event::Begun | Event::Boundary);
        if is_place && self.wants_boundary() {
            self.open = Some(Candidate {
                input: self.at.input,
                output: self.at.output,
                last: self.last,
                sums,
                window: std::mem::take(&mut self.history),
                next_input: Vec::new(),
                next_output: Vec::new(),
                way_points: Vec::new(),
            });
            if event == Event::Begun {
                self.close();
            }
        }
    }

    /// What is known at the end of the stream.
    pub(in crate::store) fn finish(self) -> Recorded {
        Recorded {
            end: self.at,
            way_points: self.way_points,
            stored: self.stored,
        }
    }

    fn remember(&mut self, given: &[u8]) {
        let given = &given[given.len().saturating_sub(WINDOW)..];
        let most = WINDOW - given.len();
        self.history
            .drain(..self.history.len().saturating_sub(most));
        self.history.extend_from_slice(given);
    }

    /// Hands the open candidate on. Where the proof is behind, it is given up, and
    /// another is wanted soon: inflating waits for the proof only where the distance to
    /// the point before would become twice what it should be.
    fn close(&mut self) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        open.way_points = std::mem::take(&mut self.way_points);
        let from = WayPoint {
            input: open.input,
            output: open.output,
        };
        let distance = SPACING.max(from.output / POINTS);
        let input = INPUT_SPACING.max(from.input / POINTS);
        let point = &self.point;
        let is_far =
            from.output - point.output > 2 * distance || from.input - point.input > 2 * input;
        let sent = match is_far {
            true => self.candidates.send(open).map_err(|unsent| unsent.0),
            false => self
                .candidates
                .try_send(open)
                .map_err(|unsent| match unsent {
                    TrySendError::Full(open) | TrySendError::Disconnected(open) => open,
                }),
        };
        match sent {
            Ok(()) => self.has_point(from),
            Err(open) => {
                self.way_points = open.way_points;
                self.want_soon();
            }
        }
    }

    /// Notes the last point: when another is wanted.
    fn has_point(&mut self, at: WayPoint) {
        let distance = SPACING.max(at.output / POINTS);
        let input = INPUT_SPACING.max(at.input / POINTS);
        self.paid = self.windows.load(Ordering::Relaxed).saturating_mul(SHARE);
        self.point = at;
        self.want(at, input.max(self.paid.saturating_sub(at.input)), distance);
    }

    /// Wants a point before the end of a large file.
    fn heed_end(&mut self) {
        let from = self.file_end.load(Ordering::Relaxed);
        let from = from.saturating_sub(BEFORE_END);
        let is_worth_it = from >= self.point.output + NEAR && self.at.input >= self.paid;
        // All of its window is yet to come.
        let comes = self.at.output + WINDOW as u64..self.wanted.output;
        if is_worth_it && comes.contains(&from) {
            self.wanted.output = from;
        }
    }

    /// Whether what comes now may be in the window of the next point.
    fn is_wanted_soon(&self) -> bool {
        let (at, wanted, window) = (&self.at, &self.wanted, WINDOW as u64);
        at.output + window > wanted.output || at.input + 2 * window > wanted.input
    }

    fn want_soon(&mut self) {
        self.want(self.at, 2 * WINDOW as u64, WINDOW as u64);
    }

    fn want(&mut self, from: WayPoint, input: u64, output: u64) {
        self.wanted = WayPoint {
            input: from.input + input,
            output: from.output + output,
        };
        self.history.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn points_are_wanted_less_often_where_windows_are_large() {
        for (windows, expected) in [(0, INPUT_SPACING + 10), (10_000, 10_000 * SHARE)] {
            let (candidates, _kept) = sync_channel(1);
            let windows = Arc::new(AtomicU64::new(windows));
            let end = Arc::default();
            let mut recorder = Recorder::new(candidates, windows, end, &Start::New);
            recorder.stepped(&[0; 10], &[], Event::Begun, Sums::default());
            assert!(!recorder.wants_boundary());
            assert_eq!(
                recorder.most(),
                ((expected - 10) as usize, SPACING as usize)
            );
        }
    }

    #[test]
    fn a_point_is_wanted_before_the_end_of_a_large_file() {
        let wanted = |end: u64, windows: u64| {
            let (candidates, _kept) = sync_channel(1);
            let windows = Arc::new(AtomicU64::new(windows));
            let file_end = Arc::<AtomicU64>::default();
            let told = Arc::clone(&file_end);
            let mut recorder = Recorder::new(candidates, windows, file_end, &Start::New);
            recorder.stepped(&[0; 10], &[], Event::Begun, Sums::default());
            told.store(end, Ordering::Relaxed);
            recorder.stepped(&[0; 10], &[0; 300 << 10], Event::More, Sums::default());
            recorder.most().1 as u64 + (300 << 10)
        };
        let mib = 1 << 20;
        assert_eq!(wanted(mib, 0), mib - BEFORE_END);
        assert_eq!(wanted(mib, 1), SPACING, "its window is not paid for");
        assert_eq!(wanted(400 << 10, 0), SPACING, "known too late");
        assert_eq!(wanted(3 * mib, 0), SPACING, "another comes before");
    }
}
