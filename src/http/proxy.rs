//! Through which proxy a URL is asked for: as curl has it.
//!
//! The variables are `http_proxy`, `https_proxy` and, for both, `all_proxy`; each
//! also in capitals, the small letters first (`HTTP_PROXY` not where
//! `REQUEST_METHOD` is set: there a web server sets it from a request's header).
//! `no_proxy` names hosts, domains and networks that are asked directly, `*` all.
//! A proxy is `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or
//! `socks5h://`, where `socks4a` and `socks5h` also look up names; without a
//! scheme, `http://`.
//!
//! This machine's own addresses (`localhost`, `127.0.0.0/8`, `::1`) and those of the host
//! that it runs on (link-local ones, where clouds give credentials) never go through one,
//! also where the variables say so: a proxy's are not ours.

use super::address::HOST_V6;
use crate::error::{Error, Result};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, NoProxy, Proxy};
use std::{env, fmt};
use url::Url;

/// The hosts that are this machine, and the link-local ones, in the form of `no_proxy`.
const OWN: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// Schemes that a proxy can have.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// Through which proxy a URL is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The variable that names the proxy.
    pub variable: &'static str,
    /// Its scheme, host and port, without user and password.
    pub address: String,
}

impl fmt::Display for Used {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} ({})", self.address, self.variable)
    }
}

/// The proxy that this process's environment names for a URL, if any.
///
/// # Errors
/// [`Error::Setup`] for a proxy that cannot be one.
pub fn proxy_for(url: &Url) -> Result<Option<Used>> {
    Ok(Proxies::of_process()?.used(url))
}

/// One variable, and the proxy that it names.
struct Named {
    variable: &'static str,
    proxy: Url,
}

/// What the environment says of proxies.
pub(super) struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    no: String,
}

impl Proxies {
    /// The environment of this process.
    ///
    /// # Errors
    /// [`Error::Setup`] for a proxy that cannot be one.
    pub(super) fn of_process() -> Result<Self> {
        Self::of(|name| env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &'static str| {
            let value = variable(name).filter(|value| !value.trim().is_empty())?;
            Some((name, value))
        };
        let first = |small, large| set(small).or_else(|| set(large));
        let is_cgi = set("REQUEST_METHOD").is_some();
        let http = set("http_proxy").or_else(|| set("HTTP_PROXY").filter(|_| !is_cgi));
        let https = first("https_proxy", "HTTPS_PROXY");
        let all = first("all_proxy", "ALL_PROXY");
        let named = |found: Option<(&'static str, String)>| {
            let found = found.or_else(|| all.clone());
            found
                .map(|(variable, value)| parse(variable, &value))
                .transpose()
        };
        let no = first("no_proxy", "NO_PROXY").map_or_else(String::new, |(_, value)| value);
        let [metadata, pod] = HOST_V6;
        Ok(Self {
            http: named(http)?,
            https: named(https)?,
            no: format!("{OWN},{metadata},{pod},{no}"),
        })
    }

    /// A builder whose client uses these proxies.
    ///
    /// # Errors
    /// [`Error::Setup`] for a proxy that cannot be one.
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder> {
        // Without this, the client would read the environment by its own rule.
        let mut builder = builder.no_proxy();
        let http = (&self.http, Proxy::http::<Url> as fn(Url) -> _);
        for (named, proxy) in [http, (&self.https, Proxy::https)] {
            let Some(named) = named else { continue };
            let proxy = proxy(named.proxy.clone()).map_err(|_| cannot_be(named.variable))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_string(&self.no)));
        }
        Ok(builder)
    }

    fn used(&self, url: &Url) -> Option<Used> {
        let named = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }?;
        // The same matcher as the client's.
        let matcher = Matcher::builder()
            .all(named.proxy.as_str())
            .no(&self.no)
            .build();
        let origin = url.origin().ascii_serialization();
        matcher.intercept(&origin.parse().ok()?)?;
        let (scheme, host) = (named.proxy.scheme(), named.proxy.host_str()?);
        let port = named.proxy.port_or_known_default();
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        Some(Used {
            variable: named.variable,
            address: format!("{scheme}://{host}{port}"),
        })
    }
}

/// The URL of a proxy as people write it.
fn parse(variable: &'static str, value: &str) -> Result<Named> {
    let value = value.trim();
    let whole = match value.contains("://") {
        true => value.to_owned(),
        false => format!("http://{value}"),
    };
    let proxy: Url = whole.parse().map_err(|_| cannot_be(variable))?;
    if !SCHEMES.contains(&proxy.scheme()) || proxy.host_str().is_none_or(str::is_empty) {
        return Err(cannot_be(variable));
    }
    Ok(Named { variable, proxy })
}

/// The value is not repeated: it may hold a password.
fn cannot_be(variable: &str) -> Error {
    Error::Setup(format!(
        "{variable} names no proxy that can be used; write it like http://host:3128 or \
         socks5h://host:1080 ({}), or unset it",
        SCHEMES.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is used for a URL, with these variables.
    fn used(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let proxies = Proxies::of(|name| {
            let found = variables.iter().find(|(each, _)| *each == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        let proxies = proxies.unwrap();
        // As the library sees it, too.
        let _ = proxies.apply(reqwest::Client::builder()).unwrap();
        let used = proxies.used(&url.parse().unwrap());
        used.map(|used| format!("{} {}", used.variable, used.address))
    }

    #[test]
    fn one_rule_for_all_that_is_asked() {
        let both = [
            ("http_proxy", "plain:1"),
            ("https_proxy", "http://user:pass@tls:2/"),
        ];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(used(&[], "https://a.test/"), None);
        assert_eq!(
            used(&both, "http://a.test/x"),
            some("http_proxy http://plain:1")
        );
        assert_eq!(
            used(&both, "https://a.test/"),
            some("https_proxy http://tls:2")
        );
        let all = [("ALL_PROXY", "socks5h://s"), ("https_proxy", "")];
        for url in ["http://a.test", "https://a.test"] {
            assert_eq!(used(&all, url), some("ALL_PROXY socks5h://s"), "{url}");
        }
        let first = [
            ("HTTPS_PROXY", "http://large:1"),
            ("https_proxy", "http://small:1"),
            ("all_proxy", "http://all:1"),
        ];
        assert_eq!(
            used(&first, "https://a.test"),
            some("https_proxy http://small:1")
        );
        assert_eq!(
            used(&first, "http://a.test"),
            some("all_proxy http://all:1")
        );
        let cgi = [("HTTP_PROXY", "http://evil:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(used(&cgi, "http://a.test"), None);
        assert!(used(&cgi[..1], "http://a.test").is_some());
    }

    #[test]
    fn loopback_and_what_no_proxy_names_are_asked_directly() {
        let variables = [
            ("all_proxy", "http://p:1"),
            ("no_proxy", "b.test, .c.test,10.0.0.0/8"),
        ];
        for direct in [
            "http://localhost:3000",
            "https://LOCALHOST",
            "http://127.0.0.1:80",
            "http://127.8.9.1",
            "http://[::1]:8080/v1",
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]/latest",
            "http://[fd00:ec2::23]/v1",
            "https://b.test",
            "https://x.b.test",
            "https://x.c.test",
            "http://10.1.2.3",
        ] {
            assert_eq!(used(&variables, direct), None, "{direct}");
        }
        for proxied in [
            "http://notlocalhost",
            "http://128.0.0.1",
            "https://ab.test",
            "http://[::2]/",
        ] {
            assert!(used(&variables, proxied).is_some(), "{proxied}");
        }
        let none = [("all_proxy", "http://p:1"), ("NO_PROXY", "*")];
        assert_eq!(used(&none, "https://a.test"), None);
    }

    #[test]
    fn what_is_no_proxy_is_said_without_its_password() {
        for bad in [
            "ftp://u:secret@h:1",
            "http://:secret@",
            "h:secret",
            "socks9://secret",
            "://secret",
        ] {
            let proxies = Proxies::of(|name| (name == "ALL_PROXY").then(|| bad.to_owned()));
            let error = proxies.map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("ALL_PROXY"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
