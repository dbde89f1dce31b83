//! The mounts of this machine: those that are dead are taken away.

use super::Check;
use crate::{
    cli::mounts::{self, Health, Look},
    unmount,
};
use nix::unistd::Uid;

/// Each mount, and with `fix` what was done about it.
pub(super) fn check(fix: bool) -> Vec<Check> {
    let entries = match mounts::all() {
        Ok(entries) => entries,
        Err(error) => {
            let advice = "mount /proc, which everything here needs";
            return vec![Check::fail("mounts", error.to_string(), advice)];
        }
    };
    if entries.is_empty() {
        return vec![Check::ok("mounts", "none")];
    }
    let looks = entries.into_iter().map(mounts::look);
    looks.map(|look| one(&look, fix)).collect()
}

fn one(look: &Look, fix: bool) -> Check {
    let subject = format!("mount {}", look.shown());
    let Some((what, advice)) = look.trouble() else {
        let found = match (&look.health, look.pid) {
            (Health::Alive(_), Some(pid)) => format!("alive: process {pid} answers"),
            (Health::Alive(_), None) => "alive: it answers".into(),
            (_, Some(pid)) => format!("process {pid} serves it, for another user"),
            (_, None) => "of another user, who alone can tell how it is".into(),
        };
        return Check::ok(&subject, found);
    };
    let word = look.word();
    let found = format!("{word}: {what}");
    let user = Uid::effective();
    let is_mine = look.entry.user.is_none_or(|own| own == user.as_raw());
    match look.health {
        Health::Dead if !is_mine && !user.is_root() => {
            let advice = "its user, or root, can take it away: vm0fs doctor --fix";
            Check::warn(&subject, found, advice)
        }
        Health::Dead if fix => match unmount::unmount(&look.entry.mountpoint, true, |_| ()) {
            Ok(()) => Check::fixed(&subject, "was dead; it has been unmounted"),
            Err(error) => Check::fail(&subject, format!("{found}; {error}"), advice),
        },
        Health::Dead => Check::fail(&subject, found, format!("{advice} (--fix does)")),
        Health::Hung(..) => Check::fail(&subject, found, advice),
        _ => Check::warn(&subject, found, advice),
    }
}
