//! Where the archive's installer puts things, and what it says where it cannot.

use super::{everything, unpack};
use crate::{
    commands::{finish, script, shell},
    support::{Bench, Who},
};
use std::{fs, path::Path, process::Command};
use vm0fs::demo::World;

#[test]
fn an_installation_that_fails_can_be_removed_or_gone_on_with() {
    let who = *Who::all().last().unwrap();
    let bench = Bench::new(World::empty());
    let installer = unpack(who, &bench.folder("unpacked", who));
    let prefix = bench.folder("own", who).join("prefix");
    let run = |arguments: &[&str]| {
        let mut command = bench.command_of(&installer, who);
        finish(command.args(arguments).arg("--prefix").arg(&prefix))
    };
    // A file where a folder is to be.
    let share = prefix.join("share");
    let obstacle = share.join("systemd");
    let shown = obstacle.display();
    shell(
        who,
        &format!("mkdir -p '{}' && touch '{shown}'", share.display()),
    );
    let before = everything(&prefix, "-");
    run(&[]).failed(&["systemd", "not all is installed", "--uninstall --prefix"]);
    assert!(prefix.join("bin/vm0fs").exists());
    run(&["--uninstall"]).succeeded();
    assert_eq!(everything(&prefix, "-"), before);
    // Over another version that had the file that is in the way.
    run(&[]).failed(&["not all is installed"]);
    let list = prefix.join("share/vm0fs/installed");
    shell(who, &format!("echo share/systemd >> '{}'", list.display()));
    run(&[]).succeeded();
    run(&["--uninstall"]).succeeded();
    assert!(!prefix.exists());
    // A folder where the program is to be.
    let program = prefix.join("bin/vm0fs");
    shell(who, &format!("mkdir -p '{}'", program.display()));
    let said = run(&[]);
    said.failed(&["bin/vm0fs is a folder", "not all is installed"]);
    assert!(!said.out.contains("is installed"), "{said:?}");
    assert!(fs::read_dir(program).unwrap().next().is_none());
}

#[test]
#[ignore = "needs root"]
fn a_folder_where_no_program_runs_is_refused() {
    let bench = Bench::new(World::empty());
    let installer = unpack(Who::Myself, &bench.folder("unpacked", Who::Myself));
    let prefix = bench.folder("prefix", Who::Myself);
    let mut command = Command::new("unshare");
    let install = r#"mount -t tmpfs -o noexec tmpfs "$2" && sh "$1" --prefix "$2""#;
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        install,
        "-",
    ]);
    let said = finish(command.arg(&installer).arg(&prefix));
    said.failed(&[
        "bin/vm0fs does not run there",
        "noexec",
        "not all is installed",
    ]);
    assert!(!said.out.contains("is installed"), "{said:?}");
}

#[test]
fn a_folder_of_any_name_can_hold_what_the_archive_has() {
    let who = *Who::all().last().unwrap();
    let bench = Bench::new(World::empty());
    let folder = bench.folder("unpacked", who);
    let prefix = folder.join("it's ours");
    let installer = unpack(who, &folder);
    let run = |prefix: &Path| {
        let mut command = bench.command_of(&installer, who);
        finish(command.arg("--prefix").arg(prefix)).succeeded()
    };
    // What it says removes it, without the folder's name as an option. A slash at its end is
    // none of the name.
    let said = run(&prefix.join(""));
    assert!(!said.contains("//"), "{said}");
    let remove = said.lines().last().unwrap();
    let remove = remove.strip_prefix("To remove it: ").unwrap();
    assert!(shell(who, remove).contains("is removed from"));
    assert!(!prefix.exists());

    // The shell leaves the tilde to the installer. `~/.local` is where bash looks for
    // completions only where nothing else is said.
    for (name, data, is_complete) in [
        (".local/", "", true),
        (".local", "data", false),
        ("own", "own/share", true),
    ] {
        let home = bench.folder("home", who);
        let data = home.join(data);
        let mut command = bench.command_of(&installer, who);
        command.env("HOME", &home).arg(format!("--prefix=~/{name}"));
        if data != home {
            command.env("XDG_DATA_HOME", data);
        }
        let said = finish(&mut command).succeeded();
        assert!(home.join(name).join("bin/vm0fs").is_file(), "{said}");
        let works = said.contains("Completion works in a new bash");
        assert_eq!(works, is_complete, "{name}: {said}");
    }

    // A unit cannot have an apostrophe there.
    let prefix = folder.join("50% & a|b");
    run(&prefix);
    let unit = folder.join("vm0fs@x.service");
    fs::copy(prefix.join("share/systemd/user/vm0fs@.service"), &unit).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--user", "--man=no"]).arg(&unit);
    let runtime = bench.folder("runtime", Who::Myself);
    let said = finish(verify.env("XDG_RUNTIME_DIR", runtime));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn the_installer_says_what_a_machine_lacks() {
    let bench = Bench::new(World::empty());
    let installer = unpack(Who::Myself, &bench.folder("unpacked", Who::Myself));
    // No fusermount3 on this path.
    let tools = bench.folder("tools", Who::Myself);
    for tool in [
        "sh", "sed", "dirname", "mktemp", "find", "sort", "mkdir", "cat", "cp", "mv", "chmod",
        "rm", "rmdir", "grep", "id",
    ] {
        std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), tools.join(tool)).unwrap();
    }
    let install = format!(
        "PATH='{}' sh '{}' --prefix '{}'",
        tools.display(),
        installer.display(),
        bench.folder("prefix", Who::Myself).display()
    );
    let said = finish(&mut script(Who::Myself, &install)).succeeded();
    assert!(said.contains("sudo apt-get install fuse3"), "{said}");
}
