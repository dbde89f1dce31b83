//! `agents/<name>/run`: what is written to it becomes one run.

use super::{posts, world};
use crate::support::fake::{Action, Fault, Run, uuid};
use crate::support::{Bench, Mount, Who, reason};
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, time::Duration};

/// The only run started so far, as the service has it; and the file shows it.
#[track_caller]
fn started(bench: &Bench, mount: &Mount, number: usize) -> Run {
    let runs = bench.server.world().runs.clone();
    assert_eq!(runs.len(), 1 + number, "runs started");
    let run = runs.last().unwrap().clone();
    let shown = mount.cat("agents/writer/run");
    assert_eq!(shown, format!("{}\n", run.id));
    run
}

#[test]
fn every_way_that_a_shell_writes_starts_one_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let file = bench.folder("files", who).join("prompt");
        fs::write(&file, "from a file\n").unwrap();
        let file = file.display();
        mount.run("[ -z \"$(cat agents/writer/run)\" ]");
        // Each with the prompt that it makes.
        let table = [
            (
                "echo 'Summarise the data' > run".to_owned(),
                "Summarise the data",
            ),
            ("echo appended >> run".into(), "appended"),
            (
                "{ echo a; stat run >/dev/null; echo b; } >> run".into(),
                "a\nb",
            ),
            ("echo teed | tee run >/dev/null".into(), "teed"),
            ("echo teed | tee -a run >/dev/null".into(), "teed"),
            (
                format!("{{ echo a; cat {file}; echo b; }} > run"),
                "a\nfrom a file\nb",
            ),
            (
                "exec 3>run; echo a >&3; ls >/dev/null; echo b >&3; exec 3>&-".into(),
                "a\nb",
            ),
            (
                "(echo from; (echo a; echo child)) > run".into(),
                "from\na\nchild",
            ),
            (format!("cp {file} run"), "from a file"),
            (
                format!("dd if={file} of=run bs=3 status=none"),
                "from a file",
            ),
            (format!("cat < {file} > run"), "from a file"),
            ("printf 'no newline' > run".into(), "no newline"),
            ("printf 'one\\n\\ntwo\\n' > run".into(), "one\n\ntwo"),
            (
                "printf 'ünï – \\360\\237\\230\\200\\n' > run".into(),
                "ünï – \u{1f600}",
            ),
            (
                "echo old > run.txt 2>/dev/null; echo new 1<> run".into(),
                "new",
            ),
        ];
        for (number, (script, prompt)) in table.iter().enumerate() {
            let script = format!("cd agents/writer && {{ {script}; }}");
            mount.run(&script);
            let run = started(&bench, &mount, number + 1);
            assert_eq!(run.prompt, *prompt, "{script}");
            assert_eq!(run.agent_name, "writer");
            assert_eq!(posts(&bench), number + 1, "{script}");
        }
    }
}

#[test]
fn a_started_run_is_listed_at_once() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["--list-ttl", "1h"]).start();
        mount.run("ls -lR runs/ agents/writer/runs/ > /dev/null");
        let id = mount.run("echo Go > agents/writer/run && cat agents/writer/run");
        let id = id.trim_end();
        assert_eq!(id, uuid("started-run:1"));
        assert!(mount.list("runs").contains(&id.to_owned()));
        assert!(mount.list("agents/writer/runs").contains(&id.to_owned()));
        assert!(
            mount
                .list("runs/.by-status/pending")
                .contains(&id.to_owned())
        );
        assert_eq!(
            mount.cat(&format!("agents/writer/runs/{id}/status")),
            "pending\n"
        );
        assert_eq!(mount.cat(&format!("runs/{id}/prompt")), "Go\n");
        assert_eq!(mount.cat(&format!("runs/{id}/logs")), "");
        let stat = mount.run("stat -c '%a %s' agents/writer/run");
        assert_eq!(stat, "600 37\n");
    }
}

#[test]
fn a_json_object_is_the_whole_request() {
    for who in Who::all() {
        let (world, earlier) = world();
        let bench = Bench::new(world);
        let session = uuid("a session");
        {
            let mut world = bench.server.world();
            world.run_mut(&earlier).unwrap().session_id = Some(session.clone());
        }
        let mount = bench.mount_as(who).start();
        mount.run(
            "cat > agents/writer/run <<'END'\n{\"prompt\": \"Deploy\",\n \"variables\": {\"a\": \"1\"}, \
             \"secrets\": {\"KEY\": \"hush-hush\"},\n \"volumes\": {\"data\": \"latest\"}, \
             \"artifact_name\": \"out\"}\nEND",
        );
        let run = started(&bench, &mount, 1);
        assert_eq!((&*run.prompt, &*run.agent_name), ("Deploy", "writer"));
        assert_eq!(run.artifact_name.as_deref(), Some("out"));
        assert_eq!(run.volumes["data"], "latest");
        let link = mount.run(&format!("readlink runs/{}/volumes/data", run.id));
        assert_eq!(link, "../../../volumes/data/latest\n");
        mount.run(&format!(
            "echo '{{\"prompt\": \"Go on\", \"session_id\": \"{session}\"}}' > agents/writer/run"
        ));
        let run = started(&bench, &mount, 2);
        assert_eq!(run.session_id.as_deref(), Some(session.as_str()));
    }
}

#[test]
fn a_megabyte_in_many_pieces_is_one_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let prompt = "word and word \n".repeat(70_000);
        let file = bench.folder("files", who).join("prompt");
        fs::write(&file, &prompt).unwrap();
        mount.run(&format!(
            "dd if={} of=agents/writer/run bs=1k status=none",
            file.display()
        ));
        let run = started(&bench, &mount, 1);
        assert_eq!(run.prompt, prompt.trim_end_matches('\n'));
        assert_eq!(posts(&bench), 1);
        // Past any prompt, it is refused while it is written.
        let flood = "head -c 17M /dev/zero | tr '\\0' x > agents/writer/run";
        mount.fails(flood, "File too large");
    }
}

#[test]
fn an_empty_write_starts_no_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        mount.run(
            "cd agents/writer && : > run && : >> run && touch run && truncate -s 0 run && \
             cat run && true <> run && cp /dev/null run && [ -w run ] && [ -r run ] && [ ! -x run ]",
        );
        assert_eq!(posts(&bench), 0);
        for blank in [
            "echo",
            "printf ' \\n\\t'",
            "echo '{}'",
            "printf '\\377'",
            "echo '{\"x'",
        ] {
            mount.fails(&format!("{blank} | tee agents/writer/run"), reason::INVALID);
        }
        assert_eq!(posts(&bench), 0);
        let said = mount.run("getfattr --only-values -n user.vm0.last_error agents/writer/run");
        assert!(said.contains("no run was started"), "{said}");
        for change in ["rm -f run", "mv run new", "ln run new"] {
            mount.fails(&format!("cd agents/writer && {change}"), reason::READ_ONLY);
        }
        let file = mount.cat("agents/writer/run");
        assert_eq!(file, "", "none was started");
    }
}

/// Python that writes to the file by its own means.
fn python(body: &str) -> String {
    format!("python3 -c '\nimport os, sys, errno\npath = \"agents/writer/run\"\n{body}\n'")
}

#[test]
fn close_returns_the_refusal_of_a_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let close = python(
            "f = open(path, \"w\")\nf.write(\"text\")\nf.flush()\ntry:\n    f.close()\n\
             except OSError as e:\n    print(errno.errorcode[e.errno])\nelse:\n    print(\"fine\")",
        );
        let refusals = [
            (
                Action::api_error(
                    400,
                    "invalid_request_error",
                    "invalid_parameter",
                    "too vague",
                ),
                "EINVAL",
            ),
            (
                Action::api_error(401, "authentication_error", "expired_api_key", "expired"),
                "EACCES",
            ),
            (
                Action::api_error(403, "authentication_error", "forbidden", "not yours"),
                "EACCES",
            ),
            (
                Action::api_error(409, "conflict_error", "resource_already_exists", "again"),
                "EBUSY",
            ),
            (Action::rate_limited(120), "EAGAIN"),
            (Action::internal_error(), "EIO"),
        ];
        for (action, expected) in refusals {
            let message = match &action {
                Action::Status { body, .. } => {
                    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
                    body["error"]["message"].as_str().unwrap().to_owned()
                }
                _ => unreachable!(),
            };
            bench.server.clear_requests();
            bench
                .server
                .fault(Fault::api_exact("/v1/runs", action).method("POST"));
            assert_eq!(mount.run(&close), format!("{expected}\n"));
            bench.server.clear_faults();
            assert_eq!(posts(&bench), 1, "{expected}: sent once");
            let told = "getfattr --only-values -n user.vm0.last_error agents/writer/run";
            let told = mount.run(told);
            assert!(told.contains(&message), "{told}");
            std::thread::sleep(Duration::from_millis(1_100));
            let errors = mount.cat(".vm0fs/errors");
            assert!(errors.contains(&message), "{errors}");
        }
        assert_eq!(mount.run(&close), "fine\n");
        assert!(
            !mount
                .run("getfattr agents/writer/run")
                .contains("last_error"),
            "the last one went well"
        );
        // The shell's own redirection does not look at close; `tee` does.
        let fault = Action::api_error(400, "invalid_request_error", "invalid_parameter", "no");
        bench
            .server
            .fault(Fault::api_exact("/v1/runs", fault).method("POST"));
        mount.fails("echo x | tee agents/writer/run", reason::INVALID);
        mount.fails(
            "echo x | dd of=agents/writer/run status=none",
            reason::INVALID,
        );
        mount.fails("echo x > f; cp f agents/writer/run", "");
    }
}

#[test]
fn the_last_close_starts_the_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        let inherited = python(
            "fd = os.open(path, os.O_WRONLY)\nos.write(fd, b\"from the parent \")\nif os.fork() == 0:\n    \
             os.write(fd, b\"and the child\")\n    os.close(fd)\n    os._exit(0)\nos.wait()\nos.close(fd)",
        );
        mount.run(&inherited);
        assert_eq!(
            started(&bench, &mount, 1).prompt,
            "from the parent and the child"
        );
        let outlived = python(
            "fd = os.open(path, os.O_WRONLY)\nos.write(fd, b\"begun \")\nr, w = os.pipe()\nif os.fork() == 0:\n    \
             os.close(w)\n    os.read(r, 1)\n    os.write(fd, b\"and ended\")\n    os.close(fd)\n    os._exit(0)\n\
             os.close(fd)\nprint(open(path).read().strip())\nos.close(w)\nos.wait()",
        );
        let first = mount.run(&outlived);
        let run = started(&bench, &mount, 2);
        assert_eq!(run.prompt, "begun and ended");
        assert_ne!(
            first.trim_end(),
            run.id,
            "not before the child had closed it"
        );
        let copied = python(
            "fd = os.open(path, os.O_WRONLY)\nother = os.dup(fd)\nos.write(fd, b\"a\")\nos.close(fd)\n\
             os.write(other, b\"b\")\nos.close(other)",
        );
        mount.run(&copied);
        assert_eq!(started(&bench, &mount, 3).prompt, "ab");
        // A program that is killed has written what it has written.
        mount.run(
            &python(
                "os.write(os.open(path, os.O_WRONLY), b\"last words\")\nos.kill(os.getpid(), 9)",
            )
            .replace("python3", "! python3"),
        );
        super::until("it is started", crate::support::SOON, || posts(&bench) == 4);
        assert_eq!(posts(&bench), 4);
    }
}

#[test]
fn each_open_file_tells_of_its_own_run() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        // Another process has the file open all the while.
        let beside = |script: &str| {
            format!("cd agents/writer && exec 7> run && {{ {script}; }} && exec 7>&-")
        };
        mount.run(&beside(
            "echo one | tee run >/dev/null && cat run > /dev/null",
        ));
        let first = mount.run(&beside("echo two | tee run >/dev/null; cat run"));
        assert_eq!(started(&bench, &mount, 2).prompt, "two");
        assert_eq!(first, mount.cat("agents/writer/run"), "known at once");
        // What belongs to the same opening is waited for all the same.
        mount.run(&beside(
            "{ echo a; /bin/echo b; (sleep 0.3; echo c) & wait; } > run",
        ));
        assert_eq!(started(&bench, &mount, 3).prompt, "a\nb\nc");
        mount.run(&beside(
            "{ (sleep 0.3; echo last) & echo first; } >> run; wait",
        ));
        assert_eq!(started(&bench, &mount, 4).prompt, "first\nlast");
        let fault = Action::api_error(400, "invalid_request_error", "invalid_parameter", "no");
        let of_posts = Fault::api_exact("/v1/runs", fault).method("POST");
        bench.server.fault(of_posts);
        mount.fails(&beside("echo x | tee run"), reason::INVALID);
        let many = "seq 20 | xargs -P 10 -I{} sh -c \
             'echo prompt {} | dd of=agents/writer/run status=none 2> /dev/null && echo fine; true' | wc -l";
        assert_eq!(mount.run(many), "0\n", "refusals that no process heard of");
        // Openings with equal positions.
        let two = python(
            "begin = []\nfor _ in range(2):\n    (go, send), (told, tell) = os.pipe(), os.pipe()\n    \
             if os.fork() == 0:\n        fd = os.open(path, os.O_WRONLY)\n        \
             os.write(fd, b\"same\")\n        os.write(tell, b\"x\")\n        os.read(go, 1)\n        \
             try:\n            os.close(fd)\n        except OSError:\n            print(\"refused\")\n        \
             sys.exit()\n    os.read(told, 1)\n    begin.append(send)\n\
             for send in begin:\n    os.write(send, b\"x\")\n    os.wait()",
        );
        assert_eq!(mount.run(&two), "refused\nrefused\n");
    }
}

#[test]
fn a_request_that_may_have_arrived_is_not_sent_again() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["--timeout", "2s"]).start();
        for action in [
            Action::Stall,
            Action::StallBody { after: 20 },
            Action::Truncate { after: 20 },
            Action::CloseBeforeHeaders,
            Action::bad_gateway(),
            Action::WrongBody("{}".into()),
        ] {
            bench.server.clear_requests();
            let fault = Fault::api_exact("/v1/runs", action.clone()).method("POST");
            bench.server.fault(fault);
            let output = mount.try_run("echo once | tee agents/writer/run");
            assert!(!output.status.success(), "{action:?}");
            let told = mount.run("getfattr --only-values -n user.vm0.last_error agents/writer/run");
            assert!(told.contains("may have been started"), "{action:?}: {told}");
            // Longer than a failed question waits to be asked again.
            std::thread::sleep(Duration::from_millis(2_500));
            mount.try_run("cat agents/writer/run; stat agents/writer/run; ls runs");
            assert_eq!(posts(&bench), 1, "{action:?}");
            bench.server.clear_faults();
        }
    }
}

#[test]
fn secrets_stay_out_of_logs_and_errors() {
    for who in Who::all() {
        let (world, _) = world();
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).with(["-v"]).start();
        let request = "{\"prompt\": \"p\", \"secrets\": {\"KEY\": \"hush-hush-4711\"}}";
        // A service that repeats what it was sent.
        let echo = format!("cannot read {request}: secret hush-hush-4711 is too short");
        let action = Action::api_error(400, "invalid_request_error", "invalid_parameter", &echo);
        bench
            .server
            .fault(Fault::api_exact("/v1/runs", action).method("POST"));
        mount.fails(
            &format!("echo '{request}' | tee agents/writer/run"),
            reason::INVALID,
        );
        bench.server.clear_faults();
        std::thread::sleep(Duration::from_millis(1_100));
        let errors = mount.cat(".vm0fs/errors");
        assert!(errors.contains("invalid_parameter"), "{errors}");
        mount.fails(
            &format!(
                "echo '{}' | tee agents/writer/run",
                &request[..request.len() - 1]
            ),
            reason::INVALID,
        );
        mount.run(&format!("echo '{request}' > agents/writer/run"));
        let shown = mount.run(
            "cat .vm0fs/errors .vm0fs/status.json agents/writer/run; \
             getfattr -d agents/writer/run; cat runs/*/run.json",
        );
        let cache = format!("! grep -r hush-hush '{}'", bench.dir().display());
        mount.run(&cache);
        let log = mount.unmount().join("\n");
        for text in [&errors, &shown, &log] {
            assert!(!text.contains("hush-hush"), "{text}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn other_users_may_read_but_not_start_or_cancel() {
    let other = Who::Ordinary;
    let (world, run) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().with(["--allow-other"]).start();
    let (uid, gid) = other.ids().unwrap();
    let as_other = |script: &str| {
        let path = mount.path().display();
        format!(
            "setpriv --reuid {uid} --regid {gid} --clear-groups bash -c 'cd {path} && {script}'"
        )
    };
    assert_eq!(
        mount.run(&as_other(&format!("cat runs/{run}/status"))),
        "running\n"
    );
    for (script, why) in [
        ("echo x > agents/writer/run", reason::DENIED),
        ("cat agents/writer/run", reason::DENIED),
        (&*format!("echo x > runs/{run}/cancel"), reason::DENIED),
        (&*format!("echo x > runs/{run}/status"), reason::READ_ONLY),
        ("touch new", reason::READ_ONLY),
    ] {
        mount.fails(&as_other(script), why);
    }
    mount.run(&as_other(
        "! [ -w agents/writer/run ] && ! [ -r agents/writer/run ]",
    ));
    assert_eq!(posts(&bench), 0);
}

#[test]
fn a_write_is_refused_where_it_cannot_be_part_of_a_request() {
    let (world, _) = world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let path = mount.join("agents/writer/run");
    let open = || {
        let mut options = fs::OpenOptions::new();
        options
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(&path)
            .unwrap()
    };
    use std::os::unix::fs::FileExt;
    let mut file = open();
    file.write_all(b"begin").unwrap();
    let hole = file.write_at(b"far", 100).unwrap_err();
    assert_eq!(hole.raw_os_error(), Some(libc::EINVAL));
    file.write_at(b"B", 0).unwrap();
    file.sync_all().unwrap();
    drop(file);
    assert_eq!(started(&bench, &mount, 1).prompt, "Begin");
}
