//! What a mount tells the service manager that has started it.

use crate::{
    commands::{Place, finish, kill, small_world, until},
    support::{
        Bench, SOON, Who,
        fake::{Server, World},
        is_root,
    },
};
use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    process::{Child, Command, Stdio},
};

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    /// One with an abstract name, or a path in this folder.
    fn new(folder: &Path, is_abstract: bool) -> Self {
        let path = folder.join("notify");
        let socket = match is_abstract {
            true => SocketAddr::from_abstract_name(path.to_str().unwrap()),
            false => SocketAddr::from_pathname(&path),
        };
        let socket = UnixDatagram::bind_addr(&socket.unwrap()).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let at = match is_abstract {
            true => "@",
            false => {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
                ""
            }
        };
        let name = format!("{at}{}", path.display());
        Self { socket, name }
    }

    /// The next message that is no sign of life.
    #[track_caller]
    fn hear(&self) -> String {
        loop {
            let message = self.next();
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }

    #[track_caller]
    fn next(&self) -> String {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    /// Starts a mount in the foreground as a service.
    fn start(&self, place: &Place, bench: &Bench, option: &str) -> Child {
        let mut command = place.mount(bench);
        command.args([option]).env("NOTIFY_SOCKET", &self.name);
        command.env("WATCHDOG_USEC", "2000000");
        command.stderr(Stdio::null()).spawn().unwrap()
    }
}

#[test]
fn a_supervisor_tells_its_manager_what_becomes_of_the_mount() {
    for (who, is_abstract) in [(Who::Myself, true), (Who::Myself, false)]
        .into_iter()
        .chain(Who::all().into_iter().map(|who| (who, true)))
    {
        let bench = Bench::new(small_world());
        let place = Place::new(&bench, who, "mnt\nREADY=1");
        let manager = Manager::new(bench.dir(), is_abstract);
        let mut child = manager.start(&place, &bench, "--foreground");
        let ready = format!("READY=1\nMAINPID={}\nSTATUS=serving /", child.id());
        let heard = manager.hear();
        assert!(heard.starts_with(&ready), "{heard}");
        // Also where the name of the folder has a line break in it.
        assert_eq!(heard.lines().count(), 3, "{heard}");
        assert_eq!(manager.next(), "WATCHDOG=1\n");
        let worker = fs::read(format!("/proc/{}/environ", place.worker())).unwrap();
        let worker = String::from_utf8_lossy(&worker);
        assert!(!worker.contains("NOTIFY_SOCKET") && !worker.contains("WATCHDOG"));

        kill(child.id(), SIGHUP);
        let heard = manager.hear();
        let [reloading, when, _] = heard.lines().collect::<Vec<_>>()[..] else {
            panic!("{heard}");
        };
        assert_eq!(reloading, "RELOADING=1");
        let usec = when.strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0);
        let heard = manager.hear();
        assert!(heard.starts_with(&ready), "{heard}");
        assert!(heard.contains("workers replaced: 1"), "{heard}");

        until("one worker is left", || place.processes().len() == 2);
        kill(place.worker(), SIGKILL);
        let heard = manager.hear();
        assert!(heard.starts_with("STATUS=a worker ended"), "{heard}");
        let heard = manager.hear();
        // By which signal is said where the kernel has told by then.
        assert!(
            heard.contains("workers replaced: 2, the last: the worker died"),
            "{heard}"
        );

        kill(child.id(), SIGTERM);
        let heard = manager.hear();
        assert!(
            heard.starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC="),
            "{heard}"
        );
        assert_eq!(manager.hear(), "STOPPING=1\nSTATUS=unmounted\n");
        assert!(child.wait().unwrap().success());
        place.is_over();
    }
}

/// What a status says in an outage.
const AWAY: &str = "; the API has not answered since 20";

/// A world whose server can come back at the same address.
fn lasting_world() -> World {
    let mut world = small_world();
    world.token = Some(format!("vm0_test_{}", "ab".repeat(32)));
    world
}

/// A mount in the foreground that asks the API for each listing, with a supervisor or alone.
fn asking(manager: &Manager, place: &Place, bench: &Bench, is_alone: bool) -> Command {
    let mut command = place.mount(bench);
    command.args(["--foreground", "--list-ttl", "0s"]);
    command.args(is_alone.then_some("--no-supervisor"));
    command.env("NOTIFY_SOCKET", &manager.name);
    command.stderr(Stdio::null());
    command
}

fn list(place: &Place) -> String {
    finish(Command::new("ls").arg(place.path.join("agents"))).out
}

/// The first that is heard after the server is back, while a process asks again and again.
fn heard_at_the_return(manager: &Manager, place: &Place) -> String {
    manager.socket.set_nonblocking(true).unwrap();
    let (mut text, mut length) = ([0; 4096], None);
    until("the manager is told that the API answers", || {
        list(place);
        length = manager.socket.recv(&mut text).ok();
        length.is_some()
    });
    String::from_utf8(text[..length.unwrap()].to_vec()).unwrap()
}

#[test]
fn an_outage_of_the_api_is_told_of_once_and_so_is_its_end() {
    for is_alone in [false, true] {
        let mut bench = Bench::at_own_address(lasting_world());
        let place = Place::new(&bench, Who::Myself, "mnt");
        let manager = Manager::new(bench.dir(), true);
        let mut child = asking(&manager, &place, &bench, is_alone).spawn().unwrap();
        let mut serving = format!("STATUS=serving {}", place.path.display());
        let heard = manager.hear();
        assert!(heard.ends_with(&format!("\n{serving}\n")), "{heard}");

        let address = bench.end_server();
        assert_eq!(list(&place), "writer\n");
        let away = manager.hear();
        assert!(away.starts_with(&format!("{serving}{AWAY}")), "{away}");
        let end = " UTC, what was last known is shown\n";
        assert!(away.ends_with(end), "{away}");
        if !is_alone {
            // What the worker before knew of the API, the next has to find out.
            kill(place.worker(), SIGKILL);
            assert!(manager.hear().starts_with("STATUS=a worker ended"));
            let heard = manager.hear();
            assert!(!heard.contains(AWAY), "{heard}");
            serving = heard.lines().last().unwrap().to_owned();
            assert_eq!(list(&place), "writer\n");
            let heard = manager.hear();
            assert!(heard.starts_with(&format!("{serving}{AWAY}")), "{heard}");
        }
        bench.server = Server::start_on(lasting_world(), address).unwrap();
        // Nothing has been said meanwhile, however often it was asked.
        let heard = heard_at_the_return(&manager, &place);
        assert_eq!(heard, format!("{serving}\n"));
        kill(child.id(), SIGTERM);
        assert!(child.wait().unwrap().success());
        place.is_over();
    }
}

#[test]
fn why_the_api_did_not_answer_at_first_is_told_until_it_does() {
    for is_alone in [false, true] {
        let mut bench = Bench::at_own_address(lasting_world());
        let place = Place::new(&bench, Who::Myself, "mnt");
        let manager = Manager::new(bench.dir(), true);
        // It names the server that ends.
        let mut command = asking(&manager, &place, &bench, is_alone);
        // A warning that is not of the API's stays.
        let exposed = if is_root() {
            "; --allow-other: every user of this machine can read what your token can read: \
             runs, logs, volumes and artifacts; only you and root can start and cancel runs"
        } else {
            ""
        };
        command.args(is_root().then_some("--allow-other"));
        let address = bench.end_server();
        let mut child = command.spawn().unwrap();
        let mut heard = manager.hear();
        assert!(heard.starts_with("READY=1"), "{heard}");
        let warning = format!("STATUS=serving {}; GET /v1/agents: ", place.path.display());
        while !heard.contains(AWAY) {
            assert!(heard.contains(&warning), "{heard}");
            heard = manager.hear();
        }
        assert!(heard.contains(&warning), "{heard}");
        bench.server = Server::start_on(lasting_world(), address).unwrap();
        let heard = heard_at_the_return(&manager, &place);
        let place_shown = place.path.display();
        assert_eq!(heard, format!("STATUS=serving {place_shown}{exposed}\n"));
        kill(child.id(), SIGTERM);
        assert!(child.wait().unwrap().success());
        place.is_over();
    }
}

#[test]
fn no_process_of_a_mount_outlives_its_supervisor() {
    let bench = Bench::new(small_world());
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mount = place.mount(&bench);
    // What a process leaves comes to the one that has asked for that, whose end without a
    // child shows that nothing has been left.
    let code = "
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
mount = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
print(mount, flush=True)
os.waitpid(mount, 0)
try:
    print('left:', os.waitpid(-1, 0))
except ChildProcessError:
    print('nothing is left')";
    for ending in ["signal", "unmount"] {
        let mut command = Command::new("python3");
        command.args(["-c", code]).arg(mount.get_program());
        command.args(mount.get_args()).arg("--foreground");
        for (name, value) in mount.get_envs() {
            command.env(name, value.unwrap());
        }
        command.stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let pid = lines.next().unwrap().unwrap().parse().unwrap();
        until("serving", || place.path.join(".vm0fs/status.json").exists());
        match ending {
            "signal" => kill(pid, SIGTERM),
            _ => drop(finish(&mut place.unmount(&bench)).succeeded()),
        }
        assert_eq!(
            lines.next().unwrap().unwrap(),
            "nothing is left",
            "{ending}"
        );
        child.wait().unwrap();
    }
}

#[test]
fn one_process_speaks_for_itself_and_one_in_the_background_not_at_all() {
    let bench = Bench::new(small_world());
    let manager = Manager::new(bench.dir(), true);
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut command = place.mount(&bench);
    // A shell in a service, where it is not the service that mounts.
    finish(command.env("NOTIFY_SOCKET", &manager.name)).succeeded();
    finish(&mut place.unmount(&bench)).succeeded();
    place.is_over();

    let place = Place::new(&bench, Who::Myself, "alone");
    let mut command = place.mount(&bench);
    command.args(["-f", "--no-supervisor"]);
    command.env("NOTIFY_SOCKET", &manager.name);
    command.env("WATCHDOG_USEC", "200000");
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let ready = format!("READY=1\nMAINPID={}\n", child.id());
    let heard = manager.next();
    assert!(heard.starts_with(&ready), "the first: {heard}");
    assert_eq!(
        (manager.next(), manager.next()),
        ("WATCHDOG=1\n".into(), "WATCHDOG=1\n".into())
    );
    kill(child.id(), SIGTERM);
    assert!(manager.hear().starts_with("STOPPING=1\nEXTEND"));
    assert_eq!(manager.hear(), "STOPPING=1\nSTATUS=unmounted\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_mount_that_cannot_be_made_is_told_of() {
    let bench = Bench::new(small_world());
    let manager = Manager::new(bench.dir(), true);
    let place = Place::new(&bench, Who::Myself, "mnt");
    let mut command = place.mount(&bench);
    command.arg("-f").env("NOTIFY_SOCKET", &manager.name);
    let said = finish(command.env("VM0_API_KEY", "wrong"));
    said.failed(&["refuses the token"]);
    let heard = manager.next();
    assert!(
        heard.starts_with("STATUS=the API refuses the token"),
        "{heard}"
    );
    assert_eq!(heard.lines().count(), 1, "{heard}");
}
