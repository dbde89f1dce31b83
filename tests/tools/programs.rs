//! Programs with formats of their own: git, sqlite3, memory maps, scripts.

use super::{artifact, compared, pack_up, prepare, project};
use crate::support::{Bench, Who};
use vm0fs::demo::{File, LogRow, Run};

#[test]
fn git_works_on_a_repository_in_a_version() {
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().join("repo");
    super::write_out(&project(), &folder);
    prepare(
        &folder,
        "export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
         chmod -R u+w . && git init -q -b main . && git config user.email a@b && git config user.name me
         git add . && git commit -qm first && echo more >> README.md && git commit -qam second
         git checkout -qb other && echo x > new && git add new && git commit -qm third
         git checkout -q main && git gc -q && echo loose > loose && git add loose && git commit -qm fourth",
    );
    let head = prepare(&folder, "git rev-parse HEAD");
    let bench = Bench::new(artifact(pack_up(&folder)));
    for who in Who::all() {
        let mount = bench.mount_as(who).start();
        let home = bench.folder(&format!("git-{who:?}"), who);
        let git = |arguments: &str| {
            mount.run(&format!(
                "cd artifacts/a/latest/ && HOME={} git -c safe.directory='*' --no-optional-locks {arguments}",
                home.display()
            ))
        };
        assert_eq!(git("rev-parse HEAD"), head);
        assert_eq!(git("log --format=%s"), "fourth\nsecond\nfirst\n");
        assert_eq!(git("status --porcelain"), "");
        git("fsck --full --strict");
        assert_eq!(git("diff --stat HEAD~2 -- README.md").lines().count(), 2);
        assert_eq!(git("show other:new"), "x\n");
        assert_eq!(git("branch --format='%(refname:short)'"), "main\nother\n");
        let clone = home.join("clone");
        git(&format!("clone -q . {}", clone.display()));
        assert_eq!(
            mount.run(&format!("cat {}/loose", clone.display())),
            "loose\n"
        );
    }
}

#[test]
fn sqlite3_reads_a_database_in_a_version() {
    let source = tempfile::tempdir().unwrap();
    prepare(
        source.path(),
        "sqlite3 data.db \"create table t(id integer primary key, text text);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
         insert into t select i, 'row ' || i from n; create index by_text on t(text)\"",
    );
    let bench = Bench::new(artifact(pack_up(source.path())));
    for who in Who::all() {
        let mount = bench.mount_as(who).start();
        for open in [
            "file:data.db?immutable=1",
            "file:data.db?mode=ro",
            "-readonly data.db",
            "data.db",
        ] {
            let query = |sql: &str| {
                let open = if open.starts_with('-') {
                    open.to_owned()
                } else {
                    format!("'{open}'")
                };
                mount.run(&format!(
                    "cd artifacts/a/latest/ && sqlite3 {open} \"{sql}\""
                ))
            };
            assert_eq!(
                query("select count(*), sum(id) from t"),
                "20000|200010000\n",
                "{open}"
            );
            assert_eq!(
                query("select id from t where text = 'row 777'"),
                "777\n",
                "{open}"
            );
            assert_eq!(query("pragma integrity_check"), "ok\n", "{open}");
        }
        mount.fails(
            "cd artifacts/a/latest/ && sqlite3 data.db 'delete from t'",
            "readonly database",
        );
    }
}

#[test]
fn files_of_a_version_can_be_mapped() {
    for who in Who::all() {
        let files = project();
        let bench = Bench::new(artifact(files.clone()));
        let mount = bench.mount_as(who).start();
        let (mounted, original, _) = compared(&bench, &mount, &files);
        let script = "import mmap, hashlib, sys
for name in ('README.md', 'big'):
    with open(sys.argv[1] + '/' + name, 'rb') as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as shared:
            print(len(shared), hashlib.sha256(shared[1000:]).hexdigest(), shared[-5:])
        with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as private:
            private[0:4] = b'mine'
            print(private[0:8])
    with open(sys.argv[1] + '/' + name, 'rb') as file:
        print(file.read(8))
";
        let python =
            |folder: &str| mount.run(&format!("/usr/bin/python3 -c \"{script}\" {folder}"));
        let ours = python(&mounted);
        assert_eq!(ours, python(&original));
        assert!(ours.starts_with("29 ") && ours.contains("mine"), "{ours}");
    }
}

#[test]
fn the_log_of_a_run_that_has_ended_can_be_mapped() {
    let mut world = artifact(Vec::new());
    let at = world.ago(9_000);
    let mut run = Run::new("writer", at);
    run.log(LogRow::system(at, "hello"));
    let id = world.add_run(run);
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let script = "import mmap, sys
with open(sys.argv[1], 'rb') as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as shared:
    sys.stdout.buffer.write(shared[:])";
    let path = format!("runs/{id}/logs");
    let mapped = mount.run(&format!("/usr/bin/python3 -c \"{script}\" {path}"));
    assert!(mapped.ends_with("hello\n"), "{mapped}");
    assert_eq!(mapped, mount.cat(&path));
}

#[test]
fn scripts_run_by_their_execute_bit() {
    let binary = std::fs::read("/bin/true").unwrap();
    let bench = Bench::new(artifact(vec![
        File::new("run.sh", "#!/bin/sh\necho \"$(basename $0) $*\"\n").executable(),
        File::new("data.sh", "#!/bin/sh\necho never\n"),
        File::new("true", binary).executable(),
    ]));
    for who in Who::all() {
        let mount = bench.mount_as(who).start();
        let ran = mount.run("artifacts/a/latest/run.sh one two");
        assert_eq!(ran, "run.sh one two\n");
        mount.run("artifacts/a/latest/true");
        mount.fails("artifacts/a/latest/data.sh", "Permission denied");
        assert_eq!(mount.run("sh artifacts/a/latest/data.sh"), "never\n");
    }
}
