//! Whole versions copied, packed, synchronised and compared.

use super::{artifact, compared, project};
use crate::support::{Bench, Who};

/// What `find` tells of files: path, kind, size, mode, time.
const TOLD: &str = "find . -type f -printf '%P %y %s %m %T@\\n' | sort";

#[test]
fn copies_are_the_original() {
    for who in Who::all() {
        let files = project();
        let bench = Bench::new(artifact(files.clone()));
        let mount = bench.mount_as(who).start();
        let (mounted, original, output) = compared(&bench, &mount, &files);
        let told = mount.run(&format!("cd {original} && {TOLD}"));
        assert_eq!(told.lines().count(), files.len());
        let same = |copy: &str| {
            mount.run(&format!("diff -r {original} {copy}"));
            assert_eq!(mount.run(&format!("cd {copy} && {TOLD}")), told, "{copy}");
        };
        same(&mounted);
        mount.run(&format!("cp -a {mounted} {output}/cp"));
        same(&format!("{output}/cp"));
        // Into a folder of its own: the root's mode would forbid to fill it.
        mount.run(&format!(
            "cd {output} && mkdir tar && tar -C {mounted} -c . | tar -C tar -x --delay-directory-restore"
        ));
        same(&format!("{output}/tar"));
        mount.run(&format!(
            "cd {output} && rsync -a --chmod=Du+w {mounted}/ rsync/"
        ));
        same(&format!("{output}/rsync"));
        let again = mount.run(&format!(
            "rsync -a --chmod=Du+w --stats --itemize-changes {mounted}/ {output}/rsync/"
        ));
        assert!(
            again.contains("Number of regular files transferred: 0"),
            "{again}"
        );
        assert!(!again.contains(">f"), "{again}");
        mount.run(&format!(
            "rsync -ac --chmod=Du+w {mounted}/ {output}/rsync/"
        ));
        mount.run(&format!("chmod -R u+w {output}"));
    }
}

#[test]
fn checksums_searches_and_sizes_match_the_original() {
    for who in Who::all() {
        let files = project();
        let bench = Bench::new(artifact(files.clone()));
        let mount = bench.mount_as(who).start();
        let (mounted, original, output) = compared(&bench, &mount, &files);
        mount.run(&format!(
            "cd {original} && find . -type f -print0 | xargs -0 sha256sum > {output}/sums \
             && cd {mounted} && sha256sum --quiet --strict -c {output}/sums"
        ));
        let both = |script: &str| {
            let on = |folder: &str| mount.run(&format!("cd {folder} && {script}"));
            let (ours, theirs) = (on(&mounted), on(&original));
            assert_eq!(ours, theirs, "{script}");
            assert!(!ours.is_empty());
        };
        both("ls -R");
        both("ls -lR --time-style=full-iso | grep ^- | awk '{print $1, $5, $6, $7, $9}'");
        both("grep -rl needle . | sort");
        both("grep -rc 'file 5' src | sort");
        both("du -ab --apparent-size . | grep txt | sort -k 2");
        both("find . -name '*.txt' -size +2k -newermt @1700000030 | sort");
        both("wc -c $(find src -type f | sort)");
        both("tail -c 100 big | sha256sum; head -c 100000 big | sha256sum");
        both("stat -c '%n %s %Y' $(find src -type f | sort)");
        both("bin/run.sh x");
        let blocks = mount.run(&format!("du -s --block-size=1 {mounted} | cut -f 1"));
        let total: u64 = files.iter().map(vm0fs::demo::File::size).sum();
        let blocks: u64 = blocks.trim().parse().unwrap();
        assert!((total..total + 512 * (files.len() as u64 + 30)).contains(&blocks));
    }
}

#[test]
fn the_whole_mount_can_be_copied() {
    let mut world = artifact(project());
    let at = world.ago(5_000);
    world.add_agent(vm0fs::demo::Agent::new("writer", at));
    let mut run = vm0fs::demo::Run::new("writer", at);
    run.event(at, vm0fs::demo::Claude::said("hello"));
    world.add_run(run);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let copy = bench.dir().join("copy");
    // Pages about the mount itself change while they are copied.
    mount.run(&format!(
        "mkdir {0} && tar -c --exclude ./.vm0fs . | tar -C {0} -x && diff -r --no-dereference -x .vm0fs . {0}",
        copy.display()
    ));
    assert_eq!(mount.run("ls -R . | wc -l"), mount.run("ls -R . | wc -l"));
}
