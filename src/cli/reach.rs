//! Decides for a command what it reads: a mount that lives, or a tree of its own.

use super::{
    bars, complete::values::Values, mounts, output::start_quiet_logging, source::Source, walk,
};
use crate::{
    config::{ConnectionOptions, Environment, Settings},
    error::{Error, Result},
    mount,
    proc::MountEntry,
    text,
    unmount::{self, Health},
};
use clap::{ArgAction, Args};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::LevelFilter;

/// Which mount is asked, or how the service is reached without one.
#[derive(Args, Clone, Debug)]
pub(super) struct ReachOptions {
    /// Folder of the mount to ask [default: the mount that the current folder is in, else one of yours for the same account, else the service]
    #[arg(long, value_name = "DIR", add = Values::Mountpoints.completer())]
    mountpoint: Option<PathBuf>,
    /// How to reach the service, without a mount.
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Whether it is asked to change something.
    #[arg(skip)]
    changes: bool,
}

impl ReachOptions {
    /// The same for a command that changes something at the service. A mount through which
    /// no process can do that is not asked, unless the user names it.
    pub(super) fn changing(self) -> Self {
        Self {
            changes: true,
            ..self
        }
    }

    /// What the command is to read. A mount is asked for what it knows already.
    ///
    /// # Errors
    /// [`Error::Setup`] for a mountpoint without a mount that answers; where there is no
    /// mount, see [`Settings::load`].
    pub(super) fn source(self, environment: &Environment) -> Result<Source> {
        self.source_at(None, environment)
    }

    /// The same, with `mountpoint` for `--mountpoint` where it is known.
    ///
    /// # Errors
    /// Those of [`Self::source`].
    pub(super) fn source_at(
        self,
        mountpoint: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Source> {
        start_quiet_logging(self.verbose, LevelFilter::WARN, environment)?;
        self.logged_source_at(mountpoint, environment)
    }

    /// The mount that is meant, where one is named: by `--mountpoint`, or by a path in it,
    /// `holding` that. Options that say how the service is reached mean none.
    fn meant(
        &self,
        holding: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Option<PathBuf>> {
        let reaches_service = self.connection != ConnectionOptions::default();
        match (&self.mountpoint, holding) {
            (Some(_), _) if reaches_service => Err(Error::Setup(
                "--mountpoint says which mount is asked, and the other options how the service is \
                 reached without one; leave out the one or the others"
                    .into(),
            )),
            (Some(named), Some(holding))
                if walk::at(&absolute(named, environment))?.mountpoint != holding =>
            {
                Err(Error::Setup(format!(
                    "--mountpoint names another mount than the path, which is in {}; leave it out",
                    text::shown(&holding)
                )))
            }
            (named, holding) if !reaches_service => Ok(holding.or_else(|| named.clone())),
            _ => Ok(None),
        }
    }

    /// The same for a command that has begun to log.
    ///
    /// # Errors
    /// Those of [`Self::source`].
    pub(super) fn logged_source_at(
        mut self,
        mountpoint: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Source> {
        self.mountpoint = self.meant(mountpoint, environment)?;
        if let Some(path) = &self.mountpoint {
            let state = unmount::look(walk::at(&absolute(path, environment))?);
            return match (&state.health, state.failure()) {
                (Health::Alive(status), _)
                    if let Some(flag) =
                        why_fixed(&state.entry, status).filter(|_| self.changes) =>
                {
                    Err(Error::Setup(format!(
                        "{}: it was mounted with {flag}, so nothing can be changed through it; \
                         name no mount (a run by its id alone, from another folder), and the \
                         service is asked",
                        state.shown()
                    )))
                }
                (Health::Alive(_), _) => Ok(Source::Mount(state.entry.mountpoint)),
                (_, Some(failure)) => Err(failure),
                (_, None) => Err(Error::Setup(format!(
                    "{}: {}",
                    state.shown(),
                    mounts::ANOTHER_S
                ))),
            };
        }
        let mounts = mounts(&self.connection)?;
        let here = here(&mounts, environment);
        let account = |mount: &MountEntry| account(mount, self.changes);
        if let Some(here) = here.filter(|mount| account(mount).is_some()) {
            return Ok(Source::Mount(here.mountpoint.clone()));
        }
        let settings = match Settings::load(self.connection, environment) {
            Ok(settings) => settings,
            Err(Error::NoToken) => {
                // Those of a user who has no token but that of a mount.
                let alive = mounts.into_iter().filter(|mount| account(mount).is_some());
                let places = alive.map(|mount| mount.mountpoint);
                return only(places.collect()).map(Source::Mount);
            }
            Err(error) => return Err(error),
        };
        let of_account =
            |mount: &&MountEntry| account(mount).is_some_and(|own| own == settings.account());
        if let Some(mount) = mounts.iter().find(of_account) {
            return Ok(Source::Mount(mount.mountpoint.clone()));
        }
        let (tree, pending) = mount::open(&settings)?;
        bars::show(&tree);
        Ok(Source::Tree(tree, pending))
    }
}

/// A mountpoint as the kernel's table has it, if no symlink leads to it.
pub(super) fn absolute(path: &Path, environment: &Environment) -> PathBuf {
    environment.path(path).components().collect()
}

/// The mounts that may be asked where none is named: none where options say how the service
/// is reached.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub(super) fn mounts(connection: &ConnectionOptions) -> Result<Vec<MountEntry>> {
    match *connection == ConnectionOptions::default() {
        true => mounts::own(),
        false => Ok(Vec::new()),
    }
}

/// The one of them that the current folder is in.
pub(super) fn here<'a>(
    mounts: &'a [MountEntry],
    environment: &Environment,
) -> Option<&'a MountEntry> {
    let is_here = |mount: &&MountEntry| environment.current_dir.starts_with(&mount.mountpoint);
    mounts.iter().rfind(is_here)
}

/// The account that a `status.json` names.
pub(super) fn account_in(status: &Value) -> Option<&str> {
    status["api"]["account"].as_str()
}

/// Which account a mount shows; `None` where it does not answer, or where it is to change
/// something and does not.
fn account(mount: &MountEntry, changes: bool) -> Option<String> {
    match unmount::look(mount.clone()).health {
        Health::Alive(status) if changes && why_fixed(mount, &status).is_some() => None,
        Health::Alive(status) => account_in(&status).map(str::to_owned),
        _ => None,
    }
}

/// The flag because of which nothing can be changed through a mount, if there is one.
fn why_fixed(mount: &MountEntry, status: &Value) -> Option<&'static str> {
    match status["api"]["offline"].as_bool() {
        _ if mount.is_read_only => Some("--read-only"),
        Some(true) => Some("--offline"),
        _ => None,
    }
}

/// The one mount there is.
fn only(mut alive: Vec<PathBuf>) -> Result<PathBuf> {
    match alive.as_slice() {
        [] => Err(Error::NoToken),
        [_] => Ok(alive.remove(0)),
        several => {
            let shown = several.iter().map(|path| text::shown(path));
            Err(Error::Setup(format!(
                "there are several mounts and no token that says which is meant; name one with \
                 --mountpoint: {}",
                shown.collect::<Vec<_>>().join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    #[test]
    fn without_a_token_only_one_mount_can_be_meant() {
        let mounts = |names: &[&str]| only(names.iter().map(PathBuf::from).collect());
        assert!(matches!(mounts(&[]), Err(Error::NoToken)));
        assert_eq!(mounts(&["/a"]).unwrap(), Path::new("/a"));
        let error = mounts(&["/a", "/b\n"]).unwrap_err().to_string();
        assert!(error.ends_with("--mountpoint: /a, /b"), "{error}");
    }
}
