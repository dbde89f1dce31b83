//! A log is the same in the next worker, in each order in which rows and events can come.

use super::*;
use crate::api::LogPosition;

fn fresh() -> Arc<Handover> {
    Arc::new(Handover::new().unwrap())
}

fn next(handover: &Handover) -> Arc<Handover> {
    let fd = handover.fd().try_clone_to_owned().unwrap();
    handover.close();
    Arc::new(Handover::take_over(fd).unwrap())
}

fn texts(logs: &Logs) -> Vec<Vec<u8>> {
    let text = |view| {
        let mut text = Vec::new();
        logs.read(view, 0, usize::MAX, &mut text);
        text
    };
    LogView::ALL.map(text).to_vec()
}

fn position(logs: &Logs) -> LogPosition {
    let reader = logs.take_reader();
    let mut position = LogPosition::from(&reader);
    position.1.sort();
    logs.give_reader(reader, Vec::new());
    position
}

#[track_caller]
fn assert_same(one: &Logs, other: &Logs) {
    assert!(texts(one) == texts(other));
    assert_eq!(position(one), position(other));
    assert_eq!(one.last_event(), other.last_event());
    assert_eq!(one.newest(), other.newest());
    assert_eq!(one.is_in_order(), other.is_in_order());
    assert_eq!(one.weight(), other.weight());
    assert_eq!(one.answer(), other.answer());
}

#[test]
fn what_came_in_any_order_is_the_same_in_the_next_worker() {
    let mut random = 9_u32;
    let mut dice = |sides: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) % sides
    };
    for round in 0..60 {
        let mut handover = fresh();
        let own = Logs::default();
        let mut logs = Logs::default();
        logs.keep(&handover, "run");
        let number = logs.number();
        assert!(number > 0 && own.number() == 0);
        // The transcript is not drawn before its beginning is known.
        let head = |n: u32| Head {
            run: format!("run {n}"),
            agent: (n > 30).then(|| "writer".to_owned()),
            created: at(n).parse().unwrap(),
            prompt: "prompt".into(),
        };
        if round % 3 > 0 {
            own.introduce(|| head(round));
            logs.introduce(|| head(round));
        }
        for step in 0..dice(40) {
            let (second, n) = (dice(60), u64::from(dice(12)));
            match dice(8) {
                0 | 1 => {
                    let rows = || {
                        vec![
                            spoken(second, n, &format!("{n}")),
                            plain(second, "system", "x"),
                        ]
                    };
                    let at: Timestamp = at(second).parse().unwrap();
                    let reader = || {
                        let given = vec![([step as u8; 32], 2, at), ([7; 32], 1, Timestamp::MAX)];
                        LogReader::from(LogPosition::from((Some(at), given)))
                    };
                    own.give_reader(reader(), rows());
                    logs.give_reader(reader(), rows());
                }
                2 => {
                    let rows = || vec![plain(second, "network", &format!("GET {n}"))];
                    own.add_missing(rows());
                    logs.add_missing(rows());
                }
                3..=6 => {
                    own.add_event(event(second, n, &format!("{n}")));
                    logs.add_event(event(second, n, &format!("{n}")));
                }
                _ if step > 20 => {
                    own.conclude(ending());
                    logs.conclude(ending());
                }
                _ => {
                    handover = next(&handover);
                    logs = Logs::left(&handover, "run", number).unwrap();
                    assert_same(&own, &logs);
                }
            }
        }
        handover = next(&handover);
        logs = Logs::left(&handover, "run", number).unwrap();
        assert_same(&own, &logs);
        assert_eq!(left_logs(&handover), [("run".into(), number)], "{round}");
        drop(logs);
        assert_eq!(left_logs(&handover), []);
        assert!(Logs::left(&handover, "run", number).is_none());
    }
}

#[test]
fn rows_of_a_fetch_that_was_not_written_to_its_end_are_fetched_again() {
    let handover = fresh();
    let logs = Logs::default();
    logs.keep(&handover, "run");
    logs.give_reader(LogReader::default(), vec![plain(1, "system", "first")]);
    let before = texts(&logs);
    // So much that it takes several records.
    let large = "x".repeat(6 << 20);
    let rows = (2..9)
        .map(|second| plain(second, "system", &large))
        .collect();
    let since = LogReader::since(Some(at(8).parse().unwrap()));
    logs.give_reader(since, rows);
    let number = logs.number();
    let whole = texts(&logs);
    let copy = |cut: u64| {
        // The first record of the rows is there, and the last is not.
        let memory = std::fs::File::from(handover.fd().try_clone_to_owned().unwrap());
        let start = number / 4096 * 4096;
        let zeros = vec![0; 8];
        std::os::unix::fs::FileExt::write_all_at(&memory, &zeros, start + cut).unwrap();
    };
    handover.close();
    let fd = handover.fd().try_clone_to_owned().unwrap();
    let second = Arc::new(Handover::take_over(fd).unwrap());
    let again = Logs::left(&second, "run", number).unwrap();
    assert!(texts(&again) == whole);
    second.close();
    // Somewhere behind the first piece of 16 MiB and a little more.
    let place = (18 << 20..19 << 20).step_by(8);
    let end = place.last().unwrap();
    copy(end);
    let fd = second.fd().try_clone_to_owned().unwrap();
    let third = Arc::new(Handover::take_over(fd).unwrap());
    let cut = Logs::left(&third, "run", number).unwrap();
    assert!(texts(&cut) == before);
    assert_eq!(position(&cut), (None, Vec::new()));
}
