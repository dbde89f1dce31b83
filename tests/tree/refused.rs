//! Every change is answered with EROFS, to root and to an ordinary user.

use super::Example;
use crate::support::{Bench, Who, reason};
use std::{fs, io, os::unix::fs::symlink};

#[test]
fn every_change_is_refused() {
    for who in Who::all() {
        let Example {
            world,
            complete,
            report,
            ..
        } = Example::new();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let version = format!("artifacts/report/{}", report[1]);
        for folder in [".", "agents", "runs", &format!("runs/{complete}"), &version] {
            for command in [
                format!("touch {folder}/new"),
                format!("mkdir {folder}/new"),
                format!("ln -s x {folder}/new"),
                format!("mkfifo {folder}/new"),
                format!("echo x > {folder}/new"),
                format!("chmod 700 {folder}"),
                format!("touch {folder}"),
            ] {
                mount.fails(&command, reason::READ_ONLY);
            }
        }
        for file in [
            &format!("runs/{complete}/status"),
            &format!("{version}/report.md"),
        ] {
            for command in [
                format!("rm -f {file}"),
                format!("chmod +x {file}"),
                format!("chown $(id -u) {file}"),
                format!("touch {file}"),
                format!("ln {file} {version}/new"),
                format!("mv -T {file} {file}.new"),
                format!("truncate -s 0 {file}"),
                format!("echo x > {file}"),
                format!("echo x >> {file}"),
                format!("true <> {file}"),
                format!("setfattr -n user.new -v x {file}"),
                format!("setfattr -x user.vm0.version {version}"),
            ] {
                mount.fails(&command, reason::READ_ONLY);
            }
        }
        mount.fails(&format!("rmdir {version}/bin"), reason::READ_ONLY);
        mount.fails("rm -rf artifacts/report", reason::READ_ONLY);
        mount.fails("mv artifacts/report artifacts/other", reason::READ_ONLY);
        assert_eq!(mount.cat(&format!("{version}/report.md")), "# Two\n");
    }
}

#[test]
fn the_error_number_of_a_change_is_erofs() {
    let Example { world, report, .. } = Example::new();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let file = mount.join(&format!("artifacts/report/{}/report.md", report[1]));
    let refused = |result: io::Result<()>| {
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EROFS));
    };
    refused(fs::write(&file, "x"));
    refused(fs::remove_file(&file));
    refused(fs::rename(&file, mount.join("new")));
    refused(fs::create_dir(mount.join("new")));
    refused(symlink("x", mount.join("new")));
    refused(fs::hard_link(&file, mount.join("new")));
    let create = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(mount.join("new"));
    refused(create.map(drop));
    assert_eq!(fs::read(&file).unwrap(), b"# Two\n");
}
