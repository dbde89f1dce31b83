//! Services: what `enable` and `disable` do with a real `systemd --user`, in a mount
//! namespace of its own, and what is printed for a machine to mount by.

use super::NO;
use crate::{
    commands::{Said, finish, shell, small_world},
    support::{Bench, Who, program},
};
use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::Command,
};

#[test]
fn units_that_are_printed_are_without_complaint() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let folder = bench.folder("a folder of 50%", who);
        let mut command = bench.command(who);
        command.args([
            "mount",
            "--print-unit",
            "--cache-size=50MB",
            "--cache-dir",
            "my cache",
        ]);
        let said = finish(command.arg(folder.join("vm0")));
        said.told(&["systemctl", "VM0_API_KEY"]);
        let text = said.succeeded();
        assert!(!text.contains(bench.server.token()), "{text}");
        // Its first line says where it belongs.
        let path = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        let file = bench.dir().join(Path::new(path).file_name().unwrap());
        fs::write(&file, &text).unwrap();
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "--recursive-errors=no"]);
        if path.ends_with(".service") {
            command.arg("--user");
            assert!(text.contains("\"--cache-dir=/"), "{text}");
        }
        // As machines have it whose network is managed.
        let network = bench.folder("network-online.target.wants", Who::Myself);
        let network = network.join("network-test.service");
        let text = "[Unit]\nBefore=network-online.target\n[Service]\nExecStart=/bin/true\n";
        fs::write(bench.dir().join("network-test.service"), text).unwrap();
        let _ = std::os::unix::fs::symlink("../network-test.service", network);
        let runtime = bench.folder("runtime", Who::Myself);
        let said = finish(command.arg(&file).env("XDG_RUNTIME_DIR", runtime));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{text}");
    }
}

#[test]
fn what_is_printed_names_a_folder_as_the_kernel_does_and_what_is_missing() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = bench.folder("place", who);
        std::os::unix::fs::symlink(&place, bench.dir().join("link")).unwrap();
        let typed = bench.dir().join("link/./new/../vm0/");
        let named = place.join("vm0");
        for kind in ["--print-fstab", "--print-unit"] {
            let mut command = bench.command(who);
            command
                .args(["mount", kind, "--token-file", "no-token"])
                .arg(&typed);
            let said = finish(&mut command);
            said.told(&["token-file: /", "no-token is missing"]);
            let out = said.succeeded();
            let name = named.to_str().unwrap();
            let unit = name[1..].replace('-', "\\x2d").replace('/', "-");
            assert!(
                out.contains(&format!("vm0fs {name} fuse")) || out.contains(&unit),
                "{out}"
            );
        }
    }
}

#[test]
fn no_secret_is_written_down() {
    let bench = Bench::new(small_world());
    for command in [
        &["mount", "--print-fstab"][..],
        &["mount", "--print-unit"],
        &["mount"],
    ] {
        let mut run = bench.command(Who::Myself);
        let said = finish(
            run.args(command)
                .args(["--token-file", "vm0_live_s3cret", "vm0"]),
        );
        said.failed(&["a token stands where the name of its file belongs"]);
        assert!(!said.err.contains("s3cret"), "{said:?}");
    }
    for option in ["--api-url", "--shared-cache"] {
        for address in ["https://me:s3cret@host/a", "me:s3cret@host"] {
            for command in [
                &["mount", "--print-fstab"][..],
                &["mount", "--print-unit"],
                &["enable"],
            ] {
                let mut run = bench.command(Who::Myself);
                run.args(command).args([option, address, "vm0"]);
                let said = finish(&mut run);
                said.failed(&["with a user or a password is not written down"]);
                assert!(
                    !said.err.contains("s3cret") && said.out.is_empty(),
                    "{said:?}"
                );
            }
        }
    }
    // An at sign elsewhere is no user.
    let mut run = bench.command(Who::Myself);
    run.args([
        "mount",
        "--print-fstab",
        "--api-url",
        "https://host/a@b",
        "vm0",
    ]);
    assert!(
        finish(&mut run)
            .succeeded()
            .contains("api-url=https://host/a@b ")
    );
}

#[test]
fn without_systemd_enable_says_what_to_do_instead() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let runtime = bench.folder("no-runtime", who);
        let run = |words: &[&str]| {
            let mut command = bench.command(who);
            finish(command.args(words).env("XDG_RUNTIME_DIR", &runtime))
        };
        let said = run(&["enable", "--list-ttl", "5s", "my vm0"]);
        said.failed(&[
            "no systemd of yours",
            "@reboot",
            "~/.profile",
            "--print-fstab",
        ]);
        said.told(&[
            "mount --list-ttl=5s",
            "my vm0",
            "cron does not see",
            "VM0_API_KEY",
        ]);
        let said = run(&["enable", "--list-ttl", "5s", "50% off"]);
        // What is said can be run as it is said.
        let word_after = |lead: &str| {
            let mut lines = said.err.lines();
            lines
                .find_map(|line| line.trim().strip_prefix(lead))
                .unwrap()
        };
        let line = shell(who, word_after("by /etc/fstab:"));
        assert!(line.contains("/50%\\040off fuse.vm0fs "), "{line}");
        assert!(line.contains(",list-ttl=5s "), "{line}");
        let line = word_after("at boot, by cron:")
            .replace("crontab -l;", "")
            .replace("| crontab -", "");
        let line = shell(who, &line);
        assert!(line.starts_with("@reboot "), "{line}");
        assert!(line.ends_with("/50\\% off'\n"), "{line}");
        // A line of text cannot name it.
        let mut command = bench.command(who);
        let folder = std::ffi::OsStr::from_bytes(b"v\xff");
        command.arg("enable").arg(folder);
        finish(command.env("XDG_RUNTIME_DIR", &runtime)).failed(&["not UTF-8"]);
        run(&["disable", "my vm0"]).failed(&["has no service", "vm0fs unmount"]);
        let home = bench.dir().join(format!("home-{who:?}"));
        assert!(!home.join(".config").exists(), "nothing is written");
    }
}

/// What each script begins with: a user's systemd, as if its user had logged in, and an
/// end that leaves nothing of it.
const BEGIN: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "/run/user/$ID"
chown "$ID" "/run/user/$ID"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
group=/sys/fs/cgroup/vm0fs-test-$$
mkdir -p "$group/manager"
chown -R "$ID" "$group"
alice() { setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups \
    env -i LC_ALL=C HOME="$HOME" XDG_RUNTIME_DIR="/run/user/$ID" PATH="$PATH" "$@"; }
# In the background a function is a process of its own, which becomes the manager.
login() {
    (echo "$BASHPID" > "$group/manager/cgroup.procs"
    exec setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups \
        env -i HOME="$HOME" XDG_RUNTIME_DIR="/run/user/$ID" PATH="$PATH" \
        /lib/systemd/systemd --user >/dev/null 2>&1) & manager=$!
    until alice systemctl --user is-system-running 2>/dev/null | grep -q running; do sleep 0.1; done
}
logout() { kill "$manager"; wait "$manager" || true; }
trap 'logout; umount -l "$HOME"/vm0* 2>/dev/null || true
    find "$group" -depth -type d -exec rmdir {} + || true' EXIT
show() { alice systemctl --user show --value -p "$1" "$unit"; }
login
"#;

/// A user with a systemd of their own and a `config.toml`.
fn at_home(bench: &Bench, script: &str) -> Said {
    let home = bench.folder("home", Who::Ordinary);
    let (uid, gid) = Who::Ordinary.ids().unwrap();
    let config = bench.folder("home/.config", Who::Ordinary);
    let config = bench.folder(&config.join("vm0fs").to_string_lossy(), Who::Ordinary);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
    };
    write(&home.join("token"), bench.server.token());
    let url = bench.server.api_url();
    let text = format!("api-url = \"{url}\"\ntoken-file = \"~/token\"\n");
    write(&config.join("config.toml"), &text);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "bash", "-c"])
        .arg(format!("{NO}{BEGIN}{script}"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", &home)
        .env("ID", uid.to_string())
        .env("VM0FS", program())
        .current_dir("/");
    finish(&mut command)
}

#[test]
#[ignore = "needs root"]
fn enable_mounts_at_each_login_until_disable() {
    let bench = Bench::new(small_world());
    let said = at_home(
        &bench,
        r#"
        cd "$HOME"
        alice "$VM0FS" enable
        unit=$(basename "$HOME"/.config/systemd/user/default.target.wants/vm0fs@*)
        alice ls vm0/agents; show StatusText; show UnitFileState
        pid=$(show MainPID)
        kill -9 $(cat /proc/$pid/task/$pid/children)
        alice ls vm0/agents; [ "$(show MainPID)" = "$pid" ]; [ "$(show NRestarts)" = 0 ]
        alice systemctl --user reload "$unit"
        alice "$VM0FS" enable | grep 'runs already'
        [ "$(show MainPID)" = "$pid" ]
        # Both die: the service is started again.
        kill -9 $pid $(cat /proc/$pid/task/$pid/children)
        until [ "$(show NRestarts)" = 1 ] && [ "$(show ActiveState)" = active ]; do sleep 0.1; done
        alice ls vm0/agents
        logout; no grep -q " $HOME/vm0 " /proc/self/mountinfo
        login; alice ls vm0/agents
        alice "$VM0FS" disable; no grep -q " $HOME/vm0 " /proc/self/mountinfo
        no alice "$VM0FS" disable
        [ ! -e "$HOME/.config/systemd" ]"#,
    );
    said.told(&["has no service"]);
    let out = said.succeeded();
    assert_eq!(out.matches("writer\n").count(), 4, "{out}");
    for word in [
        "wrote",
        "started",
        "enable-linger",
        "serving /",
        "enabled\n",
        "removed",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(
        out.ends_with("is not mounted any more\n"),
        "files are left: {out}"
    );
}

#[test]
#[ignore = "needs root"]
fn what_a_dead_mount_of_a_service_leaves_is_taken_away() {
    let bench = Bench::new(small_world());
    let said = at_home(
        &bench,
        r#"
        cd "$HOME"
        # The mount outlives its processes where none is started again.
        die() {
            pid=$(show MainPID)
            kill -9 $pid $(cat /proc/$pid/task/$pid/children)
            until [ "$(show ActiveState)" = failed ]; do sleep 0.1; done
            grep -c " $HOME/vm0 " /proc/self/mountinfo
        }
        mkdir -p .config/systemd/user/vm0fs@.service.d; chown -R "$ID" .config/systemd
        printf '[Service]\nRestart=no\n' > .config/systemd/user/vm0fs@.service.d/no.conf
        alice "$VM0FS" enable
        unit=$(basename "$HOME"/.config/systemd/user/default.target.wants/vm0fs@*)
        die; alice "$VM0FS" enable; alice ls vm0/agents
        die; alice "$VM0FS" disable; no grep " $HOME/vm0 " /proc/self/mountinfo
        # One that is no service's stays.
        alice "$VM0FS" enable; die; alice "$VM0FS" unmount vm0; alice "$VM0FS" mount vm0
        alice "$VM0FS" disable; alice ls vm0/agents; alice "$VM0FS" unmount vm0"#,
    );
    let out = said.succeeded();
    assert_eq!(out.matches("writer\n").count(), 2, "{out}");
    assert_eq!(
        out.matches("vm0 is not mounted any more\n").count(),
        1,
        "{out}"
    );
    assert!(
        out.contains("is mounted still; end that with: vm0fs unmount /"),
        "{out}"
    );
}

#[test]
#[ignore = "needs root"]
fn enable_passes_on_what_the_mount_warns_of() {
    let bench = Bench::new(small_world());
    let said = at_home(
        &bench,
        r#"
        cd "$HOME"
        alice "$VM0FS" enable --api-url http://127.0.0.1:1; alice "$VM0FS" disable"#,
    );
    let out = said.succeeded();
    assert!(
        out.contains("\nwarning: GET /v1/agents: cannot connect"),
        "{out}"
    );
    assert!(out.contains("mounted all the same"), "{out}");
}

#[test]
#[ignore = "needs root"]
fn options_of_a_service_stand_beside_its_template() {
    let bench = Bench::new(small_world());
    let said = at_home(
        &bench,
        r#"
        cd "$HOME"
        alice "$VM0FS" enable --list-ttl 5s --cache-dir 'my $HOME cache' 'vm0 $x'
        alice grep ttl_seconds 'vm0 $x/.vm0fs/status.json'; ls -d my*
        # The package's template is used as it is.
        sed '1d; s/^ExecStart=.*/ExecStart=false/' .config/systemd/user/vm0fs@.service \
            > /run/systemd/vm0fs@.service
        alice "$VM0FS" disable 'vm0 $x'; [ -e .config/vm0fs ]; [ ! -e .config/systemd ]
        mkdir -p /run/systemd/user; mv /run/systemd/vm0fs@.service /run/systemd/user
        alice systemctl --user daemon-reload
        alice "$VM0FS" enable
        [ ! -e .config/systemd/user/vm0fs@.service ]; alice ls vm0/agents
        alice "$VM0FS" disable
        # The manager does not have a variable of the shell's: its folder counts.
        alice XDG_CONFIG_HOME="$HOME/xc" "$VM0FS" enable --read-only
        grep " $HOME/vm0 ro," /proc/self/mountinfo
        alice XDG_CONFIG_HOME="$HOME/xc" "$VM0FS" mount --print-unit vm0 |
            grep "^# $HOME/.config/systemd/user/vm0fs@"
        alice "$VM0FS" disable; [ ! -e .config/systemd ]; [ ! -e xc ]"#,
    );
    let out = said.succeeded();
    assert!(out.contains("\"ttl_seconds\": 5"), "{out}");
    assert!(out.contains("my $HOME cache"), "{out}");
    assert_eq!(out.matches("wrote ").count(), 4, "{out}");
    assert!(out.contains("writer\n"), "{out}");
}

#[test]
#[ignore = "needs root"]
fn a_service_that_does_not_start_is_removed_again() {
    let bench = Bench::new(small_world());
    let said = at_home(
        &bench,
        r#"
        cd "$HOME"
        mv token good; echo wrong > token; chmod 644 token
        no alice VM0_API_KEY=secret "$VM0FS" enable
        rm token
        no alice VM0_API_KEY=secret "$VM0FS" enable
        alice "$VM0FS" mount --token-file good vm0; mv good token; chmod 600 token
        no alice "$VM0FS" enable
        alice "$VM0FS" unmount vm0; rmdir vm0
        # One that ran runs on as it was.
        alice "$VM0FS" enable --list-ttl 7s; echo wrong > bad; chmod 644 bad
        no alice "$VM0FS" enable --token-file bad
        alice grep ttl_seconds vm0/.vm0fs/status.json
        alice "$VM0FS" disable; rmdir vm0
        [ ! -e "$HOME/.config/systemd" ]; ls -d vm0* || true"#,
    );
    said.told(&[
        "did not start",
        "refuses the token",
        "could not mount",
        "no such file",
    ]);
    said.told(&["mounted at", "not by the service"]);
    assert!(!said.err.contains("secret"), "{said:?}");
    said.told(&["is as it was before"]);
    let out = said.succeeded();
    assert!(out.contains("\"ttl_seconds\": 7"), "{out}");
    let end = out.lines().last().unwrap();
    assert!(
        end.ends_with("is not mounted any more"),
        "something is left: {out}"
    );
}
