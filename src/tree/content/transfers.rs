//! The downloads that run and the last that ended, and what single reads have fetched,
//! for `.vm0fs/transfers`, `user.vm0.transfer` and the log.

use crate::{
    error::{Error, Result},
    humanize::{self, Align},
    progress::Progress,
    sync::Mutex,
    text::one_line,
    tree::node::{VersionId, names::escape},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Ended downloads that are kept, and as many files that were read in parts: a screen full.
const KEPT: usize = 20;
/// Characters of a version's id that are shown, as elsewhere.
const SHORT_ID: usize = 12;
/// Characters of a storage's name, and of a reason, in a line.
const NAME: usize = 40;
const REASON: usize = 160;

/// The downloads of this mount.
#[derive(Default)]
pub(super) struct Transfers(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, Download>,
    ended: VecDeque<Ended>,
    /// The fetches for reads of one file are one row.
    parts: VecDeque<Ended>,
    totals: Totals,
}

/// All downloads of this mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Totals {
    running: u64,
    done: u64,
    failed: u64,
    /// Bytes of archives, those of downloads that run or failed included.
    bytes: u64,
}

/// A download that runs.
pub struct UnderWay {
    /// Its number; none is given twice.
    pub number: u64,
    /// The version, or the file of it that needs it.
    pub title: String,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all, where that is known.
    pub expected: Option<u64>,
    /// How long it has run.
    pub age: Duration,
    /// How long ago the last byte came.
    pub idle: Duration,
}

#[derive(Clone)]
struct Download {
    version: VersionId,
    /// Where it is a part of the version: the file whose read needs it.
    file: Option<u32>,
    /// `progress` may be older: it counts from when a request missed the version.
    started: Instant,
    progress: Progress,
}

#[derive(Clone)]
struct Ended {
    version: VersionId,
    file: Option<u32>,
    /// How many fetches it stands for.
    count: u64,
    at: Instant,
    took: Duration,
    bytes: u64,
    expected: Option<u64>,
    failure: Option<String>,
}

/// A running download. Dropped without [`Running::end`], it has panicked.
struct Running<'a> {
    transfers: &'a Transfers,
    number: u64,
}

impl Transfers {
    /// Notes that a download begins, whose bytes `progress` counts from now on.
    fn start(&self, version: VersionId, file: Option<u32>, progress: &Progress) -> Running<'_> {
        progress.begin();
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        let download = Download {
            version,
            file,
            started: Instant::now(),
            progress: progress.clone(),
        };
        state.running.insert(number, download);
        Running {
            transfers: self,
            number,
        }
    }

    /// Bytes so far and in all of the download of a version that is under way.
    pub(super) fn of(&self, version: &VersionId) -> Option<(u64, Option<u64>)> {
        let state = self.0.lock();
        let mut running = state.running.values().filter(|each| each.file.is_none());
        let download = running.find(|download| download.version == *version)?;
        Some(so_far(&download.progress))
    }

    /// What the downloads of a version have brought that run, or have ended well since then;
    /// `None` where there are none.
    pub(super) fn brought(&self, version: &VersionId, since: Instant) -> Option<u64> {
        let state = self.0.lock();
        let is_whole = |of: &VersionId, file: Option<u32>| of == version && file.is_none();
        let running = state.running.values();
        let running = running.filter(|each| is_whole(&each.version, each.file));
        let is_new = |each: &&Ended| each.failure.is_none() && each.at >= since;
        let ended = state.ended.iter().filter(is_new);
        let ended = ended.filter(|each| is_whole(&each.version, each.file));
        let bytes = running.map(|each| so_far(&each.progress).0);
        bytes
            .chain(ended.map(|each| each.bytes))
            .reduce(|sum, bytes| sum + bytes)
    }

    /// How many there were, and what they brought.
    pub(super) fn totals(&self) -> Totals {
        let state = self.0.lock();
        let running = state.running.values();
        let whole = running.clone().filter(|each| each.file.is_none());
        Totals {
            running: whole.count() as u64,
            bytes: state.totals.bytes + running.map(|each| so_far(&each.progress).0).sum::<u64>(),
            ..state.totals
        }
    }

    fn end(&self, number: u64, failure: Option<String>) -> Option<(u64, Duration)> {
        let mut state = self.0.lock();
        let download = state.running.remove(&number)?;
        let (bytes, expected) = so_far(&download.progress);
        let took = download.started.elapsed();
        if bytes == 0 && failure.is_none() && download.file.is_none() {
            // What was waited for came by another's download.
            return Some((bytes, took));
        }
        state.totals.bytes += bytes;
        let mut ended = Ended {
            version: download.version,
            file: download.file,
            count: 1,
            at: Instant::now(),
            took,
            bytes,
            // Some of it may have come for others meanwhile.
            expected: expected.map(|all| if failure.is_none() { bytes } else { all }),
            failure,
        };
        let list = match (ended.file, &ended.failure) {
            (Some(_), _) => {
                let is_same =
                    |row: &Ended| (&row.version, row.file) == (&ended.version, ended.file);
                let known = state.parts.iter().position(is_same);
                if let Some(row) = known.and_then(|at| state.parts.remove(at)) {
                    ended.count += row.count;
                    ended.bytes += row.bytes;
                    ended.took += row.took;
                }
                &mut state.parts
            }
            (None, None) => {
                state.totals.done += 1;
                &mut state.ended
            }
            (None, Some(_)) => {
                state.totals.failed += 1;
                &mut state.ended
            }
        };
        list.truncate(KEPT - 1);
        list.push_front(ended);
        Some((bytes, took))
    }
}

/// Bytes of an archive so far and in all. `progress` also counts the API's answer that
/// says where the archive is, so it can be more than all.
fn so_far(progress: &Progress) -> (u64, Option<u64>) {
    let expected = progress.expected();
    let bytes = progress.bytes();
    (expected.map_or(bytes, |all| bytes.min(all)), expected)
}

impl Running<'_> {
    /// Notes the end; gives the bytes that came and the time it took.
    fn end(self, result: Result<(), &Error>) -> (u64, Duration) {
        let failure = result.err().map(Error::to_string);
        let end = self.transfers.end(self.number, failure);
        end.unwrap_or_default()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.transfers
            .end(self.number, Some("the download panicked".into()));
    }
}

impl Transfers {
    /// Runs the download of a version, and logs its title.
    pub(super) fn run<T>(
        &self,
        version: &VersionId,
        title: &str,
        progress: &Progress,
        download: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        tracing::info!("fetching {title}");
        let running = self.start(version.clone(), None, progress);
        let result = download();
        let (bytes, took) = running.end(result.as_ref().map(|_| ()));
        if result.is_ok() {
            // The failure log reports a failure, with its cause.
            tracing::info!(
                "fetched {title}: {} in {}, {}",
                humanize::size(bytes),
                humanize::took(took),
                humanize::rate(bytes, took)
            );
        }
        result
    }

    /// Runs the fetch of a part of a version for a read of a file.
    pub(super) fn part<T>(
        &self,
        version: &VersionId,
        file: u32,
        progress: &Progress,
        fetch: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let running = self.start(version.clone(), Some(file), progress);
        let result = fetch();
        running.end(result.as_ref().map(|_| ()));
        result
    }

    /// The downloads that run. `title` names a version, or a file of it.
    pub(super) fn under_way(
        &self,
        title: impl Fn(&VersionId, Option<u32>) -> String,
    ) -> Vec<UnderWay> {
        // Copied out: naming them takes other locks.
        let running = self.0.lock().running.clone();
        let under_way = running.into_iter().map(|(number, download)| {
            let (bytes, expected) = so_far(&download.progress);
            UnderWay {
                number,
                title: title(&download.version, download.file),
                bytes,
                expected,
                age: download.started.elapsed(),
                idle: download.progress.idle(),
            }
        });
        under_way.collect()
    }

    /// `.vm0fs/transfers`: running downloads, then ended ones, then files that were read in
    /// parts, the last first. `title` names a version, or a file of it.
    pub(super) fn render(&self, title: impl Fn(&VersionId, Option<u32>) -> String) -> String {
        let running = self.under_way(&title);
        // Copied out: naming them takes other locks.
        let state = self.0.lock();
        let ended: Vec<_> = state.ended.iter().chain(&state.parts).cloned().collect();
        drop(state);
        let running = running.into_iter().map(|download| {
            let (bytes, expected) = (download.bytes, download.expected);
            [
                download.title,
                amount(bytes, expected),
                humanize::rate(bytes, download.age),
                humanize::age(download.age),
                state_of(bytes, expected, download.idle),
            ]
        });
        let ended = ended.iter().map(|ended| {
            [
                title(&ended.version, ended.file),
                amount(ended.bytes, ended.expected),
                humanize::rate(ended.bytes, ended.took),
                format!("{} ago", humanize::age(ended.at.elapsed())),
                match &ended.failure {
                    None if ended.file.is_some() => humanize::count(ended.count, "part"),
                    None => format!("done in {}", humanize::took(ended.took)),
                    Some(why) => format!("failed: {}", one_line(why, REASON)),
                },
            ]
        });
        let rows: Vec<_> = running.chain(ended).collect();
        humanize::table(&rows, COLUMNS)
    }
}

/// A version in a line of text: kind, the storage's name or id, and the beginning
/// of the version's id.
pub(super) fn title(version: &VersionId, name: Option<String>) -> String {
    let name = name.unwrap_or_else(|| escape(&version.storage));
    let short: String = escape(&version.id).chars().take(SHORT_ID).collect();
    let path = format!(
        "{}/{}/{short}",
        version.kind.plural(),
        one_line(&name, NAME)
    );
    one_line(&path, usize::MAX)
}

/// What is downloaded, how much of it, how fast, for how long, and how it goes.
const COLUMNS: [Align; 5] = [
    Align::Left,
    Align::Right,
    Align::Right,
    Align::Right,
    Align::Left,
];

/// Without a byte for this long a download is shown as stalled.
const STALLED: Duration = Duration::from_secs(3);

fn state_of(bytes: u64, expected: Option<u64>, idle: Duration) -> String {
    let word = if idle >= STALLED {
        format!("stalled for {}", humanize::age(idle))
    } else {
        "running".into()
    };
    match expected {
        Some(all) => format!("{word} {} %", bytes.saturating_mul(100) / all.max(1)),
        None => word,
    }
}

fn amount(bytes: u64, expected: Option<u64>) -> String {
    match expected {
        Some(all) => format!("{} of {}", humanize::size(bytes), humanize::size(all)),
        None => humanize::size(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::StorageKind;

    fn version(n: usize) -> VersionId {
        VersionId::new(StorageKind::Volume, "s", format!("v{n}"))
    }

    #[test]
    fn running_downloads_are_found_and_ended_ones_are_bounded() {
        let transfers = Transfers::default();
        for n in 0..3 * KEPT {
            let progress = Progress::new();
            let running = transfers.start(version(n), None, &progress);
            progress.advance(10);
            assert_eq!(transfers.of(&version(n)), Some((10, None)));
            progress.expect(8);
            assert_eq!(transfers.of(&version(n)), Some((8, Some(8))));
            assert_eq!(transfers.of(&version(n + 1)), None);
            let totals = transfers.totals();
            assert_eq!((totals.running, totals.bytes), (1, 8 * (n as u64 + 1)));
            match n % 2 {
                0 => assert_eq!(running.end(Ok(())).0, 8),
                _ => assert_eq!(running.end(Err(&Error::Stale)).0, 8),
            }
            assert_eq!(transfers.of(&version(n)), None);
        }
        let ended = 3 * KEPT as u64;
        let totals = Totals {
            running: 0,
            done: ended / 2,
            failed: ended / 2,
            bytes: 8 * ended,
        };
        assert_eq!(transfers.totals(), totals);
        let state = transfers.0.lock();
        assert_eq!(state.ended.len(), KEPT);
        let last = state.ended.front().unwrap();
        assert_eq!(last.version, version(3 * KEPT - 1));
        assert_eq!(last.failure.as_deref(), Some("stale handle"));
        assert_eq!(state.ended[1].failure, None);
    }

    #[test]
    fn parts_of_one_file_are_one_row_and_take_no_place_of_downloads() {
        let transfers = Transfers::default();
        let run = |part: Option<u32>| {
            let progress = Progress::new();
            let running = transfers.start(version(0), part, &progress);
            progress.advance(10);
            let shown = transfers.of(&version(0));
            assert_eq!(
                shown.is_some(),
                part.is_none(),
                "of a version that is fetched whole"
            );
            running.end(Ok(()));
        };
        run(None);
        (0..3 * KEPT as u32).for_each(|file| run(Some(file)));
        let last = 3 * KEPT as u32 - 2;
        run(Some(last));
        let totals = transfers.totals();
        assert_eq!((totals.done, totals.bytes), (1, 620));
        let text = transfers.render(|_, file| format!("{file:?}"));
        let lines = Vec::from_iter(text.lines());
        assert_eq!(lines.len(), 1 + KEPT, "{text}");
        assert!(
            lines[0].starts_with("None ") && lines[0].contains("10 B"),
            "{text}"
        );
        let of_last = format!("{:?} ", Some(last));
        assert!(lines[1].starts_with(&of_last), "{text}");
        assert!(
            lines[1].contains("20 B") && lines[1].ends_with("2 parts"),
            "{text}"
        );
    }

    #[test]
    fn each_fetch_of_a_wait_has_the_bytes_that_it_brought() {
        let (transfers, progress) = (Transfers::default(), Progress::new());
        let since = Instant::now();
        let running = transfers.start(version(0), Some(7), &progress);
        progress.advance(10);
        running.end(Ok(()));
        assert_eq!(transfers.brought(&version(0), since), None, "all of it");
        let running = transfers.start(version(0), None, &progress);
        assert_eq!(transfers.of(&version(0)), Some((0, None)));
        // A part of them comes for another fetch.
        progress.expect(40);
        progress.advance(30);
        assert_eq!(transfers.brought(&version(0), since), Some(30));
        assert_eq!(running.end(Ok(())).0, 30);
        assert_eq!(transfers.brought(&version(0), since), Some(30));
        assert_eq!(transfers.brought(&version(0), Instant::now()), None);
        assert_eq!(transfers.totals().bytes, 40);
        let text = transfers.render(|_, file| format!("{file:?}"));
        let lines = Vec::from_iter(text.lines());
        assert!(
            lines[0].contains("30 B of 30 B") && lines[0].contains("done"),
            "{text}"
        );
        assert!(
            lines[1].contains("10 B") && lines[1].ends_with("1 part"),
            "{text}"
        );
        // One that waited for another is no download of its own.
        transfers.start(version(0), None, &progress).end(Ok(()));
        assert_eq!(transfers.render(|_, file| format!("{file:?}")), text);
        assert_eq!(transfers.totals().done, 1);
    }

    #[test]
    fn a_download_that_panics_ends() {
        let transfers = Transfers::default();
        drop(transfers.start(version(0), None, &Progress::new()));
        let state = transfers.0.lock();
        assert!(state.running.is_empty());
        let failure = state.ended[0].failure.as_deref().unwrap();
        assert!(failure.contains("panicked"), "{failure}");
    }

    #[test]
    fn a_download_without_a_byte_for_three_seconds_is_stalled() {
        let s = Duration::from_secs;
        assert_eq!(state_of(5, Some(10), s(0)), "running 50 %");
        assert_eq!(state_of(5, None, s(0)), "running");
        assert_eq!(state_of(5, Some(10), s(5)), "stalled for 5 s 50 %");
    }
}
