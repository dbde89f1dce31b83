//! Programs that wait in the middle for the test, which replaces the worker meanwhile.

use super::{replaced, workers};
use crate::{
    commands::{Place, Running, finish, kill, until},
    support::{Bench, program},
};
use nix::sys::signal::Signal::{self, SIGHUP};
use std::{fs, path::PathBuf, process::Command};

/// How a worker is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// A signal ends it.
    Kill(Signal),
    /// `vm0fs upgrade`.
    Upgrade,
    /// SIGHUP to the supervisor.
    Reload,
}

/// Replaces the worker, and waits until another one serves.
#[track_caller]
pub(super) fn replace(place: &Place, how: How) {
    let before = workers(place)["replaced"].as_u64().unwrap();
    match how {
        How::Kill(signal) => kill(place.worker(), signal),
        How::Reload => kill(place.pid(), SIGHUP),
        How::Upgrade => {
            let mut upgrade = Command::new(program());
            upgrade.arg("upgrade").arg(&place.path);
            if let Some((uid, gid)) = place.who.ids() {
                use std::os::unix::process::CommandExt;
                upgrade.uid(uid).gid(gid);
            }
            finish(&mut upgrade).succeeded();
        }
    }
    replaced(place, before + 1);
}

/// `pause NUMBER` of a shell script: says that it is there, and waits for the test.
const SHELL: &str = r#"pause() { : > "$D/at-$1"; until [ -e "$D/go-$1" ]; do sleep 0.02; done; }"#;

/// The same for Python; `say` says it and does not wait.
const PYTHON: &str = "
import mmap, os, sys, time
D = os.environ['D']
def say(number):
    open(f'{D}/at-{number}', 'w').close()
def pause(number):
    say(number)
    while not os.path.exists(f'{D}/go-{number}'):
        time.sleep(0.02)
";

/// A program in a mount that waits in the middle.
pub(super) struct Stepped {
    running: Running,
    dir: PathBuf,
}

impl Stepped {
    /// A shell script that begins in the mount's root.
    pub(super) fn shell(bench: &Bench, place: &Place, name: &str, script: &str) -> Self {
        let dir = bench.folder(&format!("{name}-{:?}", place.who), place.who);
        let (shown, mount) = (dir.display(), place.path.display());
        let text = format!(
            "D='{shown}'; {SHELL}\ncd '{mount}' && {{ {script}\n}} > \"$D/out\" 2> \"$D/err\""
        );
        let running = Running::script(place.who, &text);
        Self { running, dir }
    }

    /// A program in Python that begins there.
    pub(super) fn python(bench: &Bench, place: &Place, name: &str, text: &str) -> Self {
        let dir = bench.folder(&format!("{name}-{:?}", place.who), place.who);
        let file = dir.join("program.py");
        fs::write(&file, format!("{PYTHON}{text}")).unwrap();
        let script = format!("D='{}' exec python3 '{}'", dir.display(), file.display());
        // The variables are the program's, not the script's.
        Self::shell(bench, place, name, &format!("({script})"))
    }

    /// Waits until it is at a pause.
    #[track_caller]
    pub(super) fn wait(&mut self, number: usize) {
        let at = self.dir.join(format!("at-{number}"));
        until("the program comes to its pause", || {
            let has_ended = self.running.0.try_wait().unwrap().is_some();
            assert!(!has_ended, "ended before {number}: {}", self.errors());
            at.exists()
        });
    }

    /// Lets it go on from a pause.
    pub(super) fn go_on(&self, number: usize) {
        fs::write(self.dir.join(format!("go-{number}")), "").unwrap();
    }

    /// Kills it, and what it has started.
    pub(super) fn kill(&mut self) {
        let pid = self.running.0.id();
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(children).unwrap();
        kill(pid, Signal::SIGKILL);
        for child in children.split_whitespace() {
            kill(child.parse().unwrap(), Signal::SIGKILL);
        }
    }

    /// What it has printed to standard error so far.
    pub(super) fn errors(&self) -> String {
        fs::read_to_string(self.dir.join("err")).unwrap_or_default()
    }

    /// Waits for its end; its exit code.
    #[track_caller]
    pub(super) fn end(&mut self) -> Option<i32> {
        self.running.end()
    }

    /// Waits for its good end; what it has printed.
    #[track_caller]
    pub(super) fn succeeded(&mut self) -> Vec<u8> {
        let code = self.end();
        assert_eq!(code, Some(0), "{}", self.errors());
        fs::read(self.dir.join("out")).unwrap()
    }

    /// The same as text.
    #[track_caller]
    pub(super) fn printed(&mut self) -> String {
        String::from_utf8(self.succeeded()).unwrap()
    }
}
