//! The client of a bucket in S3: credentials, endpoints that may be asked, retries.

use super::super::access::Access;
use crate::{
    error::{Error, Result},
    http,
    text::one_line,
};
use object_store::{
    self as store, BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey as Aws},
    client::{HttpClient, HttpConnector},
};
use std::{error::Error as _, time::Duration};
use url::Url;

/// The variables that name a server, and whether clouds have it at a link-local address.
const SERVERS: [(Aws, &str, bool); 5] = [
    (Aws::Endpoint, "AWS_ENDPOINT_URL", false),
    (Aws::S3Endpoint, "AWS_ENDPOINT_URL_S3", false),
    (Aws::StsEndpoint, "AWS_ENDPOINT_URL_STS", false),
    (
        Aws::ContainerCredentialsFullUri,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        true,
    ),
    (Aws::MetadataEndpoint, "AWS_METADATA_ENDPOINT", true),
];

/// Makes clients as the rest of the program has them.
#[derive(Debug)]
struct Connector {
    user_agent: String,
    timeout: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> store::Result<HttpClient> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| store::Error::Generic {
            store: "S3",
            source,
        };
        let builder = http::http1_builder(&self.user_agent, self.timeout);
        let client = builder.map_err(|error| failed(Box::new(error)))?.build();
        Ok(HttpClient::new(
            client.map_err(|error| failed(Box::new(error)))?,
        ))
    }
}

/// The client of a bucket.
///
/// # Errors
/// [`Error::Setup`] for an endpoint or credentials that cannot be used.
pub(super) fn client(access: &Access, bucket: &str) -> Result<Box<dyn ObjectStore>> {
    if !access.has_credentials() {
        return Err(Error::Setup(
            "--shared-cache: no credentials for S3. Set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws that has them; or \
             AWS_EC2_METADATA_DISABLED=false on an EC2 instance whose role is to be used \
             (`vm0fs help fleets`)"
                .into(),
        ));
    }
    let mut builder = AmazonS3Builder::new();
    // An empty variable counts as not set.
    for (name, value) in access.aws.iter().filter(|(_, value)| !value.is_empty()) {
        if let Ok(key) = name.to_ascii_lowercase().parse::<Aws>() {
            builder = builder.with_config(key, value);
        }
    }
    check_servers(&builder, access.allow_http)?;
    let connector = Connector {
        user_agent: access.user_agent.clone(),
        timeout: access.timeout,
    };
    // The library's own retries go on for three minutes.
    let retries = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            ..BackoffConfig::default()
        },
        max_retries: 1,
        retry_timeout: Duration::from_secs(5),
    };
    let client = builder
        .with_bucket_name(bucket)
        .with_allow_http(true)
        .with_http_connector(connector)
        .with_retry(retries)
        .build();
    let client = client.map_err(|error| {
        Error::Setup(format!(
            "--shared-cache: {}; look at the AWS_ variables and the profile in ~/.aws (`vm0fs help \
             fleets` names them)",
            words(&error)
        ))
    })?;
    Ok(Box::new(client))
}

/// Refuses servers that credentials or content would be sent to in plain text.
fn check_servers(builder: &AmazonS3Builder, allow_http: bool) -> Result<()> {
    for (key, name, may_be_local) in SERVERS {
        let Some(server) = builder.get_config_value(&key) else {
            continue;
        };
        let url = server.parse::<Url>().ok();
        let url = url.filter(|url| ["http", "https"].contains(&url.scheme()));
        let Some(url) = url else {
            return Err(Error::Setup(format!(
                "{name} is no address of a server; write it like https://s3.example"
            )));
        };
        let is_near = may_be_local && http::is_of_host(&url);
        if !http::may_ask(&url, Some(&url), allow_http) && !is_near {
            return Err(Error::Setup(format!(
                "{name} is not an https:// URL; --allow-http permits http:// to other machines"
            )));
        }
    }
    // What the library puts behind `http://169.254.170.2`.
    let relative = builder.get_config_value(&Aws::ContainerCredentialsRelativeUri);
    match relative.is_none_or(|uri| uri.starts_with('/')) {
        true => Ok(()),
        false => Err(Error::Setup(
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash".into(),
        )),
    }
}

/// What to do where a store refuses.
const REFUSED: &str = "; look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do \
                       (GetObject, PutObject, ListBucket)";
/// What to do where it has no such bucket.
const MISSING: &str = "; is the bucket right, and AWS_ENDPOINT_URL?";

/// Whether a store has answered with this status.
fn says(error: &store::Error, status: u16) -> bool {
    error
        .to_string()
        .contains(&format!("status code: {status}"))
}

/// An error of the library without URLs and answers: the code that S3 gives, or else
/// the innermost cause.
pub(super) fn words(error: &store::Error) -> String {
    let text = error.to_string();
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"));
    let reason = match (code, error.source()) {
        (Some((code, _)), _) => code.to_owned(),
        (None, Some(_)) => http::cause(error),
        (None, None) => text,
    };
    let remedy = match error {
        store::Error::PermissionDenied { .. } | store::Error::Unauthenticated { .. } => REFUSED,
        store::Error::NotFound { .. } => MISSING,
        // A listing that fails is of no kind.
        _ if [401, 403].into_iter().any(|status| says(error, status)) => REFUSED,
        _ if says(error, 404) => MISSING,
        _ => "",
    };
    one_line(&reason, 200) + remedy
}

/// Whether a store has refused a put because of its condition, which some do not know. What
/// else is wrong with a request, it says with 400 too.
pub(super) fn has_no_condition(error: &store::Error) -> bool {
    let names_it = || {
        let text = error.to_string().to_ascii_lowercase();
        ["if-none-match", "notimplemented"]
            .into_iter()
            .any(|word| text.contains(word))
    };
    let is_not_implemented = matches!(error, store::Error::NotImplemented { .. });
    let says = |status| says(error, status);
    is_not_implemented || says(405) || says(501) || says(400) && names_it()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_is_refused_is_told_with_what_to_do() {
        let said = |answer: &str| {
            words(&store::Error::Generic {
                store: "S3",
                source: format!("Server returned non-2xx status code: {answer}").into(),
            })
        };
        assert!(said("403 Forbidden: <Code>AccessDenied</Code>").ends_with(REFUSED));
        assert!(said("404 Not Found: <Code>NoSuchBucket</Code>").ends_with(MISSING));
        assert!(!said("503: <Code>SlowDown</Code>").contains(';'));
    }

    #[test]
    fn only_a_put_whose_condition_is_unknown_is_repeated_without() {
        let has_none = |status: u16, body: &str| {
            has_no_condition(&store::Error::Generic {
                store: "S3",
                source: format!("Server returned non-2xx status code: {status}: {body}").into(),
            })
        };
        assert!(has_none(501, "") && has_none(405, ""));
        assert!(has_none(400, "<Code>NotImplemented</Code>"));
        assert!(has_none(
            400,
            "<Message>If-None-Match is not supported</Message>"
        ));
        for code in ["ExpiredToken", "RequestTimeout", "InvalidRequest", ""] {
            assert!(!has_none(400, code), "{code}");
        }
        assert!(!has_none(403, "AccessDenied") && !has_none(503, "SlowDown"));
    }

    #[test]
    fn plain_http_is_for_this_machine_and_its_host_alone() {
        let is_refused = |name: &str, server: &str, allow_http: bool| {
            let key = name.to_ascii_lowercase().parse().unwrap();
            let builder = AmazonS3Builder::new().with_config(key, server);
            let checked = check_servers(&builder, allow_http);
            checked.is_err_and(|error| error.to_string().contains(name))
        };
        for (_, name, may_be_local) in SERVERS {
            for (server, expected) in [
                ("https://store.example", false),
                ("http://127.0.0.1:9000", false),
                ("http://localhost:9000/x", false),
                ("http://[::1]:9000", false),
                ("http://store.example", true),
                ("http://10.0.0.1", true),
                ("http://169.254.169.254", !may_be_local),
                ("http://169.254.170.2/v2/credentials", !may_be_local),
                ("http://[fd00:ec2::254]", !may_be_local),
                ("http://[fd00:ec2::1]", true),
                ("http://169.254.169.254.example", true),
                ("ftp://169.254.169.254", true),
                ("no URL", true),
            ] {
                assert_eq!(is_refused(name, server, false), expected, "{name} {server}");
            }
            assert!(!is_refused(name, "http://store.example", true), "{name}");
            let key = name.to_ascii_lowercase().parse().unwrap();
            let builder = AmazonS3Builder::new().with_config(key, "nonsense");
            let why = check_servers(&builder, true).unwrap_err().to_string();
            assert!(why.contains("https://s3.example"), "{why}");
        }
        let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        assert!(!is_refused(name, "/v2/credentials/x", false));
        assert!(is_refused(name, "@store.example/x", false));
    }
}
