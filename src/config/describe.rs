//! The settings as a report shows them: each with its value and where that was found.

use super::{
    CacheSettings, DEFAULT_LIST_TTL, DEFAULT_TIMEOUT, Environment, Login, MountOptions,
    TokenSource, api_url_source, parse_api_url, read_config, token_source,
};
use crate::{error::Result, humanize};
use std::{cell::OnceCell, fs, time::Duration};

/// A setting as it would be for a mount: its name, its value and where that was found. Of
/// the token there is no value but the way to it.
pub type Described = (&'static str, String, String);

/// An option without a value: its name, and whether options have it.
type Switch = (&'static str, fn(&MountOptions) -> bool);

/// The sources of options, the first that says something first.
struct Sources([(&'static str, MountOptions); 3]);

impl Sources {
    /// Where an option is from, which `is_said` looks for.
    fn of(&self, is_said: impl Fn(&MountOptions) -> bool) -> Option<String> {
        let found = self.0.iter().find(|(_, options)| is_said(options));
        found.map(|(source, _)| (*source).to_owned())
    }

    /// An option that has a default: its value, and where it is from.
    fn settled(&self, is_said: impl Fn(&MountOptions) -> bool, value: String) -> (String, String) {
        let source = self.of(is_said);
        (value, source.unwrap_or_else(|| "the default".into()))
    }

    /// All of them as one.
    fn options(&self) -> MountOptions {
        let all = self.0.iter().map(|(_, options)| options.clone());
        all.reduce(MountOptions::or).unwrap_or_default()
    }
}

/// The settings and their sources, for a report: those with a default always, the others
/// where a source says something. What is wrong with one is told in place of its value.
///
/// # Errors
/// For a `config.toml` that cannot be read, and a variable that is not text.
pub fn describe(arguments: &MountOptions, environment: &Environment) -> Result<Vec<Described>> {
    let file = read_config(environment)?;
    let login = Login {
        environment,
        read: OnceCell::new(),
    };
    let mut all = vec![
        api_url(arguments, &file, &login),
        token(arguments, &file, &login),
    ];
    let sources = Sources([
        ("the command line", arguments.clone()),
        ("the environment", environment.options()?),
        ("config.toml", file),
    ]);
    let options = sources.options();
    let mut add = |name, (value, source)| all.push((name, value, source));

    let dir = options.connection.cache_dir.clone();
    let cache = CacheSettings::settle(dir, options.cache_size, environment);
    let (dir, size) = match cache {
        Ok(cache) => (cache.dir.display().to_string(), humanize::size(cache.size)),
        Err(error) => (error.to_string(), String::new()),
    };
    let from_dir = sources.settled(|it| it.connection.cache_dir.is_some(), dir);
    add("cache-dir", from_dir);
    add(
        "cache-size",
        sources.settled(|it| it.cache_size.is_some(), size),
    );
    let span = |span: Option<Duration>, usual| format!("{:?}", span.unwrap_or(usual));
    let ttl = span(options.list_ttl.map(Duration::from), DEFAULT_LIST_TTL);
    add("list-ttl", sources.settled(|it| it.list_ttl.is_some(), ttl));
    let timeout = span(
        options.connection.timeout.map(Duration::from),
        DEFAULT_TIMEOUT,
    );
    add(
        "timeout",
        sources.settled(|it| it.connection.timeout.is_some(), timeout),
    );
    let verify = format!("{:?}", options.verify.unwrap_or_default()).to_lowercase();
    add("verify", sources.settled(|it| it.verify.is_some(), verify));
    let crawlers = format!("{:?}", options.crawlers.unwrap_or_default()).to_lowercase();
    add(
        "crawlers",
        sources.settled(|it| it.crawlers.is_some(), crawlers),
    );

    if let Some(source) = sources.of(|it| !it.crawler_names.is_empty()) {
        add("crawler-names", (options.crawler_names.join(", "), source));
    }
    let url = options.shared.shared_cache.as_ref();
    if let Some(url) = url.filter(|url| !url.trim().is_empty())
        && let Some(source) = sources.of(|it| it.shared.shared_cache.is_some())
    {
        add("shared-cache", (without_secrets(url), source));
        let key = match &options.shared.shared_cache_key_file {
            Some(path) => path.display().to_string(),
            None => "made of the token".into(),
        };
        let is_said = |it: &MountOptions| it.shared.shared_cache_key_file.is_some();
        add("shared-cache-key-file", sources.settled(is_said, key));
    }
    let switches: [Switch; 6] = [
        ("allow-other", |it| it.allow_other),
        ("read-only", |it| it.read_only),
        ("no-exec", |it| it.no_exec),
        ("allow-external-symlinks", |it| it.allow_external_symlinks),
        ("offline", |it| it.offline),
        ("allow-http", |it| it.connection.allow_http),
    ];
    for (name, is_on) in switches {
        if let Some(source) = sources.of(is_on) {
            add(name, ("true".into(), source));
        }
    }
    Ok(all)
}

/// A URL without the parts in which there may be a secret, by mistake: what is before an
/// `@`, and what is behind the path.
pub fn without_secrets(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, behind) = url.split_at(begin);
    let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
    let (server, path) = behind.split_at(end);
    // What looks like the end of the server's name may be a character of a password.
    let is_odd = server.contains(':') || !path.starts_with('/');
    // Where a line was cut, the `@` behind it may be gone.
    let port = server.split_once(':').map(|(_, port)| port);
    let is_cut = path.is_empty() && port.is_some_and(|port| port.ends_with('…'));
    if is_odd && path.contains('@') || is_cut {
        return format!("{scheme}…");
    }
    let (place, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
    let shown = match place.rsplit_once('@') {
        Some((_, place)) => format!("…@{place}"),
        None => place.to_owned(),
    };
    match rest {
        "" => shown,
        _ => shown + "…",
    }
}

/// What stands where a file for a secret is to be named, and names no file: it may be the
/// secret itself.
///
/// # Errors
/// As [`describe`].
pub fn no_files(arguments: &MountOptions, environment: &Environment) -> Result<Vec<String>> {
    let options = arguments.clone().or(environment.options()?);
    let options = options.or(read_config(environment)?);
    let named = [
        options.connection.token_file,
        options.shared.shared_cache_key_file,
    ];
    let missing = named
        .into_iter()
        .flatten()
        .filter(|path| fs::metadata(environment.path(path)).is_err());
    Ok(missing.map(|path| path.display().to_string()).collect())
}

fn api_url(arguments: &MountOptions, file: &MountOptions, login: &Login<'_>) -> Described {
    let (value, source) = match api_url_source(arguments, file, login) {
        Ok((text, source)) => match parse_api_url(&text, source) {
            // A path or a name in it may be no one else's business.
            Ok(url) => (url.origin().ascii_serialization(), source.to_owned()),
            Err(error) => (error.to_string(), source.to_owned()),
        },
        Err(error) => (error.to_string(), String::new()),
    };
    ("api-url", value, source)
}

fn token(arguments: &MountOptions, file: &MountOptions, login: &Login<'_>) -> Described {
    let (value, source) = match token_source(arguments, file, login) {
        Ok(Some(TokenSource::File(path))) => ("in a file".into(), path.display().to_string()),
        Ok(Some(TokenSource::Text(_, source))) => ("set".into(), source.into()),
        Ok(None) => ("none".into(), String::new()),
        Err(error) => (error.to_string(), String::new()),
    };
    ("token", value, source)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Crawlers, options::SharedCacheOptions},
        *,
    };
    use crate::store::Verify;

    #[test]
    fn no_part_of_a_url_is_shown_that_may_be_a_secret() {
        for (url, shown) in [
            ("s3://bucket/x", "s3://bucket/x"),
            ("https://u:p@bucket/x?X-Amz-Signature=S", "…@bucket/x…"),
            ("https://bucket/x?user=a@b", "https://bucket/x…"),
            ("s3://bucket/x#S", "s3://bucket/x…"),
            ("http://u:p?q@host:3128", "http://…"),
            ("http://u:p/q@host:3128", "http://…"),
            ("http://secret#1@host/x", "http://…"),
            ("https://host:8443/x", "https://host:8443/x"),
            ("http://me:supersecr…", "http://…"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn each_option_that_is_said_is_described_with_its_source() {
        // A field that is missing here does not compile; one that is missing above fails.
        let arguments = MountOptions {
            connection: super::super::ConnectionOptions {
                api_url: Some("https://api.example/x".into()),
                token_file: Some("t".into()),
                cache_dir: Some("c".into()),
                timeout: Some("7s".parse().unwrap()),
                allow_http: true,
            },
            shared: SharedCacheOptions::default(),
            cache_size: Some("7MiB".parse().unwrap()),
            list_ttl: Some("8s".parse().unwrap()),
            allow_other: true,
            read_only: true,
            no_exec: true,
            allow_external_symlinks: true,
            offline: true,
            verify: Some(Verify::Strict),
            crawlers: Some(Crawlers::Allow),
            crawler_names: vec!["seeker".into()],
        };
        let variables = [
            ("VM0FS_SHARED_CACHE", "file:///fleet"),
            ("VM0FS_SHARED_CACHE_KEY_FILE", "k"),
        ];
        let environment = Environment {
            variables: variables
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            ..Environment::default()
        };
        let described = describe(&arguments, &environment).unwrap();
        for option in MountOptions::documented() {
            // The token's way is described under its own name.
            let key = option.key.replace("token-file", "token");
            let (_, value, source) = described.iter().find(|(name, ..)| *name == key).unwrap();
            let expected = match (key.as_str(), key.starts_with("shared")) {
                ("api-url", _) => "--api-url",
                ("token", _) => "t",
                (_, true) => "the environment",
                (_, false) => "the command line",
            };
            assert!(source == expected, "{key}: {value} ({source})");
            assert!(!value.is_empty(), "{key}");
        }
        let bare = describe(&MountOptions::default(), &environment).unwrap();
        assert!(bare.contains(&("verify", "warn".into(), "the default".into())));
        assert!(!bare.iter().any(|(name, ..)| *name == "read-only"));
    }
}
