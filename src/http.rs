//! HTTP as calls of the API and downloads have it in common: the builder of their
//! clients with one TLS configuration, which URLs may be asked and through which
//! proxy, when to try again, and what a failure is.

mod address;
mod failure;
mod proxy;
mod retry;
mod tls;

pub use self::{
    address::{is_loopback, is_of_host, may_ask, shown},
    failure::{Silence, bad_answer, cause, not_connected, severed, transport},
    proxy::{Used, proxy_for},
    retry::{Retry, retry_after},
    tls::require_certificates,
};

use self::proxy::Proxies;
use crate::error::Result;
use reqwest::{ClientBuilder, redirect::Policy};
use std::time::Duration;

/// A reachable host answers a TCP and TLS handshake well within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting may take, where a server may not be silent for longer than
/// `timeout`.
fn connect_timeout(timeout: Duration) -> Duration {
    CONNECT_TIMEOUT.min(timeout)
}

/// A client that follows no redirect, sends no request twice by itself, tells no
/// server where it comes from, and uses the proxies of this process's environment.
/// It speaks HTTP/2 with servers that do. Its only timeout is that of connecting.
///
/// # Errors
/// [`crate::error::Error::Setup`] for a proxy that cannot be one.
pub fn builder(user_agent: &str, timeout: Duration) -> Result<ClientBuilder> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config(&["h2", "http/1.1"]))
        .user_agent(user_agent)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(connect_timeout(timeout));
    Proxies::of_process()?.apply(builder)
}

/// The same for a client that makes a connection for each request at work: with
/// HTTP/1.1, these share no window to wait for.
///
/// # Errors
/// As those of [`builder`].
pub fn http1_builder(user_agent: &str, timeout: Duration) -> Result<ClientBuilder> {
    let builder = builder(user_agent, timeout)?
        .http1_only()
        .tls_backend_preconfigured(tls::config(&["http/1.1"]));
    Ok(builder)
}
