//! Completion in the shells themselves: keys are typed into each on a terminal of its
//! own, and what the line then says is what the shell reads of it.

use crate::{
    commands::{Place, finish, shell, soon, until},
    support::{Bench, Who, program},
};
use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};
use vm0fs::demo::{Agent, File, Kind, Run, VersionSpec, World};

/// Names that a shell would read as something else.
const NAMES: [&str; 4] = ["writer", "my agent", "it's \"$(x)\" `y` *", "a:b;c"];

const RUN: &str = "5a747178-328e-4f0a-a5db-eac66ca7f362";

const OTHER_RUN: &str = "dc612345-328e-4f0a-a5db-eac66ca7f362";

const VERSION: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What each shell reads first: how it completes, as the packages install it, and a
/// function in place of the program that says which words it is given.
const SHELLS: [(&str, &str, &str, &str); 3] = [
    (
        "bash",
        ".bashrc",
        "data/bash-completion/completions/vm0fs",
        "PS1='READY> '
         BASH_COMPLETION_USER_DIR=$HOME/data/bash-completion
         . /usr/share/bash-completion/bash_completion
         vm0fs() { printf 'GOT'; printf '<%s>' \"$@\"; echo END; }",
    ),
    (
        "zsh",
        ".zshrc",
        "data/zsh/_vm0fs",
        "PS1='READY> '
         fpath=($HOME/data/zsh $fpath)
         autoload -U compinit; compinit -D -u
         vm0fs() { printf 'GOT'; printf '<%s>' \"$@\"; echo END; }",
    ),
    (
        "fish",
        ".config/fish/config.fish",
        ".config/fish/completions/vm0fs.fish",
        "set -g fish_greeting
         function fish_prompt; echo 'READY> '; end
         function vm0fs; printf 'GOT'; printf '<%s>' $argv; echo END; end",
    ),
];

/// Agents of such names.
fn world() -> World {
    let mut world = World::empty();
    let then = world.ago(60);
    for name in NAMES.into_iter().chain(["e\u{1b}[2Jvil"]) {
        world.add_agent(Agent::new(name, then));
    }
    let run = Run::new("writer", then).prompt("Wr\u{1b}[2Jite");
    world.add_run(run.id(RUN));
    for (kind, name) in [(Kind::Artifact, "site"), (Kind::Volume, "raw data")] {
        let storage = world.add_storage(kind, name);
        let files = vec![File::new("a", name)];
        let version = VersionSpec::files(files).id(VERSION).message("The\nfirst");
        world.add_version(&storage, version);
    }
    world
}

/// A shell on a terminal.
struct Session {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
}

impl Session {
    fn start(bench: &Bench, who: Who, shell: &str) -> Self {
        let (_, settings, script, text) = SHELLS.iter().find(|(name, ..)| *name == shell).unwrap();
        let home = bench.folder(&format!("home-{who:?}"), who);
        let place = |name: &str| -> PathBuf {
            let path = home.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        fs::write(place(settings), text).unwrap();
        let said = finish(bench.command(who).args(["completions", shell]));
        fs::write(place(script), said.succeeded()).unwrap();
        let programs = place("bin/vm0fs");
        let _ = fs::remove_file(&programs);
        std::os::unix::fs::symlink(program(), &programs).unwrap();
        let shell = match shell {
            "bash" => "bash --noprofile -i",
            "zsh" => "zsh -i",
            _ => "fish -i",
        };
        let mut command = bench.command_of(Path::new("script"), who);
        let path = format!("{}:/usr/bin:/bin", programs.parent().unwrap().display());
        let mut child = command
            .args(["-qec", shell, "/dev/null"])
            .env("PATH", path)
            .env("TERM", "dumb")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let screen = Arc::<Mutex<String>>::default();
        let mut shown = child.stdout.take().unwrap();
        let written = screen.clone();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]);
                written.lock().unwrap().push_str(&text);
            }
        });
        let keys = child.stdin.take().unwrap();
        let session = Self {
            child,
            keys,
            screen,
        };
        session.wait("READY> ");
        session
    }

    fn shows(&self, text: &str) -> bool {
        self.screen.lock().unwrap().contains(text)
    }

    #[track_caller]
    fn wait(&self, text: &str) {
        until(text, || self.shows(text));
    }

    /// The words of the line that `keys` make, in which a tab completes.
    #[track_caller]
    fn words(&mut self, keys: &str) -> Vec<String> {
        self.screen.lock().unwrap().clear();
        write!(self.keys, "vm0fs {keys}\r").unwrap();
        self.wait(">END");
        self.wait("READY> ");
        let screen = self.screen.lock().unwrap();
        let (_, got) = screen.split_once("GOT<").unwrap();
        let (got, _) = got.split_once(">END").unwrap();
        got.split("><").map(str::to_owned).collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.keys.write_all(b"exit\r");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn shells_complete_what_is_typed() {
    let bench = Bench::new(world());
    for who in Who::all() {
        let place = Place::mounted(&bench, who, "my 'mount'");
        let shown = place.path.to_str().unwrap();
        let typed = shown.split_once(" '").unwrap().0;
        let list = "ls runs artifacts volumes; cat */*/.versions.json";
        shell(who, &format!("cd \"{shown}\" && {list}"));
        for (name, ..) in SHELLS {
            let mut session = Session::start(&bench, who, name);
            bench.server.clear_requests();
            let mut check = |keys: &str, expected: &[&str]| {
                assert_eq!(session.words(keys), expected, "{name}: {keys}");
            };
            check("unmo\t", &["unmount"]);
            check("doctor --f\t", &["doctor", "--fix"]);
            check("mount --verify=st\t", &["mount", "--verify=strict"]);
            check("mount --crawlers al\t", &["mount", "--crawlers", "allow"]);
            check("help trou\t", &["help", "troubleshooting"]);
            check("cache unp\t", &["cache", "unpin"]);
            // What the mount's listing left on disk, without a call.
            check("run wr\t", &["run", "writer"]);
            check("run my\t -f", &["run", "my agent", "-f"]);
            check("run my\\ a\t -f", &["run", "my agent", "-f"]);
            check("run \"my a\t -f", &["run", "my agent", "-f"]);
            check("run 'my a\t -f", &["run", "my agent", "-f"]);
            check("run it\t", &["run", NAMES[2]]);
            check("run a:\t", &["run", NAMES[3]]);
            check("logs 5a\t -f", &["logs", RUN, "-f"]);
            check("diff si\t l\t 01\t", &["diff", "site", "latest", VERSION]);
            let volume = ["diff", "volumes/raw data", "latest"];
            check("diff volumes/r\t l\t", &volume);
            check("cancel my\t", &["cancel", "my agent/latest"]);
            check(
                "ls runs --agent=\"my\t",
                &["ls", "runs", "--agent=my agent"],
            );
            for command in ["unmount", "upgrade", "status"] {
                check(&format!("{command} {typed}\t"), &[command, shown]);
            }
            check("mount /usr/sh\tx", &["mount", "/usr/share/x"]);
            let option = "--cache-dir=/usr/share/x";
            check("mount --cache-dir=/usr/sh\tx", &["mount", option]);
            // A file of one's own home.
            let home = bench.folder(&format!("home-{who:?}"), who);
            let token = home.join("zoken").display().to_string();
            fs::write(&token, "").unwrap();
            let option = format!("--token-file={token}");
            check(
                "mount --token-file ~/zo\t",
                &["mount", "--token-file", &token],
            );
            check(
                &format!("mount --token-file={}/zo\t", home.display()),
                &["mount", &option],
            );
            bench.expect_calls(0, name);
        }
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn a_bash_before_4_4_completes_too() {
    let bench = Bench::new(World::empty());
    let mut command = bench.command_of(Path::new("bash"), Who::Myself);
    let script = r#"
        complete() {
            case "$*" in *nosort*) echo "nosort: invalid option name" >&2; return 2 ;; esac
            builtin complete "$@"
        }
        . <("$PROGRAM" completions bash)
        builtin complete -p vm0fs"#;
    let said = finish(command.args(["-ec", script]).env("PROGRAM", program()));
    assert_eq!(said.err, "", "{said:?}");
    assert_eq!(said.succeeded(), "complete -F _vm0fs vm0fs\n");
}

/// What is offered for the last of `words`.
#[track_caller]
fn offered(bench: &Bench, who: Who, words: &[&str]) -> Vec<String> {
    offered_by(bench.command(who), words)
}

#[track_caller]
fn offered_by(mut command: Command, words: &[&str]) -> Vec<String> {
    let said = finish(command.args(["complete", "--"]).args(words));
    assert_eq!(said.err, "", "{said:?}");
    let text = said.succeeded();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("values"), "{text}");
    lines.map(str::to_owned).collect()
}

#[test]
fn a_tab_writes_nothing_and_calls_no_service() {
    let bench = Bench::new(world());
    let home = bench.folder("home-Myself", Who::Myself);
    offered(&bench, Who::Myself, &["vm0fs", "run", ""]);
    bench.expect_calls(0, "a tab");
    assert!(!home.join(".cache").exists(), "no folder is made");
    let place = Place::mounted(&bench, Who::Myself, "mnt");
    // As the mount spells the one with an escape.
    let mut expected = Vec::from(NAMES);
    expected.push("e%1B[2Jvil");
    expected.sort();
    come_to_be(&expected, || {
        let mut agents = offered(&bench, Who::Myself, &["vm0fs", "run", ""]);
        agents.sort();
        agents
    });
    place.run("ls runs");
    let runs = offered(&bench, Who::Myself, &["vm0fs", "cancel", "latest", "5"]);
    assert!(runs[0].starts_with(RUN) && runs.len() == 1, "{runs:?}");
    assert!(runs[0].ends_with(": Wr [2Jite"), "{runs:?}");
    let mut ask = bench.command(Who::Myself);
    let ask = ask.args(["complete", "--worker", "--"]).arg(&place.path);
    let said = finish(ask.args(["Agents", "", "", ""]));
    let mut told: Vec<String> = said.succeeded().lines().map(str::to_owned).collect();
    assert_eq!(told.remove(0), "listed");
    told.sort();
    assert_eq!(told, expected);
}

/// The texts of what is offered.
fn texts(offered: &[String]) -> Vec<&str> {
    let texts = offered.iter().map(|line| line.split('\t').next().unwrap());
    texts.collect()
}

/// Asserts what comes to be offered. A mount may take too long for one TAB.
#[track_caller]
fn come_to_be(expected: &[&str], offered: impl Fn() -> Vec<String>) {
    let mut last = Vec::new();
    soon(|| {
        last = offered();
        texts(&last) == expected
    });
    assert_eq!(texts(&last), expected);
}

#[test]
fn a_listing_on_disk_hides_no_other_that_a_mount_knows() {
    let bench = Bench::new(world());
    for who in Who::all() {
        let place = Place::mounted(&bench, who, "mnt");
        place.run("ls agents volumes");
        let check = |words: &[&str], expected: &[&str]| {
            come_to_be(expected, || offered(&bench, who, words));
        };
        check(&["vm0fs", "logs", "5"], &[RUN]);
        check(&["vm0fs", "diff", ""], &["site", "volumes/raw data"]);
        let volume = "volumes/raw data";
        check(&["vm0fs", "diff", volume, ""], &["latest", VERSION]);
        // On disk by now: with this option no mount is asked.
        let words = ["vm0fs", "diff", "--timeout", "30s", volume, ""];
        check(&words, &["latest", VERSION]);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

#[test]
fn values_are_those_of_the_mount_or_the_account_that_the_command_will_use() {
    let who = *Who::all().last().unwrap();
    let mut world_of_other = World::empty();
    let then = world_of_other.ago(60);
    world_of_other.add_agent(Agent::new("painter", then));
    world_of_other.add_run(Run::new("painter", then).id(OTHER_RUN));
    let other = Bench::new(world_of_other);
    let bench = Bench::new(world());
    // First in the kernel's table.
    let theirs = Place::mounted(&other, who, "theirs");
    theirs.run("ls runs");
    let there = theirs.path.to_str().unwrap();
    let check = |command: &dyn Fn() -> Command, options: &[&str], expected: &[&str]| {
        let words = [&["vm0fs", "logs"], options, &[""]].concat();
        come_to_be(expected, || {
            let mut offered = offered_by(command(), &words);
            let is_run = |line: &String| line.starts_with(RUN) || line.starts_with(OTHER_RUN);
            offered.retain(is_run);
            offered
        });
    };
    let ours = || bench.command(who);
    let standing_there = || {
        let mut command = ours();
        command.current_dir(&theirs.path);
        command
    };
    let without_token = || {
        let mut command = ours();
        command.env_remove("VM0_API_KEY");
        command
    };
    check(&ours, &[], &[]);
    // The only mount there is.
    check(&without_token, &[], &[OTHER_RUN]);
    let mount = Place::mounted(&bench, who, "mnt");
    check(&ours, &[], &[RUN]);
    check(&without_token, &[], &[]);
    check(&ours, &["--mountpoint", there], &[OTHER_RUN]);
    check(&standing_there, &[], &[OTHER_RUN]);
    // It starts runs by itself, not through a mount.
    let agents = |typed| offered_by(standing_there(), &["vm0fs", "run", typed]);
    come_to_be(&["writer"], || agents("wri"));
    come_to_be(&[], || agents("pai"));

    // No mount is asked where options say how the service is reached.
    let folder = bench.folder("options", who);
    let token = folder.join("token");
    fs::write(&token, other.server.token()).unwrap();
    std::os::unix::fs::chown(&token, who.ids().map(|ids| ids.0), None).unwrap();
    let url = format!("--api-url={}", other.server.api_url());
    let options = ["--token-file", token.to_str().unwrap(), &url, "--cache-dir"];
    let cache = other
        .folder(&format!("home-{who:?}"), who)
        .join(".cache/vm0fs");
    let with = |cache: &Path, expected: &[&str]| {
        let options = [&options[..], &[cache.to_str().unwrap()]].concat();
        check(&ours, &options, expected);
    };
    with(&cache, &[OTHER_RUN]);
    with(&folder, &[]);
    finish(&mut mount.unmount(&bench)).succeeded();
    finish(&mut theirs.unmount(&other)).succeeded();
}

#[test]
fn a_mount_that_hangs_and_settings_that_are_wrong_cost_the_user_nothing() {
    let bench = Bench::new(world());
    let who = *Who::all().last().unwrap();
    let place = Place::mounted(&bench, who, "mnt");
    place.stop();
    let shown = place.path.to_str().unwrap();
    assert_eq!(offered(&bench, who, &["vm0fs", "unmount", shown]), [shown]);
    // Without a token only a mount could tell.
    let mut command = bench.command(who);
    command.env_remove("VM0_API_KEY");
    let said = finish(command.args(["complete", "--", "vm0fs", "run", ""]));
    assert_eq!(said.err, "", "{said:?}");
    assert!(said.succeeded().starts_with("values\n"));
    place.signal_all(nix::sys::signal::SIGCONT);
    let mut command = bench.command(who);
    command.env("VM0_API_URL", "no url: \n");
    let said = finish(command.args(["complete", "--", "vm0fs", "run", "--js"]));
    assert_eq!(said.err, "", "{said:?}");
    assert!(said.succeeded().starts_with("values\n--json\t"));
}
