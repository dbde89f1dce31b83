//! The last requests of an hour's rate limit.

use crate::support::Bench;
use std::{
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Kind, World};

/// Reads in an hour, and how long a listing stands.
const LIMIT: u64 = 20;
const TTL: Duration = Duration::from_millis(100);

#[test]
fn refreshes_slow_down_before_anything_fails() {
    let mut world = World::empty();
    world.quirks.enforce_limits = true;
    world.quirks.read_limit = LIMIT;
    world.add_storage(Kind::Artifact, "report");
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--list-ttl", "100ms"]).start();
    let asked = || {
        let calls = bench.api_calls();
        calls
            .iter()
            .filter(|call| call.path == "/v1/artifacts")
            .count()
    };
    // With a new hour comes a new allowance.
    let hour = || jiff::Timestamp::now().as_second() / 3600;
    let first = hour();
    let is_over = || hour() != first;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_800) {
        assert_eq!(mount.list("artifacts"), ["report"]);
        thread::sleep(Duration::from_millis(20));
    }
    // However busy the machine is, none comes before those before it have lasted:
    // the listing's 100 ms, and more of them when little is left.
    let mut earliest = Duration::ZERO;
    let calls = bench.api_calls();
    let calls = calls.iter().filter(|call| call.path == "/v1/artifacts");
    for (number, call) in calls.enumerate().take_while(|_| !is_over()) {
        let came = call.at.saturating_duration_since(began);
        assert!(
            came >= earliest,
            "call {number} after {came:?}, not {earliest:?}"
        );
        // In percent, as its answer tells.
        let left = LIMIT.saturating_sub(number as u64 + 1) * 100 / LIMIT;
        earliest += TTL
            * match left {
                20.. => 1,
                10.. => 2,
                5.. => 5,
                _ => 10,
            };
    }
    assert!(
        !mount.cat(".vm0fs/errors").contains("429"),
        "none was refused"
    );
    // Then what is known is shown, and the service is left alone.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(4_000) {
        assert_eq!(mount.list("artifacts"), ["report"]);
        thread::sleep(Duration::from_millis(20));
    }
    let calls = asked();
    assert!(calls <= 23 || is_over(), "{calls} calls");
}
