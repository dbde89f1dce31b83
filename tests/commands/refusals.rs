//! `vm0fs mount` where it cannot mount, wrong usage, and help: the message, the
//! exit code, and that nothing is left.

use super::{Place, finish, script, servers_of, shell, small_world};
use crate::support::{Bench, Who, is_mounted};
use std::fs;

/// Asserts that a mount was refused and has left nothing.
#[track_caller]
fn nothing_left(place: &Place) {
    assert!(!is_mounted(&place.path));
    assert_eq!(servers_of(&place.path), [0u32; 0]);
}

#[test]
fn mount_reports_a_refused_token() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let said = finish(command.env("VM0_API_KEY", "not-the-token"));
        said.failed(&[
            "refuses the token",
            "401",
            "vm0 auth login",
            "from VM0_API_KEY",
        ]);
        assert!(!said.err.contains("not-the-token"), "{said:?}");
        nothing_left(&place);
        assert!(!place.path.exists(), "the folder that it made is left");
        // A folder that was there before is not taken away.
        shell(who, &format!("mkdir -p '{}'", place.path.display()));
        let said = finish(&mut command);
        said.failed(&["refuses the token"]);
        nothing_left(&place);
        assert!(place.path.is_dir());
        let foreground = finish(command.arg("--foreground"));
        foreground.failed(&["refuses the token"]);
        nothing_left(&place);
    }
}

#[test]
fn mount_without_a_token_says_how_to_get_one() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let said = finish(command.env_remove("VM0_API_KEY"));
        said.failed(&["token", "vm0 auth login", "VM0_API_KEY", "vm0fs demo"]);
        nothing_left(&place);
        assert!(!place.path.exists());
        assert_eq!(bench.api_calls().len(), 0);
    }
}

#[test]
fn a_token_is_not_sent_in_the_open() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    for url in [
        "http://api.example.com",
        "http://192.0.2.1:8080",
        "http://localhost.example.com",
    ] {
        let said = finish(place.mount(&bench).args(["--api-url", url]));
        said.failed(&[url, "--allow-http", "token"]);
        nothing_left(&place);
    }
    let said = finish(place.mount(&bench).args(["--api-url", "ftp://example.com"]));
    said.failed(&["ftp://example.com", "https://"]);
}

#[test]
fn https_without_certificates_is_refused() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut mount = place.mount(&bench);
    mount.args(["--api-url", "https://127.0.0.1:1"]);
    let said = finish(mount.env("SSL_CERT_FILE", "/nonexistent"));
    said.failed(&["ca-certificates", "SSL_CERT_FILE"]);
    nothing_left(&place);
}

#[test]
fn an_unusable_mountpoint_is_refused() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "used");
        let shown = place.path.to_str().unwrap();
        shell(who, &format!("mkdir '{shown}' && touch '{shown}/file'"));
        let said = finish(&mut place.mount(&bench));
        said.failed(&[shown, "not empty", "empty or a new folder"]);
        nothing_left(&place);

        let place = Place::new(&bench, who, "file");
        let shown = place.path.to_str().unwrap();
        shell(who, &format!("echo kept > '{shown}'"));
        let said = finish(&mut place.mount(&bench));
        said.failed(&[shown, "not a directory"]);
        nothing_left(&place);
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "kept\n");

        let below = Place::new(&bench, who, "file/below");
        let said = finish(&mut below.mount(&bench));
        said.failed(&[below.path.to_str().unwrap(), "directory", "name a folder"]);

        let said = finish(bench.command(who).args(["mount", "/proc"]));
        said.failed(&["/proc", "type proc", "another mountpoint"]);
        assert_eq!(bench.api_calls().len(), 0, "all of it before any call");
    }
}

#[test]
#[ignore = "needs root"]
fn an_ordinary_user_cannot_mount_on_a_folder_of_another() {
    let who = Who::Ordinary;
    let bench = Bench::new(small_world());
    let path = bench.folder("of-root", Who::Myself);
    let place = Place { who, path };
    let said = finish(&mut place.mount(&bench));
    said.failed(&["cannot mount at", place.path.to_str().unwrap()]);
    nothing_left(&place);
    let path = place.path.join("new");
    let place = Place { who, path };
    let said = finish(&mut place.mount(&bench));
    said.failed(&["cannot make the mountpoint", "Permission denied"]);
    nothing_left(&place);
}

#[test]
fn a_living_mount_is_not_mounted_over() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let shown = place.path.to_str().unwrap();
        let pid = place.pid();
        let said = finish(&mut place.mount(&bench));
        said.failed(&[shown, "already", &format!("vm0fs unmount {shown}")]);
        assert_eq!(place.pid(), pid);
        assert_eq!(place.run("ls agents"), "writer\n");
        // In it there is no room for another, either.
        let inside = Place {
            who,
            path: place.path.join("agents/new"),
        };
        let said = finish(&mut inside.mount(&bench));
        said.failed(&["cannot make the mountpoint"]);
        finish(&mut place.unmount(&bench)).succeeded();
    }
}

// Only root can mount a tmpfs; `/proc` stands for it above.
#[test]
#[ignore = "needs root"]
fn a_mount_of_another_file_system_is_left_alone() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "tmpfs");
    let shown = place.path.display();
    let mount = format!("mkdir '{shown}' && mount -t tmpfs -o size=64k tmpfs '{shown}'");
    shell(Who::Myself, &mount);
    finish(&mut place.mount(&bench)).failed(&["type tmpfs", "another mountpoint"]);
    finish(&mut place.unmount(&bench)).failed(&["type tmpfs", "not vm0fs", "left alone"]);
    assert!(is_mounted(&place.path));
    shell(Who::Myself, &format!("umount '{shown}'"));
}

#[test]
fn wrong_usage_exits_with_2() {
    let bench = Bench::new(small_world());
    for (line, word) in [
        ("", "Usage: vm0fs <COMMAND>"),
        ("fly", "fly"),
        ("mount", "<MOUNTPOINT>"),
        ("mount a b", "'b'"),
        ("mount --token secret m", "--token"),
        ("mount --cache-size big m", "big"),
        ("mount --timeout 30 m", "30"),
        ("mount --cache-size 1 m", "at least 1.0 MiB"),
        ("mount --timeout 0s m", "at least 100ms"),
        ("mount --list-ttl 2d m", "at most 24h"),
        ("unmount", "<MOUNTPOINT>"),
        ("demo --serve-only m", "--serve-only"),
        ("demo --port 99999", "99999"),
        ("demo --port x", "\"x\" is not a port; write it like 8080"),
    ] {
        let said = finish(bench.command(Who::Myself).args(line.split_whitespace()));
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        assert_eq!(said.out, "", "{line}");
        said.told(&[word]);
    }
}

#[test]
fn commands_that_help_does_not_show_are_no_advice() {
    let bench = Bench::new(small_world());
    for (word, advised, hidden) in [
        ("mont", "'mount'", "'man'"),
        ("nope", "'top'", "'complete'"),
    ] {
        let said = finish(bench.command(Who::Myself).arg(word));
        assert_eq!(said.code, Some(2), "{said:?}");
        said.told(&[advised]);
        assert!(!said.err.contains(hidden), "{said:?}");
    }
}

#[test]
fn help_has_examples_and_the_version_is_printed() {
    let bench = Bench::new(small_world());
    for (line, words) in [
        (
            "--help",
            ["vm0fs demo", "Exit codes: 0 done, 1 failed, 2 wrong usage"],
        ),
        ("mount --help", ["vm0fs mount ~/vm0", "--token-file"]),
        ("unmount --help", ["vm0fs unmount ~/vm0", "--lazy"]),
        ("umount --help", ["vm0fs unmount ~/vm0", "--lazy"]),
        ("demo --help", ["vm0fs demo --serve-only", "--port"]),
    ] {
        let said = finish(bench.command(Who::Myself).args(line.split(' ')));
        assert_eq!(said.code, Some(0), "{line}");
        for word in ["Usage:", "Examples:", words[0], words[1]] {
            assert!(said.out.contains(word), "{line}: {word} is not in {said:?}");
        }
    }
    let version = concat!("vm0fs ", env!("CARGO_PKG_VERSION"), "\n");
    let said = finish(bench.command(Who::Myself).arg("--version"));
    assert_eq!(said.succeeded(), version);
}

#[test]
fn mount_works_without_a_log_file() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        let said = finish(command.env("XDG_STATE_HOME", "/proc/nothing"));
        assert_eq!(said.code, Some(0), "{said:?}");
        said.told(&["no log file"]);
        assert_eq!(place.run("ls agents"), "writer\n");
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
    // The level is checked before anything else.
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let said = finish(place.mount(&bench).env("VM0FS_LOG", "loud"));
    said.failed(&["VM0FS_LOG", "loud", "debug"]);
    let other = finish(&mut script(
        Who::Myself,
        &format!("ls -d '{}'", place.path.display()),
    ));
    assert_ne!(other.code, Some(0), "no folder is made for it");
}
