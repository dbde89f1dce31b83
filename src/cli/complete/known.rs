//! The values of each kind, without the network: from the kernel's table of mounts, the
//! guide, and listings (`complete/listings`).

use super::{
    listings::{Listing, Listings},
    typed::Typed,
    value::Value,
    values::Values,
};
use crate::{
    api::types::RunStatus,
    cli::mounts,
    config::Environment,
    guide::{self, PAGES},
};
use nix::unistd::Uid;
use std::path::{Path, PathBuf};

/// Runs that are offered for a word that has not been begun: some screens.
const MOST_RUNS: usize = 100;

/// Where values come from.
pub(super) struct Known<'a> {
    environment: &'a Environment,
    /// The words before the one that is completed.
    before: &'a [String],
    /// The same as arguments.
    typed: &'a Typed,
    listings: Listings<'a>,
}

impl<'a> Known<'a> {
    pub(super) fn new(
        environment: &'a Environment,
        before: &'a [String],
        typed: &'a Typed,
    ) -> Self {
        Self {
            environment,
            before,
            typed,
            listings: Listings::new(environment, typed),
        }
    }

    /// The values that begin with `typed`; `None` where the shell is to look for files.
    pub(super) fn values(
        &self,
        kind: Values,
        typed: &str,
        command: &clap::Command,
    ) -> Option<Vec<Value>> {
        let listed = |listings: &[Listing]| -> Vec<Value> {
            let values = listings.iter();
            let values = values.map(|listing| self.listings.values(*listing, typed));
            values.flatten().collect()
        };
        let mut values = match kind {
            Values::Files | Values::Folders => return None,
            Values::Mountpoints => {
                let mut places = self.mountpoints(typed);
                // A mount that is named already is not meant again.
                places.retain(|place| !self.before.contains(&place.text));
                places
            }
            Values::InMounts => {
                let mut places = self.mountpoints(typed);
                places.iter_mut().for_each(|place| place.text.push('/'));
                match typed.is_empty() && !places.is_empty() {
                    true => places,
                    false => return None,
                }
            }
            Values::Agents => listed(&[Listing::Agents]),
            Values::Runs => {
                let mut runs = listed(&[Listing::Runs, Listing::NewestRuns]);
                runs.retain(|run| !self.before.contains(&run.text));
                if typed.is_empty() {
                    runs.truncate(MOST_RUNS);
                }
                runs
            }
            // A path, as those in a mount are.
            Values::Storages if typed.starts_with(['/', '~', '.']) => return None,
            Values::Storages => listed(&[Listing::Artifacts, Listing::Volumes]),
            Values::Versions => listed(&[Listing::Versions]),
            Values::Statuses => {
                let known = RunStatus::KNOWN;
                let words = known.iter().map(|status| status.as_str().to_owned());
                words.map(Value::plain).collect()
            }
            Values::Topics => topics(command, &self.typed.topic),
        };
        values.retain(|value| value.text.starts_with(typed));
        Some(values)
    }

    /// The places of this user's mounts, for root of all, written as `typed` begins. The
    /// mounts are not touched: they may be dead or hang.
    fn mountpoints(&self, typed: &str) -> Vec<Value> {
        let home = self.environment.home.as_deref();
        let write = |place: &Path| -> Option<String> {
            let below = |folder: &Path| place.strip_prefix(folder).ok().map(Path::to_owned);
            let path = match typed.chars().next() {
                Some('~') => Path::new("~").join(below(home?)?),
                None | Some('/') => place.to_owned(),
                Some(_) => match typed.strip_prefix("./") {
                    Some(_) => Path::new(".").join(below(&self.environment.current_dir)?),
                    None => below(&self.environment.current_dir)?,
                },
            };
            Some(path.to_str()?.to_owned())
        };
        let places = own_mounts();
        let places = places.iter().filter_map(|place| write(place));
        places.map(Value::plain).collect()
    }
}

fn own_mounts() -> Vec<PathBuf> {
    let user = Uid::effective();
    let mut mounts = mounts::all().unwrap_or_default();
    mounts.retain(|mount| user.is_root() || mount.user == Some(user.as_raw()));
    mounts.into_iter().map(|mount| mount.mountpoint).collect()
}

/// What `help` shows after `topic`: at first pages of the guide and commands, then the
/// commands below those.
fn topics(command: &clap::Command, topic: &[String]) -> Vec<Value> {
    let mut found = command;
    for name in topic {
        match found.find_subcommand(name) {
            Some(inner) => found = inner,
            None => return Vec::new(),
        }
    }
    let pages = PAGES.iter().filter(|_| topic.is_empty());
    let pages = pages.map(|page| Value::new(page.name, page.about));
    let commands = found
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set())
        // A page comes before the command of its name.
        .filter(|sub| !topic.is_empty() || guide::page(sub.get_name()).is_none())
        .map(|sub| {
            let about = sub.get_about().map(ToString::to_string);
            Value::new(sub.get_name(), &about.unwrap_or_default())
        });
    pages.chain(commands).collect()
}
