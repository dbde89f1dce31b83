//! Orders over workers that are replaced: none is lost, and none is sent twice.

use super::*;
use crate::{
    fake::{Action, Port},
    handover::LeftHandle,
    tree::{LeftFile, fetch_key::Fetchable},
};
use std::{thread, time::Duration};

/// What a worker leaves of an opening, which a handle holds.
fn left(bench: &Bench, opened: &Opened) -> u64 {
    let handover = bench.tree.handover();
    let handle = LeftHandle {
        number: handover.new_handle(),
        extent: writing(opened).number(),
        ..LeftHandle::default()
    };
    handover.add_handle(&handle).unwrap();
    handle.extent
}

/// The same opening in the next worker.
fn reopened(bench: &Bench, ino: u64, number: u64) -> Opened {
    let left = || LeftFile::Control(number);
    let handle = bench.ask(|view| view.reopen(ino, left())).unwrap();
    Opened {
        handle,
        is_final: false,
    }
}

fn errors(bench: &Bench) -> String {
    bench.text(".vm0fs/errors")
}

#[test]
fn a_draft_goes_on_in_the_next_worker() {
    let (mut bench, start, ..) = bench();
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    write(&bench, &open, 0, "a\nto be overwritten").unwrap();
    bench
        .ask(|view| view.touch(start, true, Some((writing(&open), 2))))
        .unwrap();
    bench.replace();
    let open = reopened(&bench, start, number);
    assert_eq!(writing(&open).position(), Some(19));
    write(&bench, &open, 2, "b").unwrap();
    bench.replace();
    let open = reopened(&bench, start, number);
    assert_eq!(writing(&open).position(), Some(3));
    write(&bench, &open, 3, &"c".repeat(300_000)).unwrap();
    bench.replace();
    let open = reopened(&bench, start, number);
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 1);
    let world = bench.server.world();
    let prompt = &world.runs.last().unwrap().prompt;
    assert!(*prompt == format!("a\nb{}", "c".repeat(300_000)));
}

#[test]
fn a_write_that_is_sent_again_is_taken_once() {
    let (mut bench, start, ..) = bench();
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    let request = WriteRequest {
        appends: true,
        ..asked(40, "once")
    };
    bench
        .ask(|view| view.write(writing(&open), &request))
        .unwrap();
    bench.replace();
    let open = reopened(&bench, start, number);
    bench
        .ask(|view| view.write(writing(&open), &request))
        .unwrap();
    finish(&bench, &open).unwrap();
    assert_eq!(bench.server.world().runs.last().unwrap().prompt, "once");
}

#[test]
fn an_order_that_was_not_sent_is_sent_by_the_next_worker() {
    let (mut bench, start, ..) = bench();
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    write(&bench, &open, 0, "not yet").unwrap();
    let order = bench.tree.orders.finish(writing(&open)).unwrap();
    for _ in 0..2 {
        bench.replace();
        let open = reopened(&bench, start, number);
        assert_eq!(bench.tree.orders.finish(writing(&open)).unwrap(), order);
    }
    assert_eq!(posts(&bench), 0);
    let open = reopened(&bench, start, number);
    finish(&bench, &open).unwrap();
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 1);
    assert_eq!(bench.server.world().runs.last().unwrap().prompt, "not yet");
    assert_eq!(errors(&bench), "");
}

#[test]
fn an_order_that_was_refused_is_refused_by_the_next_worker() {
    let (mut bench, start, ..) = bench();
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    write(&bench, &open, 0, "{").unwrap();
    let said = finish(&bench, &open).unwrap_err();
    bench.replace();
    let open = reopened(&bench, start, number);
    let again = finish(&bench, &open).unwrap_err();
    assert_eq!(
        (again.errno(), again.to_string()),
        (libc::EINVAL, said.to_string())
    );
    assert_eq!(posts(&bench), 0);
}

#[test]
fn what_came_of_an_order_is_known_to_the_next_worker() {
    let (mut bench, start, cancel, _) = bench();
    let (first, second) = (opened(&bench, start), opened(&bench, cancel));
    write(&bench, &first, 0, "done").unwrap();
    finish(&bench, &first).unwrap();
    write(&bench, &second, 0, "\n").unwrap();
    assert_eq!(posts(&bench), 2);
    let started = bench.text("agents/writer/run");
    assert_eq!(started.len(), 37, "{started}");
    let numbers = (left(&bench, &first), left(&bench, &second));
    for _ in 0..2 {
        bench.replace();
        let first = reopened(&bench, start, numbers.0);
        finish(&bench, &first).unwrap();
        assert_eq!(
            write(&bench, &first, 4, "more").unwrap_err().errno(),
            libc::EINVAL
        );
        let second = reopened(&bench, cancel, numbers.1);
        write(&bench, &second, 0, "\n").unwrap();
        assert_eq!(bench.text("agents/writer/run"), started);
    }
    assert_eq!(posts(&bench), 0);
}

#[test]
fn an_order_that_failed_has_failed_for_the_next_worker() {
    let (mut bench, start, ..) = bench();
    let fault = Fault::api_exact("/v1/runs", html(502)).method("POST");
    bench.server.fault(fault);
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    write(&bench, &open, 0, "once").unwrap();
    let said = finish(&bench, &open).unwrap_err();
    bench.server.clear_faults();
    bench.calls();
    bench.replace();
    let open = reopened(&bench, start, number);
    let again = finish(&bench, &open).unwrap_err();
    assert_eq!(
        (again.errno(), again.to_string()),
        (said.errno(), said.to_string())
    );
    let told = bench.ask(|view| view.getxattr(start, b"user.vm0.last_error"));
    assert_eq!(told.unwrap(), said.to_string().into_bytes());
    assert_eq!(posts(&bench), 0);
}

/// Has a worker end while the service still works on its order.
fn replace_while_sending(bench: &mut Bench, key: FetchKey) {
    let delay = Action::Delay(Duration::from_secs(1));
    bench
        .server
        .fault(Fault::api("/v1/runs", delay).method("POST"));
    bench.calls();
    let tree = bench.tree.clone();
    let sending = thread::spawn(move || {
        tree.fetch(&key, Instant::now(), &Progress::new(), &|| ());
    });
    let end = Instant::now() + Duration::from_secs(10);
    let is_sent = |bench: &Bench| {
        let calls = bench.server.requests_to(Port::Api, "/v1/runs");
        calls.iter().any(|call| call.line().starts_with("POST"))
    };
    while !is_sent(bench) {
        assert!(Instant::now() < end, "nothing was sent");
        thread::sleep(Duration::from_millis(5));
    }
    bench.replace();
    // What it hears now, no process knows.
    sending.join().unwrap();
    bench.server.clear_faults();
}

#[test]
fn a_run_that_may_have_been_started_is_not_started_again() {
    let (mut bench, start, ..) = bench();
    let open = opened(&bench, start);
    let number = left(&bench, &open);
    write(&bench, &open, 0, "perhaps").unwrap();
    let order = bench.tree.orders.finish(writing(&open)).unwrap().unwrap();
    let control = writing(&open).control().clone();
    drop(open);
    replace_while_sending(&mut bench, FetchKey(Fetchable::Order(control, order)));
    assert_eq!(posts(&bench), 1);
    let said = errors(&bench);
    assert!(
        said.lines().count() == 1 && said.contains("may have been started"),
        "{said}"
    );
    assert!(
        said.contains("look in runs/") && said.contains("start of a run"),
        "{said}"
    );
    for _ in 0..3 {
        let open = reopened(&bench, start, number);
        for _ in 0..2 {
            let error = finish(&bench, &open).unwrap_err();
            assert_eq!(error.errno(), libc::EIO);
            assert!(error.to_string().contains("not sent again"), "{error}");
        }
        drop(open);
        bench.replace();
        assert_eq!(errors(&bench), said, "said once");
    }
    assert_eq!(posts(&bench), 0);
    let other = opened(&bench, start);
    write(&bench, &other, 0, "another").unwrap();
    finish(&bench, &other).unwrap();
    assert_eq!(posts(&bench), 1, "another order is another");
}

#[test]
fn a_cancel_that_may_have_been_sent_is_not_sent_again() {
    let (mut bench, _, cancel, _) = bench();
    let open = opened(&bench, cancel);
    let number = left(&bench, &open);
    let request = asked(0, "\n");
    let order = bench
        .tree
        .orders
        .write(writing(&open), &request)
        .unwrap()
        .unwrap();
    let control = writing(&open).control().clone();
    drop(open);
    replace_while_sending(&mut bench, FetchKey(Fetchable::Order(control, order)));
    assert_eq!(posts(&bench), 1);
    assert!(errors(&bench).contains("may have been cancelled"));
    let open = reopened(&bench, cancel, number);
    let again = bench.ask(|view| view.write(writing(&open), &request));
    assert_eq!(again.unwrap_err().errno(), libc::EIO);
    assert_eq!(posts(&bench), 0);
}

#[test]
fn a_worker_that_another_replaces_sends_nothing_any_more() {
    let (mut bench, start, cancel, _) = bench();
    let (open, second) = (opened(&bench, start), opened(&bench, cancel));
    let number = left(&bench, &open);
    write(&bench, &open, 0, "later").unwrap();
    let order = bench.tree.orders.finish(writing(&open)).unwrap();
    bench.tree.handover().close();
    assert_eq!(finish(&bench, &open).unwrap_err().errno(), libc::ENOSPC);
    let refused = write(&bench, &second, 0, "\n").unwrap_err();
    assert_eq!(refused.errno(), libc::ENOSPC);
    let third = opened(&bench, start);
    assert_eq!(
        write(&bench, &third, 0, "lost").unwrap_err().errno(),
        libc::ENOSPC
    );
    assert_eq!(posts(&bench), 0);
    bench.replace();
    let open = reopened(&bench, start, number);
    assert_eq!(bench.tree.orders.finish(writing(&open)).unwrap(), order);
    finish(&bench, &open).unwrap();
    assert_eq!(posts(&bench), 1);
}
