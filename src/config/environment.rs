//! The process's surroundings: variables, home, current directory.

use super::options::{MountOptions, SharedCacheOptions};
use crate::{
    error::{Error, Result},
    text::unmarked_text,
};
use nix::unistd::{Uid, User};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The variables that hold a token: the API's documentation names the first, the
/// `vm0` CLI reads the second.
pub(super) const TOKENS: [&str; 2] = ["VM0_API_KEY", "VM0_TOKEN"];

/// The variables that hold a secret for S3, of those that the shared cache uses.
pub(super) const AWS_SECRETS: [&str; 2] = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// The process's surroundings, as a value so that tests can make their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Where relative paths begin.
    pub current_dir: PathBuf,
}

impl Environment {
    /// Of this process. The home is `HOME`, else the password database's.
    pub fn of_process() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os().collect();
        let home = variables.get(&OsString::from("HOME"));
        let home = home.filter(|home| !home.is_empty()).map(PathBuf::from);
        let home = home.or_else(|| Some(User::from_uid(Uid::effective()).ok()??.dir));
        Self {
            variables,
            home,
            current_dir: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        }
    }

    /// A variable's text. One that is empty counts as not set.
    ///
    /// # Errors
    /// [`Error::Setup`] where it is not UTF-8; the value is not repeated.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.variables.get(&OsString::from(name)) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .ok_or_else(|| Error::Setup(format!("{name} is not UTF-8 text")))?;
        // Of a file that the shell has read into it.
        let text = unmarked_text(text);
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// The options that variables say: the name of each is that of the option. The API's
    /// address and the token have variables of the service, which are looked at apart.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub(super) fn options(&self) -> Result<MountOptions> {
        let shared_cache = self.text("VM0FS_SHARED_CACHE")?.map(str::to_owned);
        let key_file = self.text("VM0FS_SHARED_CACHE_KEY_FILE")?;
        Ok(MountOptions {
            shared: SharedCacheOptions {
                shared_cache,
                shared_cache_key_file: key_file.map(PathBuf::from),
            },
            ..MountOptions::default()
        })
    }

    /// The variables of AWS's programs that are text.
    pub(super) fn aws(&self) -> BTreeMap<String, String> {
        let text = |(name, value): (&OsString, &OsString)| {
            let name = name.to_str().filter(|name| name.starts_with("AWS_"))?;
            Some((name.to_owned(), value.to_str()?.to_owned()))
        };
        self.variables.iter().filter_map(text).collect()
    }

    /// A path that a user has named, absolute: one that begins with `~/` is below the home,
    /// since shells expand no tilde inside of `--option=~/FILE`. Others begin here.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.path_from(&self.current_dir, path)
    }

    /// As [`Self::path`], for one that begins in a folder.
    pub(super) fn path_from(&self, folder: &Path, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => folder.join(path),
        }
    }

    /// A base directory of the XDG specification, which wants relative values
    /// ignored: `variable`, else `fallback` under the home.
    ///
    /// # Errors
    /// [`Error::Setup`] where neither is known.
    pub fn xdg(&self, variable: &str, fallback: &str) -> Result<PathBuf> {
        let set = self.variables.get(&OsString::from(variable));
        let set = set.map(PathBuf::from).filter(|path| path.is_absolute());
        let dir = set.or_else(|| Some(self.home.as_ref()?.join(fallback)));
        let unknown = format!("the home folder is not known; set HOME or {variable}");
        dir.ok_or(Error::Setup(unknown))
    }
}
