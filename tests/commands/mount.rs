//! `vm0fs mount` that succeeds: in the background, over what a crash has left,
//! with and without a network.

use super::{Place, Running, finish, kill, script, shell, small_world, until};
use crate::support::fake::Server;
use crate::support::{Bench, Who, is_mounted, own_address};
use nix::sys::signal::SIGKILL;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

#[test]
fn mount_returns_when_the_mount_is_usable() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        // Neither the folder nor the one above it exists.
        let place = Place::new(&bench, who, "new/mnt");
        let said = finish(&mut place.mount(&bench));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!((said.out.as_str(), said.err.as_str()), ("", ""));
        assert_eq!(place.run("ls agents"), "writer\n");
        let owner = fs::metadata(bench.dir().join(format!("home-{who:?}"))).unwrap();
        let process = format!("/proc/{}", place.pid());
        assert_eq!(fs::metadata(&process).unwrap().uid(), owner.uid());
        // It keeps neither a folder nor a terminal of the command's.
        let link = |name: &str| fs::read_link(format!("{process}/{name}")).unwrap();
        assert_eq!(link("cwd"), Path::new("/"));
        for stream in ["fd/0", "fd/1", "fd/2"] {
            assert_eq!(link(stream), Path::new("/dev/null"));
        }
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn more_files_can_be_open_than_a_shell_allows() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mount = place.mount(&bench);
    // As a shell with a low limit starts it.
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -Sn 64; exec \"$@\"", "bash"]);
    command.arg(mount.get_program()).args(mount.get_args());
    command.env_clear();
    for (name, value) in mount.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    finish(&mut command).succeeded();
    let limits = fs::read_to_string(format!("/proc/{}/limits", place.worker())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3], words[4], "{words:?}");
    assert_ne!(words[3], "64");
    let file = place.path.join("artifacts/site/latest/index.html");
    let open: Vec<fs::File> = (0..200).map(|_| fs::File::open(&file).unwrap()).collect();
    assert!(open.iter().all(|file| file.metadata().unwrap().len() > 0));
    drop(open);
    finish(&mut place.unmount(&bench)).succeeded();
}

#[test]
fn neither_logs_nor_status_nor_arguments_hold_a_secret() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let state = bench.folder("state", who);
        let mut command = place.mount(&bench);
        command.arg("-vv").env("XDG_STATE_HOME", &state);
        assert_eq!(finish(&mut command).err, "");
        // A download, one that fails, and a call that fails.
        let page = place.run("cat artifacts/site/latest/index.html");
        assert_eq!(page, "<h1>It works</h1>\n");
        bench.server.fault(crate::support::fake::Fault::everywhere(
            crate::support::fake::Action::internal_error(),
        ));
        let listed = finish(&mut script(who, &place.inside("ls runs volumes")));
        assert_ne!(listed.code, Some(0), "{listed:?}");
        let status = place.run("for file in .vm0fs/*; do cat $file; done");
        let arguments = fs::read_to_string(format!("/proc/{}/cmdline", place.pid())).unwrap();
        finish(&mut place.unmount(&bench)).succeeded();

        let folder = state.join("vm0fs");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let log = folder.join("vm0fs.log");
        assert_eq!(mode(&log), 0o600);
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("DEBUG") && log.contains("mounted at"), "{log}");
        let downloads = bench.downloads();
        assert!(!downloads.is_empty());
        let mut secrets = vec![bench.server.token().to_owned()];
        for download in &downloads {
            let signature = download.query.split("X-Amz-Signature=").nth(1).unwrap();
            secrets.push(signature.to_owned());
        }
        for (what, text) in [("log", log), ("status", status), ("arguments", arguments)] {
            for secret in &secrets {
                assert!(!text.contains(secret), "{what}: {text}");
            }
            assert!(!text.contains("X-Amz-"), "{what}: {text}");
        }
    }
}

#[test]
fn a_dead_mount_is_replaced_even_where_a_shell_stands_in_it() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::mounted(&bench, who, "mnt");
        let mut standing = Running::standing_in(who, &place.path);
        place.signal_all(SIGKILL);
        until("the processes are gone", || place.processes().is_empty());
        assert!(is_mounted(&place.path));
        // Not before the last of its threads has ended: until then a request waits, and
        // is broken off.
        until("the mount is dead", || {
            let dead = finish(&mut script(who, &place.inside("ls")));
            dead.err.contains("Transport endpoint is not connected")
        });

        let said = finish(&mut place.mount(&bench));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(place.run("ls agents"), "writer\n");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = mounts.matches(place.path.to_str().unwrap()).count();
        assert_eq!(here, 1, "the dead one is not below it: {mounts}");
        assert_eq!(standing.0.try_wait().unwrap(), None, "it was left alone");
        drop(standing);
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn mount_without_a_network_warns_and_works_later() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let listener = TcpListener::bind(own_address()).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        command.env("VM0_API_URL", format!("http://{address}"));
        let said = finish(&mut command);
        assert_eq!(said.code, Some(0), "{said:?}");
        said.told(&["warning", "cannot connect", ".vm0fs/errors", "refused"]);
        let listed = finish(&mut script(who, &place.inside("ls agents")));
        assert_ne!(listed.code, Some(0));
        listed.told(&["Network is unreachable"]);
        assert!(place.run("cat .vm0fs/errors").contains("cannot connect"));

        let mut world = small_world();
        world.token = Some(bench.server.token().to_owned());
        let _server = Server::start_on(world, address).unwrap();
        until("it works", || {
            let listed = finish(&mut script(who, &place.inside("ls agents")));
            listed.out == "writer\n"
        });
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

/// Accepts connections, and never says a word.
fn silence() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut held: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            held.push(stream);
        }
    });
    address
}

#[test]
fn mount_waits_only_a_moment_for_a_silent_network() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        command
            .args(["--timeout", "2m"])
            .env("VM0_API_URL", format!("http://{}", silence()));
        let said = finish(&mut command);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.took < Duration::from_secs(15), "{said:?}");
        said.told(&["warning", "has not answered", "mounted all the same"]);
        assert_eq!(place.run("ls"), "agents\nartifacts\nruns\nvolumes\n");
        // A process that waits does not keep it from ending, either.
        let mut waiting = Running::script(who, &place.inside("ls agents"));
        let name = format!("/proc/{}/stat", waiting.0.id());
        until("a process waits", || {
            fs::read_to_string(&name).is_ok_and(|stat| stat.contains(") D") || stat.contains(") S"))
        });
        kill(place.pid(), nix::sys::signal::SIGTERM);
        assert_ne!(waiting.end(), Some(0));
        until("unmounted", || !is_mounted(&place.path));
        place.is_over();
    }
}

#[test]
fn mount_works_behind_a_proxy_that_answers_nonsense() {
    let bench = Bench::new(small_world());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n");
        }
    });
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut command = place.mount(&bench);
    command.env("VM0_API_URL", format!("http://{address}"));
    let said = finish(&mut command);
    assert_eq!(said.code, Some(0), "{said:?}");
    said.told(&["warning"]);
    assert_ne!(
        finish(&mut script(Who::Myself, &place.inside("ls agents"))).code,
        Some(0)
    );
    shell(Who::Myself, &place.inside("ls"));
}

#[test]
fn a_network_that_falls_silent_gives_errors_in_time() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt");
        let mut command = place.mount(&bench);
        finish(command.args(["--timeout", "1s", "--list-ttl", "0s"])).succeeded();
        bench.server.fault(crate::support::fake::Fault::everywhere(
            crate::support::fake::Action::Stall,
        ));
        // What was listed before is still shown; what was not is an error.
        assert_eq!(place.run("ls agents"), "writer\n");
        for what in ["ls volumes", "cat artifacts/site/latest/index.html"] {
            let said = finish(&mut script(who, &place.inside(what)));
            assert_ne!(said.code, Some(0), "{said:?}");
            said.told(&["timed out"]);
        }
        assert!(place.run("cat .vm0fs/errors").contains("--timeout"));
        bench.server.clear_faults();
        until("it works again", || {
            let text = place.inside("cat artifacts/site/latest/index.html");
            finish(&mut script(who, &text)).code == Some(0)
        });
        finish(&mut place.unmount(&bench)).succeeded();
        place.is_over();
    }
}

#[test]
fn plain_http_is_permitted_where_it_is_asked_for() {
    // An address of no host (RFC 5737): only the permission matters.
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut command = place.mount(&bench);
    command.args(["--allow-http", "--timeout", "1s"]);
    let said = finish(command.args(["--api-url", "http://192.0.2.1:8080"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    said.told(&["warning", "mounted all the same"]);
}

#[test]
fn mounting_warns_of_a_shared_cache_that_fails_and_not_of_what_is_wanted() {
    for who in Who::all() {
        let bench = Bench::new(small_world());
        for (name, option, expected) in [
            (
                "one",
                "--shared-cache=file:///no/such",
                Some("file:///no/such"),
            ),
            ("two", "--offline", None),
        ] {
            let place = Place::new(&bench, who, name);
            let said = finish(place.mount(&bench).arg(option));
            assert_eq!(said.code, Some(0), "{said:?}");
            match expected {
                Some(url) => said.told(&[url, "No such file", "the service is asked instead"]),
                None => assert_eq!(said.err, ""),
            }
            finish(&mut place.unmount(&bench)).succeeded();
            place.is_over();
        }
    }
}
