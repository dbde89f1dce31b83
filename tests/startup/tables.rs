//! `/etc/fstab` and mount(8), which calls the program as its helper. Each test of them has
//! a mount namespace of its own, where `/sbin` has the helper and `/etc/fstab` is another.

use super::NO;
use crate::{
    commands::{Said, finish, small_world},
    support::{
        Bench, Who,
        fake::{Action, Fault},
        program,
    },
};
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

/// A machine where the program is installed as a helper of mount(8).
struct Machine {
    bench: Bench,
    place: PathBuf,
}

/// What each script begins with: the helpers, and an end that leaves no mount.
const BEGIN: &str = r#"
set -eu
mount --bind "$HELPERS" /usr/sbin
mkdir -p /run/mount # Where mount(8) writes down who has mounted.
mount -t tmpfs tmpfs /run/mount
trap 'umount -l "$PLACE" 2>/dev/null || true' EXIT
table() { cat > "$DIR/fstab"; mount --bind "$DIR/fstab" /etc/fstab; }
line() { grep " $PLACE " /proc/self/mountinfo; }
alice() { setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups env HOME="$DIR/home-Ordinary" "$@"; }
"#;

impl Machine {
    /// One with these programs in `/sbin`, where `place` is `who`'s.
    fn new(helpers: &[&str], who: Who) -> Self {
        let bench = Bench::new(small_world());
        let place = bench.folder("place", who);
        let sbin = bench.folder("sbin", Who::Myself);
        for helper in helpers {
            std::os::unix::fs::symlink(program(), sbin.join(helper)).unwrap();
        }
        // What calls the program where it is no helper itself.
        fs::copy("/sbin/mount.fuse3", sbin.join("mount.fuse")).unwrap();
        for who in Who::all() {
            let home = bench.folder(&format!("home-{who:?}"), who);
            let token = home.join("token");
            fs::write(&token, bench.server.token()).unwrap();
            fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((uid, gid)) = who.ids() {
                std::os::unix::fs::chown(&token, Some(uid), Some(gid)).unwrap();
            }
        }
        Self { bench, place }
    }

    /// The options that mount the test's server with `who`'s token.
    fn options(&self, who: Who) -> String {
        let home = self.bench.folder(&format!("home-{who:?}"), who);
        let home = home.display();
        let url = self.bench.server.api_url();
        format!("api-url={url},token-file={home}/token,cache-dir={home}/cache")
    }

    /// Runs a script as root, in a mount namespace of its own.
    fn run(&self, script: &str) -> Said {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "bash", "-c"])
            .arg(format!("{NO}{BEGIN}{script}"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("DIR", self.bench.dir())
            .env("HELPERS", self.bench.dir().join("sbin"))
            .env("PLACE", &self.place)
            .env("PROGRAM", program())
            .env("OPTIONS", self.options(Who::Myself))
            .env("THEIRS", self.options(Who::Ordinary))
            .current_dir("/");
        finish(&mut command)
    }
}

#[test]
#[ignore = "needs root"]
fn mount_finds_the_program_by_either_name_or_by_that_of_fuse() {
    for (helper, kind) in [
        ("mount.vm0fs", "vm0fs"),
        ("mount.fuse.vm0fs", "fuse.vm0fs"),
        // `mount.fuse` looks for it in the shell's own path: mount(8) passes none on.
        ("vm0fs", "fuse.vm0fs"),
    ] {
        let machine = Machine::new(&[helper], Who::Myself);
        let said = machine.run(&format!(
            r#"mount -t {kind} vm0fs "$PLACE" -o "$OPTIONS,ro,noexec,allow_other,noatime,_netdev"
            line; ls "$PLACE/agents"; echo x > "$PLACE/agents/writer/run" || true
            umount "$PLACE""#
        ));
        assert!(said.err.contains("Read-only file system"), "{said:?}");
        let out = said.succeeded();
        assert!(out.contains("ro,nosuid,nodev,noexec"), "{out}");
        assert!(out.contains("fuse.vm0fs vm0fs"), "{out}");
        assert!(out.contains("allow_other"), "{out}");
        assert!(out.ends_with("writer\n"), "{out}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_table_is_mounted_once_and_as_the_user_that_it_names() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Ordinary);
    let url = machine.bench.server.api_url();
    let options = machine.options(Who::Ordinary);
    let options = options.split_once(',').unwrap().1;
    let said = machine.run(&format!(
        r#"export VM0_API_KEY=wrong
        table <<< "{url} $PLACE vm0fs _netdev,nofail,x-systemd.automount,setuid=vm0fs-test,{options} 0 0"
        mount -a; mount -a
        line; alice ls "$PLACE/agents"; ls "$PLACE/agents" 2>&1 || true
        umount "$PLACE""#
    ));
    let out = said.succeeded();
    assert_eq!(
        out.matches(&format!("fuse.vm0fs {url}")).count(),
        1,
        "{out}"
    );
    let (uid, _) = Who::Ordinary.ids().unwrap();
    assert!(out.contains(&format!("user_id={uid}")), "{out}");
    assert!(out.contains("writer\n"), "{out}");
    assert!(out.contains("Permission denied"), "root is let in: {out}");
}

#[test]
#[ignore = "needs root"]
fn a_table_is_mounted_from_a_folder_with_a_file_of_its_first_fields_name() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Myself);
    let said = machine.run(
        r#"cd "$DIR"; touch vm0fs target other; ln -s target none
        for source in vm0fs none; do
            table <<< "$source $PLACE vm0fs $OPTIONS 0 0"
            mount -a; mount -a; line; umount "$PLACE"; no line
        done
        no mount -t vm0fs ./other "$PLACE" -o "$OPTIONS""#,
    );
    said.told(&["other cannot be mounted: the first field is vm0fs"]);
    let out = said.succeeded();
    assert_eq!(out.lines().count(), 2, "{out}");
    for source in ["vm0fs", "none"] {
        assert!(out.contains(&format!("fuse.vm0fs {source} ")), "{out}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_folder_that_systemd_has_made_is_given_to_the_user_of_the_line() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Ordinary);
    let said = machine.run(
        r#"place() { stat -c '%U %n' "$PLACE"; }
        rmdir "$PLACE"; mkdir -m 755 "$PLACE"
        mount -t vm0fs vm0fs "$PLACE" -o "setuid=vm0fs-test,$THEIRS"
        alice ls "$PLACE/agents"; umount "$PLACE"; place
        # Not one that others have a use for, nor one that a link of the user's leads to.
        chown root "$PLACE"; touch "$PLACE/file"
        no mount -t vm0fs vm0fs "$PLACE" -o "setuid=vm0fs-test,$THEIRS"; place
        # One may mount where one may write, and hears of what bars that alone.
        chmod 777 "$PLACE"
        no mount -t vm0fs vm0fs "$PLACE" -o "setuid=vm0fs-test,$THEIRS,token-file=/proc/none" 2> "$DIR/said"
        grep -c "/proc/none" "$DIR/said"; no grep "was not given" "$DIR/said"
        chmod 755 "$PLACE"; rm "$PLACE/file"; alice ln -s "$DIR" "$DIR/home-Ordinary/link"
        no "$HELPERS/mount.vm0fs" vm0fs "$DIR/home-Ordinary/link/place" \
            -o "setuid=vm0fs-test,$THEIRS"; place
        mount -t tmpfs -o mode=755 tmpfs "$PLACE"; mkdir "$PLACE/in"
        mount -o remount,ro "$PLACE"
        no mount -t vm0fs vm0fs "$PLACE/in" -o "setuid=vm0fs-test,$THEIRS"
        no mount -t vm0fs vm0fs "$PLACE/none" -o "setuid=vm0fs-test,$THEIRS""#,
    );
    let place = machine.place.display();
    // Why, to what, and what to do.
    let refused = |path: &str| format!("{path} was not given to vm0fs-test");
    said.told(&[&refused(&place.to_string()), "not empty", "an empty folder"]);
    said.told(&[
        &refused("/link/place"),
        "a symlink is on the way",
        "realpath",
    ]);
    said.told(&[
        &refused("/place/in"),
        "Read-only file system",
        "a folder of vm0fs-test's",
    ]);
    said.told(&[&refused("/place/none"), "no such folder", "mkdir -p"]);
    let owners = format!("vm0fs-test {place}\nroot {place}\n1\nroot {place}\n");
    assert_eq!(said.succeeded(), format!("writer\n{owners}"));
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_mounts_on_demand_has_the_program_mount() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Myself);
    for (who, more) in [
        (Who::Myself, ""),
        (Who::Myself, ",no-supervisor"),
        (Who::Ordinary, ",setuid=vm0fs-test"),
    ] {
        let options = machine.options(who);
        // The kernel has processes of other groups than the daemon's ask at the pipe, and
        // wait. Once one has asked, AUTOFS_IOC_CATATONIC ends all waits.
        let said = machine.run(&format!(
            r#"mkfifo "$DIR/asked"
            (asks=$(head -c 1 "$DIR/asked" | wc -c)
            [ "$asks" = 0 ] || {{ echo "a process has asked" >&2; python3 -c \
                "import fcntl, os; fcntl.ioctl(os.open('$PLACE', os.O_RDONLY), 0x9362)"; exit 1; }}) & reader=$!
            exec 9> "$DIR/asked"; rm "$DIR/asked"
            read -r _ _ _ _ group _ < /proc/$$/stat
            mount -t autofs -o "fd=9,pgrp=$group,minproto=5,maxproto=5,direct" auto "$PLACE"
            exec 9>&-
            mount -t vm0fs vm0fs "$PLACE" -o "{options}{more}"
            grep -c " $PLACE " /proc/self/mountinfo
            # What serves it is in no group of the daemon's.
            no pgrep -g "$group" -f "[ ]$PLACE"
            see() {{ {user}setsid --wait ls "$PLACE/agents"; }}
            see
            [ "{more}" = ,no-supervisor ] || {{ pkill -9 -nf "[-]-worker=.* $PLACE"; see; }}
            umount "$PLACE"; umount "$PLACE"; wait $reader"#,
            user = match who {
                Who::Myself => "",
                Who::Ordinary => "alice ",
            }
        ));
        let times = if more == ",no-supervisor" { 1 } else { 2 };
        assert_eq!(said.succeeded(), format!("2\n{}", "writer\n".repeat(times)));
    }
}

#[test]
#[ignore = "needs root"]
fn an_ordinary_user_mounts_and_unmounts_what_the_table_permits() {
    let machine = Machine::new(&["mount.fuse.vm0fs"], Who::Ordinary);
    let said = machine.run(
        r#"table <<< "vm0fs $PLACE fuse.vm0fs noauto,user,_netdev,$THEIRS 0 0"
        mount -a; no line
        alice mount "$PLACE"; line; alice ls "$PLACE/agents"
        alice umount "$PLACE"; no line
        alice mount "$PLACE"; alice "$PROGRAM" unmount "$PLACE"; no line
        no alice mount -t fuse.vm0fs vm0fs "$DIR/home-Ordinary" -o "$THEIRS""#,
    );
    // What no line permits, the program may still do for a user who has the right, but
    // not over a folder with files in it.
    said.told(&["home-Ordinary is not empty"]);
    let out = said.succeeded();
    let (uid, _) = Who::Ordinary.ids().unwrap();
    assert!(out.contains(&format!("user_id={uid}")), "{out}");
    assert!(out.contains("nosuid,nodev,noexec"), "{out}");
    assert!(out.ends_with("writer\n"), "{out}");
}

#[test]
#[ignore = "needs root"]
fn the_line_that_is_printed_mounts_as_its_arguments_do() {
    for who in Who::all() {
        let machine = Machine::new(&["mount.fuse.vm0fs"], who);
        let home = machine.bench.folder(&format!("home-{who:?}"), who);
        let mut command = machine.bench.command(who);
        command
            .args([
                "mount",
                "--print-fstab",
                "--list-ttl=5s",
                "--token-file=token",
            ])
            .args(["--cache-dir", "a cache, of mine", "--api-url"])
            .arg(machine.bench.server.api_url())
            .arg(&machine.place);
        let said = finish(&mut command);
        said.told(&["/etc/fstab", "VM0_API_KEY"]);
        let token = machine.bench.server.token();
        assert!(!said.err.contains(token) && !said.out.contains(token));
        let line = said.succeeded();
        fs::write(machine.bench.dir().join("line"), &line).unwrap();
        let user = match who {
            Who::Myself => "",
            Who::Ordinary => "alice ",
        };
        let said = machine.run(&format!(
            r#"table < "$DIR/line"; {user}mount "$PLACE"; line; {user}ls "$PLACE/agents"
            {user}umount "$PLACE""#
        ));
        let out = said.succeeded();
        assert!(
            out.ends_with("writer\n") && !out.contains("noexec"),
            "{out}"
        );
        assert!(home.join("a cache, of mine").is_dir(), "{line}");
    }
}

#[test]
#[ignore = "needs root"]
fn who_prints_a_line_is_told_how_mount_finds_the_program() {
    for who in Who::all() {
        let machine = Machine::new(&[], who);
        let user = match who {
            Who::Myself => "",
            Who::Ordinary => "alice ",
        };
        let said = machine.run(&format!(
            r#"rm "$HELPERS/mount.fuse"; mount -t tmpfs tmpfs /usr/local/bin
            home=$DIR/home-{who:?}; api=${{OPTIONS%%,*}}
            print() {{ {user}"$PROGRAM" mount "--$1" "--$api" \
                --token-file "$home/token" --cache-dir "$home/cache" "$PLACE"; }}
            print print-fstab > "$DIR/line" 2> "$DIR/notes"
            cat "$DIR/notes" >&2
            advice=$(sed -n 's/.*have root do this before: //p' "$DIR/notes")
            eval "$advice"
            [ -x "$HELPERS/mount.vm0fs" ]
            table < "$DIR/line"; {user}mount "$PLACE"; {user}ls "$PLACE/agents"; umount "$PLACE"
            for kind in print-fstab print-unit; do
                print $kind 2> "$DIR/notes" > "$DIR/line"; no grep 'mount finds no program' "$DIR/notes"
            done"#
        ));
        said.told(&["mount finds no program for fuse.vm0fs yet"]);
        assert_eq!(said.succeeded(), "writer\n");
    }
}

#[test]
fn systemd_makes_a_unit_without_complaint_of_the_line_that_is_printed() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = bench.folder("my place", who);
        let mut command = bench.command(who);
        command.args(["mount", "--print-fstab", "--cache-dir", "my cache"]);
        let line = finish(command.arg(&place)).succeeded();
        let table = bench.dir().join("fstab");
        fs::write(
            &table,
            line.replace("_netdev", "_netdev,x-systemd.automount"),
        )
        .unwrap();
        let units = ["units", "early", "late"].map(|name| bench.folder(name, Who::Myself));
        let mut command = Command::new("/lib/systemd/system-generators/systemd-fstab-generator");
        command.args(&units).env("SYSTEMD_FSTAB", &table);
        finish(&mut command).succeeded();
        let made = fs::read_dir(&units[0]).unwrap().flatten();
        let made: Vec<PathBuf> = made.map(|entry| entry.path()).collect();
        let with = |end: &str| {
            made.iter()
                .find(|path| path.to_string_lossy().ends_with(end))
        };
        let unit = with(".mount").unwrap();
        let text = fs::read_to_string(unit).unwrap();
        assert!(text.contains("Type=fuse.vm0fs\n"), "{text}");
        assert!(text.contains("/my cache"), "{text}");
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(unit);
        let said = finish(command.arg(with(".automount").unwrap()));
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{text}");
    }
}

#[test]
#[ignore = "needs root"]
fn mount_enters_another_namespace_where_it_is_told_to() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Myself);
    let said = machine.run(
        r#"unshare --mount --propagation private sleep 300 & other=$!
        trap 'kill $other' EXIT
        until [ "$(readlink /proc/$other/ns/mnt)" != "$(readlink /proc/$$/ns/mnt)" ]; do :; done
        mount -N $other -t vm0fs vm0fs "$PLACE" -o "$OPTIONS"
        no line
        nsenter --mount=/proc/$other/ns/mnt ls "$PLACE/agents"
        nsenter --mount=/proc/$other/ns/mnt umount "$PLACE""#,
    );
    assert_eq!(said.succeeded(), "writer\n");
}

#[test]
#[ignore = "needs root"]
fn mount_ends_with_the_codes_of_its_manual() {
    let machine = Machine::new(&["mount.vm0fs"], Who::Myself);
    // Where `/proc` is covered, the helper finds no program to start.
    let said = machine.run(
        r#"unshare --mount --propagation private \
            bash -c 'mount -t tmpfs none /proc; exec sleep 300' & other=$!
        trap 'kill $other' EXIT
        while nsenter --mount=/proc/$other/ns/mnt test -e /proc/self; do :; done
        mount -N $other -t vm0fs vm0fs "$PLACE" -o "$OPTIONS" || echo "code $?""#,
    );
    said.told(&["vm0fs: starting vm0fs mount: No such file"]);
    assert_eq!(said.succeeded(), "code 2\n", "a fault of the system");
    // Who interrupts a mount before it can be used has none.
    let stall = Fault::api("/v1/agents", Action::Stall);
    machine.bench.server.fault(stall);
    let said = machine.run(
        r#"child() { tr -d ' ' < /proc/$1/task/$1/children; }
        env --default-signal=INT mount -t vm0fs vm0fs "$PLACE" -o "$OPTIONS" & mount=$!
        until helper=$(child $mount) && [ "$helper" ] && command=$(child $helper) &&
            [ "$command" ] && grep -qz '^vm0fs$' /proc/$command/cmdline; do :; done
        kill -INT $command
        wait $mount || echo "code $?"
        while grep -qsz "^[/]${PLACE#/}$" /proc/[0-9]*/cmdline; do sleep 0.05; done
        no line"#,
    );
    assert_eq!(said.succeeded(), "code 8\n", "it was interrupted");
    // The helper says 1 for a wrong option, and 32 where the mount fails.
    for (options, code) in [("cahce-size=1G", 1), ("token-file=/none", 32)] {
        let said = machine.run(&format!(
            r#"mount -t vm0fs vm0fs "$PLACE" -o "{options}" || echo "code $?""#
        ));
        assert_eq!(said.succeeded(), format!("code {code}\n"), "{options}");
    }
}

#[test]
fn the_helper_fails_as_mount_wants_it_and_repeats_no_token() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let link = bench.dir().join("mount.vm0fs");
        std::os::unix::fs::symlink(program(), &link).unwrap();
        let place = bench.folder("place", who);
        let helper = |options: &str| {
            let mut command = bench.command_of(&link, who);
            command.arg("vm0fs").arg(&place).args(["-o", options]);
            command
        };
        for (options, code, words) in [
            ("cahce-size=1G", 1, "did you mean cache-size?"),
            ("cache-size=big", 1, "not a size"),
            ("token=s3cret", 1, "token-file=/"),
            ("token-file=vm0_live_s3cret", 1, "must begin with /"),
            ("uid=7", 1, "setuid=USER"),
            ("setuid=no-such-user", 1, "no such user"),
            ("token-file=/s3cret/none", 32, "--token-file names a file"),
        ] {
            let said = finish(&mut helper(options));
            assert_eq!(said.code, Some(code), "{said:?}");
            said.told(&[words]);
            assert!(code == 32 || !said.err.contains("s3cret"), "{said:?}");
        }
        // Only as if.
        let before = bench.api_calls().len();
        let said = finish(helper("ro,user,defaults").arg("-f"));
        assert_eq!(said.code, Some(0), "{said:?}");
        let said = finish(helper("cahce-size=1G").args(["-f", "-s"]));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(bench.api_calls().len(), before);
        // The user's options come after the table's.
        let said = finish(helper("cache-size=1,cache-size=2G").arg("-f"));
        assert_eq!(said.code, Some(0), "{said:?}");
        let mut twice = bench.command_of(&link, who);
        twice.arg("https://a.example").arg(&place);
        let said = finish(twice.args(["-o", "api-url=https://b.example"]));
        said.told(&["the API is named twice"]);
        for (flag, words) in [
            ("--help", "mount -t vm0fs"),
            ("-V", env!("CARGO_PKG_VERSION")),
        ] {
            let out = finish(bench.command_of(&link, who).arg(flag)).succeeded();
            assert!(out.contains(words), "{out}");
        }
        // No one but root becomes another user.
        if who == Who::Ordinary {
            let said = finish(&mut helper("setuid=root"));
            assert_eq!(said.code, Some(1), "{said:?}");
            said.told(&["only root can"]);
        }
    }
}
