//! What a user meets first: no token, a first download, and a command that fails.

use super::{Place, finish, small_world, until};
use crate::support::{
    Bench, Who,
    fake::{Action, Fault},
    is_mounted, noise, program,
    watched::Watched,
};
use vm0fs::demo::{File, Kind, VersionSpec};

/// What stands where the program asks for the demo.
const QUESTION: &str = "Mount the demo instead";

/// `vm0fs mount` on a terminal, and its keys.
fn on_a_terminal(
    bench: &Bench,
    place: &Place,
    before: &str,
) -> (Watched, std::process::ChildStdin) {
    let mount = format!(
        "{before} {} mount {}; echo left with $?",
        program().display(),
        place.path.display()
    );
    Watched::on_a_terminal(bench, place.who, &mount)
}

#[test]
fn mounting_without_a_token_on_a_terminal_offers_the_demo() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let without = "env -u VM0_API_KEY TMPDIR=$HOME";
        let (mut terminal, mut keys) = on_a_terminal(&bench, &place, without);
        terminal.expect(QUESTION);
        Watched::type_in(&mut keys, "n\n");
        terminal.expect("left with 1");
        assert!(
            terminal.text().contains("no API token"),
            "{}",
            terminal.text()
        );
        assert!(!place.path.exists());
        drop(keys);
        terminal.end();

        // Options are for another mount than that.
        let program = program().display();
        for options in ["--offline", "--read-only", "--api-url http://127.0.0.1:1"] {
            let path = place.path.display();
            let mount = format!("{without} {program} mount {options} {path}; echo left with $?");
            let (mut terminal, keys) = Watched::on_a_terminal(&bench, who, &mount);
            terminal.expect("left with 1");
            let text = terminal.text();
            assert!(text.contains("no API token"), "{text}");
            assert!(!text.contains(QUESTION), "{text}");
            drop(keys);
            terminal.end();
        }

        let (mut terminal, mut keys) = on_a_terminal(&bench, &place, without);
        terminal.expect(QUESTION);
        Watched::type_in(&mut keys, "\n");
        terminal.expect("The demo is mounted at");
        assert!(is_mounted(&place.path));
        place.run("cat agents/*/agent.json > /dev/null");
        // Ctrl-C.
        Watched::type_in(&mut keys, "\u{3}");
        terminal.expect("left with 0");
        until("the demo is gone", || !is_mounted(&place.path));
        drop(keys);
        terminal.end();

        // With a token there is nothing to ask, nor where no user is there.
        let (mut terminal, keys) = on_a_terminal(&bench, &place, "");
        terminal.expect("left with 0");
        assert!(!terminal.text().contains(QUESTION), "{}", terminal.text());
        drop(keys);
        terminal.end();
        finish(&mut place.unmount(&bench)).succeeded();
        let said = finish(place.mount(&bench).env_remove("VM0_API_KEY"));
        said.failed(&["no API token", "vm0fs demo"]);
        assert!(!said.err.contains(QUESTION), "{said:?}");
    }
}

/// The volume `model` takes three seconds to come.
fn with_a_slow_download() -> Bench {
    let mut world = small_world();
    let storage = world.add_storage(Kind::Volume, "model");
    let files = vec![File::new("weights", noise(3 << 20))];
    world.add_version(&storage, VersionSpec::files(files));
    let bench = Bench::new(world);
    bench.server.fault(Fault::store(Action::Rate {
        bytes_per_second: 1 << 20,
    }));
    bench
}

#[test]
fn a_slow_download_has_a_line_on_the_terminal_of_a_mount_in_the_foreground() {
    let bench = with_a_slow_download();
    for is_piped in [false, true] {
        let place = Place::new(&bench, Who::Myself, "mnt");
        let options = format!("-f --cache-dir {}/cache-{is_piped}", bench.dir().display());
        let pipe = if is_piped { "2>&1 | cat" } else { "" };
        let mount = format!(
            "{} mount {options} {} {pipe}; echo left",
            program().display(),
            place.path.display()
        );
        let (mut terminal, keys) = Watched::on_a_terminal(&bench, place.who, &mount);
        terminal.expect("mounted at");
        let read = "cat volumes/model/latest/weights > /dev/null";
        let reader = super::Running::script(place.who, &place.inside(read));
        if !is_piped {
            terminal.expect("volumes/model/");
            terminal.expect(" MiB of ");
        }
        until("the file has been read", || {
            place.run("cat .vm0fs/transfers").contains("done in")
        });
        drop(reader);
        finish(&mut place.unmount(&bench)).succeeded();
        terminal.expect("left");
        drop(keys);
        terminal.end();
        if is_piped {
            let text = terminal.text();
            assert!(!text.contains(['\u{1b}', '[']), "{text:?}");
        }
    }
}

#[test]
fn commands_that_wait_for_a_mount_show_its_slow_download_within_the_terminal() {
    const COLUMNS: usize = 60;
    for words in ["diff volumes/model latest latest", "prefetch volumes/model"] {
        let bench = with_a_slow_download();
        let place = Place::mounted(&bench, Who::Myself, "mnt");
        let script = format!(
            "stty rows 24 cols {COLUMNS}; cd {}; {} {words}; echo left with $?",
            place.path.display(),
            program().display()
        );
        let (mut terminal, keys) = Watched::on_a_terminal(&bench, place.who, &script);
        terminal.expect(" of 3.0 MiB");
        terminal.expect("left with 0");
        drop(keys);
        terminal.end();
        let text = terminal.text();
        let drawn = text.split(['\r', '\n', '\u{1b}']);
        for line in drawn.filter(|line| line.contains(" of 3.0 MiB")) {
            let line = line.trim_start_matches("[2K");
            assert!(line.chars().count() <= COLUMNS, "{line:?} of {text:?}");
        }
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn a_command_without_a_mount_shows_a_slow_download_on_its_terminal_alone() {
    let bench = with_a_slow_download();
    let words = |cache: &str| {
        let mut command = bench.command(Who::Myself);
        command.args(["diff", "volumes/model", "latest", "latest", "--cache-dir"]);
        command.arg(bench.dir().join(cache));
        command
    };
    let line = format!(
        "{} diff volumes/model latest latest --cache-dir {}; echo left with $?",
        program().display(),
        bench.dir().join("seen").display()
    );
    let (mut terminal, keys) = Watched::on_a_terminal(&bench, Who::Myself, &line);
    terminal.expect("volumes/model/");
    terminal.expect(" MiB of ");
    terminal.expect("left with 0");
    drop(keys);
    terminal.end();
    let said = finish(&mut words("unseen"));
    assert_eq!((said.code, &*said.out, &*said.err), (Some(0), "", ""));
}

#[test]
fn a_command_tells_a_failure_once_and_what_to_do() {
    let mut bench = Bench::at_own_address(small_world());
    let commands: [&[&str]; 7] = [
        &["ls", "runs"],
        &["logs", "latest"],
        &["logs", "latest", "--follow"],
        &["cancel", "latest"],
        &["run", "writer", "Go"],
        &["run", "writer", "Go", "--follow"],
        &["diff", "site", "latest", "latest"],
    ];
    for words in commands {
        let mut command = bench.command(Who::Myself);
        let said = finish(command.args(words).env("VM0_API_KEY", "not-the-token"));
        assert_eq!(said.code, Some(if words[0] == "diff" { 2 } else { 1 }));
        said.told(&["401", "vm0 auth login"]);
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
    let mut away: Vec<_> = commands.map(|_| bench.command(Who::Myself)).into();
    bench.end_server();
    for (command, words) in away.iter_mut().zip(commands) {
        // Of another test's folder: no answer is known.
        let said = finish(
            command
                .args(words)
                .arg("--cache-dir")
                .arg(bench.dir().join("none")),
        );
        let told = ["cannot connect", "Connection refused"];
        assert_eq!(said.code, Some(if words[0] == "diff" { 2 } else { 1 }));
        said.told(&told);
        said.told(&["--api-url", "vm0fs doctor"]);
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
    }
}

#[test]
fn a_report_has_what_a_bug_report_needs_and_no_secret() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let mut command = bench.command(who);
        command.args(["doctor", "--report"]);
        let home = bench.dir().join(format!("home-{who:?}"));
        let config = home.join(".config/vm0fs/config.toml");
        let text = "cache-size = \"1GiB\"\nlist-ttl = \"7s\"\n";
        let script = format!(
            "mkdir -p '{0}' && printf '{text}' > '{1}'",
            config.parent().unwrap().display(),
            config.display()
        );
        super::shell(who, &script);
        let said = finish(&mut command);
        for word in [
            concat!("vm0fs ", env!("CARGO_PKG_VERSION")),
            "kernel        Linux",
            "distribution",
            "token                   set (VM0_API_KEY)",
            "cache-dir               ~/.cache/vm0fs (the default)",
            "cache-size              1.0 GiB  (config.toml)",
            "list-ttl                7s  (config.toml)",
            "VM0_API_KEY, VM0_API_URL",
            "ok    token: the API takes it",
            "Log ~/.local/state/vm0fs/vm0fs.log",
        ] {
            let has = said
                .out
                .replace("  (", " (")
                .contains(&word.replace("  (", " ("));
            assert!(has, "{word:?} is not in {}", said.out);
        }
        assert!(!said.out.contains(bench.server.token()), "{}", said.out);
        assert!(!said.out.contains(home.to_str().unwrap()), "{}", said.out);
        // Of a token that stands where its file is to be named, nothing is told.
        let pasted = "eyJhbGciOi/JIUzI1NiJ9";
        // Nor where an earlier version may have logged it, also where settings are bad.
        let line = format!(" WARN logged: {pasted}, {}", bench.server.token());
        let log = home.join(".local/state/vm0fs/vm0fs.log");
        let dir = log.parent().unwrap().display();
        let script = format!("mkdir -p '{dir}' && echo '{line}' >> '{}'", log.display());
        super::shell(who, &script);
        let mut command = bench.command(who);
        command.args(["doctor", "--report", "--token-file", pasted]);
        let said = finish(command.env("VM0FS_SHARED_CACHE_KEY_FILE", format!("{pasted}=")));
        assert!(
            said.out.contains("[no such file]: no such file"),
            "{}",
            said.out
        );
        assert!(
            !said.out.contains(pasted) && !said.err.contains(pasted),
            "{said:?}"
        );
        let logged = "WARN logged: [no such file], [";
        assert!(said.out.contains(logged), "{}", said.out);
        assert!(!said.out.contains(bench.server.token()), "{}", said.out);
        let mut command = bench.command(who);
        let said = finish(command.args(["doctor", "--report", "--json"]));
        assert_eq!(said.code, Some(2), "{said:?}");
    }
}
