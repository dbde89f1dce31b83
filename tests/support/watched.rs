//! A program that goes on printing, and what it has printed so far.

use super::{Bench, SOON, Who, mount::wait_for_end};
use std::{
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// A program whose output is watched, killed when dropped.
pub(crate) struct Watched {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Watched {
    /// Starts it; errors are part of what it prints.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// The same, with the pipe that is its input.
    fn with_keys(command: &mut Command) -> (Self, ChildStdin) {
        let mut watched = Self::spawn(command.stdin(Stdio::piped()));
        let keys = watched.child.stdin.take().unwrap();
        (watched, keys)
    }

    /// A shell script on a terminal of its own, with the environment of `who`, and the
    /// keys of that terminal.
    pub(crate) fn on_a_terminal(bench: &Bench, who: Who, script: &str) -> (Self, ChildStdin) {
        let mut command = bench.command_of(Path::new("/usr/bin/script"), who);
        command.args(["-qec", script, "/dev/null"]);
        // A shell that Ctrl-C ends only with what it runs.
        let command = command.env("TERM", "xterm").env("SHELL", "/bin/bash");
        Self::with_keys(command)
    }

    /// Types keys.
    #[track_caller]
    pub(crate) fn type_in(keys: &mut ChildStdin, text: &str) {
        keys.write_all(text.as_bytes()).unwrap();
    }

    fn spawn(command: &mut Command) -> Self {
        let (mut reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap();
        // The command holds the pipe's other end, and would keep it open.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = printed.clone();
        thread::spawn(move || {
            let mut piece = [0; 64 << 10];
            while let Ok(read @ 1..) = reader.read(&mut piece) {
                sink.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
        Self { child, printed }
    }

    /// What it has printed so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }

    /// Waits until it has printed something; gives how long that took.
    #[track_caller]
    pub(crate) fn expect(&self, what: &str) -> Duration {
        let start = Instant::now();
        while !self.text().contains(what) {
            let waited = start.elapsed();
            assert!(
                waited < SOON,
                "no {what:?} within {SOON:?}: {}",
                self.text()
            );
            thread::sleep(Duration::from_millis(10));
        }
        start.elapsed()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, for so long that only a hang takes longer.
    #[track_caller]
    pub(crate) fn end(&mut self) -> ExitStatus {
        let status = wait_for_end(&mut self.child);
        status.unwrap_or_else(|| panic!("not ended within {SOON:?}: {}", self.text()))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // Not waited for: it may sit in a read that ends with its mount.
        let _ = self.child.try_wait();
    }
}
