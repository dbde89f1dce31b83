//! `vm0fs cache` on real mounts.

use crate::support::{Bench, Mount, ORDINARY_USER, SOON, Who, noise_of};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::{File, Kind, VersionSpec, World};

pub(super) const MIB: usize = 1 << 20;

/// A volume for each name, of one version with one file `f` of that many bytes.
pub(super) fn world(names: &[&str], bytes: usize) -> (World, Vec<String>) {
    let mut world = World::empty();
    let mut ids = Vec::new();
    for (seed, name) in names.iter().enumerate() {
        let storage = world.add_storage(Kind::Volume, name);
        let file = File::new("d/f", noise_of(seed as u64 + 1, bytes));
        let spec = VersionSpec::files(vec![file, File::new("empty", "")]);
        ids.push(world.add_version(&storage, spec));
    }
    (world, ids)
}

/// `vm0fs` without a token, in the folder of the mount.
pub(super) fn command(bench: &Bench, who: Who, mount: &Mount, arguments: &[&str]) -> Command {
    let mut command = bench.command(who);
    command
        .env_remove("VM0_API_KEY")
        .env_remove("VM0_API_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The folder is entered by a shell: it may belong to another user.
    let arguments: Vec<String> = arguments.iter().map(|a| format!("'{a}'")).collect();
    let script = format!(
        "cd '{}' && exec '{}' {}",
        mount.path().display(),
        crate::support::program().display(),
        arguments.join(" ")
    );
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    if let Some((uid, gid)) = who.ids() {
        std::os::unix::process::CommandExt::uid(&mut shell, uid);
        std::os::unix::process::CommandExt::gid(&mut shell, gid);
    }
    shell
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    shell
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// A mount and its cache, and `vm0fs` run on them.
pub(super) struct Setting<'a> {
    pub(super) bench: &'a Bench,
    pub(super) who: Who,
    pub(super) mount: Mount,
    pub(super) cache: PathBuf,
}

impl<'a> Setting<'a> {
    pub(super) fn new(bench: &'a Bench, who: Who, arguments: &[&str]) -> Self {
        let cache = bench.folder(&format!("cache-{who:?}"), who);
        let mut mounting = bench
            .mount_as(who)
            .with(["--cache-dir", cache.to_str().unwrap()]);
        for argument in arguments {
            mounting = mounting.with([*argument]);
        }
        Self {
            bench,
            who,
            mount: mounting.start(),
            cache,
        }
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        command(self.bench, self.who, &self.mount, arguments)
            .output()
            .unwrap()
    }

    /// Runs `vm0fs`, which must succeed; gives what it wrote.
    #[track_caller]
    pub(super) fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
        text
    }

    /// Runs `vm0fs`, which must fail; gives what it wrote.
    #[track_caller]
    pub(super) fn bad(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
        text
    }

    /// A `vm0fs cache` command on this cache.
    pub(super) fn cache<'b>(&'b self, arguments: &[&'b str]) -> Vec<&'b str> {
        let mut all = vec!["cache"];
        all.extend_from_slice(arguments);
        all.extend(["--cache-dir", self.cache.to_str().unwrap()]);
        all
    }

    pub(super) fn list(&self) -> Vec<Value> {
        let text = self.good(&self.cache(&["ls", "--json"]));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub(super) fn version(&self, id: &str) -> Value {
        let list = self.list();
        let found = list.iter().find(|item| item["version"] == id);
        found.unwrap_or_else(|| panic!("{id}: {list:?}")).clone()
    }

    pub(super) fn xattr(&self, path: &str, name: &str) -> Option<String> {
        let output = self
            .mount
            .try_run(&format!("getfattr --only-values -n user.vm0.{name} {path}"));
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    pub(super) fn folder(&self, id: &str) -> PathBuf {
        let key = self.version(id)["key"].as_str().unwrap().to_owned();
        self.cache.join("v1/versions").join(key)
    }
}

#[test]
fn pinned_versions_are_not_evicted() {
    for who in Who::all() {
        let (world, ids) = world(&["keep", "b", "c", "d"], 2 * MIB);
        let bench = Bench::new(world);
        let setting = Setting::new(&bench, who, &["--cache-size", "5MiB"]);
        let out = setting.good(&["cache", "pin", "volumes/keep/latest/d"]);
        assert!(
            out.contains("volumes/keep/latest/d: pinned\n"),
            "{who:?}: {out}"
        );
        let out = setting.good(&["cache", "pin", "volumes/keep"]);
        assert_eq!(out, "volumes/keep: already pinned\n", "{who:?}");
        for name in ["b", "c", "d"] {
            // Not `cat`, which may be done before the version is sealed.
            setting.good(&["prefetch", &format!("volumes/{name}")]);
        }
        let keep = setting.version(&ids[0]);
        assert_eq!(
            (&keep["pinned"], &keep["content"]),
            (&true.into(), &true.into())
        );
        assert_eq!(setting.version(&ids[1])["content"], false, "{who:?}");
        // The name and whole output of the table, as people see it.
        let table = setting.good(&setting.cache(&["ls"]));
        let line = table.lines().find(|line| line.contains(" keep ")).unwrap();
        assert!(line.starts_with("volumes"), "{table}");
        assert!(
            line.contains(&ids[0][..12]) && line.ends_with("ago"),
            "{table}"
        );
        // Everything pinned and no room: told by name.
        setting.good(&["cache", "pin", "volumes/d"]);
        let out = setting.bad(&["prefetch", "volumes/b"]);
        assert!(out.contains("pinned versions hold"), "{who:?}: {out}");
        assert!(setting.mount.cat(".vm0fs/errors").contains("cache unpin"));
        let dir = setting.cache.to_str().unwrap();
        let out = setting.good(&["cache", "unpin", &ids[0][..10], "--cache-dir", dir]);
        assert!(out.contains("no longer pinned"), "{who:?}: {out}");
        let out = setting.good(&["cache", "unpin", "volumes/keep"]);
        assert!(out.contains("was not pinned"), "{who:?}: {out}");
        thread::sleep(Duration::from_millis(2100));
        setting.good(&["prefetch", "volumes/b"]);
        assert_eq!(setting.version(&ids[0])["content"], false, "{who:?}");
        // Pins outlive their content and the mount.
        let out = setting.good(&setting.cache(&["clear", "--pinned"]));
        assert!(out.contains("the content of 2 versions"), "{who:?}: {out}");
        assert_eq!(setting.version(&ids[3])["pinned"], true);
        setting.good(&["prefetch", "volumes/d"]);
        let item = setting.version(&ids[3]);
        assert_eq!(
            (&item["pinned"], &item["content"]),
            (&true.into(), &true.into())
        );
    }
}

#[test]
fn pin_takes_a_whole_id_and_refuses_an_ambiguous_one() {
    let mut world = World::empty();
    let storage = world.add_storage(Kind::Artifact, "void");
    world.add_version(&storage, VersionSpec::files(Vec::new()));
    let storage = world.add_storage(Kind::Artifact, "full");
    let first = VersionSpec::files(vec![File::new("f", "x")]).id("aaaa1111bbbb");
    world.add_version(&storage, first);
    let second = VersionSpec::files(vec![File::new("f", "y")]).id("aaaa2222bbbb");
    world.add_version(&storage, second);
    let bench = Bench::new(world);
    let setting = Setting::new(&bench, Who::Myself, &[]);
    let out = setting.good(&["cache", "pin", "artifacts/void"]);
    assert!(out.contains("nothing to pin"), "{out}");
    let out = setting.bad(&setting.cache(&["pin", "aaaa1111"]));
    assert!(out.contains("nor is it a path"), "{out}");
    setting.good(&[
        "prefetch",
        "artifacts/full/aaaa1111bbbb",
        "artifacts/full/aaaa2222bbbb",
    ]);
    let out = setting.bad(&setting.cache(&["pin", "aaaa"]));
    assert!(out.contains("begins the ids of 2 versions"), "{out}");
    let out = setting.bad(&setting.cache(&["pin", "aaa"]));
    assert!(out.contains("aaa: No such file"), "{out}");
    let out = setting.bad(&setting.cache(&["pin", "aaaa2", "/etc/passwd"]));
    assert!(
        out.contains("artifacts/full/aaaa2222bbbb: pinned\n"),
        "{out}"
    );
    assert!(out.contains("/etc/passwd is not in a vm0fs mount"), "{out}");
    assert_eq!(setting.version("aaaa2222bbbb")["pinned"], true);
    assert_eq!(setting.version("aaaa1111bbbb")["pinned"], false);
    // A file elsewhere with a forged attribute is no version.
    let forged = bench.dir().join("forged");
    fs::write(&forged, "x").unwrap();
    let out = setting.bad(&["cache", "pin", forged.to_str().unwrap()]);
    assert!(out.contains("not in a vm0fs mount"), "{out}");
}

#[test]
fn cache_verify_finds_and_fixes_damage() {
    for who in Who::all() {
        let (world, ids) = world(&["good", "hurt", "lost"], 100_000);
        let bench = Bench::new(world);
        let setting = Setting::new(&bench, who, &[]);
        setting.good(&["prefetch", "volumes/good", "volumes/hurt", "volumes/lost"]);
        let out = setting.good(&setting.cache(&["verify"]));
        assert!(out.contains("3 verified, 0 damaged"), "{who:?}: {out}");
        assert_eq!(out.matches("its id is the hash").count(), 3, "{out}");
        let pack = setting.folder(&ids[1]).join("pack");
        let file = fs::File::options().write(true).open(&pack).unwrap();
        file.write_all_at(b"harm", 50_000).unwrap();
        fs::write(setting.folder(&ids[2]).join("tree"), "no tree").unwrap();
        for _ in 0..2 {
            let out = setting.bad(&setting.cache(&["verify"]));
            assert!(out.contains("3 verified, 2 damaged"), "{who:?}: {out}");
            let hurt = out.lines().find(|line| line.contains("/hurt/")).unwrap();
            assert!(
                hurt.contains("DAMAGED content: the content has another hash"),
                "{out}"
            );
            let lost = out.lines().find(|line| line.contains("/lost/")).unwrap();
            assert!(lost.contains("BROKEN: the index"), "{out}");
        }
        let out = setting.bad(&setting.cache(&["verify", "--fix"]));
        assert!(out.contains("to be fetched again"), "{who:?}: {out}");
        let out = setting.good(&setting.cache(&["verify"]));
        assert!(out.contains("2 verified, 0 damaged"), "{who:?}: {out}");
        bench.server.clear_requests();
        let out = setting.good(&["prefetch", "volumes/hurt", "volumes/lost"]);
        assert_eq!(bench.downloads().len(), 2, "{who:?}: {out}");
        let out = setting.good(&setting.cache(&["verify"]));
        assert!(out.contains("3 verified, 0 damaged"), "{who:?}: {out}");
    }
}

#[test]
fn cache_clear_works_beside_a_mount() {
    for who in Who::all() {
        let (world, ids) = world(&["open", "idle", "kept"], 400_000);
        let bench = Bench::new(world);
        let setting = Setting::new(&bench, who, &[]);
        setting.good(&["prefetch", "volumes/open", "volumes/idle"]);
        setting.good(&["cache", "pin", "volumes/kept"]);
        // Held open by its owner until the test says so.
        let fifo = bench.folder("fifo", who).join("f");
        let script = format!(
            "mkfifo {0}; exec 3< volumes/open/latest/d/f; read -r < {0}; cksum <&3",
            fifo.display()
        );
        thread::scope(|scope| {
            let reader = scope.spawn(|| setting.mount.run(&script));
            let end = Instant::now() + SOON;
            while !fifo.exists() {
                assert!(Instant::now() < end);
                thread::sleep(Duration::from_millis(10));
            }
            // The fifo comes before the file is open: see that it is.
            let cleared = loop {
                let out = setting.good(&setting.cache(&["clear"]));
                assert!(out.contains("kept 1 pinned"), "{who:?}: {out}");
                if out.contains("kept 1 that a process has open") {
                    break out;
                }
                assert!(Instant::now() < end, "{out}");
                setting.good(&["prefetch", "volumes/open", "volumes/idle"]);
            };
            assert!(
                cleared.contains("the content of 1 version;"),
                "{who:?}: {cleared}"
            );
            assert_eq!(setting.version(&ids[1])["content"], false);
            assert_eq!(setting.version(&ids[0])["content"], true);
            fs::write(&fifo, "go\n").unwrap();
            assert!(reader.join().unwrap().ends_with(" 400000\n"));
        });
        // The tree stays: no download for it.
        bench.server.clear_requests();
        setting.mount.run("find volumes/idle/latest/ -printf %s");
        assert_eq!(bench.downloads().len(), 0, "{who:?}");
        setting.mount.run("cksum < volumes/idle/latest/d/f");
        setting.good(&["prefetch", "volumes/idle"]);
        // What it needs first, and the rest.
        let downloads = bench.downloads().len();
        assert!((1..=2).contains(&downloads), "{who:?}: {downloads}");
        let sums = setting.good(&setting.cache(&["du"]));
        assert!(
            sums.contains("of it pinned") && sums.contains("3 versions"),
            "{sums}"
        );
        let sums: Value =
            serde_json::from_str(&setting.good(&setting.cache(&["du", "--json"]))).unwrap();
        assert_eq!(sums["content"], 1_200_000, "{who:?}: {sums}");
        // A page of the mount's stands for a second.
        thread::sleep(Duration::from_millis(1100));
        let status: Value = serde_json::from_str(&setting.mount.cat(".vm0fs/status.json")).unwrap();
        assert_eq!(status["cache"]["bytes"], sums["total"], "{who:?}");
        let out = setting.good(&setting.cache(&["clear", "--all", "--pinned"]));
        assert!(out.contains("3 versions"), "{who:?}: {out}");
        assert_eq!(setting.list().len(), 0);
        assert_eq!(
            setting.good(&setting.cache(&["clear"])),
            "nothing to free\n"
        );
        // The mount goes on.
        let out = setting.mount.run("cat volumes/*/latest/d/f | wc -c");
        assert_eq!(out.trim(), "1200000", "{who:?}");
    }
}

#[test]
fn cache_commands_report_a_missing_cache_as_empty() {
    let bench = Bench::new(World::empty());
    let run = |arguments: &[&str]| {
        let mut command = bench.command(Who::Myself);
        command.env_remove("VM0_API_KEY").env_remove("VM0_API_URL");
        command.args(arguments).output().unwrap()
    };
    // The folder may be one of config.toml, with a slip there.
    let told = ".cache/vm0fs yet\n";
    for (arguments, words) in [
        (&["cache", "ls"][..], "KIND"),
        (&["cache", "du"], "0 % of"),
        (&["cache", "verify"], ""),
        (&["cache", "clear", "--all"], "nothing to free"),
    ] {
        let output = run(arguments);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
        assert!(text(&output).ends_with(told), "{}", text(&output));
    }
    assert_eq!(run(&["cache", "ls", "--json"]).stdout, b"[]\n");
    let home = bench.folder("home-Myself", Who::Myself);
    assert!(!home.join(".cache").exists(), "a look makes nothing");
    // One that a user names is to be there.
    for words in [&["ls"][..], &["du"], &["verify"], &["clear"]] {
        let named = [&["cache", "--cache-dir", "/none"][..], words].concat();
        let output = run(&named);
        assert!(!output.status.success(), "{}", text(&output));
        assert!(
            text(&output).contains("no cache in /none"),
            "{}",
            text(&output)
        );
    }
}

#[test]
#[ignore = "needs root"]
fn the_cache_of_another_user_is_refused() {
    let bench = Bench::new(World::empty());
    let mine = bench.folder("mine", Who::Myself);
    fs::create_dir_all(mine.join("v1/versions")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&mine, mode).unwrap();
    let mut command = bench.command(Who::Ordinary);
    let output = command
        .args(["cache", "ls", "--cache-dir"])
        .arg(Path::new(&mine))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "as {ORDINARY_USER}");
    assert!(
        text(&output).contains("Permission denied"),
        "{}",
        text(&output)
    );
}
