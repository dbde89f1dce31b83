//! `runs/<id>/cancel`.

use super::{follow_by_stream, log, posts, streams_and_calls, until, world};
use crate::support::fake::{Action, Fault};
use crate::support::{Bench, SOON, Who, reason};

#[test]
fn a_run_is_cancelled_and_shows_it_at_once() {
    for who in Who::all() {
        for order in [
            "echo > cancel",
            "echo stop | tee cancel",
            "printf x >> cancel",
        ] {
            let (world, run) = world();
            let bench = Bench::new(world);
            let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
            mount.run(&format!(
                "ls -l runs runs/.by-status/running && cat runs/{run}/status"
            ));
            mount.run(&format!(
                "cd runs/{run} && {order} && grep -qx cancelled status"
            ));
            let shown = mount.cat(&format!("runs/{run}/run.json"));
            assert!(shown.contains("\"cancelled\""), "{shown}");
            assert_eq!(mount.list("runs/.by-status/cancelled"), [run.as_str()]);
            assert!(mount.list("runs/.by-status/running").is_empty());
            assert_eq!(posts(&bench), 1);
            assert_eq!(bench.server.world().run(&run).unwrap().status, "cancelled");
        }
    }
}

#[test]
fn a_finished_run_is_refused_in_the_services_words() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        bench.server.world().set_status(&run, "completed");
        let mount = bench.mount_as(who).start();
        mount.fails(&format!("echo > runs/{run}/cancel"), reason::INVALID);
        let told = mount.run(&format!(
            "getfattr --only-values -n user.vm0.last_error runs/{run}/cancel"
        ));
        assert!(
            told.contains("cannot be cancelled: it is completed"),
            "{told}"
        );
        let errors = mount.cat(".vm0fs/errors");
        assert!(errors.contains("cannot be cancelled"), "{errors}");
        assert_eq!(posts(&bench), 1);
    }
}

#[test]
fn an_empty_write_cancels_nothing() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        mount.run(&format!(
            "cd runs/{run} && touch cancel && : > cancel && cat cancel && cp cancel /dev/null && \
             stat -c '%a %s' cancel | grep -qx '600 0'"
        ));
        assert_eq!(posts(&bench), 0);
        assert_eq!(mount.cat(&format!("runs/{run}/status")), "running\n");
    }
}

#[test]
fn a_cancel_of_doubtful_end_is_not_repeated() {
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--timeout", "2s"]).start();
    let path = format!("/v1/runs/{run}/cancel");
    for action in [
        Action::Stall,
        Action::bad_gateway(),
        Action::CloseBeforeHeaders,
    ] {
        bench.server.clear_requests();
        bench.server.fault(Fault::api_exact(&path, action.clone()));
        let output = mount.try_run(&format!("echo > runs/{run}/cancel"));
        assert!(!output.status.success());
        let told = mount.run(&format!(
            "getfattr --only-values -n user.vm0.last_error runs/{run}/cancel"
        ));
        assert!(
            told.contains("may have been cancelled"),
            "{action:?}: {told}"
        );
        assert_eq!(posts(&bench), 1, "{action:?}");
        bench.server.clear_faults();
    }
}

#[test]
fn a_follower_sees_the_end_of_a_cancelled_run() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let follower = follow_by_stream(&bench, &mount, &run);
        mount.run(&format!("echo > runs/{run}/cancel"));
        log(&bench, &run, "killed by its owner");
        follower.expect("killed by its owner");
        until("the stream is closed", SOON, || {
            streams_and_calls(&bench).0.iter().all(|call| call.finished)
        });
    }
}
