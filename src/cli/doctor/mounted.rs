//! Checks the mounts of this machine, and takes dead ones away.

use super::check::Check;
use crate::{
    cli::mounts,
    text::one_line,
    unmount::{self, Health, MountState},
};
use nix::unistd::Uid;
use serde_json::Value;

/// Checks each mount; with `fix`, unmounts those that are dead.
pub(super) fn check(fix: bool) -> Vec<Check> {
    let entries = match mounts::all() {
        Ok(entries) => entries,
        Err(error) => {
            let advice = "mount /proc, which everything here needs";
            return vec![Check::fail(error.to_string(), advice).of("mounts")];
        }
    };
    if entries.is_empty() {
        return vec![Check::ok("none").of("mounts")];
    }
    let states = entries.into_iter().map(unmount::look);
    let check = |state: MountState| one(&state, fix).of(&format!("mount {}", state.shown()));
    states.map(check).collect()
}

/// Why a mount does not use its shared cache for now.
fn shared_trouble(status: &Value) -> Option<String> {
    let paused = ["reads_paused", "writes_paused"];
    let mut reasons = paused
        .iter()
        .filter_map(|of| status["shared_cache"][of].as_str());
    Some(one_line(reasons.next()?, 200))
}

fn one(state: &MountState, fix: bool) -> Check {
    let Some((what, advice)) = state.trouble() else {
        let found = match (&state.health, state.pid) {
            (Health::Alive(status), pid) => {
                let found = match pid {
                    Some(pid) => format!("alive: process {pid} answers"),
                    None => "alive: it answers".into(),
                };
                return match shared_trouble(status) {
                    None => Check::ok(found),
                    Some(trouble) => Check::warn(
                        format!("{found}; its shared cache fails: {trouble}"),
                        "it works without, and asks the service instead",
                    ),
                };
            }
            (_, Some(pid)) => format!("process {pid} serves it, for another user"),
            (_, None) => "of another user, who alone can tell how it is".into(),
        };
        return Check::ok(found);
    };
    let found = format!("{}: {what}", state.word());
    let user = Uid::effective();
    let is_mine = state.entry.user.is_none_or(|own| own == user.as_raw());
    match state.health {
        Health::Dead if !is_mine && !user.is_root() => {
            let advice = "its user, or root, can take it away: vm0fs doctor --fix";
            Check::warn(found, advice)
        }
        Health::Dead if fix => match unmount::unmount(&state.entry.mountpoint, true, |_| ()) {
            Ok(()) => Check::fixed("was dead; it has been unmounted"),
            Err(error) => Check::fail(format!("{found}; {error}"), advice),
        },
        Health::Dead => Check::fail(found, format!("{advice} (--fix does)")),
        Health::Hung(..) => Check::fail(found, advice),
        _ => Check::warn(found, advice),
    }
}
