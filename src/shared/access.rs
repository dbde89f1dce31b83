//! Where a shared cache is, and with what it may be used.

use crate::error::{Error, Result};
use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};
use url::Url;

/// What the requests to a store begin with in messages.
pub const SHARED: &str = "the shared cache";

/// How to reach a shared cache. `Debug` shows no value of a variable.
#[derive(Clone)]
pub struct Access {
    /// `s3://bucket/prefix` or `file:///folder`.
    pub url: String,
    /// The `AWS_` variables: endpoint, region, credentials. Those that the environment lacks
    /// are from a profile.
    pub aws: BTreeMap<String, String>,
    /// Whether the endpoint may be plain `http://` on another machine.
    pub allow_http: bool,
    /// How long a server may be silent for a reader.
    pub timeout: Duration,
    /// `User-Agent` of requests.
    pub user_agent: String,
}

/// How long a lookup waits, which is `usual`. In debug builds tests of a store that is
/// well can set another time, in milliseconds: on a busy machine its answer may be late.
pub(super) fn patience(usual: Duration) -> Duration {
    #[cfg(debug_assertions)]
    if let Some(set) = std::env::var_os("VM0FS_SHARED_PATIENCE") {
        let set = set.to_str().and_then(|set| set.parse().ok());
        return set.map_or(usual, Duration::from_millis);
    }
    usual
}

/// The kinds of stores.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Objects whose keys begin with this prefix, in a bucket of S3.
    Bucket { bucket: String, prefix: String },
    /// Files in a folder, which is there already.
    Folder(PathBuf),
}

impl Access {
    /// Reads the URL.
    ///
    /// # Errors
    /// [`Error::Setup`] where it is none of the two kinds. The message shows no more of
    /// it than its scheme: it may hold a password by mistake.
    pub(super) fn place(&self) -> Result<Place> {
        let wrong = |what: &str| {
            Error::Setup(format!(
                "--shared-cache: {what}; write it like s3://bucket/prefix or file:///folder"
            ))
        };
        let url: Url = self
            .url
            .trim()
            .parse()
            .map_err(|error| wrong(&format!("not a URL ({error})")))?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        if !is_plain || url.port().is_some() || url.query().is_some() || url.fragment().is_some() {
            return wrong_part(&wrong);
        }
        match (url.scheme(), url.host_str().filter(|host| !host.is_empty())) {
            ("s3", Some(bucket)) => Ok(Place::Bucket {
                bucket: bucket.to_owned(),
                prefix: url.path().trim_matches('/').to_owned(),
            }),
            ("file", None) => url
                .to_file_path()
                .map(Place::Folder)
                .map_err(|()| wrong("not a folder")),
            ("s3", None) => Err(wrong("the URL names no bucket")),
            ("file", Some(_)) => Err(wrong("file:// takes a third slash before the folder")),
            (scheme, _) => Err(wrong(&format!("{scheme}:// leads to no shared cache"))),
        }
    }

    /// Whether the environment gives credentials, or says where to ask for them. The
    /// address of EC2's metadata is asked only where the user has said that this
    /// machine has one: elsewhere nothing answers there.
    #[cfg_attr(not(feature = "shared-cache"), allow(dead_code))]
    pub(super) fn has_credentials(&self) -> bool {
        let is_set = |name: &str| self.aws.get(name).is_some_and(|value| !value.is_empty());
        let says = |name: &str, word: &str| {
            let value = self.aws.get(name);
            value.is_some_and(|value| value.eq_ignore_ascii_case(word))
        };
        is_set("AWS_ACCESS_KEY_ID")
            || is_set("AWS_SECRET_ACCESS_KEY")
            || is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && is_set("AWS_ROLE_ARN")
            || is_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            || is_set("AWS_CONTAINER_CREDENTIALS_FULL_URI")
                && is_set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            || says("AWS_SKIP_SIGNATURE", "true")
            || says("AWS_EC2_METADATA_DISABLED", "false")
    }
}

fn wrong_part<T>(wrong: &impl Fn(&str) -> Error) -> Result<T> {
    Err(wrong(
        "it has a user, port or query (the endpoint is AWS_ENDPOINT_URL, credentials are \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
    ))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("url", &self.url)
            .field("aws", &self.aws.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(url: &str, aws: &[(&str, &str)]) -> Access {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Access {
            url: url.into(),
            aws: aws.iter().map(own).collect(),
            allow_http: false,
            timeout: Duration::from_secs(30),
            user_agent: "test".into(),
        }
    }

    #[test]
    fn urls_of_both_kinds_are_read_and_others_refused() {
        let bucket = |bucket: &str, prefix: &str| Place::Bucket {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        for (url, expected) in [
            ("s3://b", bucket("b", "")),
            (" s3://b.c/d/e/ ", bucket("b.c", "d/e")),
            ("file:///srv/a%20b", Place::Folder("/srv/a b".into())),
        ] {
            assert_eq!(access(url, &[]).place().unwrap(), expected, "{url}");
        }
        for (url, why) in [
            ("", "not a URL"),
            ("/srv", "not a URL"),
            ("s3:", "no bucket"),
            ("s3:///x", "no bucket"),
            ("s3://u:secret@b/x", ""),
            ("s3://b/x?secret", ""),
            ("s3://b:1/x", ""),
            ("file://host/x", "a third slash"),
            ("http://b/x", "http:// leads to no"),
            ("gs://b/x", "gs:// leads to no"),
        ] {
            let message = access(url, &[]).place().unwrap_err().to_string();
            assert!(message.contains("s3://bucket/prefix"), "{message}");
            assert!(message.contains(why), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn the_metadata_address_is_asked_only_on_request() {
        let has = |aws: &[(&str, &str)]| access("s3://b", aws).has_credentials();
        assert!(!has(&[]) && !has(&[("AWS_REGION", "x"), ("AWS_ACCESS_KEY_ID", "")]));
        assert!(!has(&[("AWS_EC2_METADATA_DISABLED", "true")]));
        assert!(has(&[("AWS_EC2_METADATA_DISABLED", "False")]));
        assert!(has(&[("AWS_ACCESS_KEY_ID", "x")]));
        assert!(has(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x")]));
        let shown = format!(
            "{:?}",
            access("s3://b", &[("AWS_SECRET_ACCESS_KEY", "hidden")])
        );
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hidden"));
    }
}
