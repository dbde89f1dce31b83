//! What is written to control files while workers are replaced, and what kills them.

use super::{
    poison::{fault_in, thread},
    stepped::{How, Stepped, replace},
    workers,
};
use crate::{
    commands::{Place, Running, finish, script, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Action, Fault, Recorded, Run, World},
        is_mounted, reason,
    },
};
use nix::sys::signal::Signal::{SIGKILL, SIGSEGV};
use std::process::Command;

/// Its runs do nothing by themselves.
fn world() -> World {
    let mut world = small_world();
    world.pace = None;
    world
}

/// The requests so far that start or cancel a run.
fn posts(bench: &Bench) -> Vec<Recorded> {
    let mut calls = bench.api_calls();
    calls.retain(|call| call.method == "POST");
    calls
}

/// Asserts that so many runs were started, each by one request, the last with this prompt.
#[track_caller]
fn started(bench: &Bench, number: usize, prompt: &str) {
    let runs = bench.server.world().runs.clone();
    assert_eq!((runs.len(), posts(bench).len()), (number, number));
    let last = &runs.last().unwrap().prompt;
    assert!(last == prompt, "{} bytes: {:.80}", last.len(), last);
}

#[test]
fn a_text_that_is_being_written_starts_one_run() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        let small = |sign: &str| format!("{{ echo a; pause 1; echo b; }} {sign} agents/writer/run");
        // Half of a draft of many requests is half a megabyte.
        let large = "{ seq 1 80000; pause 1; seq 80001 160000; } > agents/writer/run";
        let lines: Vec<String> = (1..=160_000).map(|number| number.to_string()).collect();
        let lines = lines.join("\n");
        // No more than four deaths, of which five would end the mount.
        let table = [
            (small(">"), "a\nb", How::Kill(SIGKILL)),
            (small(">"), "a\nb", How::Upgrade),
            (small(">>"), "a\nb", How::Kill(SIGKILL)),
            (small(">>"), "a\nb", How::Reload),
            (large.to_owned(), &lines, How::Kill(SIGSEGV)),
            (large.to_owned(), &lines, How::Upgrade),
        ];
        for (number, (script, prompt, how)) in table.into_iter().enumerate() {
            let mut writer = Stepped::shell(&bench, &place, &format!("writer{number}"), &script);
            writer.wait(1);
            assert_eq!(posts(&bench).len(), number, "{script}: not yet");
            replace(&place, how);
            assert_eq!(posts(&bench).len(), number, "{script} {how:?}: not yet");
            writer.go_on(1);
            assert_eq!(writer.printed(), "", "{script} {how:?}");
            started(&bench, number + 1, prompt);
        }
    }
}

#[test]
fn a_draft_with_several_replacements_starts_one_run() {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    let script = "{ echo 1; pause 1; printf 2; pause 2; seq 3 4; pause 3; pause 4; echo 5; } \
                  >> agents/writer/run";
    let mut writer = Stepped::shell(&bench, &place, "writer", script);
    let hows = [
        How::Kill(SIGKILL),
        How::Reload,
        How::Kill(SIGSEGV),
        How::Upgrade,
    ];
    for (step, how) in hows.into_iter().enumerate() {
        writer.wait(step + 1);
        replace(&place, how);
        assert_eq!(posts(&bench).len(), 0, "{how:?}");
        writer.go_on(step + 1);
    }
    assert_eq!(writer.printed(), "");
    started(&bench, 1, "1\n23\n4\n5");
}

/// The lines of `.vm0fs/errors` that send the user to look in `runs/`.
fn warnings(place: &Place) -> usize {
    let errors = place.run("cat .vm0fs/errors");
    errors.matches("look in runs/").count()
}

/// Kills the worker once the service has got an order.
#[track_caller]
fn kill_after_post(bench: &Bench, place: &Place) {
    let is_sent = |requests: &[Recorded]| requests.iter().any(|request| request.method == "POST");
    assert!(bench.server.wait_for(SOON, is_sent), "no order");
    replace(place, How::Kill(SIGKILL));
}

/// What the service does with an order whose answer nobody hears: with the first, it
/// does nothing; with the second, what it was told.
const UNHEARD: [Action; 2] = [Action::Stall, Action::StallBody { after: 0 }];

/// A mount of a service that treats orders so.
fn unheard(who: Who, action: Action) -> (Bench, Place) {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, who, "mnt");
    let fault = Fault::api_exact("/v1/runs", action).method("POST");
    bench.server.fault(fault);
    (bench, place)
}

#[test]
fn an_order_that_may_have_been_sent_is_not_sent_again() {
    for who in Who::all() {
        for (done, action) in UNHEARD.into_iter().enumerate() {
            let (bench, place) = unheard(who, action);
            let script = "echo once | tee agents/writer/run";
            let mut writer = Stepped::shell(&bench, &place, "writer", script);
            kill_after_post(&bench, &place);
            assert_ne!(writer.end(), Some(0));
            let said = writer.errors();
            assert!(said.contains(reason::IO), "{said}");
            assert_eq!(warnings(&place), 1);
            replace(&place, How::Kill(SIGKILL));
            assert_eq!(bench.server.world().runs.len(), done);
            assert_eq!(posts(&bench).len(), 1, "ever");
            // Another one is sent, also if it has the same text.
            bench.server.clear_faults();
            bench.server.clear_requests();
            place.run("echo once | tee agents/writer/run");
            assert_eq!(posts(&bench).len(), 1);
            assert_eq!(bench.server.world().runs.len(), done + 1);
        }
    }
}

#[test]
fn an_order_of_a_writer_that_is_gone_is_not_sent_again() {
    let killed = "fd = os.open('agents/writer/run', os.O_WRONLY)
os.write(fd, b'last words')
os.kill(os.getpid(), 9)";
    for who in Who::all() {
        for (done, action) in UNHEARD.into_iter().enumerate() {
            let (bench, place) = unheard(who, action);
            let _writer = Stepped::python(&bench, &place, "writer", killed);
            kill_after_post(&bench, &place);
            until("it is told", || warnings(&place) == 1);
            replace(&place, How::Kill(SIGKILL));
            assert_eq!(posts(&bench).len(), 1, "ever");
            assert_eq!(bench.server.world().runs.len(), done);
            bench.server.clear_faults();
            bench.server.clear_requests();
            place.run("echo next | tee agents/writer/run");
            assert_eq!(posts(&bench).len(), 1);
            let runs = bench.server.world().runs.clone();
            assert_eq!((runs.len(), &*runs[done].prompt), (done + 1, "next"));
        }
    }
}

#[test]
fn a_draft_of_a_writer_that_is_killed_later_starts_one_run() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        let text = "fd = os.open('agents/writer/run', os.O_WRONLY)
os.write(fd, b'last ')
pause(1)
os.write(fd, b'words')
os.kill(os.getpid(), 9)";
        let mut writer = Stepped::python(&bench, &place, "writer", text);
        writer.wait(1);
        replace(&place, How::Kill(SIGKILL));
        writer.go_on(1);
        until("it is started", || !posts(&bench).is_empty());
        until("the service has it", || {
            !bench.server.world().runs.is_empty()
        });
        replace(&place, How::Kill(SIGKILL));
        place.run("ls agents runs > /dev/null");
        started(&bench, 1, "last words");
    }
}

#[test]
fn a_cancelling_that_may_have_been_sent_is_not_sent_again() {
    for who in Who::all() {
        for (done, action) in UNHEARD.into_iter().enumerate() {
            let mut world = world();
            let then = world.ago(60);
            let run = world.add_run(Run::new("writer", then).status("running"));
            let bench = Bench::new(world);
            let place = Place::mounted(&bench, who, "mnt");
            let path = format!("/v1/runs/{run}/cancel");
            bench.server.fault(Fault::api_exact(&path, action));
            let script = format!("echo 1 | tee runs/{run}/cancel");
            let mut writer = Stepped::shell(&bench, &place, "writer", &script);
            kill_after_post(&bench, &place);
            assert_ne!(writer.end(), Some(0));
            let said = writer.errors();
            assert!(said.contains(reason::IO), "{said}");
            assert_eq!(warnings(&place), 1);
            replace(&place, How::Kill(SIGKILL));
            assert_eq!(posts(&bench).len(), 1, "ever");
            let status = bench.server.world().run(&run).unwrap().status.clone();
            assert_eq!(status, ["running", "cancelled"][done]);
            until("the mount shows it", || {
                place.run(&format!("cat runs/{run}/status")).trim() == status
            });
        }
    }
}

#[test]
fn an_upgrade_lets_an_order_be_answered() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        let delay = Action::Delay(std::time::Duration::from_secs(2));
        bench
            .server
            .fault(Fault::api_exact("/v1/runs", delay).method("POST"));
        let script = "echo slow | tee agents/writer/run";
        let mut writer = Stepped::shell(&bench, &place, "writer", script);
        assert!(bench.server.wait_for(SOON, |requests| {
            requests.iter().any(|request| request.method == "POST")
        }));
        replace(&place, How::Upgrade);
        assert_eq!(writer.printed(), "slow\n");
        started(&bench, 1, "slow");
        assert_eq!(warnings(&place), 0);
    }
}

#[test]
fn a_listing_whose_fetch_has_killed_two_workers_is_refused_and_named() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::mounted(&bench, who, "mnt");
        bench.server.fault(Fault::api("/v1/volumes", Action::Stall));
        let mut reader = Stepped::shell(&bench, &place, "reader", "ls volumes");
        for count in 1..=2 {
            assert!(bench.server.wait_for(SOON, |requests| {
                let listings = requests.iter();
                let listings = listings.filter(|request| request.path == "/v1/volumes");
                listings.count() >= count
            }));
            // The only call: this worker has been asked for nothing else.
            let worker = place.worker();
            fault_in(worker, thread(worker, "vm0fs-call"));
        }
        assert_ne!(reader.end(), Some(0));
        let said = reader.errors();
        assert!(said.contains(reason::IO), "{said}");
        bench.server.clear_faults();
        let again = finish(&mut script(who, &place.inside("ls volumes")));
        again.told(&[reason::IO]);
        let errors = place.run("cat .vm0fs/errors");
        assert_eq!(errors.matches("has ended 2 workers").count(), 1, "{errors}");
        assert_eq!(place.run("ls agents"), "writer\n");
        assert_eq!(workers(&place)["replaced"], 2);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn under_a_limit_of_file_sizes_one_process_serves_a_mount_and_says_why() {
    for who in Who::all() {
        let bench = Bench::new(world());
        let place = Place::new(&bench, who, "mnt");
        let mount = place.mount(&bench);
        let program = mount.get_program().to_owned();
        let line = "ulimit -f 100000; exec \"$0\" mount \"$1\"";
        let mut command = Command::new("bash");
        command.args(["-c", line]).arg(program).arg(&place.path);
        for (name, value) in mount.get_envs() {
            command.env(name, value.unwrap());
        }
        if let Some((uid, gid)) = who.ids() {
            use std::os::unix::process::CommandExt;
            command.uid(uid).gid(gid);
        }
        finish(&mut command).succeeded();
        assert!(is_mounted(&place.path));
        assert_eq!(place.processes(), [place.pid()]);
        assert_eq!(
            place.run("cat artifacts/site/latest/*"),
            "<h1>It works</h1>\n"
        );
        place.run("echo fine | tee agents/writer/run");
        started(&bench, 1, "fine");
        let said = finish(bench.command(who).arg("status").arg(&place.path)).succeeded();
        assert!(said.contains("limit of file sizes"), "{said}");
        let upgrade = finish(bench.command(who).arg("upgrade").arg(&place.path));
        upgrade.failed(&["it has no supervisor"]);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn a_writer_and_its_worker_killed_at_once_start_at_most_one_run() {
    let bench = Bench::new(world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    let _other = Running::standing_in(Who::Myself, &place.path);
    let text = "{ echo half; pause 1; echo whole; } > agents/writer/run";
    let mut writer = Stepped::shell(&bench, &place, "writer", text);
    writer.wait(1);
    let worker = place.worker();
    writer.kill();
    crate::commands::kill(worker, SIGKILL);
    until("another worker serves", || workers(&place)["replaced"] == 1);
    // What it has written by its end counts, as without a replacement.
    until("it is started", || !bench.server.world().runs.is_empty());
    started(&bench, 1, "half");
}
