//! Where each setting comes from, and what is wrong with a bad one.

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

    fn load(&self, flags: MountOptions) -> Result<Settings> {
        Settings::load(flags, &self.environment)
    }

    fn problem(&self, flags: MountOptions) -> String {
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
fn settings_that_are_not_given_have_their_defaults() {
    let world = World::new(&[("VM0_API_KEY", " tok \n"), ("VM0_API_URL", "")]);
    let settings = world.load(MountOptions::default()).unwrap();
    assert_eq!(settings.api_url.as_str(), "https://api.vm0.ai/");
    assert!(is(&settings.token, "tok"));
    assert_eq!(settings.cache_dir, world.dir.path().join(".cache/vm0fs"));
    assert!(settings.cache_size <= DEFAULT_CACHE_SIZE);
    assert_eq!(settings.list_ttl, Duration::from_secs(30));
    assert_eq!(settings.timeout, Duration::from_secs(30));
    assert!(!settings.options.connection.allow_http && !settings.options.allow_other);
    assert!(!format!("{settings:?}").contains("tok\""));
}

#[test]
fn the_first_source_that_names_the_api_wins() {
    let all = |variables: &[(&str, &str)], config: &str| {
        World::new(variables)
            .file(CONFIG, config)
            .file(LOGIN, r#"{"token":"cli","apiUrl":"https://cli","x":1}"#)
    };
    let flags = MountOptions::from(ConnectionOptions {
        api_url: Some("flag:1/p".into()),
        ..ConnectionOptions::default()
    });
    let env = [("VM0_API_URL", "env.example")];
    let url = |world: World, flags| world.load(flags).unwrap().api_url.to_string();
    let config = "api-url = \"https://config\"";
    assert_eq!(url(all(&env, config), flags), "https://flag:1/p");
    let none = MountOptions::default;
    assert_eq!(url(all(&env, config), none()), "https://env.example/");
    assert_eq!(url(all(&[], config), none()), "https://config/");
    assert_eq!(url(all(&[], ""), none()), "https://cli/");
    let alone = World::new(&[("VM0_TOKEN", "t")]);
    assert_eq!(url(alone, none()), "https://api.vm0.ai/");
}

#[test]
fn the_first_source_that_has_a_token_wins() {
    let world = |variables: &[(&str, &str)], config: &str| {
        World::new(variables)
            .file("flag", "flag\n")
            .file(".config/vm0fs/there", "config")
            .file(CONFIG, config)
            .file(LOGIN, r#"{"token":"cli"}"#)
    };
    let of_file = |path: &str| {
        MountOptions::from(ConnectionOptions {
            token_file: Some(path.into()),
            ..ConnectionOptions::default()
        })
    };
    let both = [("VM0_API_KEY", "key"), ("VM0_TOKEN", "token")];
    let config = "token-file = \"there\"";
    let token = |world: World, flags| world.load(flags).unwrap().token;
    assert!(is(&token(world(&both, config), of_file("flag")), "flag"));
    // Shells expand no tilde in `--token-file=~/flag`.
    let elsewhere = |path| {
        let mut world = world(&[], "").file("here/~/flag", "here");
        world.environment.current_dir.push("here");
        token(world, of_file(path))
    };
    assert!(is(&elsewhere("~/flag"), "flag"));
    assert!(is(&elsewhere("./~/flag"), "here"));
    let none = MountOptions::default;
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
        let message = world.problem(MountOptions::default());
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
    let broken = |variables: &[(&str, &str)]| World::new(variables).file(LOGIN, "{\"token\": sec");
    let message = broken(&[]).problem(MountOptions::default());
    assert!(message.contains(".vm0/config.json"), "{message}");
    assert!(!message.contains("sec"), "{message}");
    assert!(
        broken(&[("VM0_API_KEY", "k"), ("VM0_API_URL", "u")])
            .load(MountOptions::default())
            .is_ok()
    );
}

#[test]
fn the_config_file_says_what_options_do_not() {
    let world = World::new(&[("VM0_TOKEN", "t")]).file(
        CONFIG,
        "cache-dir = \"~/c\"\ncache-size = \"50MB\"\nlist-ttl = \"0s\"\ntimeout = \"2m\"\n\
         allow-http = true\nallow-other = true\nallow-external-symlinks = true\n",
    );
    let settings = world.load(MountOptions::default()).unwrap();
    assert_eq!(settings.cache_dir, world.dir.path().join("c"));
    assert_eq!(settings.cache_size, 50_000_000);
    assert_eq!(settings.list_ttl, Duration::ZERO);
    assert_eq!(settings.timeout, Duration::from_secs(120));
    let options = settings.options;
    assert!(options.connection.allow_http && options.allow_other);
    assert!(options.allow_external_symlinks);
    let flags = MountOptions {
        connection: ConnectionOptions {
            cache_dir: Some("~/rel".into()),
            timeout: Some(Span(Duration::from_secs(2))),
            ..ConnectionOptions::default()
        },
        cache_size: Some(units::ByteSize(2 << 20)),
        list_ttl: Some(Span(Duration::from_secs(1))),
        ..MountOptions::default()
    };
    let mut world = world;
    world.environment.current_dir = "/none".into();
    let settings = world.load(flags).unwrap();
    assert_eq!(settings.cache_dir, world.dir.path().join("rel"));
    assert_eq!(settings.cache_size, 2 << 20);
    assert_eq!(settings.list_ttl, Duration::from_secs(1));
    assert_eq!(settings.timeout, Duration::from_secs(2));
}

#[test]
fn shared_cache_precedence_and_its_key() {
    let key = |byte: u8| SharedKey::from([byte; 32]);
    let world = |variables: &[(&str, &str)], config: &str| {
        let mut all = vec![("VM0_TOKEN", "t"), ("AWS_REGION", "r"), ("AWX", "x")];
        all.extend(variables);
        World::new(&all)
            .file(".config/vm0fs/there", &key(1).to_text())
            .file("here", &key(2).to_text())
            .file(CONFIG, config)
    };
    let shared = |world: World, flags| world.load(flags).unwrap().shared_cache;
    let none = MountOptions::default;
    assert!(shared(world(&[], ""), none()).is_none());
    let config = "shared-cache = \"s3://config\"\nshared-cache-key-file = \"there\"";
    let (settings, found) = shared(world(&[], config), none()).unwrap();
    assert_eq!(
        (settings.access.url.as_str(), found),
        ("s3://config", key(1))
    );
    assert_eq!(
        Vec::from_iter(settings.access.aws),
        [("AWS_REGION".into(), "r".into())]
    );
    let env = [
        ("VM0FS_SHARED_CACHE", "s3://env"),
        ("VM0FS_SHARED_CACHE_KEY_FILE", "here"),
    ];
    let (settings, found) = shared(world(&env, config), none()).unwrap();
    assert_eq!((settings.access.url.as_str(), found), ("s3://env", key(2)));
    let mut flags = none();
    flags.shared.shared_cache = Some("s3://flag".into());
    let (settings, of_token) = shared(world(&[], ""), flags.clone()).unwrap();
    assert_eq!(settings.access.url, "s3://flag");
    let again = shared(world(&[], ""), flags.clone()).unwrap().1;
    assert!(of_token == again && of_token != key(1));
    flags.shared.shared_cache_key_file = Some(CONFIG.into());
    let message = world(&[], "").problem(flags);
    assert!(message.contains("vm0fs shared-cache init"), "{message}");
}

#[test]
fn every_option_is_a_key_of_the_file() {
    let lines = [
        "api-url = \"a.example\"",
        "token-file = \"t\"",
        "cache-dir = \"c\"",
        "timeout = \"1s\"",
        "allow-http = true",
        "shared-cache = \"file:///s\"",
        "shared-cache-key-file = \"k\"",
        "cache-size = \"2MB\"",
        "list-ttl = \"1s\"",
        "allow-other = true",
        "read-only = true",
        "no-exec = true",
        "allow-external-symlinks = true",
        "offline = true",
        "verify = \"off\"",
        "crawlers = \"allow\"",
        "crawler-names = [\"walker\"]",
    ];
    let keys: Vec<_> = lines.map(|line| line.split(' ').next().unwrap()).into();
    let known = MountOptions::documented();
    let known: Vec<&str> = known.iter().map(|option| option.key.as_str()).collect();
    assert_eq!(known, keys);
    for line in lines {
        let world = World::new(&[]).file(CONFIG, line);
        let read = read_config(&world.environment).unwrap();
        assert_ne!(read, MountOptions::default(), "{line}");
    }
}

#[test]
fn the_cache_needs_no_token() {
    let world = World::new(&[]).file(LOGIN, "{\"token\": bro");
    let load = |dir: Option<PathBuf>| CacheSettings::load(dir, None, &world.environment).unwrap();
    let settings = load(None);
    assert_eq!(settings.dir, world.dir.path().join(".cache/vm0fs"));
    let world = World::new(&[]).file(CONFIG, "cache-dir = \"~/c\"\ncache-size = \"50MB\"");
    let load = |dir: Option<PathBuf>| CacheSettings::load(dir, None, &world.environment).unwrap();
    let settings = load(None);
    assert_eq!(settings.dir, world.dir.path().join("c"));
    assert_eq!(settings.size, 50_000_000);
    let flag = Some("rel".into());
    assert_eq!(load(flag).dir, world.dir.path().join("rel"));
}

#[test]
fn a_bad_config_file_is_named_with_line_and_key() {
    for (text, words) in [
        (
            "timeout = \"2m\"\ntime-out = 3",
            &[
                "line 2",
                "time-out",
                "unknown field",
                "did you mean `timeout`?",
            ][..],
        ),
        ("\n\nallow-http = \"yes\"", &["line 3", "allow-http"]),
        ("timeout = ", &["line 1", "timeout"]),
        (
            "timeout = \"9ms\"",
            &["line 1: `timeout`", "at least 100ms"],
        ),
        ("list-ttl = \"2d\"", &["line 1: `list-ttl`", "at most 24h"]),
        (
            "cache-size = \"5\"",
            &["line 1: `cache-size`", "at least 1.0 MiB"],
        ),
        ("timeout = \"soon\"", &["timeout", "soon", "500ms"]),
        ("cache-size = \"big\"", &["cache-size", "big", "10GiB"]),
        ("cache-size = 5", &["line 1", "cache-size", "in quotes"]),
        ("[section]\nx = 1", &["section"]),
    ] {
        let world = World::new(&[("VM0_TOKEN", "t")]).file(CONFIG, text);
        let message = world.problem(MountOptions::default());
        assert!(message.contains("vm0fs/config.toml"), "{message}");
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}

#[test]
fn a_token_in_the_config_file_is_refused_and_not_shown() {
    let world = World::new(&[]).file(CONFIG, "token = \"secret\"");
    let message = world.problem(MountOptions::default());
    assert!(
        message.contains("line 1: `token`: unknown field"),
        "{message}"
    );
    assert!(message.contains("does not belong here"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn bad_values_are_refused_with_the_reason() {
    let world = World::new(&[("VM0_TOKEN", "t")])
        .file("empty", "\n")
        .file("two", "a b")
        .file("long", &"x".repeat(70_000));
    let with = |change: fn(&mut MountOptions)| {
        let mut flags = MountOptions::default();
        change(&mut flags);
        world.problem(flags)
    };
    assert!(with(|f| f.connection.api_url = Some("http://".into())).contains("--api-url"));
    assert!(with(|f| f.connection.api_url = Some(" ".into())).contains("--api-url"));
    assert!(with(|f| f.connection.token_file = Some("none".into())).contains("no such file"));
    assert!(with(|f| f.connection.token_file = Some("empty".into())).contains("is empty"));
    assert!(with(|f| f.connection.token_file = Some("two".into())).contains("one word"));
    assert!(with(|f| f.connection.token_file = Some("long".into())).contains("64 KiB"));
    let message = World::new(&[("VM0_API_KEY", "a\u{1}b")]).problem(MountOptions::default());
    assert!(message.contains("VM0_API_KEY") && !message.contains('\u{1}'));
}

#[test]
fn a_disk_without_room_leaves_the_least_size_of_a_cache() {
    let world = World::new(&[("VM0_TOKEN", "t")]);
    // Its file system has no room at all.
    let mut flags = MountOptions::default();
    flags.connection.cache_dir = Some("/proc/none".into());
    assert_eq!(world.load(flags).unwrap().cache_size, MIN_CACHE_SIZE);
}

#[test]
fn relative_xdg_folders_are_ignored() {
    let world = World::new(&[("XDG_CACHE_HOME", "rel"), ("VM0_TOKEN", "t")]);
    let settings = world.load(MountOptions::default()).unwrap();
    assert_eq!(settings.cache_dir, world.dir.path().join(".cache/vm0fs"));
    let world = World::new(&[("XDG_CACHE_HOME", "/abs"), ("VM0_TOKEN", "t")]);
    let settings = world.load(MountOptions::default()).unwrap();
    assert_eq!(settings.cache_dir, Path::new("/abs/vm0fs"));
    let nowhere = Environment {
        variables: [("VM0_TOKEN".into(), "t".into())].into(),
        ..Environment::default()
    };
    let message = Settings::load(MountOptions::default(), &nowhere).unwrap_err();
    assert!(message.to_string().contains("XDG_CACHE_HOME"));
}
