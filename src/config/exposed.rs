//! Which of the files that settings have secrets from other users may read, for a report:
//! `doctor` names them as a check, where other commands warn as they read them.

use super::{
    CLI_LOGIN, Environment, MountOptions, aws_profile,
    files::{self, is_open},
    read_config,
};
use crate::error::Result;
use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

/// A file that holds a secret.
pub struct SecretFile {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// What holds a secret there.
    pub what: &'static str,
    /// Whether other users may read it, or change it.
    pub is_open: bool,
}

/// The files that there are of those which hold a secret: those that options name, and the
/// `vm0` CLI's login.
///
/// # Errors
/// For a `config.toml` that cannot be read, and a variable that is not text.
pub fn secret_files(
    arguments: &MountOptions,
    environment: &Environment,
) -> Result<Vec<SecretFile>> {
    let options = arguments.clone().or(environment.options()?);
    let options = options.or(read_config(environment)?);
    let absolute = |path: &PathBuf| environment.path(path);
    let token = options.connection.token_file.as_ref().map(absolute);
    let login = environment.home.as_ref().map(|home| home.join(CLI_LOGIN));
    // One that cannot be read is told of with the settings, where it is needed.
    let login = login.filter(|path| files::holds_token(path));
    let shared = &options.shared;
    let url = shared.shared_cache.as_deref().unwrap_or_default().trim();
    let key = shared.shared_cache_key_file.as_ref().map(absolute);
    let aws = aws_profile::credentials(&environment.aws(), environment);
    let all = [
        ("token file", token),
        ("vm0 CLI's login", login),
        ("shared cache's key", key.filter(|_| !url.is_empty())),
        ("AWS credentials", aws.filter(|_| url.starts_with("s3:"))),
    ];
    let there = all.into_iter().filter_map(|(what, path)| {
        let path = path?;
        let data = fs::metadata(&path).ok()?;
        data.is_file().then(|| SecretFile {
            is_open: is_open(data.mode()),
            path,
            what,
        })
    });
    Ok(there.collect())
}
