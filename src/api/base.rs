//! Where the API is: the bases that the token may be sent to.

use crate::error::{Error, Result};
use url::{Host, Url};

/// Whether a host is this machine by its name alone.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Refuses a base that would show the token, or that cannot be one.
pub(super) fn check(base: &Url, allow_http: bool) -> Result<()> {
    let shown = base.origin().ascii_serialization();
    match base.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(base) => {}
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
