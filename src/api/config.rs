//! How to reach the service, and the bases that the token may be sent to.

use super::token::Token;
use crate::{
    error::{Error, Result},
    http,
};
use std::time::Duration;
use url::Url;

/// How to reach the service.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The URL before `/v1`, e.g. `https://api.vm0.ai`; may have a path.
    pub base: Url,
    /// Sent to the origin of `base` only.
    pub token: Token,
    /// The longest silence before an answer and within it.
    pub timeout: Duration,
    /// Permits plain `http://` to other hosts than this machine.
    pub allow_http: bool,
    /// The `User-Agent`, e.g. `vm0fs/0.1.0`.
    pub user_agent: String,
}

/// Refuses a base URL that would show the token, or that cannot be one.
pub(super) fn check(base: &Url, allow_http: bool) -> Result<()> {
    let shown = base.origin().ascii_serialization();
    match base.scheme() {
        "https" => {}
        "http" if http::may_ask(base, Some(base), allow_http) => {}
        "http" => {
            return Err(Error::Setup(format!(
                "{shown}: plain http:// would show the token to the network; use https://, or --allow-http if that network is yours"
            )));
        }
        other => {
            let host = base.host_str().unwrap_or_default();
            return Err(Error::Setup(format!(
                "the API URL {other}://{host} must begin with https:// (--api-url, VM0_API_URL)"
            )));
        }
    }
    if base.host().is_none() {
        return Err(Error::Setup("the API URL has no host".into()));
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err(Error::Setup(format!(
            "{shown}: the API URL must not hold a user or password; the token goes into a file or VM0_API_KEY"
        )));
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err(Error::Setup(format!(
            "{shown}: the API URL must not have a query or a fragment"
        )));
    }
    Ok(())
}
