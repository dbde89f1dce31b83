//! The settings of the shared cache: where it is, and its key.

use super::{
    aws_profile,
    environment::Environment,
    files,
    options::{DEFAULT_TIMEOUT, MountOptions, USER_AGENT},
};
use crate::{
    api::Token,
    error::Result,
    shared::{Access, SharedKey},
};
use std::{path::PathBuf, time::Duration};

/// The variables that say the same as the options.
const URL: &str = "VM0FS_SHARED_CACHE";
const KEY_FILE: &str = "VM0FS_SHARED_CACHE_KEY_FILE";

/// The shared cache of a mount. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct SharedCacheSettings {
    /// Where it is.
    pub access: Access,
    /// The file of its key, absolute, where one is named.
    pub key_file: Option<PathBuf>,
}

impl SharedCacheSettings {
    /// Settles them; `None` where no shared cache is named.
    pub(super) fn settle(
        arguments: &MountOptions,
        file: &MountOptions,
        environment: &Environment,
    ) -> Result<Option<Self>> {
        let url = match &arguments.shared.shared_cache {
            Some(url) => Some(url.as_str()),
            None => environment
                .text(URL)?
                .or(file.shared.shared_cache.as_deref()),
        };
        let Some(url) = url.filter(|url| !url.trim().is_empty()) else {
            return Ok(None);
        };
        let key_file = match &arguments.shared.shared_cache_key_file {
            Some(path) => Some(path.clone()),
            None => environment
                .text(KEY_FILE)?
                .map(PathBuf::from)
                .or(file.shared.shared_cache_key_file.clone()),
        };
        let timeout = arguments.connection.timeout.or(file.connection.timeout);
        let mut aws = environment.aws();
        if url.trim().starts_with("s3:") {
            aws_profile::complete(&mut aws, environment)?;
        }
        let access = Access {
            url: url.trim().to_owned(),
            aws,
            allow_http: arguments.connection.allow_http || file.connection.allow_http,
            timeout: timeout.map_or(DEFAULT_TIMEOUT, Duration::from),
            user_agent: USER_AGENT.to_owned(),
        };
        Ok(Some(Self {
            access,
            key_file: key_file.map(|path| environment.current_dir.join(path)),
        }))
    }

    /// The key of its file, or else one that only machines with the same token have.
    ///
    /// # Errors
    /// [`Error::Setup`](crate::error::Error::Setup) where the file holds no key.
    pub fn key(&self, token: &Token) -> Result<SharedKey> {
        match &self.key_file {
            Some(path) => files::read_shared_key(path),
            None => Ok(token.derive("shared cache").into()),
        }
    }
}
