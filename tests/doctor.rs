//! `vm0fs doctor` and `vm0fs status`, fault by fault.
//!
//! Doctor looks at every mount of the machine, where other tests let mounts die:
//! it is run in a mount namespace of its own, which only root can make. What is
//! missing from the machine there is missing for this test only.

mod findings;
mod status;

use crate::{
    commands::{Said, finish, small_world},
    support::{Bench, ORDINARY_USER, Who, program},
};
use serde_json::Value;
use std::process::Command;

/// What every script begins with: a mount table without the mounts of others,
/// a mount to look at, and its orderly end. The table is read whole before the
/// first is taken away, since one that shrinks while it is read skips entries.
const PROLOGUE: &str = r#"
set -u
while read -r source other _; do
    if [ "$source" = vm0fs ]; then umount -l "$(printf %b "$other")"; fi
done <<< "$(cat /proc/mounts)"
as() { setpriv --reuid "$WHO" --regid "$WHO" --clear-groups "$@"; }
[ "$WHO" = root ] && as() { "$@"; }
vm0fs() { as "$VM0FS" "$@"; }
mounted() { vm0fs mount --no-supervisor "$MNT" && server=$(pgrep -f "mount --no-supervisor $MNT"); }
over() { for signal in CONT KILL; do kill -$signal $server; done; umount -l "$MNT"; } 2> /dev/null
trap over EXIT
"#;

/// Shell: an `/etc` that can be changed.
pub(crate) const OWN_ETC: &str = "cp -a /etc $DIR/etc; mount --bind $DIR/etc /etc; ";

/// Runs a script in a mount namespace of its own. It has `vm0fs`, run as `who`,
/// a mountpoint `$MNT`, and a folder `$DIR` for what it makes.
pub(crate) fn alone(bench: &Bench, who: Who, script: &str) -> Said {
    let home = bench.folder(&format!("home-{who:?}"), who);
    let dir = bench.folder(&format!("alone-{who:?}"), who);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "bash", "-c"])
        .arg(format!("{PROLOGUE}{script}"))
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .env("HOME", &home)
        .env("VM0_API_URL", bench.server.api_url())
        .env("VM0_API_KEY", bench.server.token())
        .env("VM0FS", program())
        .env("MNT", dir.join("mnt"))
        .env("DIR", &dir)
        .env(
            "WHO",
            match who {
                Who::Myself => "root",
                Who::Ordinary => ORDINARY_USER,
            },
        )
        .current_dir("/");
    let said = finish(&mut command);
    let all = format!("{}{}", said.out, said.err);
    assert!(!all.contains(bench.server.token()), "the token: {all}");
    said
}

/// The line of a check, by its level and what was looked at.
#[track_caller]
fn line<'a>(said: &'a Said, level: &str, subject: &str) -> &'a str {
    let start = format!("{level:<4}  {subject}");
    let mut lines = said.out.lines().filter(|line| line.starts_with(&start));
    let found = lines.next();
    found.unwrap_or_else(|| panic!("no line {start:?} in {said:?}"))
}

/// Asserts that a line has all of `words`.
#[track_caller]
pub(crate) fn tells(said: &Said, level: &str, subject: &str, words: &[&str]) {
    let line = line(said, level, subject);
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_passes_on_a_healthy_machine() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let said = alone(&bench, who, "mounted; vm0fs doctor");
        assert_eq!(said.code, Some(0), "{said:?}");
        for subject in [
            "/dev/fuse",
            "user_allow_other",
            "mount ",
            "settings",
            "API",
            "token",
            "clock",
            "cache folder",
            "unfinished downloads",
            "cache:",
            "free space",
            "log folder",
        ] {
            line(&said, "ok", subject);
        }
        tells(&said, "ok", "mount ", &["alive: process", "answers"]);
        assert!(!said.out.contains("fail"), "{said:?}");

        let said = alone(&bench, who, "mounted; vm0fs doctor --json");
        let report: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(report["ok"], true, "{report}");
        let checks = report["checks"].as_array().unwrap();
        let token = checks.iter().find(|check| check["subject"] == "token");
        assert_eq!(token.unwrap()["level"], "ok");
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_dead_mount_and_fix_unmounts_it() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let script = "mounted; kill -KILL $server; while kill -0 $server; do :; done 2> /dev/null
            vm0fs doctor; echo code $?; grep -c \"$MNT\" /proc/mounts
            vm0fs doctor --fix; echo code $?; grep -c \"$MNT\" /proc/mounts";
        let said = alone(&bench, who, script);
        tells(
            &said,
            "fail",
            "mount ",
            &["dead: its process is gone", "unmount --lazy"],
        );
        tells(&said, "ok", "mount ", &["was dead; it has been unmounted"]);
        let ends: Vec<&str> = said.out.lines().filter(|line| line.len() < 8).collect();
        assert_eq!(ends, ["code 1", "1", "code 0", "0"], "{said:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_stopped_mount_as_hung_and_leaves_it() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let script = "mounted; kill -STOP $server
            until grep -q 'State:.T' /proc/$server/status; do sleep 0.01; done
            vm0fs doctor --fix; echo code $?; grep -c \"$MNT\" /proc/mounts
            kill -CONT $server; vm0fs doctor > /dev/null; echo code $?";
        let said = alone(&bench, who, script);
        tells(
            &said,
            "fail",
            "mount ",
            &["hung: its process", "is stopped", "kill -CONT"],
        );
        let ends: Vec<&str> = said.out.lines().filter(|line| line.len() < 8).collect();
        assert_eq!(ends, ["code 1", "1", "code 0"], "{said:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_fix_removes_leftovers_and_closes_open_folders() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        // A mount that lives would remove what is left by itself.
        let script = "mounted; vm0fs unmount $MNT
            cache=$HOME/.cache/vm0fs; as chmod 0755 $cache
            as chmod 0750 $HOME/.local/state/vm0fs
            as mkdir $cache/v1/staging/1-2; as cp /proc/self/status $cache/v1/staging/1-2/pack
            vm0fs doctor";
        let said = alone(&bench, who, script);
        tells(
            &said,
            "warn",
            "cache folder",
            &["open to other users (mode 0755)", "chmod 0700"],
        );
        tells(
            &said,
            "warn",
            "log folder",
            &["open to other users (mode 0750)"],
        );
        tells(
            &said,
            "warn",
            "unfinished downloads",
            &["1 broken off", "--fix"],
        );
        let script = "cache=$HOME/.cache/vm0fs; ls $cache/v1/staging; vm0fs doctor --fix
            ls $cache/v1/staging; stat -c %a $cache $HOME/.local/state/vm0fs";
        let said = alone(&bench, who, script);
        tells(&said, "ok", "cache folder", &["its mode is 0700 now"]);
        tells(&said, "ok", "log folder", &["its mode is 0700 now"]);
        tells(
            &said,
            "ok",
            "unfinished downloads",
            &["removed 1 broken off"],
        );
        assert!(
            said.out.starts_with("1-2\n"),
            "looking changes nothing: {said:?}"
        );
        assert!(said.out.ends_with("\n700\n700\n"), "{said:?}");
        assert_eq!(said.out.matches("1-2").count(), 1, "{said:?}");
    }
}
