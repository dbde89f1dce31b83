//! `vm0fs status`: shows the mounts of this machine, and the numbers of each.

use super::{
    complete::values::Values,
    mounts,
    output::{exit_code, print, print_json},
    walk,
};
use crate::{
    config::Environment,
    error::Result,
    humanize,
    text::{self, one_line, shell_path},
    unmount::{self, Health, MountState},
};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

/// The version of this program; a mount may be served by another one.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `vm0fs status`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 1 where a mount is dead or does not answer.

Examples:
  vm0fs status
  vm0fs status ~/vm0
  vm0fs status --json | jq -r '.[] | select(.health != \"alive\") | .mountpoint'")]
pub struct StatusArgs {
    /// The folder of one mount [default: all mounts of vm0fs]
    #[arg(add = Values::Mountpoints.completer())]
    mountpoint: Option<PathBuf>,
    /// Print the same as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Ask the mount in this process, not in a second one.
    #[arg(long, hide = true, requires = "mountpoint")]
    worker: bool,
}

impl StatusArgs {
    /// Looks at the mounts, and prints how they are.
    ///
    /// # Errors
    /// Where nothing of vm0fs is mounted at the mountpoint.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        let path = self.mountpoint.map(|path| {
            // Without `.` and a slash at the end, as the kernel names it.
            let path = environment.current_dir.join(path);
            path.components().collect::<PathBuf>()
        });
        let entries = match path {
            Some(path) if self.worker => {
                print(&unmount::read_status(&path))?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(path) => vec![walk::at(&path)?],
            None => mounts::all()?,
        };
        let states: Vec<MountState> = entries.into_iter().map(unmount::look).collect();
        match self.json {
            true => print_json(&states.iter().map(MountState::json).collect::<Vec<_>>())?,
            false if states.is_empty() => print("nothing is mounted\n")?,
            false => print(&states.iter().map(describe).collect::<Vec<_>>().join("\n"))?,
        }
        let ill = |state: &MountState| matches!(state.health, Health::Dead | Health::Hung(..));
        Ok(exit_code(!states.iter().any(ill)))
    }
}

/// A mount in some lines.
pub(super) fn describe(state: &MountState) -> String {
    let mut text = format!("{}: {}", state.shown(), state.word());
    if let Some(pid) = state.pid {
        let _ = write!(text, ", process {pid}");
    }
    if let Some((what, advice)) = state.trouble() {
        let _ = write!(text, ": {what}; {advice}");
    }
    text.push('\n');
    match &state.health {
        Health::Alive(status) => {
            for (name, value) in rows(status, &state.entry.mountpoint) {
                let _ = writeln!(text, "  {name:<10} {value}");
            }
        }
        Health::Closed => _ = writeln!(text, "  {}", mounts::ANOTHER_S),
        Health::Dead | Health::Hung(..) | Health::Unknown(_) => {}
    }
    text
}

/// What `status.json` says, as far as this version of vm0fs knows it.
fn rows(status: &Value, mountpoint: &Path) -> Vec<(&'static str, String)> {
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    let count = |pointer: &str| number(pointer).unwrap_or(0);
    let words = |pointer: &str| {
        let text = status.pointer(pointer).and_then(Value::as_str);
        one_line(text.unwrap_or("?"), 200)
    };
    let since = words("/mounted_at").parse::<Timestamp>().ok();
    let age = since.and_then(|since| Duration::try_from(Timestamp::now() - since).ok());
    let age = age.map_or("?".into(), |age| format!("{} ago", humanize::age(age)));
    let shown = text::shown(mountpoint);
    let mut mounted = format!("{age}, by vm0fs {}", words("/vm0fs"));
    let version = status.pointer("/vm0fs").and_then(Value::as_str);
    if version.is_some_and(|version| version != VERSION) {
        let _ = write!(
            mounted,
            "; to have {VERSION} serve it: vm0fs upgrade {}",
            shell_path(mountpoint)
        );
    }

    let (made, failed) = (count("/api/calls"), count("/api/failed"));
    let mut calls = format!("{made} made, {failed} failed");
    let limit = |name: &str| number(&format!("/api/rate_limit/{name}"));
    if let (Some(left), Some(most)) = (limit("remaining"), limit("limit")) {
        let _ = write!(calls, "; {left} of {most} left");
        let reset = limit("reset").and_then(|at| i64::try_from(at).ok());
        if let Some(at) = reset.and_then(|at| Timestamp::from_second(at).ok()) {
            let _ = write!(calls, " until {at}");
        }
    }
    let mut origin = words("/api/origin");
    if status.pointer("/api/offline") == Some(&Value::Bool(true)) {
        origin.push_str("; never asked: this mount is offline (--offline)");
    }
    if let Some(outage) = status.pointer("/api/outage").and_then(Value::as_str) {
        let _ = write!(origin, "; not reached now: {}", one_line(outage, 200));
    }
    let failures = match count("/failures") {
        0 => "none".into(),
        n => format!("{n}; see {shown}/.vm0fs/errors"),
    };
    let refused = status.pointer("/crawlers/refused");
    let refused = refused.and_then(Value::as_object).into_iter().flatten();
    let refused = refused.map(|(name, times)| {
        let name = one_line(name, 64);
        match times.as_u64() {
            Some(times) => format!("{name} {}", humanize::count(times, "time")),
            None => name,
        }
    });
    let refused: Vec<String> = refused.collect();
    let refused = match refused.is_empty() {
        true => "none refused".into(),
        false => format!("refused to {}", refused.join(", ")),
    };
    let shared = match status.pointer("/shared_cache/url").and_then(Value::as_str) {
        None => "none".into(),
        Some(url) => {
            let misses = count("/shared_cache/misses");
            let mut text = format!(
                "{}, {} {}, {} written; {}",
                humanize::count(count("/shared_cache/hits"), "hit"),
                misses,
                if misses == 1 { "miss" } else { "misses" },
                count("/shared_cache/puts"),
                one_line(url, 200)
            );
            for (doing, pointer) in [
                ("looked up", "/shared_cache/reads_paused"),
                ("written", "/shared_cache/writes_paused"),
            ] {
                if let Some(reason) = status.pointer(pointer).and_then(Value::as_str) {
                    let _ = write!(text, "; not {doing} now: {}", one_line(reason, 200));
                }
            }
            text
        }
    };
    // A worker of an older program does not tell it.
    let partly = match status.pointer("/cache/versions_partly") {
        Some(partly) => format!(", in part: {partly}"),
        None => String::new(),
    };
    vec![
        ("mounted", mounted),
        ("workers", workers(status)),
        ("API", origin),
        ("calls", calls),
        (
            "cache",
            format!(
                "{} of {}; versions: {}, with content: {}{}; in {}",
                humanize::size(count("/cache/bytes")),
                humanize::size(count("/cache/ceiling_bytes")),
                count("/cache/versions"),
                count("/cache/versions_with_content"),
                partly,
                words("/cache/dir")
            ),
        ),
        ("shared", shared),
        (
            "downloads",
            format!(
                "{} running, {} done, {} failed; {} came",
                count("/downloads/running"),
                count("/downloads/done"),
                count("/downloads/failed"),
                humanize::size(count("/downloads/bytes"))
            ),
        ),
        ("runs", format!("{} followed", count("/runs_followed"))),
        ("failures", failures),
        (
            "crawlers",
            format!("{}; {refused}", words("/crawlers/policy")),
        ),
    ]
}

/// What became of the workers of a mount, in words.
fn workers(status: &Value) -> String {
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
    let supervisor = status
        .pointer("/workers/supervisor")
        .and_then(Value::as_u64);
    let guard = match (supervisor, text("/workers/unguarded")) {
        (Some(pid), _) => format!("supervised by process {pid}"),
        (None, Some(why)) => format!("unguarded: {}", one_line(why, 200)),
        (None, None) => "one process, without a supervisor".into(),
    };
    let replaced = status.pointer("/workers/replaced").and_then(Value::as_u64);
    let Some(replaced) = replaced.filter(|replaced| *replaced > 0) else {
        return guard;
    };
    let last = status
        .pointer("/workers/replacements")
        .and_then(Value::as_array);
    let last = last.and_then(|all| all.last()).unwrap_or(&Value::Null);
    let since = last["at"]
        .as_str()
        .and_then(|at| at.parse::<Timestamp>().ok());
    let age = since.and_then(|since| Duration::try_from(Timestamp::now() - since).ok());
    format!(
        "{guard}; {replaced} replaced, the last {} ago after {:.0} ms: {}",
        age.map_or("?".into(), humanize::age),
        last["gap_ms"].as_f64().unwrap_or_default(),
        one_line(last["why"].as_str().unwrap_or("?"), 200)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mount_of_another_version_is_told_how_to_be_upgraded() {
        let mounted = |version: &str| {
            let rows = rows(&json!({"vm0fs": version}), Path::new("/m"));
            rows.into_iter().next().unwrap_or_default().1
        };
        let other = format!("by vm0fs 0.0.1; to have {VERSION} serve it: vm0fs upgrade /m");
        assert!(mounted("0.0.1").ends_with(&other), "{}", mounted("0.0.1"));
        let same = format!("by vm0fs {VERSION}");
        assert!(mounted(VERSION).ends_with(&same), "{}", mounted(VERSION));
    }

    #[test]
    fn what_a_mount_says_is_made_harmless() {
        let status = json!({
            "vm0fs": "0.1.0",
            "mounted_at": "2020-01-01T00:00:00Z",
            "api": {"origin": "https://a\u{1b}[2J", "calls": 7, "failed": 1,
                    "outage": "GET /v1/agents: re\u{1b}fused",
                    "rate_limit": {"limit": 10, "remaining": 3, "reset": 0}},
            "crawlers": {"policy": "deny", "refused": {"up\ndatedb": 2}},
        });
        let rows = rows(&status, Path::new("/m"));
        let row = |name: &str| {
            let found = rows.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(
            row("API"),
            "https://a [2J; not reached now: GET /v1/agents: re fused"
        );
        assert_eq!(
            row("calls"),
            "7 made, 1 failed; 3 of 10 left until 1970-01-01T00:00:00Z"
        );
        assert_eq!(row("crawlers"), "deny; refused to up datedb 2 times");
        assert_eq!(row("workers"), "one process, without a supervisor");
        let mut replaced = json!({"workers": {"supervisor": 7, "replaced": 2, "replacements": [
            {"at": "2020-01-01T00:00:00Z", "why": "it \u{1b}died", "gap_ms": 11.6}]}});
        let line = super::workers(&replaced);
        assert!(
            line.starts_with("supervised by process 7; 2 replaced, the last "),
            "{line}"
        );
        assert!(line.ends_with(" d ago after 12 ms: it died"), "{line}");
        replaced["workers"] = json!({"supervisor": null, "unguarded": "gone"});
        assert_eq!(super::workers(&replaced), "unguarded: gone");
        assert!(row("mounted").contains(" d ago"), "{}", row("mounted"));
        let offline = json!({"api": {"origin": "https://a", "offline": true}});
        let offline = super::rows(&offline, Path::new("/m"));
        let told = "https://a; never asked: this mount is offline (--offline)";
        assert!(offline.contains(&("API", told.into())), "{offline:?}");
        // Of an older vm0fs, or of something else.
        assert!(!super::rows(&Value::Null, Path::new("/")).is_empty());
    }
}
