//! Why a path in a mount could not be used: in the mount's words, since the kernel passes
//! on no more than a number.

use super::mounts::{self, attribute};
use crate::{
    error::Error,
    humanize, proc,
    text::{one_line, shown},
};
use jiff::Timestamp;
use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, absolute},
    time::Duration,
};

/// The attribute of a file that says why its last fetch failed.
pub(super) const LAST_ERROR: &str = "user.vm0.last_error";

/// Characters of what a mount says of a failure.
pub(super) const LONGEST_REASON: usize = 2_000;

/// A failure that is not older is of this moment: a lookup waits for its fetch.
const NOW: Duration = Duration::from_secs(60);

/// What failures are called that many fetches share.
const SHARED: [&str; 2] = ["the network", "the service"];

/// The error for what a mount has answered.
pub(super) fn failure(place: &Path, error: &io::Error) -> Error {
    let shown = shown(place);
    if error.kind() == ErrorKind::NotFound {
        return Error::NotFound(shown);
    }
    let told = last_error(place).or_else(|| last_error(place.parent()?));
    Error::Earlier {
        message: told.unwrap_or_else(|| format!("{shown}: {}", reason(place, error))),
        errno: error.raw_os_error().unwrap_or_default(),
    }
}

/// Why the last fetch for a file or a folder failed, if it did.
pub(super) fn last_error(place: &Path) -> Option<String> {
    let told = attribute(place, LAST_ERROR).ok().flatten()?;
    Some(one_line(&told, LONGEST_REASON))
}

/// The same where the path could not even be looked up, and so has no attributes: by the
/// mount's failures, else where they are.
pub(super) fn reason(place: &Path, error: &io::Error) -> String {
    let mounts = mounts::all().unwrap_or_default();
    let place = absolute(place).unwrap_or_default();
    let Some((mount, below)) = proc::holding(&mounts, &place) else {
        return error.to_string();
    };
    match error.kind() {
        ErrorKind::NotConnected | ErrorKind::ConnectionAborted => {
            let (what, advice) = mounts::dead(&mount.mountpoint);
            return format!("{what}; {advice}");
        }
        // What the kernel says by itself.
        ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            return error.to_string();
        }
        _ => {}
    }
    let errors = mount.mountpoint.join(".vm0fs/errors");
    let text = fs::read(&errors);
    let names: Vec<_> = below.iter().map(|name| name.to_string_lossy()).collect();
    // The folders at the top are in the names of many things.
    let names = names.get(1..).unwrap_or_default();
    let errno = error.raw_os_error().unwrap_or_default();
    let told = last_line(
        &String::from_utf8_lossy(text.as_deref().unwrap_or_default()),
        names,
        errno,
    );
    let told = told.or_else(|| place.ancestors().skip(1).find_map(last_error));
    told.unwrap_or_else(|| match text {
        Ok(_) => format!("{error}; see {}", shown(&errors)),
        Err(_) => error.to_string(),
    })
}

/// The last failure with this number, among those of `.vm0fs/errors`, that is of one of these
/// things or concerns all; with its age, where it is not of this moment.
fn last_line(errors: &str, names: &[impl AsRef<str>], errno: i32) -> Option<String> {
    let end = format!(" (errno {errno})");
    errors.lines().rev().find_map(|line| {
        // After its time; a count, and the time of the last, may follow.
        let (first, said) = line.split_once(' ')?;
        let (said, rest) = said.rsplit_once(&*end)?;
        let (subject, _) = said.split_once(": ")?;
        let concerns =
            SHARED.contains(&subject) || names.iter().any(|it| names_it(subject, it.as_ref()));
        if !concerns {
            return None;
        }
        let last = rest
            .rsplit_once(" last ")
            .map(|(_, last)| last.trim_end_matches(')'));
        let at: Option<Timestamp> = last.unwrap_or(first).parse().ok();
        let age = at.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
        let said = one_line(said, LONGEST_REASON);
        Some(match age.filter(|age| *age >= NOW) {
            Some(age) => format!("{said} ({} ago)", humanize::age(age)),
            None => said,
        })
    })
}

/// Whether a text has a name as a whole word.
fn names_it(text: &str, name: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && !"-_.".contains(c));
    text.match_indices(name).any(|(at, name)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        !name.is_empty() && is_end(before.chars().next_back()) && is_end(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_failure_that_concerns_a_path_is_told() {
        let errors = "\
2026-01-01T00:00:00.000Z run abc-1: GET /v1/runs/abc-1: HTTP 500 (errno 5)
2026-01-01T00:00:01.000Z run abc-1: GET /v1/runs/abc-1: HTTP 502 (errno 5) (3 times, last 2026-01-01T00:00:05.000Z)
2026-01-01T00:00:02.000Z run abc-2: GET /v1/runs/abc-2: HTTP 500 (errno 5)
2026-01-01T00:00:03.000Z the network: GET /v1/agents: refused (errno 101)
broken
";
        let now = Timestamp::now();
        let errors = &format!("{errors}{now} run abc-4: GET /v1/runs/abc-4: HTTP 500 (errno 5)\n");
        let told = |name: &str, errno| last_line(errors, &[name], errno);
        let of_run = "run abc-1: GET /v1/runs/abc-1: HTTP 502 (";
        let old = told("abc-1", 5).unwrap();
        assert!(old.starts_with(of_run) && old.ends_with(" ago)"), "{old}");
        let of_all = "the network: GET /v1/agents: refused (";
        assert!(told("abc-1", 101).unwrap().starts_with(of_all));
        let now = "run abc-4: GET /v1/runs/abc-4: HTTP 500";
        assert_eq!(told("abc-4", 5).unwrap(), now);
        for other in ["abc", "v1", "runs", "GET", ""] {
            assert_eq!(told(other, 5), None, "{other}");
        }
        assert_eq!(told("abc-3", 5), None);
        assert_eq!(told("abc-1", 13), None);
    }
}
