//! Settings: flags, then the environment, then `config.toml`, then the `vm0`
//! CLI's login, then defaults. The first that says something wins, each
//! setting by itself.

mod files;
pub mod secrets;
mod units;

pub use self::units::{Crawlers, parse_crawlers, parse_duration, parse_size, parse_verify};

use crate::{
    api::{ClientConfig, Token},
    error::{Error, Result},
    store::Verify,
    text::unmarked_text,
};
use nix::unistd::{Uid, User};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// Where the service is when nobody says otherwise.
pub const DEFAULT_API_URL: &str = "https://api.vm0.ai";

/// The variables that hold a token: the API's documentation names the first, the
/// `vm0` CLI reads the second.
const API_KEY: &str = "VM0_API_KEY";
const TOKEN: &str = "VM0_TOKEN";

/// What every request is signed with.
pub const USER_AGENT: &str = concat!("vm0fs/", env!("CARGO_PKG_VERSION"));

/// How long a listing is taken as true: short enough to see a new run soon,
/// long enough that a shell's completion and prompt cost nothing.
pub const DEFAULT_LIST_TTL: Duration = Duration::from_secs(30);

/// How long nothing may arrive before a read fails.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most the cache takes of its own accord.
pub const DEFAULT_CACHE_SIZE: u64 = 10 << 30;

/// The share of the free disk that it takes at most, of its own accord.
const FREE_SHARE: u64 = 10;

/// Below this not even one small version fits with its index.
const MIN_CACHE_SIZE: u64 = 1 << 20;

/// Less would fail on an ordinary network's worst moments.
const MIN_TIMEOUT: Duration = Duration::from_millis(100);

/// Longer is a typing error, or a process stuck for a day.
const MAX_DURATION: Duration = Duration::from_secs(24 * 60 * 60);

/// What one source says; what it leaves out, the next one may say. Filled
/// from the command line, and from `config.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The API's base; without a scheme, `https://` is meant.
    pub api_url: Option<String>,
    /// A file that holds the token and nothing else.
    pub token_file: Option<PathBuf>,
    /// Where versions are kept.
    pub cache_dir: Option<PathBuf>,
    /// Ceiling of the cache in bytes.
    pub cache_size: Option<u64>,
    /// How long a listing is taken as true.
    pub list_ttl: Option<Duration>,
    /// The longest silence of the network.
    pub timeout: Option<Duration>,
    /// Permits plain `http://` beyond this host.
    pub allow_http: bool,
    /// Lets other users into the mount.
    pub allow_other: bool,
    /// Shows symlinks that lead out of their version as they are.
    pub allow_external_symlinks: bool,
    /// Never asks the network.
    pub offline: bool,
    /// What to do about content that is not what its version's id says.
    pub verify: Option<Verify>,
    /// Whether indexers may start downloads.
    pub crawlers: Option<Crawlers>,
    /// Names of programs that count as such, beside the known ones.
    pub crawler_names: Vec<String>,
}

/// The process's surroundings, as a value so that tests can make their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Where relative paths begin.
    pub current_dir: PathBuf,
}

impl Environment {
    /// Of this process. The home is `HOME`, else the password database's.
    pub fn of_process() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os().collect();
        let home = variables
            .get(&OsString::from("HOME"))
            .filter(|home| !home.is_empty())
            .map(PathBuf::from)
            .or_else(|| Some(User::from_uid(Uid::effective()).ok()??.dir));
        Self {
            variables,
            home,
            current_dir: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        }
    }

    /// A variable's text. One that is empty counts as not set.
    ///
    /// # Errors
    /// [`Error::Setup`] where it is not UTF-8; the value is not repeated.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        let Some(value) = self.variables.get(&OsString::from(name)) else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .ok_or_else(|| Error::Setup(format!("{name} is not UTF-8 text")))?;
        // Of a file that the shell has read into it.
        let text = unmarked_text(text);
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// A base directory of the XDG specification, which wants relative values
    /// ignored: `variable`, else `fallback` under the home.
    ///
    /// # Errors
    /// [`Error::Setup`] where neither is known.
    pub fn xdg(&self, variable: &str, fallback: &str) -> Result<PathBuf> {
        self.variables
            .get(&OsString::from(variable))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home.as_ref()?.join(fallback)))
            .ok_or_else(|| {
                Error::Setup(format!(
                    "the home folder is not known; set HOME or {variable}"
                ))
            })
    }
}

/// Everything a mount needs to know, settled. `Debug` shows no token.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API's base.
    pub api_url: Url,
    /// The secret for it.
    pub token: Token,
    /// Where versions are kept, absolute; may not exist yet.
    pub cache_dir: PathBuf,
    /// Ceiling of the cache in bytes.
    pub cache_size: u64,
    /// How long a listing is taken as true; zero asks every time.
    pub list_ttl: Duration,
    /// The longest silence of the network.
    pub timeout: Duration,
    /// Permits plain `http://` beyond this host.
    pub allow_http: bool,
    /// Lets other users into the mount.
    pub allow_other: bool,
    /// Shows symlinks that lead out of their version as they are.
    pub allow_external_symlinks: bool,
    /// Never asks the network.
    pub offline: bool,
    /// What to do about content that is not what its version's id says.
    pub verify: Verify,
    /// Whether indexers may start downloads.
    pub crawlers: Crawlers,
    /// Names of programs that count as such, beside the known ones.
    pub crawler_names: Vec<String>,
}

/// Where the cache is and what it may take: all that the commands on it need,
/// which ask nobody and so want no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Where versions are kept, absolute; may not exist.
    pub dir: PathBuf,
    /// Ceiling in bytes.
    pub size: u64,
}

impl CacheSettings {
    /// Settles them as [`Settings::load`] does.
    ///
    /// # Errors
    /// [`Error::Setup`] for a bad `config.toml`, or where no home is known.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self> {
        Self::settle(flags, &read_config(environment)?, environment)
    }

    fn settle(flags: &Flags, config: &Flags, environment: &Environment) -> Result<Self> {
        let dir = match flags.cache_dir.as_ref().or(config.cache_dir.as_ref()) {
            Some(dir) => environment.current_dir.join(dir),
            None => environment.xdg("XDG_CACHE_HOME", ".cache")?.join("vm0fs"),
        };
        let size = match flags.cache_size.or(config.cache_size) {
            Some(size) => size,
            None => default_cache_size(&dir),
        };
        Ok(Self { dir, size })
    }
}

impl Settings {
    /// Settles every setting from its sources.
    ///
    /// # Errors
    /// [`Error::Setup`] that names the source, and for a missing token the
    /// ways to get one; [`Error::Io`] where a file cannot be read.
    pub fn load(flags: Flags, environment: &Environment) -> Result<Self> {
        let config = read_config(environment)?;
        let cache = CacheSettings::settle(&flags, &config, environment);
        let mut login = None;
        let mut cli = || -> Result<(Option<String>, Option<String>)> {
            if login.is_none() {
                login = Some(match &environment.home {
                    Some(home) => files::read_cli_login(&home.join(".vm0/config.json"))?,
                    None => files::CliLogin::default(),
                });
            }
            let login = login.as_ref();
            Ok((
                login.and_then(|login| login.token.clone()),
                login.and_then(|login| login.api_url.clone()),
            ))
        };

        let api_url = match (
            flags
                .api_url
                .as_deref()
                .filter(|url| !url.trim().is_empty()),
            environment.text("VM0_API_URL")?,
            config.api_url.as_deref(),
        ) {
            (Some(url), _, _) => parse_api_url(url, "--api-url")?,
            (_, Some(url), _) => parse_api_url(url, "VM0_API_URL")?,
            (_, _, Some(url)) => parse_api_url(url, "api-url in config.toml")?,
            _ => match cli()?.1.filter(|url| !url.trim().is_empty()) {
                Some(url) => parse_api_url(&url, "apiUrl in ~/.vm0/config.json")?,
                None => parse_api_url(DEFAULT_API_URL, "the default")?,
            },
        };
        let token_file = flags
            .token_file
            .map(|path| environment.current_dir.join(path));
        let variable = |name: &str| -> Result<Option<Token>> {
            environment
                .text(name)?
                .map(Token::new)
                .transpose()
                .map_err(|error| Error::Setup(format!("{name}: {error}")))
        };
        let token = if let Some(path) = token_file {
            files::read_token(&path)?
        } else if let Some(token) = variable(API_KEY)? {
            token
        } else if let Some(token) = variable(TOKEN)? {
            token
        } else if let Some(path) = config.token_file {
            files::read_token(&path)?
        } else if let Some(token) = cli()?.0.filter(|token| !token.trim().is_empty()) {
            Token::new(&token)
                .map_err(|error| Error::Setup(format!("~/.vm0/config.json: {error}")))?
        } else {
            return Err(no_token());
        };

        let cache = cache?;
        let settings = Self {
            api_url,
            token,
            cache_dir: cache.dir,
            cache_size: cache.size,
            list_ttl: flags
                .list_ttl
                .or(config.list_ttl)
                .unwrap_or(DEFAULT_LIST_TTL),
            timeout: flags.timeout.or(config.timeout).unwrap_or(DEFAULT_TIMEOUT),
            allow_http: flags.allow_http || config.allow_http,
            allow_other: flags.allow_other || config.allow_other,
            allow_external_symlinks: flags.allow_external_symlinks
                || config.allow_external_symlinks,
            offline: flags.offline || config.offline,
            verify: flags.verify.or(config.verify).unwrap_or_default(),
            crawlers: flags.crawlers.or(config.crawlers).unwrap_or_default(),
            crawler_names: [flags.crawler_names, config.crawler_names].concat(),
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Setup(message));
        if self.cache_size < MIN_CACHE_SIZE {
            return wrong(format!(
                "the cache size of {} bytes is too small: at least 1MiB (--cache-size); or free some disk at {}, or name another folder with --cache-dir",
                self.cache_size,
                self.cache_dir.display()
            ));
        }
        if self.timeout < MIN_TIMEOUT || self.timeout > MAX_DURATION {
            return wrong("the timeout must be between 100ms and 24h (--timeout)".into());
        }
        if self.list_ttl > MAX_DURATION {
            return wrong("the listings' time to live must be at most 24h (--list-ttl)".into());
        }
        Ok(())
    }

    /// What the API client needs of it.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig {
            base: self.api_url.clone(),
            token: self.token.clone(),
            timeout: self.timeout,
            allow_http: self.allow_http,
            user_agent: USER_AGENT.into(),
        }
    }
}

/// `config.toml`. Without a home there is no such file.
fn read_config(environment: &Environment) -> Result<Flags> {
    match environment.xdg("XDG_CONFIG_HOME", ".config") {
        Ok(dir) => files::read_config(&dir.join("vm0fs/config.toml"), environment.home.as_deref()),
        Err(_) => Ok(Flags::default()),
    }
}

fn no_token() -> Error {
    Error::Setup(
        "no API token. Log in with the vm0 CLI (`vm0 auth login`), or set VM0_API_KEY, or name a file that holds it with --token-file. To look around without an account: `vm0fs demo`"
            .into(),
    )
}

/// A base URL as users write it; `source` says where it was written.
fn parse_api_url(text: &str, source: &str) -> Result<Url> {
    let text = text.trim();
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    // Not repeated: it may hold a password by mistake.
    whole.parse().map_err(|error| {
        Error::Setup(format!(
            "{source} is not a URL ({error}); write it like {DEFAULT_API_URL}"
        ))
    })
}

/// The smaller of 10 GiB and a tenth of the free disk where the cache will be.
fn default_cache_size(dir: &Path) -> u64 {
    let free = dir
        .ancestors()
        .find_map(|dir| nix::sys::statvfs::statvfs(dir).ok())
        .map_or(u64::MAX, |disk| {
            disk.fragment_size().saturating_mul(disk.blocks_available())
        });
    DEFAULT_CACHE_SIZE.min(free / FREE_SHARE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    struct World {
        dir: tempfile::TempDir,
        environment: Environment,
    }

    impl World {
        fn new(variables: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let environment = Environment {
                variables: variables
                    .iter()
                    .map(|(name, value)| (name.into(), value.into()))
                    .collect(),
                home: Some(dir.path().to_owned()),
                current_dir: dir.path().to_owned(),
            };
            Self { dir, environment }
        }

        fn file(self, path: &str, text: &str) -> Self {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn load(&self, flags: Flags) -> Result<Settings> {
            Settings::load(flags, &self.environment)
        }

        fn problem(&self, flags: Flags) -> String {
            self.load(flags).unwrap_err().to_string()
        }
    }

    /// A token shows nothing of itself, but blots itself out.
    fn is(token: &Token, text: &str) -> bool {
        token.redact(text) == "[token]"
    }

    const CONFIG: &str = ".config/vm0fs/config.toml";
    const LOGIN: &str = ".vm0/config.json";

    #[test]
    fn defaults() {
        let world = World::new(&[("VM0_API_KEY", " tok \n"), ("VM0_API_URL", "")]);
        let settings = world.load(Flags::default()).unwrap();
        assert_eq!(settings.api_url.as_str(), "https://api.vm0.ai/");
        assert!(is(&settings.token, "tok"));
        assert_eq!(settings.cache_dir, world.dir.path().join(".cache/vm0fs"));
        assert!(settings.cache_size <= DEFAULT_CACHE_SIZE);
        assert_eq!(settings.list_ttl, Duration::from_secs(30));
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert!(!settings.allow_http && !settings.allow_other);
        assert!(!format!("{settings:?}").contains("tok\""));
    }

    #[test]
    fn api_url_precedence() {
        let all = |variables: &[(&str, &str)], config: &str| {
            World::new(variables)
                .file(CONFIG, config)
                .file(LOGIN, r#"{"token":"cli","apiUrl":"https://cli","x":1}"#)
        };
        let flags = Flags {
            api_url: Some("flag:1/p".into()),
            ..Flags::default()
        };
        let env = [("VM0_API_URL", "env.example")];
        let url = |world: World, flags| world.load(flags).unwrap().api_url.to_string();
        let config = "api-url = \"https://config\"";
        assert_eq!(url(all(&env, config), flags), "https://flag:1/p");
        let none = Flags::default;
        assert_eq!(url(all(&env, config), none()), "https://env.example/");
        assert_eq!(url(all(&[], config), none()), "https://config/");
        assert_eq!(url(all(&[], ""), none()), "https://cli/");
        let alone = World::new(&[("VM0_TOKEN", "t")]);
        assert_eq!(url(alone, none()), "https://api.vm0.ai/");
    }

    #[test]
    fn token_precedence() {
        let world = |variables: &[(&str, &str)], config: &str| {
            World::new(variables)
                .file("flag", "flag\n")
                .file(".config/vm0fs/there", "config")
                .file(CONFIG, config)
                .file(LOGIN, r#"{"token":"cli"}"#)
        };
        let flags = Flags {
            token_file: Some("flag".into()),
            ..Flags::default()
        };
        let both = [("VM0_API_KEY", "key"), ("VM0_TOKEN", "token")];
        let config = "token-file = \"there\"";
        let token = |world: World, flags| world.load(flags).unwrap().token;
        assert!(is(&token(world(&both, config), flags), "flag"));
        let none = Flags::default;
        assert!(is(&token(world(&both, config), none()), "key"));
        assert!(is(&token(world(&both[1..], config), none()), "token"));
        assert!(is(&token(world(&[], config), none()), "config"));
        assert!(is(&token(world(&[], ""), none()), "cli"));
    }

    #[test]
    fn no_token_says_how_to_get_one() {
        for world in [
            World::new(&[]),
            World::new(&[("VM0_API_KEY", " ")]),
            World::new(&[]).file(LOGIN, "{}"),
            World::new(&[]).file(LOGIN, r#"{"token":""}"#),
        ] {
            let message = world.problem(Flags::default());
            for word in [
                "vm0 auth login",
                "VM0_API_KEY",
                "--token-file",
                "vm0fs demo",
            ] {
                assert!(message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn the_cli_login_is_read_only_where_needed() {
        let broken =
            |variables: &[(&str, &str)]| World::new(variables).file(LOGIN, "{\"token\": sec");
        let message = broken(&[]).problem(Flags::default());
        assert!(message.contains(".vm0/config.json"), "{message}");
        assert!(!message.contains("sec"), "{message}");
        assert!(
            broken(&[("VM0_API_KEY", "k"), ("VM0_API_URL", "u")])
                .load(Flags::default())
                .is_ok()
        );
    }

    #[test]
    fn the_config_file() {
        let world = World::new(&[("VM0_TOKEN", "t")]).file(
            CONFIG,
            "cache-dir = \"~/c\"\ncache-size = \"50MB\"\nlist-ttl = \"0s\"\ntimeout = \"2m\"\n\
             allow-http = true\nallow-other = true\nallow-external-symlinks = true\n",
        );
        let settings = world.load(Flags::default()).unwrap();
        assert_eq!(settings.cache_dir, world.dir.path().join("c"));
        assert_eq!(settings.cache_size, 50_000_000);
        assert_eq!(settings.list_ttl, Duration::ZERO);
        assert_eq!(settings.timeout, Duration::from_secs(120));
        assert!(settings.allow_http && settings.allow_other && settings.allow_external_symlinks);
        let flags = Flags {
            cache_dir: Some("rel".into()),
            cache_size: Some(2 << 20),
            list_ttl: Some(Duration::from_secs(1)),
            timeout: Some(Duration::from_secs(2)),
            ..Flags::default()
        };
        let settings = world.load(flags).unwrap();
        assert_eq!(settings.cache_dir, world.dir.path().join("rel"));
        assert_eq!(settings.cache_size, 2 << 20);
        assert_eq!(settings.list_ttl, Duration::from_secs(1));
        assert_eq!(settings.timeout, Duration::from_secs(2));
    }

    #[test]
    fn the_cache_needs_no_token() {
        let world = World::new(&[]).file(LOGIN, "{\"token\": bro");
        let load = |flags: &Flags| CacheSettings::load(flags, &world.environment).unwrap();
        let settings = load(&Flags::default());
        assert_eq!(settings.dir, world.dir.path().join(".cache/vm0fs"));
        let world = World::new(&[]).file(CONFIG, "cache-dir = \"~/c\"\ncache-size = \"50MB\"");
        let load = |flags: &Flags| CacheSettings::load(flags, &world.environment).unwrap();
        let settings = load(&Flags::default());
        assert_eq!(settings.dir, world.dir.path().join("c"));
        assert_eq!(settings.size, 50_000_000);
        let flags = Flags {
            cache_dir: Some("rel".into()),
            ..Flags::default()
        };
        assert_eq!(load(&flags).dir, world.dir.path().join("rel"));
    }

    #[test]
    fn a_bad_config_file_is_named_with_line_and_key() {
        for (text, words) in [
            (
                "timeout = \"2m\"\ntime-out = 3",
                &["line 2", "time-out", "unknown field"][..],
            ),
            ("\n\nallow-http = \"yes\"", &["line 3", "allow-http"]),
            ("timeout = ", &["line 1", "timeout"]),
            ("timeout = \"soon\"", &["timeout", "soon", "500ms"]),
            ("cache-size = \"big\"", &["cache-size", "big", "10GiB"]),
            ("cache-size = 5", &["line 1", "cache-size"]),
            ("[section]\nx = 1", &["section"]),
        ] {
            let world = World::new(&[("VM0_TOKEN", "t")]).file(CONFIG, text);
            let message = world.problem(Flags::default());
            assert!(message.contains("vm0fs/config.toml"), "{message}");
            for word in words {
                assert!(message.contains(word), "{word}: {message}");
            }
        }
    }

    #[test]
    fn bad_values() {
        let world = World::new(&[("VM0_TOKEN", "t")])
            .file("empty", "\n")
            .file("two", "a b")
            .file("long", &"x".repeat(70_000));
        let with = |change: fn(&mut Flags)| {
            let mut flags = Flags::default();
            change(&mut flags);
            world.problem(flags)
        };
        assert!(with(|f| f.api_url = Some("http://".into())).contains("--api-url"));
        assert!(with(|f| f.token_file = Some("none".into())).contains("no such file"));
        assert!(with(|f| f.token_file = Some("empty".into())).contains("is empty"));
        assert!(with(|f| f.token_file = Some("two".into())).contains("one word"));
        assert!(with(|f| f.token_file = Some("long".into())).contains("64 KiB"));
        assert!(with(|f| f.cache_size = Some(5)).contains("--cache-size"));
        assert!(with(|f| f.timeout = Some(Duration::ZERO)).contains("--timeout"));
        assert!(with(|f| f.list_ttl = Some(MAX_DURATION * 2)).contains("--list-ttl"));
        let message = World::new(&[("VM0_API_KEY", "a\u{1}b")]).problem(Flags::default());
        assert!(message.contains("VM0_API_KEY") && !message.contains('\u{1}'));
    }

    #[test]
    fn relative_xdg_folders_are_ignored() {
        let world = World::new(&[("XDG_CACHE_HOME", "rel"), ("VM0_TOKEN", "t")]);
        let settings = world.load(Flags::default()).unwrap();
        assert_eq!(settings.cache_dir, world.dir.path().join(".cache/vm0fs"));
        let world = World::new(&[("XDG_CACHE_HOME", "/abs"), ("VM0_TOKEN", "t")]);
        let settings = world.load(Flags::default()).unwrap();
        assert_eq!(settings.cache_dir, Path::new("/abs/vm0fs"));
        let nowhere = Environment {
            variables: [("VM0_TOKEN".into(), "t".into())].into(),
            ..Environment::default()
        };
        let message = Settings::load(Flags::default(), &nowhere).unwrap_err();
        assert!(message.to_string().contains("XDG_CACHE_HOME"));
    }
}
