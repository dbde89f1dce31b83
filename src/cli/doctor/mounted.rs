//! Checks the mounts of this machine, and takes dead ones away.

use super::check::Check;
use crate::{
    cli::mounts,
    unmount::{self, Health, MountState},
};
use nix::unistd::Uid;

/// Checks each mount; with `fix`, unmounts those that are dead.
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
    let states = entries.into_iter().map(unmount::look);
    states.map(|state| one(&state, fix)).collect()
}

fn one(state: &MountState, fix: bool) -> Check {
    let subject = format!("mount {}", state.shown());
    let Some((what, advice)) = state.trouble() else {
        let found = match (&state.health, state.pid) {
            (Health::Alive(_), Some(pid)) => format!("alive: process {pid} answers"),
            (Health::Alive(_), None) => "alive: it answers".into(),
            (_, Some(pid)) => format!("process {pid} serves it, for another user"),
            (_, None) => "of another user, who alone can tell how it is".into(),
        };
        return Check::ok(&subject, found);
    };
    let word = state.word();
    let found = format!("{word}: {what}");
    let user = Uid::effective();
    let is_mine = state.entry.user.is_none_or(|own| own == user.as_raw());
    match state.health {
        Health::Dead if !is_mine && !user.is_root() => {
            let advice = "its user, or root, can take it away: vm0fs doctor --fix";
            Check::warn(&subject, found, advice)
        }
        Health::Dead if fix => match unmount::unmount(&state.entry.mountpoint, true, |_| ()) {
            Ok(()) => Check::fixed(&subject, "was dead; it has been unmounted"),
            Err(error) => Check::fail(&subject, format!("{found}; {error}"), advice),
        },
        Health::Dead => Check::fail(&subject, found, format!("{advice} (--fix does)")),
        Health::Hung(..) => Check::fail(&subject, found, advice),
        _ => Check::warn(&subject, found, advice),
    }
}
