//! What `doctor --report` prints, to be pasted into a bug report: without secrets, and
//! without the name of the user's home.

use super::check::Check;
use crate::{
    cli::{mounts, status},
    config::{self, Environment, MountOptions, Settings},
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

/// What tokens of the service begin with, and how many characters at least follow.
const TOKEN: &str = "vm0_";
const SECRET: usize = 16;

/// The report.
pub(super) fn text(
    options: MountOptions,
    settings: &Result<Settings>,
    checks: &[Check],
    environment: &Environment,
) -> String {
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
    let no_files = config::no_files(&options, environment).unwrap_or_default();
    let hide = |text: &str| {
        // A short one is a name, and can be a part of other words.
        let long = no_files.iter().filter(|name| name.len() >= SECRET);
        long.fold(text.to_owned(), |text, name| {
            text.replace(name, "[no such file]")
        })
    };
    system(&mut out);
    out += "\nSettings\n";
    match config::describe(&options, environment) {
        Ok(described) => {
            for (name, value, source) in described {
                let source = if source.is_empty() {
                    String::new()
                } else {
                    format!("  ({source})")
                };
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "  {name:<23} {}",
                    one_line(&hide(&format!("{value}{source}")), LINE)
                );
            }
        }
        Err(error) => _ = writeln!(out, "  {}", one_line(&hide(&error.to_string()), LINE)),
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
        let _ = write!(out, "  {}", hide(&check.line()));
    }
    mounted(&mut out);
    log(&mut out, environment);
    let home = environment.home.as_deref();
    let out = scrub(&out, home);
    match settings {
        Ok(settings) => settings.token.redact(&out),
        Err(_) => out,
    }
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

/// A text without what looks like a token, and with `~` for the home folder.
fn scrub(text: &str, home: Option<&Path>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN) {
        let (before, found) = rest.split_at(at);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = found.find(|c| !is_part(c)).unwrap_or(found.len());
        out += before;
        out += if end >= TOKEN.len() + SECRET {
            "[token]"
        } else {
            &found[..end]
        };
        rest = &found[end..];
    }
    out += rest;
    match home
        .and_then(Path::to_str)
        .map(|home| home.trim_end_matches('/'))
    {
        Some(home) if !home.is_empty() => without_home(&out, home),
        _ => out,
    }
}

/// `~` for the home folder, where that is all of a path or its beginning.
fn without_home(text: &str, home: &str) -> String {
    let mut parts = text.split(home);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let goes_on = part.starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
        out += if goes_on { home } else { "~" };
        out += part;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_tokens_nor_the_home_are_told() {
        let token = format!("vm0_live_{}", "0a".repeat(32));
        let text = format!("a {token}, Bearer {token}\n/home/me/vm0 /home/me: vm0_x vm0fs");
        let shown = scrub(&text, Some(Path::new("/home/me/")));
        assert_eq!(shown, "a [token], Bearer [token]\n~/vm0 ~: vm0_x vm0fs");
        assert_eq!(scrub("/a", Some(Path::new("/"))), "/a");
        let other = "/home/mem /home/me.old /home/me";
        assert_eq!(
            scrub(other, Some(Path::new("/home/me"))),
            "/home/mem /home/me.old ~"
        );
        assert_eq!(scrub("vm0_", None), "vm0_");
    }
}
