//! What is known of this machine's mounts and of the account, without the network:
//! the kernel's table of mounts, answers on disk, and where there are none what a mount
//! says within a moment.

use super::values::Values;
use crate::{
    cli::mounts,
    config::{Environment, MountOptions, Settings},
    guide::PAGES,
    mount,
    pending::PendingRequests,
    tree::{Directory, Found, View},
    unmount,
};
use nix::unistd::Uid;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

/// How long the mounts may take to say what they know, together: a user waits.
const LIMIT: Duration = Duration::from_millis(500);
/// Bytes that are read of what a mount says, which is as much as a pipe holds (pipe(7)):
/// it is read when the process that asks has ended.
const LONGEST: u64 = 64 << 10;
/// The tree's root.
const ROOT: u64 = 1;

/// A value, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) about: String,
}

impl Value {
    fn plain(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            about: String::new(),
        }
    }
}

/// Where values come from.
pub(super) struct Known<'a> {
    environment: &'a Environment,
    /// The words before the one that is completed.
    before: &'a [String],
}

impl<'a> Known<'a> {
    pub(super) fn new(environment: &'a Environment, before: &'a [String]) -> Self {
        Self {
            environment,
            before,
        }
    }

    /// The values that begin with `typed`; `None` where the shell is to look for files.
    pub(super) fn values(
        &mut self,
        kind: Values,
        typed: &str,
        command: &clap::Command,
    ) -> Option<Vec<Value>> {
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
            Values::Agents => self.agents(),
            Values::Topics => topics(command),
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

    /// The names of the agents: those of the last listing on disk, else those that a
    /// mount knows.
    fn agents(&self) -> Vec<Value> {
        let names = self.agents_on_disk().unwrap_or_default();
        let names = match names.is_empty() {
            true => ask_mounts(),
            false => names,
        };
        names.into_iter().map(Value::plain).collect()
    }

    fn agents_on_disk(&self) -> Option<Vec<String>> {
        let options = MountOptions {
            offline: true,
            ..MountOptions::default()
        };
        let settings = Settings::load(options, self.environment).ok()?;
        // A TAB makes no folder.
        if !settings.cache_dir.is_dir() {
            return None;
        }
        let (_tree, pending) = mount::open(&settings).ok()?;
        agents_of(&pending)
    }
}

/// The names in the folder `agents` of a tree.
fn agents_of(pending: &PendingRequests) -> Option<Vec<String>> {
    let lookup = |view: &View<'_>| view.lookup(ROOT, b"agents");
    let Found::Node(stat, _) = pending.run(lookup).ok()? else {
        return None;
    };
    let folder = pending
        .run(|view| view.directory(stat.attributes.ino))
        .ok()?;
    let Directory::Listed(entries) = folder else {
        return None;
    };
    let names = entries.into_iter().map(|(entry, _)| entry.name);
    Some(
        names
            .filter_map(|name| String::from_utf8(name).ok())
            .collect(),
    )
}

fn own_mounts() -> Vec<PathBuf> {
    let user = Uid::effective();
    let mut mounts = mounts::all().unwrap_or_default();
    mounts.retain(|mount| user.is_root() || mount.user == Some(user.as_raw()));
    mounts.into_iter().map(|mount| mount.mountpoint).collect()
}

/// The agents of the first mount that says some. Another process asks, which is left
/// behind where a mount hangs.
fn ask_mounts() -> Vec<String> {
    let mounts = own_mounts();
    let share = LIMIT / u32::try_from(mounts.len().max(1)).unwrap_or(u32::MAX);
    let ask = |mountpoint: &PathBuf| -> Option<Vec<String>> {
        let mut process = unmount::second_process("complete", mountpoint);
        let mut child = process.stdout(Stdio::piped()).spawn().ok()?;
        unmount::wait_within(&mut child, share).ok()??;
        let mut text = String::new();
        child.stdout?.take(LONGEST).read_to_string(&mut text).ok()?;
        let names: Vec<String> = text.lines().map(str::to_owned).collect();
        (!names.is_empty()).then_some(names)
    };
    mounts.iter().find_map(ask).unwrap_or_default()
}

/// What that process prints: the agents of a mount, a line each.
pub(super) fn read_agents(mountpoint: &Path) -> String {
    let entries = fs::read_dir(mountpoint.join("agents"));
    let names = entries.into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names = Vec::from_iter(names.map(|name| name + "\n"));
    names.sort();
    names.concat()
}

/// The pages of the guide, and the commands that have no page of their name.
fn topics(command: &clap::Command) -> Vec<Value> {
    let pages = PAGES.iter().map(|page| Value {
        text: page.name.to_owned(),
        about: page.about.to_owned(),
    });
    let commands = command
        .get_subcommands()
        .filter(|sub| !sub.is_hide_set() && crate::guide::page(sub.get_name()).is_none())
        .map(|sub| Value {
            text: sub.get_name().to_owned(),
            about: sub.get_about().map(ToString::to_string).unwrap_or_default(),
        });
    pages.chain(commands).collect()
}
