//! The options, each declared once: as an argument of the command line, and as a
//! key of `config.toml` of the same name.

use super::units::{ByteSize, HOUR, Span};
use crate::store::Verify;
use clap::{
    Args, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{path::PathBuf, str::FromStr, time::Duration};

/// The name that every request gives its sender.
pub const USER_AGENT: &str = concat!("vm0fs/", env!("CARGO_PKG_VERSION"));

/// How long the network may be silent before a read fails.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// In a smaller cache not even one small version fits with its index, in bytes.
pub(super) const MIN_CACHE_SIZE: u64 = 1 << 20;

/// Maximum size of a cache.
pub type CacheSize = ByteSize<MIN_CACHE_SIZE>;

/// The longest silence of the network. A shorter one would fail on an ordinary network's
/// worst moments; a longer one is probably a typing error, and would let a process hang for a
/// day.
pub(super) type Timeout = Span<100, { 24 * HOUR }>;

/// How long a listing is taken as true; a longer time is probably a typing error.
pub(super) type ListTtl = Span<0, { 24 * HOUR }>;

/// How to reach the service: the same for all commands that do.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "kebab-case")]
pub struct ConnectionOptions {
    // Not a link: the text is the help of the command line.
    #[allow(rustdoc::bare_urls)]
    /// Address of the API; https:// is added where it has no scheme [default: https://api.vm0.ai]
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// File that holds the token and nothing else. Keep it at mode 0600 [default: the token of the environment or of the vm0 CLI]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Folder of the cache, where downloaded versions are kept [default: ~/.cache/vm0fs]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cache_dir: Option<PathBuf>,
    /// How long the network may be silent before a read fails, such as 10s or 2m [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(deserialize_with = "text")]
    pub timeout: Option<Timeout>,
    /// Permit plain http:// to other machines. All on the way there can then read your token
    #[arg(long)]
    pub allow_http: bool,
}

/// What the machines of a fleet share.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "kebab-case")]
pub struct SharedCacheOptions {
    /// Store that the machines of a fleet share: s3://bucket/prefix, with the usual AWS variables, or file:///folder [default: none]
    #[arg(long, value_name = "URL")]
    pub shared_cache: Option<String>,
    /// File with the key of the shared cache, which `vm0fs shared-cache init` makes. Keep it at mode 0600 [default: a key from the token]
    #[arg(long, value_name = "FILE")]
    pub shared_cache_key_file: Option<PathBuf>,
}

/// How a mount behaves.
#[derive(Args, Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "kebab-case")]
pub struct MountOptions {
    /// How to reach the service.
    #[command(flatten)]
    #[serde(skip)]
    pub connection: ConnectionOptions,
    /// What the machines of a fleet share.
    #[command(flatten)]
    #[serde(skip)]
    pub shared: SharedCacheOptions,
    /// Maximum size of the cache, such as 500MB or 10GiB. What was not used for longest is removed first [default: 10GiB, or a tenth of the free disk if that is less, but no less than it holds]
    #[arg(long, value_name = "SIZE")]
    #[serde(deserialize_with = "text")]
    pub cache_size: Option<CacheSize>,
    /// How long a listing is shown before the service is asked again, such as 5s or 2m [default: 30s]
    #[arg(long, value_name = "DURATION")]
    #[serde(deserialize_with = "text")]
    pub list_ttl: Option<ListTtl>,
    /// Let other users of this machine read the mount. An ordinary user needs the line user_allow_other in /etc/fuse.conf for that
    #[arg(long)]
    pub allow_other: bool,
    /// Refuse every write: no run can be started or cancelled through the mount
    #[arg(long)]
    pub read_only: bool,
    /// Let no program that lies in the mount be executed
    #[arg(long)]
    pub no_exec: bool,
    /// Let symlinks of a version lead out of it. Programs that follow them then reach files of this machine
    #[arg(long)]
    pub allow_external_symlinks: bool,
    /// Do not use the network. The mount shows what is in the cache, and listings as they were last known
    #[arg(long)]
    pub offline: bool,
    /// What to do with content that does not match its version's id: warn (log it), strict (refuse it) or off (do not look) [default: warn]
    #[arg(long, value_name = "WHAT", value_parser = one_of::<Verify>(&["warn", "strict", "off"]))]
    #[arg(hide_possible_values = true)]
    #[serde(deserialize_with = "text")]
    pub verify: Option<Verify>,
    /// Whether indexers and programs that make thumbnails may start downloads: deny or allow [default: deny]
    #[arg(long, value_name = "WHAT", value_parser = one_of::<Crawlers>(&["deny", "allow"]))]
    #[arg(hide_possible_values = true)]
    #[serde(deserialize_with = "text")]
    pub crawlers: Option<Crawlers>,
    /// Names of programs that count as indexers, beside the known ones. In
    /// `config.toml` only.
    #[arg(skip)]
    pub crawler_names: Vec<String>,
}

/// What there is to say of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// Its name, without dashes before it.
    pub key: String,
    /// What its value is, in one word such as `SIZE`; `None` where it takes none.
    pub value: Option<String>,
    /// What it is for, and its default.
    pub help: String,
}

impl Documented {
    fn of(argument: &clap::Arg) -> Option<Self> {
        let takes_value = argument.get_action().takes_values();
        let names = argument.get_value_names().filter(|_| takes_value);
        Some(Self {
            key: argument.get_long()?.to_owned(),
            value: names.map(|names| names.concat()),
            help: argument.get_help()?.to_string(),
        })
    }

    /// The one option that is a list, and so no argument.
    fn crawler_names() -> Self {
        Self {
            key: "crawler-names".into(),
            value: Some("NAMES".into()),
            help: "Names of programs that count as indexers, beside those that are known. In \
                   config.toml only [default: none]"
                .into(),
        }
    }
}

/// Whether indexers and makers of thumbnails may start downloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crawlers {
    /// They read only what the cache holds.
    #[default]
    Deny,
    /// They may, like every other program.
    Allow,
}

impl FromStr for Crawlers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            _ => Err(format!("{text:?} is neither deny nor allow")),
        }
    }
}

impl FromStr for Verify {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "warn" => Ok(Self::Warn),
            "strict" => Ok(Self::Strict),
            "off" => Ok(Self::Off),
            _ => Err(format!("{text:?} is none of warn, strict, off")),
        }
    }
}

impl ConnectionOptions {
    /// These, and what they leave out from `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            api_url: self.api_url.or(others.api_url),
            token_file: self.token_file.or(others.token_file),
            cache_dir: self.cache_dir.or(others.cache_dir),
            timeout: self.timeout.or(others.timeout),
            allow_http: self.allow_http || others.allow_http,
        }
    }
}

impl SharedCacheOptions {
    /// These, and what they leave out from `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            shared_cache: self.shared_cache.or(others.shared_cache),
            shared_cache_key_file: self.shared_cache_key_file.or(others.shared_cache_key_file),
        }
    }
}

impl MountOptions {
    /// These, and what they leave out from `others`.
    pub(super) fn or(self, others: Self) -> Self {
        Self {
            connection: self.connection.or(others.connection),
            shared: self.shared.or(others.shared),
            cache_size: self.cache_size.or(others.cache_size),
            list_ttl: self.list_ttl.or(others.list_ttl),
            allow_other: self.allow_other || others.allow_other,
            read_only: self.read_only || others.read_only,
            no_exec: self.no_exec || others.no_exec,
            allow_external_symlinks: self.allow_external_symlinks || others.allow_external_symlinks,
            offline: self.offline || others.offline,
            verify: self.verify.or(others.verify),
            crawlers: self.crawlers.or(others.crawlers),
            crawler_names: [self.crawler_names, others.crawler_names].concat(),
        }
    }

    /// The keys of `config.toml`: the long names of the arguments, and what only
    /// that file can say.
    pub fn documented() -> Vec<Documented> {
        let command = Self::augment_args(clap::Command::new("vm0fs"));
        let arguments = command.get_arguments().filter_map(Documented::of);
        arguments.chain([Documented::crawler_names()]).collect()
    }
}

impl From<ConnectionOptions> for MountOptions {
    fn from(connection: ConnectionOptions) -> Self {
        Self {
            connection,
            ..Self::default()
        }
    }
}

/// Reads one of these words, which a shell completes.
fn one_of<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

/// A value that `config.toml` holds as text, written as on the command line.
fn text<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}
