//! What the commands on a shared cache say, and what its guide has users type.

use super::*;

/// The guide.
const GUIDE: &str = include_str!("../../src/guide/fleets.md");

/// `vm0fs shared-cache` with these arguments and the variables of a store.
fn said(bench: &Bench, arguments: &str, variables: &[(&str, &str)]) -> crate::commands::Said {
    let mut command = command(bench, arguments);
    command.envs(variables.iter().copied());
    finish(&mut command)
}

/// How often a text has a part.
fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn the_first_commands_of_the_guide_work_as_they_are_printed() {
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    let block = GUIDE.split("```console\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let lines = block.lines().filter_map(|line| line.strip_prefix("$ "));
    // The endpoint and the credentials are those of this test.
    let own = lines.filter(|line| !line.starts_with("export AWS_"));
    let text: Vec<String> = own
        .map(|line| line.replace("s3://ci-cache", "s3://fleet"))
        .collect();
    assert!(text.iter().filter(|line| line.contains("vm0fs ")).count() >= 3);
    let vm0fs = bench.command(Who::Myself);
    let program = vm0fs.get_program().to_str().unwrap();
    let script = text
        .join("\n")
        .replace("vm0fs shared", &format!("{program} shared"));
    let mut shell = Command::new("sh");
    shell
        .args(["-ec", &script])
        .env_clear()
        .envs(
            vm0fs
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .envs(s3.environment())
        .env(PATIENCE, "10000")
        .env_remove("VM0_API_KEY");
    let ended = finish(&mut shell);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("0 objects"), "{ended:?}");
}

#[test]
fn init_says_what_was_used_and_writes_paths_for_every_home() {
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    let home = bench.folder("home-Myself", Who::Myself);
    let [endpoint, region, (_, id), (_, secret)] = s3.environment();
    fs::create_dir(home.join(".aws")).unwrap();
    let file = home.join(".aws/credentials");
    let profile = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    fs::write(&file, profile).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let variables = [endpoint, region].map(|(name, value)| (name, value));
    let variables: Vec<_> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let init = "init --shared-cache s3://fleet/x";
    let made = said(&bench, init, &variables);
    assert_eq!((made.code, &*made.err), (Some(0), ""), "{made:?}");
    for part in [
        "shared-cache-key-file = \"~/.config/vm0fs/shared-cache.key\"",
        "environment needs the same AWS_ENDPOINT_URL, AWS_REGION.",
        "~/.aws/credentials and ~/.aws/config, which says AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.",
    ] {
        assert!(made.out.contains(part), "{part}: {made:?}");
    }
    let key = home.join(".config/vm0fs/shared-cache.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = said(&bench, init, &variables);
    assert!(open.err.starts_with("vm0fs: warning: "), "{open:?}");
    assert!(
        open.err.contains("other users may read this key"),
        "{open:?}"
    );
    fs::write(&key, "c2hvcnQ=\n").unwrap();
    let short = said(&bench, init, &variables);
    assert_eq!(short.code, Some(1));
    assert_eq!(count(&short.err, "shared-cache init"), 1, "{short:?}");
    assert!(
        short.err.contains("makes one where there is no such file"),
        "{short:?}"
    );
}

#[test]
fn a_wrong_setting_of_s3_is_told_with_what_to_do() {
    let bench = Bench::new(World::empty());
    let s3 = S3::start(bench.dir());
    for (changed, value, parts) in [
        (
            "AWS_SECRET_ACCESS_KEY",
            "",
            ["Missing SecretAccessKey", "vm0fs help fleets"],
        ),
        (
            "AWS_ENDPOINT_URL",
            "nonsense",
            ["AWS_ENDPOINT_URL is no address", "https://s3.example"],
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            "wrong",
            ["SignatureDoesNotMatch", "look at AWS_ACCESS_KEY_ID"],
        ),
    ] {
        for arguments in ["init", "status"] {
            let mut command = command(&bench, &format!("{arguments} --shared-cache s3://fleet"));
            let ended = finish(command.envs(s3.environment()).env(changed, value));
            assert_eq!(ended.code, Some(1), "{ended:?}");
            for part in parts {
                assert!(ended.err.contains(part), "{arguments}: {part}: {ended:?}");
            }
        }
    }
}

#[test]
fn a_silent_store_is_told_of_soon() {
    let bench = Bench::new(World::empty());
    let store = FaultyStore::start(Fault::Silent);
    for arguments in ["init", "status", "prune --older-than 1h"] {
        let mut command = command(&bench, &format!("{arguments} --shared-cache s3://fleet"));
        let ended = finish(command.envs(store.environment()));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("no answer within 5.0 s"), "{ended:?}");
        assert!(ended.took < Duration::from_secs(30), "{ended:?}");
    }
}

#[test]
fn an_age_for_pruning_has_a_bound_that_the_help_names() {
    let bench = Bench::new(World::empty());
    let short = said(&bench, "prune --older-than 59m", &[]);
    assert_eq!(short.code, Some(2), "{short:?}");
    assert!(short.err.contains("at least 1h"), "{short:?}");
    let help = said(&bench, "prune --help", &[]);
    let words: Vec<&str> = help.out.split_whitespace().collect();
    assert!(words.join(" ").contains("1h or longer"), "{help:?}");
}

#[test]
fn one_lookup_is_one_miss() {
    let (world, runs) = world(1);
    let bench = Bench::new(world);
    let folder = bench.folder("shared", Who::Myself);
    let mount = machine(&bench, "first", &format!("file://{}", folder.display())).start();
    mount.cat(&format!("runs/{}/run.json", runs[0]));
    wait_for(&mount, "puts", 1);
    let mut status = bench.command(Who::Myself);
    let status = finish(status.arg("status"));
    assert!(
        status.out.contains("0 hits, 1 miss, 1 written"),
        "{status:?}"
    );
}

// Two users.
#[test]
#[ignore = "needs root"]
fn prune_ends_with_1_where_objects_of_other_users_are_left() {
    let bench = Bench::new(World::empty());
    let shared = bench.folder("shared", Who::Myself);
    let folder = shared.join("v1/a");
    fs::create_dir_all(&folder).unwrap();
    for path in [&shared, &shared.join("v1"), &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
    }
    for (digit, who) in [("b", Who::Myself), ("c", Who::Ordinary), ("d", Who::Myself)] {
        let file = folder.join(digit.repeat(63));
        fs::write(&file, "12345").unwrap();
        shell(
            Who::Myself,
            &format!("touch -d '40 days ago' {}", file.display()),
        );
        if let Some((user, group)) = who.ids() {
            std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
        }
    }
    let mut prune = bench.command(Who::Ordinary);
    prune.args(["shared-cache", "prune", "--older-than", "30d"]);
    prune.args(["--shared-cache", &format!("file://{}", shared.display())]);
    let ended = finish(&mut prune);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.out.contains("removed 1 object, 5 B"), "{ended:?}");
    for part in ["2 objects could not be removed", "2 of root", "as root"] {
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}
