//! Which URLs may be asked: the one rule for plain `http://`.

use std::net::Ipv6Addr;
use url::{Host, Url};

/// Addresses of AWS at which the host that a machine runs on answers, as others do at
/// link-local ones: EC2's instance metadata, and the credentials of a pod of EKS.
pub(super) const HOST_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
];

/// Whether a host is this machine by its name alone.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a plain `http://` URL is that of a server of the host that the machine runs on,
/// which no router or proxy leads to.
pub fn is_of_host(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => HOST_V6.contains(&address),
        _ => false,
    };
    is_local && url.scheme() == "http"
}

/// Whether `url` may be asked: over `https://` always, over plain `http://` with
/// `--allow-http`, or on this machine where a server on this machine (`named_by`)
/// has named it.
pub fn may_ask(url: &Url, named_by: Option<&Url>, allow_http: bool) -> bool {
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    match url.scheme() {
        "https" => has_host,
        "http" => {
            has_host && (allow_http || (is_loopback(url) && named_by.is_some_and(is_loopback)))
        }
        _ => false,
    }
}

/// A URL as messages show it: without its query, which may be a permission, and
/// without user and password.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Neither can fail for http and https; other schemes are never asked.
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_or_with_leave() {
        let (remote, here) = ("http://api.test", "http://127.0.0.1:8080");
        for (url, named_by, without_leave, with_leave) in [
            ("https://a.test/x", None, true, true),
            ("https://a.test/x", Some(here), true, true),
            ("http://a.test/x", None, false, true),
            ("http://a.test/x", Some(here), false, true),
            ("http://127.0.0.1/x", None, false, true),
            ("http://127.9.9.9/x", Some(here), true, true),
            ("http://[::1]:1/x", Some(here), true, true),
            ("http://LOCALHOST/x", Some(here), true, true),
            ("http://localhost.test/x", Some(here), false, true),
            ("http://127.0.0.1/x", Some(remote), false, true),
            ("http://127.0.0.1/x", Some("https://api.test"), false, true),
            ("ftp://127.0.0.1/x", Some(here), false, false),
            ("file:///x", Some(here), false, false),
        ] {
            let parsed = url.parse().unwrap();
            let named_by: Option<Url> = named_by.map(|by| by.parse().unwrap());
            for (leave, expected) in [(false, without_leave), (true, with_leave)] {
                let may = may_ask(&parsed, named_by.as_ref(), leave);
                assert_eq!(may, expected, "{url} {named_by:?} {leave}");
            }
        }
    }

    #[test]
    fn messages_show_no_secret_of_a_url() {
        for (url, expected) in [
            (
                "https://a.test/x?signature=secret#secret",
                "https://a.test/x",
            ),
            ("http://user:secret@a.test:1/x", "http://a.test:1/x"),
        ] {
            assert_eq!(shown(&url.parse().unwrap()), expected);
        }
    }
}
