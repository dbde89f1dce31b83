//! What `scripts/package` makes of the program under test: installed, used, and removed
//! without a trace.

mod installer;

use crate::{
    commands::{Place, finish, shell, until},
    support::{Bench, Who, folder_for_all, is_mounted, program},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use vm0fs::demo::World;

/// A file in the folder of the packages that is none of them.
const OTHERS: &str = "vm0fs-notes.tar.gz";

/// A folder with the packages, made once, and what `scripts/package` has printed.
fn made() -> &'static (PathBuf, String) {
    static MADE: OnceLock<(PathBuf, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = folder_for_all("vm0fs-packages-");
        // Files of the user's, which stay.
        fs::write(folder.join(OTHERS), "").unwrap();
        let sums = format!("sha256sum {OTHERS} > SHA256SUMS");
        shell(Who::Myself, &format!("cd '{}' && {sums}", folder.display()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // Not `finish`: where cargo-deb is missing, it is built.
        let output = Command::new(root.join("scripts/package"))
            .arg("--program")
            .arg(program())
            .arg("--output")
            .arg(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        (folder, String::from_utf8(output.stdout).unwrap())
    })
}

fn packages() -> &'static Path {
    &made().0
}

/// The last line that `scripts/package` has printed with this beginning.
fn command_to_install(beginning: &str) -> &'static str {
    let mut lines = made().1.lines().rev().map(str::trim_start);
    lines.find(|line| line.starts_with(beginning)).unwrap()
}

/// Unpacks the archive in a folder, and gives the installer, by the command that
/// `scripts/package` prints.
#[track_caller]
fn unpack(who: Who, folder: &Path) -> PathBuf {
    let (tar, installer) = command_to_install("tar ").split_once(" && ").unwrap();
    let at = format!("{}", packages().canonicalize().unwrap().display());
    let installer = installer.strip_prefix(&*at).unwrap();
    let here = format!("-C '{}' ", folder.display());
    assert!(tar.contains(&format!("-C {at} ")), "{tar}");
    shell(who, &tar.replace(&format!("-C {at} "), &here));
    folder.join(installer.trim_start_matches('/'))
}

/// The only file in the folder of packages with this ending.
fn package(ending: &str) -> PathBuf {
    let entries = fs::read_dir(packages()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found = paths.filter(|path| path.to_str().unwrap().ends_with(ending));
    let (Some(path), None) = (found.next(), found.next()) else {
        panic!("not one {ending} in {}", packages().display());
    };
    path
}

/// Everything below a folder but what `except` names, a line each.
fn everything(folder: &Path, except: &str) -> String {
    let folder = folder.display();
    let find = format!("cd '{folder}' && find . -path './{except}*' -prune -o -print | sort");
    shell(Who::Myself, &find)
}

/// Mounts with an installed program as `who`, looks, and unmounts.
#[track_caller]
fn can_be_used(bench: &Bench, who: Who, installed: &Path) {
    let place = Place::new(bench, who, "mnt");
    let mut mount = bench.command_of(installed, who);
    let said = finish(mount.arg("mount").arg(&place.path));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(place.run("ls -A").contains(".vm0fs"), "{installed:?}");
    let mut unmount = bench.command_of(installed, who);
    finish(unmount.arg("unmount").arg(&place.path)).succeeded();
    assert!(!is_mounted(&place.path));
}

#[test]
fn the_packages_are_those_that_their_sums_say() {
    let folder = packages().display();
    let said = shell(
        Who::Myself,
        &format!("cd '{folder}' && sha256sum -c SHA256SUMS"),
    );
    assert_eq!(said.matches(": OK").count(), 3, "{said}");
    assert!(said.contains(OTHERS), "{said}");
    let deb = package(".deb");
    let fields = shell(
        Who::Myself,
        &format!("dpkg-deb --field '{}'", deb.display()),
    );
    for word in ["Package: vm0fs\n", "fuse3", "libc6 (>= 2", "Maintainer: "] {
        assert!(fields.contains(word), "{word}: {fields}");
    }
    assert!(!fields.contains("/root/"), "{fields}");
}

#[test]
fn apt_takes_the_package_by_the_command_that_the_script_prints() {
    let sudo = "sudo apt-get install ";
    let file = command_to_install(sudo).strip_prefix(sudo).unwrap();
    assert_eq!(Path::new(file), package(".deb"));
    // It would not, were a dependency unknown to Debian.
    let simulated = format!("apt-get install --simulate -o Debug::NoLocking=1 {file}");
    let said = shell(Who::Myself, &simulated);
    assert!(said.contains("Inst vm0fs "), "{said}");
    // As the README has it, where no folder is named.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for line in [
        "$ scripts/package ",
        "$ sudo apt-get install ./target/package/vm0fs_*.deb\n",
        "$ tar -C target/package -xzf target/package/vm0fs-*.tar.gz && target/package/vm0fs-*/install.sh\n",
    ] {
        assert!(readme.contains(line), "{line}");
    }
}

#[test]
fn lintian_finds_no_error_in_the_package_of_debian() {
    let lintian = "lintian --fail-on error --allow-root";
    let deb = package(".deb");
    shell(Who::Myself, &format!("{lintian} '{}' 2>&1", deb.display()));
}

#[test]
#[ignore = "needs root"]
fn the_package_of_debian_is_installed_used_and_purged() {
    let bench = Bench::new(World::empty());
    let root = bench.folder("root", Who::Myself);
    let database = root.join("var/lib/dpkg");
    for folder in ["info", "updates", "triggers"] {
        fs::create_dir_all(database.join(folder)).unwrap();
    }
    fs::write(database.join("status"), "").unwrap();
    // What users have of it that dpkg does not know.
    let services = root.join("home/me/.config/systemd/user/default.target.wants");
    fs::create_dir_all(&services).unwrap();
    let service = services.join("vm0fs@srv.service");
    std::os::unix::fs::symlink("/usr/lib/systemd/user/vm0fs@.service", service).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/fstab"), "vm0fs /srv fuse.vm0fs noauto 0 0\n").unwrap();
    let before = everything(&root, "var/lib/dpkg");
    let dpkg = |arguments: &str| {
        // Its dependencies are those of this machine.
        let root = root.display();
        shell(
            Who::Myself,
            &format!(
                "dpkg --root='{root}' --force-depends --force-script-chrootless \
                 --log=/dev/null {arguments} 2>&1"
            ),
        )
    };
    let install = || dpkg(&format!("--install '{}'", package(".deb").display()));
    assert!(!install().contains("mounts in use"), "the first");
    for file in dpkg("--listfiles vm0fs").lines() {
        let path = root.join(file.trim_start_matches('/'));
        assert!(fs::symlink_metadata(&path).is_ok(), "{file}");
    }
    let installed = root.join("usr/bin/vm0fs");
    for link in ["mount.vm0fs", "mount.fuse.vm0fs"] {
        let link = root.join("usr/sbin").join(link);
        assert_eq!(fs::canonicalize(&link).unwrap(), installed, "{link:?}");
        let mut helper = Command::new(&link);
        finish(helper.args(["vm0fs", "/mnt", "-f", "-o", "rw,cache-size=1G"])).succeeded();
    }
    for file in [
        "usr/lib/systemd/user/vm0fs@.service",
        "usr/share/doc/vm0fs/changelog.Debian.gz",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    for (shell, place) in [
        ("bash", "usr/share/bash-completion/completions/vm0fs"),
        ("zsh", "usr/share/zsh/vendor-completions/_vm0fs"),
        ("fish", "usr/share/fish/vendor_completions.d/vm0fs.fish"),
    ] {
        let mut command = bench.command_of(&installed, Who::Myself);
        let expected = finish(command.args(["completions", shell])).succeeded();
        let script = fs::read_to_string(root.join(place)).unwrap();
        assert_eq!(script, expected, "{place}");
    }
    has_its_licences(&root.join("usr/share/doc/vm0fs"));
    for page in ["vm0fs", "vm0fs-umount", "vm0fs.toml", "mount.fuse.vm0fs"] {
        let manual = root.join("usr/share/man");
        let man = format!("man -M '{}' {page} | col -bx", manual.display());
        assert!(shell(Who::Ordinary, &man).contains("SEE ALSO"), "{page}");
    }
    for who in Who::all() {
        can_be_used(&bench, who, &installed);
    }
    // A mount goes on while its program is replaced and removed.
    let place = Place::new(&bench, Who::Myself, "in-use");
    let installed_command = |words: &[&str]| {
        let mut command = bench.command_of(&installed, Who::Myself);
        finish(command.args(words).arg(&place.path)).succeeded()
    };
    installed_command(&["mount"]);
    let said = install();
    assert!(said.contains("vm0fs upgrade --all"), "{said}");
    assert!(installed_command(&["upgrade"]).contains(" serves it"));
    let said = dpkg("--purge vm0fs");
    for word in [
        "fusermount3 -u FOLDER",
        "systemctl --user disable --now 'vm0fs@srv.service'",
        "/etc/fstab has lines",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(place.run("ls -A").contains(".vm0fs"));
    finish(&mut place.unmount(&bench)).succeeded();
    assert_eq!(everything(&root, "var/lib/dpkg"), before);
}

/// Asserts that the licence is in the form of Debian, and that the notices of what is linked
/// are beside it.
#[track_caller]
fn has_its_licences(folder: &Path) {
    let copyright = fs::read_to_string(folder.join("copyright")).unwrap();
    let stanzas: Vec<&str> = copyright.split("\n\n").collect();
    let [head, files, licence] = stanzas[..] else {
        panic!("{copyright}");
    };
    assert!(
        head.starts_with("Format: https://www.debian.org/"),
        "{copyright}"
    );
    assert!(files.starts_with("Files: *\nCopyright: 2"), "{copyright}");
    assert!(
        licence.starts_with("License: MIT\n Permission"),
        "{copyright}"
    );
    assert!(licence.ends_with(" SOFTWARE.\n"), "{copyright}");
    let is_field = |line: &str| line.starts_with(' ') || line.contains(": ");
    assert!(
        stanzas.iter().all(|stanza| stanza.lines().all(is_field)),
        "{copyright}"
    );
    let notices = folder.join("crates.txt.gz");
    let notices = shell(Who::Myself, &format!("zcat '{}'", notices.display()));
    let (list, texts) = notices.split_once("\n==== ").unwrap();
    for name in ["fuser-", "rustls-", "zlib-rs-"] {
        let line = list.lines().find(|line| line.starts_with(name)).unwrap();
        let (crate_, licence) = line.split_once(' ').unwrap();
        assert!(!licence.trim().is_empty(), "{line}");
        let is_of = |line: &str| line.split(' ').any(|word| word == crate_);
        assert!(texts.lines().any(is_of), "{line} has no text");
    }
    let names: Vec<&str> = list.lines().filter(|line| !line.is_empty()).collect();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "{list}");
    // That of tests alone.
    assert!(!notices.contains("io-uring"));
}

#[test]
fn the_archive_is_installed_over_another_version_used_and_removed() {
    let bench = Bench::new(World::empty());
    for who in Who::all() {
        let home = bench.folder(&format!("home-{who:?}"), who);
        let services = home.join(".config/systemd/user/default.target.wants");
        fs::create_dir_all(&services).unwrap();
        // As on a machine whose homes are on a small disk.
        fs::create_dir_all(home.join("disk/bin")).unwrap();
        std::os::unix::fs::symlink("disk", home.join(".local")).unwrap();
        fs::write(home.join(".local/bin/other"), "").unwrap();
        if let Some((uid, gid)) = who.ids() {
            let all = format!("chown -hR {uid}:{gid} '{}'", home.display());
            shell(Who::Myself, &all);
        }
        let unpacked = bench.folder(&format!("unpacked-{who:?}"), who);
        let installer = unpack(who, &unpacked);
        let before = everything(&home, ".cache");
        // A machine without systemd.
        let tools = bench.folder(&format!("tools-{who:?}"), who);
        let systemctl = tools.join("systemctl");
        shell(who, &format!("ln -s /bin/false '{}'", systemctl.display()));
        let path = format!("{}:/usr/bin:/bin", tools.display());
        let run = |installer: &Path, arguments: &[&str]| {
            let mut command = bench.command_of(installer, who);
            finish(command.args(arguments).env("PATH", &path))
        };

        let said = run(&installer, &[]).succeeded();
        let local = home.join(".local");
        let shown = local.display();
        let demo = format!("{shown}/bin/vm0fs demo");
        for word in [
            "is installed in",
            "is not in your PATH",
            &demo,
            "--uninstall",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
        has_its_licences(&local.join("share/doc/vm0fs"));
        let installed = local.join("bin/vm0fs");
        let unit = fs::read_to_string(local.join("share/systemd/user/vm0fs@.service")).unwrap();
        assert!(unit.contains(&format!("{shown}/bin/vm0fs mount")), "{unit}");
        let man = format!("man -M '{shown}/share/man' vm0fs-mount | col -bx");
        assert!(shell(who, &man).contains("SEE ALSO"));
        can_be_used(&bench, who, &installed);

        // Another version had a file that this one has not; its program still runs.
        let list = local.join("share/vm0fs/installed");
        let stale = local.join("share/vm0fs-of-old/stale");
        shell(
            who,
            &format!(
                "mkdir '{shown}/share/vm0fs-of-old' && touch '{}' && echo share/vm0fs-of-old/stale >> '{}'",
                stale.display(),
                list.display()
            ),
        );
        let place = Place::new(&bench, who, &format!("in-use-{who:?}"));
        let mut mount = bench.command_of(&installed, who);
        finish(mount.arg("mount").arg(&place.path)).succeeded();
        let said = run(&installer, &[]).succeeded();
        assert!(!stale.exists() && !stale.parent().unwrap().exists());
        let advice = format!("{shown}/bin/vm0fs upgrade --all");
        assert!(said.contains(&advice), "{said}");

        // What it left behind removes it, and the services that would start it; not others.
        let service = services.join("vm0fs@srv.service");
        let template = local.join("share/systemd/user/vm0fs@.service");
        std::os::unix::fs::symlink(&template, &service).unwrap();
        // As `vm0fs enable` writes it, which knows the program without symlinks.
        let with_options = services.join("vm0fs@opt.service");
        std::os::unix::fs::symlink(&template, &with_options).unwrap();
        let drop_in = services.parent().unwrap().join("vm0fs@opt.service.d");
        let enabled = installed.canonicalize().unwrap();
        let text = format!(
            "# Written by `vm0fs enable`; `vm0fs disable` removes it.\n[Service]\nExecStart=\n\
             ExecStart=:{} mount --foreground --offline -- %f\n",
            enabled.display()
        );
        fs::create_dir(&drop_in).unwrap();
        fs::write(drop_in.join("options.conf"), text).unwrap();
        if let Some((uid, gid)) = who.ids() {
            let own = format!("chown -R {uid}:{gid} '{}'", drop_in.display());
            shell(Who::Myself, &own);
        }
        let of_other = services.join("vm0fs@usr.service");
        std::os::unix::fs::symlink("/dev/null", &of_other).unwrap();
        let own = local.join("share/vm0fs/install.sh");
        let said = run(&own, &["--uninstall"]).succeeded();
        assert!(said.contains("is removed"), "{said}");
        for service in [service, with_options, drop_in.join("options.conf")] {
            let removed = format!("removed {}", service.display());
            assert!(said.contains(&removed), "{said}");
        }
        fs::remove_file(of_other).unwrap();
        assert!(said.contains("fusermount3 -u FOLDER"), "{said}");
        assert!(place.run("ls -A").contains(".vm0fs"));
        finish(&mut place.unmount(&bench)).succeeded();
        until("what the mount wrote is all that is left", || {
            let left = everything(&home, ".cache");
            left.replace(
                "./disk/state\n./disk/state/vm0fs\n./disk/state/vm0fs/vm0fs.log\n",
                "",
            ) == before
        });
        run(&installer, &["--uninstall"]).failed(&["there is no vm0fs in"]);
        run(&installer, &["--frobnicate"]).failed(&["--frobnicate", "--help"]);
    }
}
