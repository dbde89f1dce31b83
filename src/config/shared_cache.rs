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

/// The shared cache of a mount. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct SharedCacheSettings {
    /// Where it is.
    pub access: Access,
    /// The file of its key, absolute, where one is named.
    pub key_file: Option<PathBuf>,
}

impl SharedCacheSettings {
    /// Settles them from the options of all sources; `None` where no shared cache is named.
    pub(super) fn settle(
        options: &MountOptions,
        environment: &Environment,
    ) -> Result<Option<Self>> {
        let MountOptions {
            connection, shared, ..
        } = options;
        let url = shared.shared_cache.as_deref().map(str::trim);
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let mut aws = environment.aws();
        if url.starts_with("s3:") {
            aws_profile::complete(&mut aws, environment)?;
        }
        let access = Access {
            url: url.to_owned(),
            aws,
            allow_http: connection.allow_http,
            timeout: connection.timeout.map_or(DEFAULT_TIMEOUT, Duration::from),
            user_agent: USER_AGENT.to_owned(),
        };
        let key_file = shared.shared_cache_key_file.as_ref();
        Ok(Some(Self {
            access,
            key_file: key_file.map(|path| environment.path(path)),
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
