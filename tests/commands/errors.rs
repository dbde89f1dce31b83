//! What commands say where their output, a folder or a file of settings is in the way: what
//! happened, to what, and what to do.

use super::{Place, finish, script, small_world};
use crate::support::{Bench, Who, program};
use std::process::Command;
use vm0fs::demo::Run;

/// A shell command line of the program, in which `vm0fs` is it.
fn line(bench: &Bench, who: Who, line: &str) -> Command {
    let mut command = script(
        who,
        &line.replace("vm0fs ", &format!("{} ", program().display())),
    );
    let environment = bench.command(who);
    command.env_clear().envs(
        environment
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
}

/// Commands that print something, with nothing mounted.
const PRINT: [&str; 10] = [
    "ls agents",
    "ls runs --json",
    "cancel latest",
    "run writer Go",
    "diff site latest latest --json",
    "cache du",
    "doctor --report",
    "status --json",
    "help tree",
    "--version",
];

#[test]
fn an_output_that_cannot_be_written_is_told_as_that() {
    let mut world = small_world();
    let run = Run::new("writer", world.ago(50)).status("completed");
    world.add_run(run);
    let bench = Bench::new(world);
    let who = Who::Myself;
    for words in PRINT {
        let said = finish(&mut line(
            &bench,
            who,
            &format!("vm0fs {words} > /dev/full"),
        ));
        let code = if words.starts_with("diff") { 2 } else { 1 };
        assert_eq!(said.code, Some(code), "{words}: {said:?}");
        said.told(&["standard output cannot be written", "free some space"]);
        assert!(!said.err.contains("cache"), "{words}: {said:?}");
        assert_eq!(said.err.lines().count(), 1, "{words}: {said:?}");
        if words.starts_with("run") {
            said.told(&["is started and goes on"]);
        }
    }
    // Standard error is no reason to fail in another way.
    let words = "vm0fs logs nothing 2> /dev/full";
    assert_eq!(finish(&mut line(&bench, who, words)).code, Some(1));
}

#[test]
fn every_run_is_cancelled_also_where_the_output_is_full() {
    let mut world = small_world();
    let ids = ["1", "2"].map(|digit| format!("{}-0000-4000-8000-000000000000", digit.repeat(8)));
    for id in &ids {
        let run = Run::new("writer", world.ago(50)).status("running");
        world.add_run(run.id(id));
    }
    let bench = Bench::new(world);
    let words = format!("vm0fs cancel {} {} > /dev/full", ids[0], ids[1]);
    let said = finish(&mut line(&bench, Who::Myself, &words));
    assert_eq!(said.code, Some(1), "{said:?}");
    for id in &ids {
        said.told(&[&format!("{id}: cancelled; but standard output")]);
        assert_eq!(bench.server.world().run(id).unwrap().status, "cancelled");
    }
}

#[test]
fn a_run_without_a_log_says_that_there_is_none() {
    for (status, told) in [
        (
            "pending",
            "has logged nothing yet; its status is pending, and --follow",
        ),
        ("completed", "has logged nothing; its status is completed"),
    ] {
        let mut world = small_world();
        let run = Run::new("writer", world.ago(50)).status(status);
        world.add_run(run);
        let bench = Bench::new(world);
        let said = finish(bench.command(Who::Myself).args(["logs", "latest"]));
        said.told(&[told]);
        assert_eq!(said.succeeded(), "");
    }
}

#[test]
fn settings_and_folders_that_cannot_be_used_are_named_with_what_to_do() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let home = bench.dir().join(format!("home-{who:?}"));
        let config = home.join(".config/vm0fs/config.toml");
        let fails = |words: &str, told: &[&str]| {
            finish(&mut line(&bench, who, words)).failed(told);
        };
        // A folder is no file, for root as well.
        fails(
            &format!("mkdir -p '{}' && vm0fs ls runs", config.display()),
            &[config.to_str().unwrap(), "move it away"],
        );
        fails(
            &format!(
                "rmdir '{0}' && touch ~/file ~/empty && vm0fs cache du --cache-dir ~/file",
                config.display()
            ),
            &["/file cannot be read: Not a directory", "--cache-dir"],
        );
        fails(
            "env -u VM0_API_KEY vm0fs ls runs --token-file ~/empty",
            &[
                "/empty: the token is empty",
                "holds the token and nothing else",
            ],
        );
        fails(
            "ln -s /nonexistent ~/link && vm0fs mount ~/link",
            &[
                "/link is a symlink that leads nowhere",
                "another mountpoint",
            ],
        );
        for words in [
            "prefetch /etc",
            "cache pin /etc",
            "prefetch /none",
            "cache pin /none",
        ] {
            fails(
                &format!("vm0fs {words}"),
                &[
                    &words[words.find('/').unwrap()..],
                    "artifacts/NAME/latest",
                    "vm0fs status",
                ],
            );
        }
        let wrong = finish(&mut line(&bench, who, "vm0fs ls runs --limit many"));
        assert_eq!(wrong.code, Some(2));
        wrong.told(&["\"many\" is not a whole number", "like 20"]);
    }
}

#[test]
fn run_without_a_token_names_the_mount_that_has_one() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let mut command = bench.command(who);
        command.args(["run", "writer", "Go"]);
        let said = finish(command.env_remove("VM0_API_KEY"));
        said.failed(&["no API token", "echo PROMPT > ", "/agents/writer/run"]);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn a_shared_cache_that_is_not_there_is_told_with_what_to_look_at() {
    let bench = Bench::new(small_world());
    let words = ["status", "--shared-cache", "file:///nonexistent/cache"];
    let said = finish(bench.command(Who::Myself).arg("shared-cache").args(words));
    said.failed(&[
        "the shared cache file:///nonexistent/cache",
        "see that the store is there",
        "vm0fs help fleets",
    ]);
}

#[test]
#[ignore = "needs root"]
fn the_mount_of_another_user_is_told_as_that() {
    let bench = Bench::new(small_world());
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    let shown = place.path.to_str().unwrap();
    let told = ["cannot unmount", shown, "another user has mounted it"];
    finish(bench.command(Who::Ordinary).arg("unmount").arg(shown)).failed(&told);
    finish(&mut place.unmount(&bench)).succeeded();
}
