//! Decides for a command what it reads: a mount that lives, or a tree of its own.

use super::{bars, complete::values::Values, mounts, output::start_quiet_logging, source::Source};
use crate::{
    config::{ConnectionOptions, Environment, Settings},
    error::{Error, Result},
    mount,
    unmount::{self, Health},
};
use clap::{ArgAction, Args};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tracing_subscriber::filter::LevelFilter;

/// Which mount is asked, or how the service is reached without one.
#[derive(Args, Debug)]
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
}

impl ReachOptions {
    /// The same as [`Self::source`], with `mountpoint` for `--mountpoint` where it is known.
    ///
    /// # Errors
    /// Those of [`Self::source`].
    pub(super) fn source_at(
        mut self,
        mountpoint: Option<PathBuf>,
        environment: &Environment,
    ) -> Result<Source> {
        self.mountpoint = mountpoint.or(self.mountpoint);
        self.source(environment)
    }

    /// What the command is to read. A mount is asked for what it knows already.
    ///
    /// # Errors
    /// [`Error::Setup`] for a mountpoint without a mount that answers; where there is no
    /// mount, see [`Settings::load`].
    pub(super) fn source(self, environment: &Environment) -> Result<Source> {
        start_quiet_logging(self.verbose, LevelFilter::WARN, environment)?;
        self.logged_source(environment)
    }

    /// The same for a command that has begun to log.
    pub(super) fn logged_source(self, environment: &Environment) -> Result<Source> {
        if let Some(path) = &self.mountpoint {
            let state = unmount::look(mounts::at(&absolute(path, environment))?);
            return match (&state.health, state.trouble()) {
                (Health::Alive(_), _) => Ok(Source::Mount(state.entry.mountpoint)),
                (_, Some((what, advice))) => {
                    Err(Error::Setup(format!("{}: {what}; {advice}", state.shown())))
                }
                (_, None) => Err(Error::Setup(format!(
                    "{}: another user has mounted it, who alone may ask it",
                    state.shown()
                ))),
            };
        }
        let mounts = mounts(&self.connection)?;
        let here = here(&mounts, environment);
        if let Some(here) = here.filter(|mount| account(mount).is_some()) {
            return Ok(Source::Mount(here.clone()));
        }
        let settings = match Settings::load(self.connection, environment) {
            Ok(settings) => settings,
            Err(Error::NoToken) => return without_token(mounts),
            Err(error) => return Err(error),
        };
        let of_account =
            |mount: &&PathBuf| account(mount).is_some_and(|own| own == settings.account());
        if let Some(mount) = mounts.iter().find(of_account) {
            return Ok(Source::Mount(mount.clone()));
        }
        let (tree, pending) = mount::open(&settings)?;
        bars::show(&tree);
        Ok(Source::Tree(tree, pending))
    }
}

/// A mountpoint as the kernel's table has it, if no symlink leads to it.
pub(super) fn absolute(path: &Path, environment: &Environment) -> PathBuf {
    environment.current_dir.join(path).components().collect()
}

/// The mounts that may be asked where none is named: none where options say how the service
/// is reached.
///
/// # Errors
/// [`Error::Io`] where `/proc` is missing.
pub(super) fn mounts(connection: &ConnectionOptions) -> Result<Vec<PathBuf>> {
    if *connection != ConnectionOptions::default() {
        return Ok(Vec::new());
    }
    let own = mounts::own()?.into_iter();
    Ok(own.map(|mount| mount.mountpoint).collect())
}

/// The one of them that the current folder is in.
pub(super) fn here<'a>(mounts: &'a [PathBuf], environment: &Environment) -> Option<&'a PathBuf> {
    let is_here = |mount: &&PathBuf| environment.current_dir.starts_with(mount);
    mounts.iter().rfind(is_here)
}

/// The account that a `status.json` names.
pub(super) fn account_in(status: &Value) -> Option<&str> {
    status["api"]["account"].as_str()
}

/// Which account a mount shows; `None` where it does not answer.
fn account(mountpoint: &Path) -> Option<String> {
    let state = unmount::look(mounts::at(mountpoint).ok()?);
    match state.health {
        Health::Alive(status) => account_in(&status).map(str::to_owned),
        _ => None,
    }
}

/// The only mount of a user who has no token but that of the mount.
fn without_token(mounts: Vec<PathBuf>) -> Result<Source> {
    let alive = mounts.into_iter().filter(|mount| account(mount).is_some());
    only(alive.collect()).map(Source::Mount)
}

/// The one mount there is.
fn only(mut alive: Vec<PathBuf>) -> Result<PathBuf> {
    match alive.as_slice() {
        [] => Err(Error::NoToken),
        [_] => Ok(alive.remove(0)),
        several => {
            let shown = several.iter().map(|path| mounts::shown(path));
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

    #[test]
    fn without_a_token_only_one_mount_can_be_meant() {
        let mounts = |names: &[&str]| only(names.iter().map(PathBuf::from).collect());
        assert!(matches!(mounts(&[]), Err(Error::NoToken)));
        assert_eq!(mounts(&["/a"]).unwrap(), Path::new("/a"));
        let error = mounts(&["/a", "/b\n"]).unwrap_err().to_string();
        assert!(error.ends_with("--mountpoint: /a, /b"), "{error}");
    }
}
