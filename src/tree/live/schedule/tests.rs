//! The schedule as tables: what happens at which time, and what it calls for.

use super::*;
use crate::api::types::RunStatus;
use Event::{
    LogRead, RowsAsked, RowsCame, RowsFailed, StatusRead, StreamEnded, StreamLives, StreamOpened,
    StreamTold,
};

const SECOND: Duration = Duration::from_secs(1);
const ROWS: Event<'_> = rows(true, true);
const NO_ROWS: Event<'_> = rows(false, false);
const NO_ROWS_AND_AN_OLD_STATUS: Event<'_> = rows(false, true);

const fn rows(any: bool, old_status: bool) -> Event<'static> {
    RowsCame { any, old_status }
}

const NOTHING: Decision = Decision {
    show: Show::Fresh,
    open_stream: false,
    ask_for_run: false,
    log_event: false,
    lasts: Duration::ZERO,
};
const SHOW_LAST: Decision = Decision {
    show: Show::Last,
    ..NOTHING
};
const ASK: Decision = Decision {
    show: Show::Anew,
    ..NOTHING
};
const OPEN: Decision = Decision {
    open_stream: true,
    ..NOTHING
};
const ASK_AND_OPEN: Decision = Decision {
    open_stream: true,
    ..ASK
};
const LOG_IT: Decision = Decision {
    log_event: true,
    ..NOTHING
};

const fn lasts(seconds: u64) -> Decision {
    Decision {
        lasts: Duration::from_secs(seconds),
        ..NOTHING
    }
}

/// Asserts what each event calls for, at so many seconds of a run's life.
#[track_caller]
fn assert_table(start: Instant, table: &[(f64, Event<'_>, Decision)]) -> Schedule {
    let mut schedule = Schedule::new(start);
    for (number, (second, event, expected)) in table.iter().enumerate() {
        let decision = schedule.on(*event, start + SECOND.mul_f64(*second), 1);
        assert_eq!(decision, *expected, "{number}: {event:?} at {second} s");
    }
    schedule
}

#[test]
fn a_log_is_followed_from_its_second_read_on() {
    let start = Instant::now();
    assert_table(
        start,
        &[
            (0.0, LogRead, NOTHING),
            (0.0, RowsAsked, NOTHING),
            (0.1, ROWS, lasts(2)),
            // `open` and `read` of the same command.
            (1.0, LogRead, NOTHING),
            (2.5, LogRead, OPEN),
            // So long after rows were asked for, it is a new read.
            (60.0, LogRead, NOTHING),
        ],
    );
}

#[test]
fn rows_come_out_of_a_budget_and_at_once_when_the_stream_tells_of_something() {
    let start = Instant::now();
    assert_table(
        start,
        &[
            (0.0, LogRead, NOTHING),
            (0.0, RowsAsked, NOTHING),
            (2.0, LogRead, OPEN),
            (2.1, StreamOpened, NOTHING),
            (2.2, LogRead, ASK),
            (2.2, RowsAsked, NOTHING),
            (2.3, ROWS, lasts(2)),
            (3.0, LogRead, SHOW_LAST),
            // The rest of the burst is kept for news.
            (5.0, LogRead, SHOW_LAST),
            (5.5, StreamTold(1), LOG_IT),
            (5.6, LogRead, ASK),
            (5.6, RowsAsked, NOTHING),
            (5.7, NO_ROWS, lasts(2)),
            (6.0, StreamTold(2), LOG_IT),
            (6.1, LogRead, SHOW_LAST),
            (7.6, LogRead, ASK),
            (7.6, RowsAsked, NOTHING),
            // The budget is spent.
            (8.0, StreamTold(3), LOG_IT),
            (10.0, LogRead, SHOW_LAST),
            (12.1, LogRead, ASK),
            (12.1, RowsAsked, NOTHING),
            // A fetch is earned in twelve seconds, news or not.
            (23.9, LogRead, SHOW_LAST),
            (24.1, LogRead, ASK),
        ],
    );
}

#[test]
fn rows_that_were_never_asked_for_are_due_at_once_and_come_before_events() {
    let start = Instant::now();
    let schedule = assert_table(
        start,
        &[
            (0.0, StatusRead(RunFile::Status, start, None), NOTHING),
            (1.0, StatusRead(RunFile::Status, start + SECOND, None), OPEN),
            (1.1, StreamOpened, NOTHING),
            (1.2, StreamTold(4), NOTHING),
            (2.0, LogRead, ASK),
        ],
    );
    assert_eq!(schedule.last_event(Some(3)), Some(4), "the next goes on");
    let mut asked = schedule;
    asked.on(RowsAsked, start + 2 * SECOND, 1);
    assert_eq!(asked.on(StreamTold(5), start + 3 * SECOND, 1), LOG_IT);
    assert_eq!(asked.last_event(Some(3)), Some(3), "as the log shows");
}

#[test]
fn a_status_is_asked_for_without_a_stream_only() {
    let start = Instant::now();
    let known = (start, RunStatus::Running);
    let at = |second: u32| start + second * SECOND;
    let read = |second: u32| StatusRead(RunFile::Json, at(second), Some(&known));
    assert_table(
        start,
        &[
            (0.0, read(0), NOTHING),
            (1.0, read(1), OPEN),
            (2.0, read(2), ASK_AND_OPEN),
            (2.1, StreamEnded(End::Failed), NOTHING),
            // The next stream may be tried a second later.
            (3.0, read(3), NOTHING),
            (4.0, read(4), ASK_AND_OPEN),
            (4.1, StreamOpened, NOTHING),
            (10.0, read(10), NOTHING),
            (11.0, StreamEnded(End::Followers), NOTHING),
            (12.0, read(12), ASK_AND_OPEN),
        ],
    );
}

#[test]
fn rows_that_bring_nothing_are_asked_for_less_often_until_some_come() {
    let start = Instant::now();
    assert_table(
        start,
        &[
            (0.0, NO_ROWS, lasts(4)),
            (4.0, NO_ROWS, lasts(8)),
            (12.0, RowsFailed, lasts(10)),
            (22.0, NO_ROWS, lasts(10)),
            (32.0, ROWS, lasts(2)),
            (34.0, RowsFailed, lasts(4)),
            (35.0, StreamOpened, NOTHING),
            (36.0, NO_ROWS, lasts(2)),
            (38.0, RowsFailed, lasts(2)),
        ],
    );
    let mut schedule = Schedule::new(start);
    assert_eq!(schedule.on(NO_ROWS, start, 5), lasts(20));
    assert_eq!(schedule.on(RowsFailed, start, 5), lasts(8));
}

#[test]
fn the_end_of_a_quiet_run_is_asked_for_where_no_stream_would_tell() {
    let start = Instant::now();
    let asks = |seconds| Decision {
        ask_for_run: true,
        ..lasts(seconds)
    };
    assert_table(
        start,
        &[
            (0.0, NO_ROWS_AND_AN_OLD_STATUS, asks(4)),
            (4.0, NO_ROWS_AND_AN_OLD_STATUS, asks(8)),
            (12.0, NO_ROWS, lasts(10)),
            (22.0, ROWS, lasts(2)),
            (23.0, StreamOpened, NOTHING),
            (24.0, NO_ROWS_AND_AN_OLD_STATUS, lasts(2)),
        ],
    );
}

#[test]
fn streams_that_fail_are_tried_less_and_less() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    let wait = |schedule: &Schedule| {
        let wait = schedule.next_try.saturating_duration_since(start);
        wait.as_secs()
    };
    let mut waits = Vec::new();
    for _ in 0..40 {
        schedule.on(StreamOpened, start, 1);
        assert!(schedule.streams());
        schedule.on(StreamEnded(End::Failed), start, 1);
        assert!(!schedule.streams());
        waits.push(wait(&schedule));
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 64, 120]);
    assert!(waits[8..].iter().all(|wait| *wait == 120), "{waits:?}");
    schedule.on(StreamOpened, start, 1);
    schedule.on(StreamTold(1), start, 1);
    schedule.on(StreamEnded(End::Cut), start, 1);
    assert_eq!(wait(&schedule), 120, "cut as soon as it was open");
    let earlier = start.checked_sub(LIVE_TTL).unwrap();
    schedule.on(StreamOpened, earlier, 1);
    schedule.on(StreamLives, earlier, 1);
    schedule.on(StreamEnded(End::Failed), start, 1);
    schedule.on(StreamOpened, start, 1);
    schedule.on(StreamEnded(End::Failed), start, 1);
    assert_eq!(wait(&schedule), 1, "the one before was of use");
}

/// A process reads the log each second for so long; gives the seconds at which rows
/// were asked for. `news` says when the stream tells something.
fn seconds_asked(seconds: u32, news: impl Fn(u32) -> bool) -> Vec<u32> {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    schedule.on(StreamOpened, start, 1);
    let mut asked = Vec::new();
    for second in 0..seconds {
        let now = start + second * SECOND;
        if news(second) {
            schedule.on(StreamTold(second.into()), now, 1);
        }
        if schedule.on(LogRead, now, 1) == ASK {
            schedule.on(RowsAsked, now, 1);
            asked.push(second);
        }
    }
    asked
}

#[test]
fn a_minute_of_anything_costs_a_few_calls() {
    let silence = seconds_asked(60, |_| false);
    let dense = seconds_asked(60, |_| true);
    for asked in [&silence, &dense] {
        assert!((5..=9).contains(&asked.len()), "{asked:?}");
        assert_eq!(asked[0], 0, "at once");
    }
    let hour = seconds_asked(3600, |second| second % 2 == 0);
    assert!((290..=304).contains(&hour.len()), "{}", hour.len());
    // No silence is longer than what earns a fetch.
    for asked in [silence, dense, hour] {
        let longest = asked.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(longest.unwrap() <= 12, "{asked:?}");
    }
}

#[test]
fn rows_are_asked_for_within_a_second_of_the_streams_news() {
    let asked = seconds_asked(60, |second| second % 20 == 11);
    for second in [11, 31, 51] {
        assert!(
            asked.contains(&second) || asked.contains(&(second + 1)),
            "{asked:?}"
        );
    }
}
