//! Where settings come from, through real processes: which server is asked,
//! with which token, and where the cache goes.

use crate::support::fake::{Agent, File, Kind, Server, VersionSpec, World};
use crate::{
    commands::{Place, finish, script, shell},
    support::{Bench, Who},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A server that has one agent, of the server's name, and a token of its own.
fn server(name: &str) -> Server {
    let mut world = World::empty();
    let then = world.ago(60);
    world.add_agent(Agent::new(name, then));
    Server::start(world).unwrap()
}

/// A home of `who` with nothing in it, and what its settings give.
struct Home<'a> {
    bench: &'a Bench,
    who: Who,
    path: PathBuf,
}

impl<'a> Home<'a> {
    fn new(bench: &'a Bench, who: Who) -> Self {
        let path = bench.folder(&format!("settings-{who:?}"), who);
        Self { bench, who, path }
    }

    /// Writes a file of its, readable by its owner only; gives its path.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.join(name);
        let folder = path.parent().unwrap();
        shell(self.who, &format!("mkdir -p '{}'", folder.display()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = self.who.ids() {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        }
        path
    }

    /// `vm0fs mount` with this home, and nothing else in its environment.
    fn mount(&self, place: &Place) -> Command {
        let mut command = place.mount(self.bench);
        command
            .env("HOME", &self.path)
            .env_remove("VM0_API_URL")
            .env_remove("VM0_API_KEY");
        command
    }

    /// The server that a mount with more arguments and variables shows. That
    /// it shows one proves that the token went with the address: each server
    /// takes its own only.
    #[track_caller]
    fn shows(&self, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let place = Place::new(self.bench, self.who, "mnt");
        let mut command = self.mount(&place);
        command.args(arguments).envs(variables.iter().copied());
        let said = finish(&mut command);
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
        let shown = place.run("ls agents");
        finish(&mut place.unmount(self.bench)).succeeded();
        place.is_over();
        shown.trim_end().to_owned()
    }

    /// What a mount that fails says.
    #[track_caller]
    fn fails(&self, arguments: &[&str], variables: &[(&str, &str)], words: &[&str]) {
        let place = Place::new(self.bench, self.who, "mnt");
        let mut command = self.mount(&place);
        command.args(arguments).envs(variables.iter().copied());
        finish(&mut command).failed(words);
        assert!(!place.path.exists());
    }
}

#[test]
fn flags_then_environment_then_config_file_then_the_clis_login() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let home = Home::new(&bench, who);
        let (login, config) = (server("of-login"), server("of-config"));
        let (variables, flags) = (server("of-variables"), server("of-flags"));

        let text = serde_json::json!({"token": login.token(), "apiUrl": login.api_url()});
        home.write(".vm0/config.json", &text.to_string());
        assert_eq!(home.shows(&[], &[]), "of-login");

        home.write("config-token", &format!("{}\n", config.token()));
        let text = format!(
            "api-url = \"{}\"\ntoken-file = \"~/config-token\"\n",
            config.api_url()
        );
        home.write(".config/vm0fs/config.toml", &text);
        assert_eq!(home.shows(&[], &[]), "of-config");

        let (url, token) = (variables.api_url(), variables.token());
        let environment = [("VM0_API_URL", &*url), ("VM0_TOKEN", token)];
        assert_eq!(home.shows(&[], &environment), "of-variables");
        // VM0_API_KEY is asked before VM0_TOKEN, and an empty one not at all.
        let both = [
            ("VM0_API_URL", &*url),
            ("VM0_API_KEY", token),
            ("VM0_TOKEN", "wrong"),
        ];
        assert_eq!(home.shows(&[], &both), "of-variables");
        let empty = [
            ("VM0_API_URL", &*url),
            ("VM0_API_KEY", ""),
            ("VM0_TOKEN", token),
        ];
        assert_eq!(home.shows(&[], &empty), "of-variables");

        // With and without a newline at its end.
        for end in ["", "\n", "\r\n"] {
            let file = home.write("flag-token", &format!("{}{end}", flags.token()));
            let url = flags.api_url();
            let arguments = ["--api-url", &*url, "--token-file", file.to_str().unwrap()];
            assert_eq!(home.shows(&arguments, &environment), "of-flags");
        }
        // Each setting comes from its own first source.
        let url = flags.api_url();
        let mixed = home.shows(&["--api-url", &*url], &[("VM0_API_KEY", flags.token())]);
        assert_eq!(mixed, "of-flags");
        assert!(bench.api_calls().is_empty(), "that one is named nowhere");
    }
}

#[test]
fn a_token_goes_to_no_server_but_the_one_that_is_asked() {
    // The wrong pair is refused, so the test above could not pass by chance.
    let bench = Bench::new(World::empty());
    let home = Home::new(&bench, Who::Myself);
    let (one, other) = (server("one"), server("other"));
    let url = other.api_url();
    let words = ["refuses the token"];
    home.fails(
        &["--api-url", &*url],
        &[("VM0_API_KEY", one.token())],
        &words,
    );
    assert!(one.requests().is_empty());
}

#[test]
fn an_address_without_a_scheme_means_https() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let home = Home::new(&bench, who);
        let server = server("plain");
        let address = server.api_url().replace("http://", "");
        let place = Place::new(&bench, who, "mnt");
        let mut command = home.mount(&place);
        command
            .env("VM0_API_URL", &address)
            .env("VM0_API_KEY", server.token());
        let said = finish(&mut command);
        assert_eq!(said.code, Some(0), "{said:?}");
        let whole = format!("https://{address}");
        said.told(&["warning", &whole, "does not speak TLS", "http://"]);
        assert!(server.requests().is_empty(), "nothing is sent in the open");
    }
}

#[test]
fn invalid_settings_are_reported_with_file_and_line() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let home = Home::new(&bench, who);
        let url = bench.server.api_url();
        let set = [
            ("VM0_API_URL", &*url),
            ("VM0_API_KEY", bench.server.token()),
        ];
        let file = home.path.join(".config/vm0fs/config.toml");
        let shown = file.to_str().unwrap();
        for (text, words) in [
            ("cache-size = \"50MB\"\ncolour = 1\n", ["line 2", "colour"]),
            ("cache-size = \"many\"\n", ["cache-size", "many"]),
            ("list-ttl = \n", ["line 1", "list-ttl"]),
            ("token = \"secret\"\n", ["line 1", "token-file"]),
        ] {
            home.write(".config/vm0fs/config.toml", text);
            home.fails(&[], &set, &[shown, words[0], words[1]]);
        }
        fs::remove_file(&file).unwrap();

        let missing = home.path.join("missing");
        let missing = missing.to_str().unwrap();
        home.fails(&["--token-file", missing], &set, &[missing, "no such file"]);
        let empty = home.write("empty", "\n");
        let empty = empty.to_str().unwrap();
        home.fails(&["--token-file", empty], &set, &[empty]);
        let two = home.write("two", "one two\n");
        let two = two.to_str().unwrap();
        home.fails(&["--token-file", two], &set, &[two]);

        home.write(".vm0/config.json", "{\"token\": ");
        let words = [".vm0/config.json", "line 1", "vm0 auth login"];
        home.fails(&[], &[("VM0_API_URL", &*url)], &words);
        // It is only looked at where nothing else gives the token.
        assert_eq!(home.shows(&[], &set), "");
    }
}

#[test]
fn a_token_that_others_may_read_is_warned_of() {
    let bench = Bench::new(World::empty());
    let home = Home::new(&bench, Who::Myself);
    let file = home.write("token", bench.server.token());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut command = home.mount(&place);
    command.arg("--token-file").arg(&file);
    command.args(["--api-url", &bench.server.api_url()]);
    let said = finish(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.told(&[file.to_str().unwrap(), "other users may read", "chmod 600"]);
}

#[test]
fn config_file_sets_what_options_set() {
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let home = Home::new(&bench, who);
        home.write(
            ".config/vm0fs/config.toml",
            "cache-dir = \"~/elsewhere\"\ncache-size = \"3MiB\"\nlist-ttl = \"0s\"\n",
        );
        let place = Place::new(&bench, who, "mnt");
        let mut command = home.mount(&place);
        command
            .env("VM0_API_URL", bench.server.api_url())
            .env("VM0_API_KEY", bench.server.token());
        assert_eq!(finish(&mut command).code, Some(0));
        assert!(home.path.join("elsewhere/v1").is_dir());
        let status: serde_json::Value =
            serde_json::from_str(&place.run("cat .vm0fs/status.json")).unwrap();
        assert!(
            status.to_string().contains(&(3u64 << 20).to_string()),
            "{status}"
        );
        bench.server.clear_requests();
        for _ in 0..3 {
            place.run("ls volumes");
        }
        assert!(
            bench.api_calls().len() >= 3,
            "a lifetime of zero asks every time"
        );
    }
}

/// Every file and folder below a folder, and their permission bits.
fn modes_below(path: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            found.extend(modes_below(&path));
        }
        found.push((path, data.permissions().mode() & 0o777));
    }
    found
}

#[test]
fn the_cache_folder_is_private() {
    for who in Who::all() {
        let mut world = World::empty();
        let id = world.add_storage(Kind::Artifact, "secret");
        // A small file and one with a blob of its own.
        let files = vec![
            File::new("small", "for my eyes only"),
            File::new("large", vec![7u8; 3 << 20]),
        ];
        world.add_version(&id, VersionSpec::files(files));
        let bench = Bench::new(world);
        let cache = bench.folder("cache", who);
        // The default, and a folder that was there and is open to all.
        let open = bench.folder("open", who);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, folder) in [("default", cache.join("vm0fs")), ("open", open)] {
            let place = Place::new(&bench, who, name);
            let mut command = place.mount(&bench);
            // The most generous umask must not matter.
            command.env("XDG_CACHE_HOME", &cache);
            if name == "open" {
                command.arg("--cache-dir").arg(&folder);
            } else {
                assert!(!folder.exists());
            }
            assert_eq!(finish(&mut command).code, Some(0));
            let read = place.run("cat artifacts/secret/latest/*");
            assert_eq!(read.len(), (3 << 20) + "for my eyes only".len());
            if name == "default" {
                let mode = fs::metadata(&folder).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o700);
            }
            let found = modes_below(&folder);
            assert!(
                found.iter().any(|(path, _)| path.ends_with("pack")),
                "{found:?}"
            );
            for (path, mode) in found {
                if !path.ends_with("CACHEDIR.TAG") {
                    assert_eq!(mode & 0o077, 0, "{}", path.display());
                }
            }
            if who == Who::Myself && Who::all().contains(&Who::Ordinary) {
                let look = format!("find '{}' -name pack | grep pack", folder.display());
                assert_ne!(finish(&mut script(Who::Ordinary, &look)).code, Some(0));
            }
            finish(&mut place.unmount(&bench)).succeeded();
        }
    }
}

#[test]
fn a_byte_order_mark_before_any_settings_file_is_skipped() {
    // As UTF-8, and as UTF-16 of both orders.
    let codings: [fn(&str) -> Vec<u8>; 3] = [
        |text| format!("\u{feff}{text}").into_bytes(),
        |text| {
            let marked = format!("\u{feff}{text}");
            marked.encode_utf16().flat_map(u16::to_le_bytes).collect()
        },
        |text| {
            let marked = format!("\u{feff}{text}");
            marked.encode_utf16().flat_map(u16::to_be_bytes).collect()
        },
    ];
    for who in Who::all() {
        let bench = Bench::new(World::empty());
        let (logged_in, configured) = (server("logged-in"), server("configured"));
        for code in codings {
            let home = Home::new(&bench, who);
            let write = |name: &str, text: &str| {
                let path = home.write(name, "");
                fs::write(&path, code(text)).unwrap();
                path
            };
            let login = serde_json::json!({
                "token": logged_in.token(), "apiUrl": logged_in.api_url(),
            });
            let login = write(".vm0/config.json", &login.to_string());
            assert_eq!(home.shows(&[], &[]), "logged-in");
            fs::remove_file(login).unwrap();
            write("token", &format!("{}\r\n", configured.token()));
            let text = format!(
                "api-url = \"{}\"\r\ntoken-file = \"~/token\"\r\n",
                configured.api_url()
            );
            let config = write(".config/vm0fs/config.toml", &text);
            assert_eq!(home.shows(&[], &[]), "configured");
            fs::remove_file(config).unwrap();
        }
        // What a shell has read from such a file into a variable.
        let home = Home::new(&bench, who);
        let (url, token) = (configured.api_url(), configured.token());
        let variables = [
            ("VM0_API_URL", format!("\u{feff}{url}")),
            ("VM0_API_KEY", format!("\u{feff}{token}")),
        ];
        let variables = variables
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        assert_eq!(home.shows(&[], &variables), "configured");
    }
}
