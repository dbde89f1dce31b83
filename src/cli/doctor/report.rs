//! What `doctor --report` prints, to be pasted into a bug report: without secrets, and
//! without the name of the user's home.

mod secrets;

pub(super) use self::secrets::Secrets;
use super::check::Check;
use crate::{
    cli::{mounts, status},
    config::{Described, Environment},
    error::Result,
    logging, proc,
    text::one_line,
    unmount::{self, Health},
};
use jiff::Timestamp;
use nix::unistd::Uid;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Failures of a mount, and lines of the log, that are shown: the last.
const FAILURES: usize = 10;
const LINES: usize = 20;
/// Bytes of the log's end that are looked through, and characters of a line.
const TAIL: u64 = 256 << 10;
const LINE: usize = 500;
/// How long `fusermount3` may take to say its version.
const HELPER: Duration = Duration::from_secs(2);

/// The report. All of it goes through [`Secrets::hide`] here, so that no part of it can do
/// without.
pub(super) fn text(
    secrets: &Secrets,
    settings: Result<Vec<Described>>,
    checks: &[Check],
    environment: &Environment,
) -> String {
    secrets.hide(&whole(settings, checks, environment))
}

/// All of the report, secrets too.
fn whole(settings: Result<Vec<Described>>, checks: &[Check], environment: &Environment) -> String {
    let mut out = format!(
        "vm0fs {} {}, {} at {:.0}\n",
        env!("CARGO_PKG_VERSION"),
        if cfg!(debug_assertions) {
            "(debug)"
        } else {
            "(release)"
        },
        std::env::consts::ARCH,
        Timestamp::now()
    );
    system(&mut out);
    out += "\nSettings\n";
    match settings {
        Ok(described) => {
            for (name, value, source) in described {
                let source = if source.is_empty() {
                    String::new()
                } else {
                    format!("  ({source})")
                };
                let value = one_line(&format!("{value}{source}"), LINE);
                // Writing to a String cannot fail.
                let _ = writeln!(out, "  {name:<23} {value}");
            }
        }
        Err(error) => _ = writeln!(out, "  {}", one_line(&error.to_string(), LINE)),
    }
    let ours = |name: &&str| name.starts_with("VM0") || name.to_lowercase().ends_with("_proxy");
    let names = environment
        .variables
        .keys()
        .filter_map(|name| name.to_str());
    let names: Vec<&str> = names.filter(ours).collect();
    let _ = writeln!(
        out,
        "  {:<23} {}",
        "variables",
        one_line(&names.join(", "), LINE)
    );
    out += "\nChecks\n";
    for check in checks {
        let _ = write!(out, "  {}", check.line());
    }
    mounted(&mut out);
    log(&mut out, environment);
    out
}

/// The machine.
fn system(out: &mut String) {
    let kernel = rustix::system::uname();
    let text = |part: &std::ffi::CStr| one_line(&part.to_string_lossy(), 100);
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let user = if Uid::effective().is_root() {
        "root"
    } else {
        "an ordinary user"
    };
    let is_container = proc::hides_processes()
        || ["/.dockerenv", "/run/.containerenv"]
            .iter()
            .any(|path| Path::new(path).exists());
    let _ = writeln!(
        out,
        "kernel        {} {}\ndistribution  {}\nrun by        {user}{}\nfusermount3   {}",
        text(kernel.sysname()),
        text(kernel.release()),
        one_line(name.unwrap_or("not known").trim_matches('"'), 100),
        if is_container { ", in a container" } else { "" },
        helper()
    );
}

/// The version of `fusermount3`.
fn helper() -> String {
    let mut command = Command::new("fusermount3");
    command.arg("--version").stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else {
        return "not found".into();
    };
    if !matches!(unmount::wait_within(&mut child, HELPER), Ok(Some(_))) {
        return "does not say its version".into();
    }
    let mut said = String::new();
    if let Some(out) = child.stdout.take() {
        let _ = out.take(LINE as u64).read_to_string(&mut said);
    }
    one_line(&said, 100)
}

/// The mounts, and their last failures.
fn mounted(out: &mut String) {
    let entries = mounts::all().unwrap_or_default();
    for state in entries.into_iter().map(unmount::look) {
        let _ = write!(out, "\nMount {}", status::describe(&state));
        if !matches!(state.health, Health::Alive(_)) {
            continue;
        }
        let errors = state.entry.mountpoint.join(".vm0fs/errors");
        let errors = fs::read_to_string(errors).unwrap_or_default();
        last(out, errors.lines(), FAILURES);
    }
}

/// The warnings and errors at the end of the log.
fn log(out: &mut String, environment: &Environment) {
    let Ok(path) = logging::state_dir(environment).map(|dir| dir.join("vm0fs.log")) else {
        return;
    };
    let _ = writeln!(out, "\nLog {}", path.display());
    let mut text = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        file.take(TAIL).read_to_end(&mut text)
    });
    if let Err(error) = read {
        let _ = writeln!(out, "  {error}");
    }
    let text = String::from_utf8_lossy(&text);
    let is_bad = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
    last(out, text.lines().filter(is_bad), LINES);
}

/// The last of some lines.
fn last<'a>(out: &mut String, lines: impl Iterator<Item = &'a str>, most: usize) {
    let lines: Vec<&str> = lines.collect();
    for line in &lines[lines.len().saturating_sub(most)..] {
        let _ = writeln!(out, "  {}", one_line(line, LINE));
    }
}
