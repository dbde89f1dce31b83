//! A request that is copied to `agents/<name>/run` starts one run, and the program
//! that copies it reports success, with everything of a file that it keeps.

use super::{posts, world};
use crate::support::{Bench, Who, reason};
use std::fs;
use vm0fs::demo::{File, Kind, VersionSpec};

/// Programs that write a file onto another, `{}` for the one that is read.
const COPIES: [&str; 21] = [
    "cp {} run",
    "cp -p {} run",
    "cp -a {} run",
    "cp --preserve=all {} run",
    "cp --no-preserve=mode {} run",
    "cp --sparse=always {} run",
    "rsync --inplace {} run",
    "rsync -a --inplace {} run",
    "rsync -a --inplace --chmod=F640 {} run",
    "rsync -a --inplace --fsync {} run",
    "tee run < {} > /dev/null",
    "dd if={} of=run conv=fsync status=none",
    "dd if={} of=run conv=fdatasync,notrunc status=none",
    "cat {} > run && touch run && touch -d 2020-01-01 run && chmod 644 run",
    "truncate -s 0 run && cat {} >> run",
    "python3 -c 'import shutil; shutil.copyfile(\"{}\", \"run\")'",
    "python3 -c 'import shutil; shutil.copy(\"{}\", \"run\")'",
    "python3 -c 'import shutil; shutil.copy2(\"{}\", \"run\")'",
    "node -e 'const fs = require(\"fs\"); fs.writeFileSync(\"run\", fs.readFileSync(\"{}\"))'",
    "perl -MFile::Copy -e 'copy(\"{}\", \"run\") or die $!'",
    "vim -u NONE -i NONE -n -es -c 'w! run' -c 'q!' {} </dev/null",
];

#[test]
fn every_kind_of_copy_to_a_control_file_starts_one_run() {
    for who in Who::all() {
        let (mut world, _) = world();
        let id = world.add_storage(Kind::Artifact, "a");
        let request = File::new("request", "from the mount\n").executable();
        world.add_version(&id, VersionSpec::files(vec![request]));
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let file = bench.folder("files", who).join("request");
        fs::write(&file, "on the disk\n").unwrap();
        // An attribute and an old time, of which nothing can be kept.
        let file = file.to_str().unwrap();
        mount.run(&format!("cat {file} > {file}.own && chmod 640 {file}.own"));
        mount.run(&format!(
            "setfattr -n user.note -v kept {file}.own; touch -d 2001-01-01 {file}.own"
        ));
        let inside = "../../artifacts/a/latest/request".to_owned();
        let mut started = 0;
        for (source, prompt) in [
            (format!("{file}.own"), "on the disk"),
            (inside, "from the mount"),
        ] {
            for copy in COPIES {
                let script = format!("cd agents/writer && {}", copy.replace("{}", &source));
                mount.run(&script);
                started += 1;
                let world = bench.server.world();
                assert_eq!(world.runs.len(), 1 + started, "{script}");
                assert_eq!(world.runs.last().unwrap().prompt, prompt, "{script}");
                let id = world.runs.last().unwrap().id.clone();
                drop(world);
                assert_eq!(mount.cat("agents/writer/run"), format!("{id}\n"));
            }
        }
        assert_eq!(posts(&bench), started);
        let stat = mount.run("stat -c '%a %U' agents/writer/run; id -un");
        let (stat, user) = stat.split_once('\n').unwrap();
        assert_eq!(
            stat,
            format!("600 {}", user.trim_end()),
            "they mean nothing"
        );
    }
}

#[test]
fn attributes_of_a_control_file_can_be_set_without_effect() {
    for who in Who::all() {
        let (world, run) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        for file in ["agents/writer/run".to_owned(), format!("runs/{run}/cancel")] {
            mount.run(&format!(
                "chmod 777 {file}; chown \"$(id -u):$(id -g)\" {file}; touch -d 2001-01-01 {file}; \
                 truncate -s 5 {file}"
            ));
            mount.fails(&format!("setfattr -n user.a -v b {file}"), "not supported");
            mount.fails(&format!("setfattr -x user.a {file}"), "not supported");
            assert_eq!(mount.run(&format!("stat -c '%a %s' {file}")), "600 0\n");
        }
        assert_eq!(posts(&bench), 0);
        for other in [format!("runs/{run}/status"), "agents".into()] {
            mount.fails(&format!("chmod 600 {other}"), reason::READ_ONLY);
            mount.fails(&format!("touch {other}"), reason::READ_ONLY);
            mount.fails(
                &format!("setfattr -n user.a -v b {other}"),
                reason::READ_ONLY,
            );
            mount.fails(&format!("setfattr -x user.a {other}"), reason::READ_ONLY);
        }
    }
}
