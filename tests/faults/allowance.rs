//! The last of an hour's allowance.

use crate::support::Bench;
use std::{
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{Kind, World};

#[test]
fn refreshes_slow_down_before_anything_fails() {
    let mut world = World::empty();
    world.quirks.enforce_limits = true;
    world.quirks.read_limit = 20;
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
    // Sixteen refreshes at the usual pace, then half as often, and so on: the
    // twenty-first would come after 3.5 s, instead of after 2 s.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_800) {
        assert_eq!(mount.list("artifacts"), ["report"]);
        thread::sleep(Duration::from_millis(20));
    }
    let (took, calls) = (began.elapsed(), asked());
    // A machine that is busy comes here later.
    assert!(
        calls <= 20 || took > Duration::from_millis(3_400) || is_over(),
        "{calls} calls in {took:?}"
    );
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
