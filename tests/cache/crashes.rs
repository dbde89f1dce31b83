//! A crash, and a panic, at each step of fetching and sealing a version.

use super::{
    LARGE, expected_sums, is_right, left_in, mounted, mounted_over_dead, place_is_dead, staged_in,
    versions_in, world_of,
};
use crate::{
    commands::{Place, finish, script, until},
    support::{Bench, Who, reason},
};
use std::{fs, path::Path};
use vm0fs::store::crash::{LEFT_STEPS, PART_STEPS, STEPS};

/// What is in the cache before.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    /// The version without its content and without its seek index, so that it is fetched
    /// whole.
    Tree,
    /// The version without its content, as eviction leaves it.
    Evicted,
    /// A fetch that another process has left.
    Left,
}

/// Mounts with a process that dies at `step`, has it fetch the version, and
/// gives whether it died, which it has to if it `comes` to that step.
fn crash(bench: &Bench, place: &Place, cache: &Path, step: &str, comes: bool) -> bool {
    let mut command = place.mount(bench);
    // Another worker would go on.
    command.args(["--no-supervisor", "--cache-dir"]).arg(cache);
    finish(command.env("VM0FS_CRASH_AT", step)).succeeded();
    let sums = place.inside("cd artifacts/a0/latest && sha256sum small folder/text large");
    let said = finish(&mut script(Who::Myself, &sums));
    // What it could read before it died was right.
    for line in said.out.lines() {
        assert!(expected_sums(0, LARGE).contains(line), "{step}: {said:?}");
    }
    // The last steps come after the answer.
    if comes {
        place_is_dead(place);
    }
    crate::commands::servers_of(&place.path).is_empty()
}

/// Whether a new mount finds a cache in which nothing is partial or left over, but for a
/// fetch that it goes on with.
#[track_caller]
fn is_sound(bench: &Bench, dead: &Place, cache: &Path, step: &str) {
    let place = mounted_over_dead(bench, dead, cache);
    assert_eq!(staged_in(cache), left_in(cache), "{step}: left in staging");
    let listed = place.run("cd artifacts/a0/latest && find . -type f | sort");
    assert_eq!(listed, "./folder/text\n./large\n./small\n", "{step}");
    is_right(&place, 0, LARGE);
    assert_eq!(
        (staged_in(cache), versions_in(cache).len()),
        (0, 1),
        "{step}"
    );
    let mut verify = bench.command(Who::Myself);
    verify.args(["cache", "verify", "--cache-dir"]).arg(cache);
    let said = finish(&mut verify);
    assert_eq!(said.code, Some(0), "{step}: {said:?}");
    finish(&mut place.unmount(bench)).succeeded();
    place.is_over();
}

#[test]
fn a_crash_at_any_step_leaves_a_version_or_none() {
    let bench = Bench::new(world_of(1, LARGE));
    let full = bench.folder("full", Who::Myself);
    let place = mounted(&bench, Who::Myself, "mnt", &full, &[]);
    is_right(&place, 0, LARGE);
    // Else each mount of a copy would begin by bringing it to the disk, and die
    // of the steps of that before it is ready.
    let mark = versions_in(&full)[0].join("synced");
    until("the version is on the disk", || mark.exists());
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();
    let whole = STEPS.map(|step| (step, &[Before::Nothing, Before::Tree][..]));
    let part = PART_STEPS.map(|step| (step, &[Before::Evicted][..]));
    let left = LEFT_STEPS.map(|step| (step, &[Before::Left][..]));
    let all = whole.into_iter().chain(part).chain(left);
    for (number, (step, befores)) in all.enumerate() {
        let mut died = 0;
        for &before in befores {
            let cache = bench.folder(&format!("cache{number}{before:?}"), Who::Myself);
            if before == Before::Left {
                let place = Place::new(&bench, Who::Myself, "mnt");
                assert!(crash(&bench, &place, &cache, "blob-written", true));
                assert_eq!(left_in(&cache), 2);
                let place = mounted_over_dead(&bench, &place, &cache);
                finish(&mut place.unmount(&bench)).succeeded();
                place.is_over();
            } else if before != Before::Nothing {
                let (from, to) = (full.display(), cache.display());
                finish(&mut script(
                    Who::Myself,
                    &format!("cp -a '{from}/v1' '{to}/'"),
                ))
                .succeeded();
                let version = &versions_in(&cache)[0];
                for name in ["pack", "blob-0"] {
                    fs::remove_file(version.join(name)).unwrap();
                }
                if before == Before::Tree {
                    fs::remove_file(version.join("seek")).unwrap();
                }
            }
            let place = Place::new(&bench, Who::Myself, "mnt");
            // Else nothing is there that this step could be taken with.
            let comes = !step.starts_with("old-") || before != Before::Nothing;
            if crash(&bench, &place, &cache, step, comes) {
                died += 1;
                is_sound(&bench, &place, &cache, step);
            } else {
                assert!(!comes, "{step}");
                is_right(&place, 0, LARGE);
                finish(&mut place.unmount(&bench)).succeeded();
                place.is_over();
            }
        }
        assert!(died > 0, "{step} is not a step of a fetch any more");
    }
}

/// Steps that a fetch into an empty cache comes to before the version is there.
fn is_early(step: &str) -> bool {
    !step.starts_with("old-") && !["sealed", "synced", "marked"].contains(&step)
}

#[test]
fn a_panic_at_any_step_is_an_error_and_passes() {
    for some in STEPS.chunks(4) {
        std::thread::scope(|scope| {
            for step in some {
                scope.spawn(move || panic_at(step));
            }
        });
    }
}

fn panic_at(step: &str) {
    let bench = Bench::new(world_of(2, LARGE));
    let mount = bench.mount().env("VM0FS_PANIC_AT", step).start();
    let read = "cd artifacts/a0/latest && sha256sum small folder/text large";
    // What does not exist is known when all is well with the whole.
    let ask = "stat artifacts/a0/latest/missing";
    let output = mount.start(ask).output();
    let error = String::from_utf8_lossy(&output.stderr);
    let said = match is_early(step) {
        true => reason::IO,
        false => reason::MISSING,
    };
    assert!(error.contains(said), "{step}: {output:?}");
    if is_early(step) {
        let errors = mount.cat(".vm0fs/errors");
        assert!(
            errors.contains("panicked (please report this"),
            "{step}: {errors}"
        );
    }
    // The mount lives, the rest of it is well, and what failed is there soon.
    let other = read.replace("a0", "a1");
    assert_eq!(mount.run(&other), expected_sums(1, LARGE), "{step}");
    let is_right = || {
        let output = mount.try_run(read);
        output.stdout == expected_sums(0, LARGE).as_bytes()
    };
    assert!(crate::commands::soon(is_right), "{step}");
    let output = mount.try_run(ask);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains(reason::MISSING),
        "{step}: {error} {}",
        mount.cat(".vm0fs/errors")
    );
    let cache = bench.dir().join("home-Myself/.cache/vm0fs");
    assert_eq!(
        (staged_in(&cache), versions_in(&cache).len()),
        (0, 2),
        "{step}"
    );
    let log = mount.unmount().join("\n");
    let panicked = log.contains("a defect: panicked at");
    // What a panic says can quote anything, so only its place is told.
    assert!(!log.contains(step), "{step}: {log}");
    assert!(panicked || step.starts_with("old-"), "{step}: {log}");
}
