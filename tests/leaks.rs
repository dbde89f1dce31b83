//! Nothing leaks: the token, the queries of presigned links and a run's secrets
//! are nowhere but where they are meant to go, and what is on disk is private.

use crate::support::fake::{Action, Agent, Fault, File, Kind, Run, Server, VersionSpec, World};
use crate::{
    commands::{Place, finish, script},
    support::{
        Bench, Who, is_root, reason,
        store::{self, FaultyStore},
    },
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A secret of a run, and one in the query of a link that leads nowhere.
const RUN_SECRET: &str = "the-secret-of-a-run-7c1f";
const LINK_SECRET: &str = "the-secret-of-a-link-93ab";

/// An agent, ended runs, and artifacts: one to read, one for each fault.
fn world() -> (World, Vec<String>) {
    let mut world = World::empty();
    world.token = Some(format!("vm0_test_{}", "5e".repeat(32)));
    world.add_agent(Agent::new("writer", world.ago(20_000)));
    for number in 0..10 {
        let id = world.add_storage(Kind::Artifact, &format!("a{number}"));
        let files = vec![File::new("f", format!("content {number}\n"))];
        world.add_version(&id, VersionSpec::files(files));
    }
    let runs = (0..10).map(|n| world.add_run(Run::new("writer", world.ago(9_000 + n))));
    let runs = runs.collect();
    (world, runs)
}

/// All regular files below a folder, and the folders.
fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            found.extend(below(&entry.unwrap().path()));
        }
    }
    found
}

/// A `fusermount3` that writes down how it was started, and then is the real one.
fn spy_on_helper(bench: &Bench, who: Who) -> (PathBuf, PathBuf) {
    let folder = bench.folder("spy", who);
    let heard = folder.join("heard");
    let helper = folder.join("fusermount3");
    let text = format!(
        "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ >> '{0}'\ntr '\\0' '\\n' < /proc/$$/cmdline >> '{0}'\n\
         PATH=/usr/bin:/bin:/usr/sbin:/sbin exec fusermount3 \"$@\"\n",
        heard.display()
    );
    fs::write(&helper, text).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, heard)
}

/// What can go wrong, each telling all that the service knows.
fn faults(elsewhere: &str) -> Vec<Fault> {
    let token = format!("vm0_test_{}", "5e".repeat(32));
    // What a request brought can come back with its answer.
    let told = |what: &str| Action::api_error(500, what, what, what);
    let refused = |what: &str| Action::api_error(401, "authentication_error", "invalid", what);
    let page = |what: &str| Action::Status {
        status: 502,
        body: format!("<title>{what}</title>").into(),
        content_type: "text/html".into(),
        headers: vec![("X-Request-Id".into(), "a-request".into())],
    };
    let both = format!("{token} {RUN_SECRET}");
    let link = format!("{elsewhere}/x?X-Amz-Signature={LINK_SECRET}");
    let forbidden = format!("ftp://127.0.0.1/x?X-Amz-Signature={LINK_SECRET}");
    let elsewhere = format!("http://127.0.0.1:1/x?X-Amz-Signature={LINK_SECRET}");
    vec![
        Fault::api("/v1/", told(&token)).method("GET"),
        Fault::api("/v1/", refused(&token)).method("GET"),
        Fault::api("/v1/", page(&token)).method("GET"),
        Fault::api("/v1/", told(&both)).method("POST"),
        Fault::api("/v1/", page(&both)).method("POST"),
        Fault::api("/v1/", Action::redirect(302, &link)),
        Fault::api("/v1/", Action::redirect(302, &forbidden)),
        Fault::api("/v1/", Action::redirect(302, &elsewhere)),
        Fault::store(Action::ExpireUrl),
        Fault::store(Action::Truncate { after: 5 }),
    ]
}

#[test]
fn secrets_appear_nowhere() {
    for who in Who::all() {
        let (world, runs) = world();
        let token = world.token.clone().unwrap();
        let bench = Bench::new(world);
        let elsewhere = Server::start(World::empty()).unwrap();
        let state = bench.folder("state", who);
        let cache = bench.folder("cache", who);
        let place = Place::new(&bench, who, "mnt");
        let (spy, heard) = spy_on_helper(&bench, who);
        // It tells the secret back.
        let shared = FaultyStore::start(store::Fault::Status(403, "AccessDenied"));
        let mut command = place.mount(&bench);
        command
            .args(["--timeout", "2s", "--shared-cache", "s3://ci/x"])
            .envs(shared.environment())
            .env("VM0FS_LOG", "trace")
            .env("VM0_TOKEN", "another-token-of-the-user-11d0")
            .env("XDG_STATE_HOME", &state)
            .env("XDG_CACHE_HOME", &cache)
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", spy.display()),
            );
        let mount = finish(&mut command);
        assert_eq!(mount.code, Some(0), "{mount:?}");
        let limits = fs::read_to_string(format!("/proc/{}/limits", place.worker())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core"))
            .unwrap();
        // Too little for a core, and what the kernel takes for none to a program too.
        assert_eq!(core.split_whitespace().nth(4), Some("1"), "{core}");

        place.run("cat artifacts/a0/latest/f && ls runs artifacts/* > /dev/null");
        let request = format!(r#"{{"prompt": "go", "secrets": {{"KEY": "{RUN_SECRET}"}}}}"#);
        let start = format!("/bin/echo '{request}' > agents/writer/run");
        place.run(&start);
        // Not JSON, which is told without a word of it.
        let said = finish(&mut script(
            who,
            &place.inside(&format!("/bin/echo '{{{RUN_SECRET}' > agents/writer/run")),
        ));
        said.told(&[reason::INVALID]);
        let mut said = String::new();
        for (number, fault) in faults(&elsewhere.api_url()).into_iter().enumerate() {
            bench.server.fault(fault);
            let run = &runs[number];
            let text = format!(
                "cat artifacts/a{number}/latest/f; cat runs/{run}/logs; {start}; cat artifacts/a{number}/latest/f; \
                 getfattr -d -m - artifacts/a{number} runs/{run} agents/writer/run artifacts; true"
            );
            let all = finish(&mut script(who, &place.inside(&text)));
            said += &format!("{}{}", all.out, all.err);
            bench.server.clear_faults();
        }
        let shown = place.run("for file in .vm0fs/*; do cat $file; done");
        assert!(
            shown.contains("HTTP 500") && shown.contains("HTTP 403"),
            "{shown}"
        );
        assert!(shared.requests() > 0, "the shared cache was asked");
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", place.pid())).unwrap();
        let mut unmount = place.unmount(&bench);
        unmount.env(
            "PATH",
            format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", spy.display()),
        );
        finish(&mut unmount).succeeded();
        place.is_over();

        let mut texts = vec![
            ("what was printed".to_owned(), said.into_bytes()),
            (".vm0fs".into(), shown.into_bytes()),
            ("arguments".into(), arguments.into_bytes()),
            ("the command".into(), format!("{mount:?}").into_bytes()),
        ];
        if who == Who::Ordinary || !is_root() {
            let text = fs::read(&heard).unwrap();
            assert!(
                String::from_utf8_lossy(&text).contains("HOME="),
                "the helper was started"
            );
            texts.push(("the helper".into(), text));
        }
        for folder in [&state, &cache] {
            let files = below(&folder.join("vm0fs"));
            assert!(files.len() > 1, "{files:?}");
            for file in files {
                let data = fs::symlink_metadata(&file).unwrap();
                let private = if data.is_dir() {
                    0o700
                } else {
                    data.permissions().mode() & 0o700
                };
                assert_eq!(
                    data.permissions().mode() & 0o777,
                    private,
                    "{}",
                    file.display()
                );
                if data.is_file() {
                    texts.push((file.display().to_string(), fs::read(&file).unwrap()));
                }
            }
        }
        let mut secrets = vec![
            token,
            RUN_SECRET.into(),
            LINK_SECRET.into(),
            store::SECRET.into(),
            "another-token-of".into(),
        ];
        for download in bench.downloads() {
            let signature = download.query.split("X-Amz-Signature=").nth(1).unwrap();
            secrets.push(signature.to_owned());
        }
        assert!(secrets.len() > 5, "{secrets:?}");
        for (what, text) in &texts {
            let text = String::from_utf8_lossy(text);
            for secret in &secrets {
                assert!(
                    !text.contains(secret.as_str()),
                    "{secret} is in {what}: {text}"
                );
            }
        }
        let log = texts
            .iter()
            .find(|(what, _)| what.ends_with("vm0fs.log"))
            .unwrap();
        assert!(
            String::from_utf8_lossy(&log.1).contains("DEBUG"),
            "the finest level"
        );
    }
}

// Another user is needed.
#[test]
#[ignore = "needs root"]
fn no_other_user_enters_a_mount() {
    let (world, _) = world();
    let bench = Bench::new(world);
    for (mounts, enters) in [
        (Who::Myself, Who::Ordinary),
        // Not even root.
        (Who::Ordinary, Who::Myself),
    ] {
        let place = Place::mounted(&bench, mounts, "mnt");
        for text in [
            "ls -A",
            "cat artifacts/a0/latest/f",
            "cat .vm0fs/status.json",
        ] {
            let said = finish(&mut script(
                enters,
                &format!("cd '{}' && {text}", place.path.display()),
            ));
            said.failed(&[reason::DENIED]);
            assert_eq!(said.out, "");
        }
        // Commands say whose it is, also where the way to it is closed.
        let folder = place.path.parent().unwrap();
        let mode = |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        let whose = "another user has mounted it, who alone may ask it";
        let version = place.path.join("artifacts/a0/latest");
        for closed in [0o755, 0o700] {
            mode(closed);
            let mut status = bench.command(enters);
            let said = finish(status.arg("status").arg(&place.path));
            assert!(said.out.contains(whose), "{said:?}");
            if enters == Who::Myself {
                continue;
            }
            let mut prefetch = bench.command(enters);
            finish(prefetch.arg("prefetch").arg(&version)).failed(&[whose]);
        }
        mode(0o755);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

// --allow-other needs root, or a line in /etc/fuse.conf.
#[test]
#[ignore = "needs root"]
fn allow_other_warns_and_lets_others_only_read() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let place = Place::new(&bench, Who::Myself, "mnt");
    let said = finish(place.mount(&bench).arg("--allow-other"));
    assert_eq!(said.code, Some(0), "{said:?}");
    said.told(&["warning", "--allow-other", "every user of this machine"]);
    let text = place.inside("cat artifacts/a0/latest/f");
    assert_eq!(
        finish(&mut script(Who::Ordinary, &text)).succeeded(),
        "content 0\n"
    );
    // Other users may read, and nothing else: not even end the waits of a process.
    let text = place.inside("getfattr -n user.vm0.let-go .");
    finish(&mut script(Who::Ordinary, &text)).failed(&["No such attribute"]);
    // Nor spend calls of the user's account.
    let text = place.inside("getfattr -n user.vm0.list-anew runs");
    finish(&mut script(Who::Ordinary, &text)).failed(&["Permission denied"]);
    let latest = [
        "logs",
        "latest",
        "--mountpoint",
        place.path.to_str().unwrap(),
    ];
    let said = finish(bench.command(Who::Ordinary).args(latest));
    said.told(&["another user has mounted", "those that were last known"]);
    finish(&mut place.unmount(&bench)).succeeded();
}
