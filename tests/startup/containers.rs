//! Mounts in containers: in a user namespace without root, in the root folder of an
//! image, and what the examples of Kubernetes start.

use crate::{
    commands::{finish, small_world},
    support::{Bench, Who, program},
};
use serde_json::Value;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

/// A file of the source.
fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `bash` with a script as `who`, in a user namespace where it is root and a mount
/// namespace of its own; with the test's server in its environment.
fn unshared(bench: &Bench, who: Who, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--propagation",
            "private",
        ])
        .args(["bash", "-euc", script])
        .envs(
            bench
                .command(who)
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PROGRAM", program())
        .current_dir("/");
    if let Some((uid, gid)) = who.ids() {
        command.uid(uid).gid(gid);
    }
    command
}

#[test]
fn a_user_namespace_has_a_mount_of_its_own_without_root() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = bench.folder("place", who);
        let mut command = unshared(
            &bench,
            who,
            r#"
            # No helper with rights of its own takes part.
            mount --bind /bin/false "$(command -v fusermount3)"
            "$PROGRAM" mount "$PLACE"
            grep " $PLACE " /proc/self/mountinfo; cat "$PLACE/artifacts/site/latest/index.html"
            stat -c %U "$PLACE/agents"
            "$PROGRAM" status "$PLACE"
            "$PROGRAM" unmount "$PLACE"
            ! grep " $PLACE " /proc/self/mountinfo"#,
        );
        let out = finish(command.env("PLACE", &place)).succeeded();
        for word in ["fuse.vm0fs", "<h1>It works</h1>\n", "root\n", "alive"] {
            assert!(out.contains(word), "{word}: {out}");
        }
        assert!(!crate::support::is_mounted(&place));
    }
}

#[test]
fn a_mount_from_outside_lives_in_a_user_namespace_too() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let mount = bench.mount_as(who).start();
        let script = r#"
            "$PROGRAM" status "$PLACE"
            "$PROGRAM" ls agents --mountpoint "$PLACE"
            "$PROGRAM" mount "$PLACE" 2>&1 && exit 1
            "$PROGRAM" unmount "$PLACE" 2>&1 && exit 1
            "$PROGRAM" top --once "$PLACE"
            # Where users have no numbers, and where they have others again.
            unshare --user --mount "$PROGRAM" status "$PLACE"
            unshare --user --map-root-user --mount "$PROGRAM" top --once "$PLACE"
            ls "$PLACE/agents""#;
        let mut command = unshared(&bench, who, script);
        let out = finish(command.env("PLACE", mount.path())).succeeded();
        assert_eq!(out.matches(": alive").count(), 2, "{out}");
        assert!(out.matches("PROCESS").count() >= 2, "{out}");
        let told = [
            ": alive",
            "is mounted at",
            "outside of this user namespace",
            "writer",
        ];
        for word in told {
            assert!(out.contains(word), "{word}: {out}");
        }
        assert!(crate::support::is_mounted(mount.path()));
    }
}

#[test]
#[ignore = "needs root"]
fn a_mount_whose_process_cannot_be_seen_is_not_called_dead() {
    let bench = Bench::new(small_world());
    for who in Who::all() {
        let mount = bench.mount_as(who).start();
        let script = r#"mount -t proc -o hidepid=2 proc /proc
            for command in status "top --once"; do
                setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups \
                    "$PROGRAM" $command "$PLACE" 2>&1 || true
            done"#;
        let mut command = bench.command_of(Path::new("unshare"), Who::Myself);
        command.args(["--mount", "bash", "-euc", script]);
        let command = command.env("PROGRAM", program()).env("PLACE", mount.path());
        let out = finish(command).succeeded();
        assert!(!out.contains("is gone"), "{who:?}: {out}");
        let told = match who {
            Who::Myself => "another user has mounted it",
            Who::Ordinary => ": alive",
        };
        assert!(out.contains(told), "{who:?}: {out}");
    }
}

#[test]
fn an_image_is_the_program_and_what_it_needs() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let folder = bench.folder("image", who);
        let root = folder.join("root");
        let mut command = bench.command_of(&source("scripts/packaging/image-root"), who);
        finish(command.arg(program()).arg(&root)).succeeded();
        // It refuses to add to what there is.
        finish(&mut command).failed(&["exists", "name another folder"]);
        assert!(
            fs::metadata(root.join("etc/ssl/certs/ca-certificates.crt"))
                .unwrap()
                .len()
                > 0
        );
        let programs = fs::read_dir(root.join("usr/bin")).unwrap().flatten();
        let mut programs: Vec<_> = programs.map(|entry| entry.file_name()).collect();
        programs.sort();
        assert_eq!(programs, ["fusermount3", "vm0fs"]);
        let cache = fs::metadata(root.join("var/cache")).unwrap();
        assert_eq!(cache.permissions().mode() & 0o7777, 0o1777, "any user's");

        // Another process mounts it, as a container would have it: the program is all there
        // is, and process 1.
        let mut command = unshared(
            &bench,
            who,
            r#"
            mount --bind "$ROOT" "$ROOT"
            touch "$ROOT/dev/fuse" "$ROOT/dev/null"
            for device in fuse null; do mount --bind "/dev/$device" "$ROOT/dev/$device"; done
            export XDG_CACHE_HOME=/var/cache
            # In the background it would end with the container at once.
            ! unshare --pid --fork --kill-child --root="$ROOT" --mount-proc=/proc \
                /usr/bin/vm0fs mount /vm0 2> "$ROOT/tmp/log"
            grep 'process 1 of a container.*add --foreground' "$ROOT/tmp/log"
            unshare --pid --fork --kill-child --root="$ROOT" --mount-proc=/proc \
                /usr/bin/vm0fs mount --foreground /vm0 2> "$ROOT/tmp/log" & container=$!
            until grep -q 'mounted at' "$ROOT/tmp/log"; do
                kill -0 $container || { cat "$ROOT/tmp/log" >&2; exit 1; }
                sleep 0.05
            done
            init=$(cat /proc/$container/task/$container/children); init=${init%% *}
            inside() { nsenter --target "$init" --mount --pid --root /usr/bin/vm0fs "$@"; }
            inside status /vm0
            cat "/proc/$init/root/vm0/artifacts/site/latest/index.html"
            # A worker that dies has a successor there too.
            kill -9 $(cat /proc/$init/task/$init/children)
            cat "/proc/$init/root/vm0/artifacts/site/latest/index.html"
            kill "$init"; wait $container
            grep -c unmounted "$ROOT/tmp/log""#,
        );
        let out = finish(command.env("ROOT", &root)).succeeded();
        assert!(out.contains("supervised by process 1"), "{out}");
        assert_eq!(out.matches("<h1>It works</h1>\n").count(), 2, "{out}");
        assert!(out.ends_with("1\n"), "{out}");
    }
}

#[test]
#[ignore = "needs root"]
fn where_the_table_of_mounts_is_missing_an_ordinary_user_is_told_what_to_do() {
    let bench = Bench::new(small_world());
    let who = Who::Ordinary;
    let (place, etc) = (bench.folder("place", who), bench.folder("etc", Who::Myself));
    let mut command = bench.command_of(Path::new("unshare"), Who::Myself);
    command
        .args(["--mount", "--propagation", "private", "bash", "-euc"])
        .arg(
            r#"
            cp /etc/passwd /etc/group /etc/hosts "$ETC"; mount --bind "$ETC" /etc
            theirs() { setpriv --reuid vm0fs-test --regid vm0fs-test --clear-groups \
                env HOME="$THEIRS" "$PROGRAM" "$@"; }
            trap 'umount -l "$PLACE" 2>/dev/null || true' EXIT
            theirs mount "$PLACE" >&2
            ! theirs unmount "$PLACE"
            theirs doctor || true
            ln -s /proc/self/mounts /etc/mtab
            theirs unmount "$PLACE"
            ! grep " $PLACE " /proc/self/mountinfo"#,
        )
        .env("PROGRAM", program())
        .env("THEIRS", bench.folder("home-Ordinary", who))
        .env("PLACE", &place)
        .env("ETC", &etc);
    let said = finish(&mut command);
    let advice = "as root: ln -s /proc/self/mounts /etc/mtab";
    said.told(&[
        &format!("cannot unmount {}: fusermount3 looks up", place.display()),
        advice,
    ]);
    let out = said.succeeded();
    assert!(out.contains("cannot unmount without /etc/mtab"), "{out}");
    assert!(out.contains(advice), "{out}");
}

/// A program of the Python that checks the examples, which `scripts/test` installs.
fn checker(program: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let entries = fs::read_dir(target).unwrap().flatten();
    let mut folders = entries.map(|entry| entry.path());
    let name = "kubernetes-validate-";
    let folder = folders.find(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(name)
    });
    let folder = folder.expect("kubernetes-validate is missing: run the tests with scripts/test");
    Command::new(folder.join("bin").join(program))
}

/// The files of the examples.
fn files() -> Vec<PathBuf> {
    let folder = source("scripts/packaging/kubernetes");
    let files = fs::read_dir(folder).unwrap().flatten();
    files.map(|entry| entry.path()).collect()
}

/// Their documents.
fn examples() -> Vec<Value> {
    let script = "import json, sys, yaml
print(json.dumps([d for f in sys.argv[1:] for d in yaml.safe_load_all(open(f))]))";
    let said = finish(checker("python").args(["-c", script]).args(files()));
    serde_json::from_str(&said.succeeded()).unwrap()
}

/// All containers of a document.
fn containers(document: &Value) -> Vec<&Value> {
    let pods = ["/spec", "/spec/template/spec"];
    let lists = pods.iter().flat_map(|pod| {
        ["initContainers", "containers"].map(|list| document.pointer(&format!("{pod}/{list}")))
    });
    let lists = lists.flatten().filter_map(Value::as_array);
    lists.flatten().collect()
}

fn words(value: &Value) -> Vec<&str> {
    let words = value.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect()
}

#[test]
fn the_examples_start_the_program_as_it_is() {
    let bench = Bench::new(small_world());
    let examples = examples();
    let mut count = 0;
    for document in &examples {
        for container in containers(document) {
            let shown = format!("{}: {}", document["metadata"]["name"], container["name"]);
            let paths = container["volumeMounts"].as_array().unwrap();
            let has = |propagation: &str| {
                paths
                    .iter()
                    .any(|path| path["mountPropagation"] == propagation)
            };
            if container["name"] != "vm0fs" {
                assert!(has("HostToContainer"), "{shown}");
                continue;
            }
            count += 1;
            let arguments = words(&container["args"]);
            // Its options and its folder are understood, and it does not mount here.
            let mut command = bench.command(Who::Myself);
            command.args(&arguments).arg("--print-unit");
            finish(&mut command).succeeded();
            for word in [
                "--foreground",
                "--allow-other",
                "--token-file",
                "--shared-cache=",
            ] {
                let is_there = arguments.iter().any(|argument| argument.starts_with(word));
                assert!(is_there, "{shown}: {word}");
            }
            let mountpoint = arguments.last().unwrap();
            let probe = words(&container["startupProbe"]["exec"]["command"]);
            assert_eq!(probe, ["/usr/bin/vm0fs", "status", mountpoint], "{shown}");
            assert!(has("Bidirectional"), "{shown}");
            assert_eq!(container["securityContext"]["privileged"], true, "{shown}");
            // What it names lies in a volume.
            for argument in arguments.iter().filter(|argument| argument.contains('/')) {
                let named = argument.rsplit('=').next().unwrap();
                let mut volumes = paths.iter().filter_map(|path| path["mountPath"].as_str());
                let is_there = volumes.any(|volume| named.starts_with(volume));
                assert!(
                    is_there || named.starts_with("s3://"),
                    "{shown}: {argument}"
                );
            }
        }
    }
    assert_eq!((examples.len(), count), (3, 2));
}

#[test]
fn an_image_mounts_below_its_folder_for_a_volume() {
    let text = fs::read_to_string(source("scripts/packaging/Dockerfile")).unwrap();
    let command = text.lines().find_map(|line| line.strip_prefix("CMD "));
    let command: Vec<String> = serde_json::from_str(command.unwrap()).unwrap();
    assert_eq!(command.last().unwrap(), "/vm0/mnt");
}

#[test]
fn kubernetes_has_nothing_to_say_about_the_examples() {
    let said = finish(checker("kubernetes-validate").arg("--strict").args(files()));
    let told = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, Some(0), "{told}");
    assert!(
        told.contains("passed for resource daemonset/vm0fs"),
        "{told}"
    );
}
