//! `vm0fs top`: who reads what now, and what it costs, as the mount's
//! `.vm0fs/activity.json` tells.
//!
//! A second process reads that file (`--worker`), a line of JSON for each byte that it
//! is sent: a process that waits for a mount which hangs may not be able to end.

mod page;
mod screen;
mod told;

use super::{
    complete::values::Values,
    mount_failure::reason,
    mounts,
    output::{columns, print},
    walk,
};
use crate::{
    config::{Environment, Span},
    error::{Error, Result},
    proc::MountEntry,
    text::{self, one_line},
    unmount,
};
use clap::Args;
use page::Page;
use screen::Screen;
use serde_json::Value;
use std::{
    fs,
    io::{self, IsTerminal, Read, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};
use told::Activity;

/// How long a mount may take to answer before it is said that it does not: longer than
/// its supervisor takes to replace a worker that hangs.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the size of the terminal is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The usual and the shortest time between two looks at the mount.
const INTERVAL: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(100);
/// Columns where there is no terminal.
const WIDE: usize = 120;
/// The longest answer: every place of the table with long paths is a tenth of it.
const LONGEST: usize = 4 << 20;

/// `vm0fs top`.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows, once a second, the processes that use the mount, the downloads, the runs that
are followed, the calls to the API and what is left of them. q or Ctrl-C leaves.

The service counts calls by endpoint; the number left is that of the endpoint which has
the least left.

FETCHED is what a process has waited for to come from the service; the rest of its
BYTES was known already. What the kernel answers from its own page cache is not seen: a
file that is read a second time may not show. Only the user who mounted, and root, may
look. Where standard output is no terminal, it is as with --once.

Examples:
  vm0fs top
  vm0fs top ~/vm0 --interval 5s
  vm0fs top --once --json | jq '.readers[] | select(.waiting > 0)'"
)]
pub struct TopArgs {
    /// Folder of the mount [default: the mount that the current folder is in, or your only one]
    #[arg(add = Values::Mountpoints.completer())]
    mountpoint: Option<PathBuf>,
    /// Print what is now, and end
    #[arg(long)]
    once: bool,
    /// Print the same as JSON, for programs
    #[arg(long, requires = "once")]
    json: bool,
    /// Time between two looks, such as 500ms or 5s [default: 1s]
    #[arg(long, value_name = "DURATION")]
    interval: Option<Span>,
    /// Read the mount for another process.
    #[arg(long, hide = true, requires = "mountpoint")]
    worker: bool,
}

impl TopArgs {
    /// Shows what a mount does, once or until the user leaves.
    ///
    /// # Errors
    /// Where nothing of vm0fs is mounted there, or it does not answer.
    pub fn run(self, environment: &Environment) -> Result<()> {
        let entry = match self.mountpoint {
            Some(path) if self.worker => return answer(&path),
            Some(path) => {
                let path = environment.current_dir.join(path);
                walk::at(&path.components().collect::<PathBuf>())?
            }
            None => mounts::meant(&environment.current_dir)?,
        };
        if let Some(failure) = unmount::look(entry.clone()).failure() {
            return Err(failure);
        }
        let mut reader = Reader::start(&entry)?;
        if self.once || !io::stdout().is_terminal() {
            let value = reader.once()?;
            if self.json {
                return super::output::print_json(&value);
            }
            let page = Page {
                mountpoint: &text::shown(&entry.mountpoint),
                now: &Activity::of(value)?,
                before: None,
                trouble: None,
            };
            let lines = page.lines(columns().unwrap_or(WIDE), usize::MAX);
            return print(&(lines.join("\n") + "\n"));
        }
        let interval = self.interval.map_or(INTERVAL, Duration::from).max(SHORTEST);
        watch(&mut reader, &entry, interval)
    }
}

/// Draws until the user leaves.
fn watch(reader: &mut Reader, entry: &MountEntry, interval: Duration) -> Result<()> {
    let mountpoint = text::shown(&entry.mountpoint);
    // Before the screen is taken: what is wrong from the start is said as usual.
    let mut now = Activity::of(reader.once()?)?;
    let mut before: Option<Activity> = None;
    let screen = Screen::enter()?;
    let mut drawn = None;
    let mut due = Instant::now() + interval;
    loop {
        let trouble = reader.silence().filter(|silence| *silence >= PATIENCE);
        let state = (screen.size(), trouble.map(|silence| silence.as_secs()));
        if drawn != Some(state) {
            let page = Page {
                mountpoint: &mountpoint,
                now: &now,
                before: before.as_ref(),
                trouble: state.1,
            };
            let (columns, rows) = state.0;
            screen.draw(&page.lines(columns, rows));
            drawn = Some(state);
        }
        if Instant::now() >= due && reader.silence().is_none() {
            reader.ask()?;
            due = Instant::now() + interval;
        }
        if screen.wait(reader.out.as_fd(), LOOK.min(interval))? {
            return Ok(());
        }
        if let Some(value) = reader.take()? {
            before = Some(std::mem::replace(&mut now, Activity::of(value)?));
            drawn = None;
        }
    }
}

/// The process that reads the mount.
struct Reader {
    child: Child,
    /// `None` once it is to end.
    input: Option<ChildStdin>,
    out: ChildStdout,
    text: Vec<u8>,
    /// When it was asked what it has not answered yet.
    asked: Option<Instant>,
}

impl Reader {
    fn start(entry: &MountEntry) -> Result<Self> {
        let failed = |error| Error::io("starting the process that asks the mount", error);
        let mut command = mounts::second_process("top", entry);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(input), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Internal("a process without pipes".into()));
        };
        rustix::io::ioctl_fionbio(&out, true).map_err(|error| failed(error.into()))?;
        Ok(Self {
            child,
            input: Some(input),
            out,
            text: Vec::new(),
            asked: None,
        })
    }

    fn ask(&mut self) -> Result<()> {
        self.asked = Some(Instant::now());
        let sent = self.input.as_mut().map(|input| input.write_all(b"\n"));
        sent.unwrap_or(Ok(()))
            .map_err(|error| Error::io("asking the process that reads the mount", error))
    }

    /// For how long an answer has been waited for.
    fn silence(&self) -> Option<Duration> {
        self.asked.map(|asked| asked.elapsed())
    }

    /// The answer, where it has come.
    fn take(&mut self) -> Result<Option<Value>> {
        let mut piece = [0; 64 << 10];
        loop {
            match self.out.read(&mut piece) {
                Ok(0) => {
                    return Err(Error::Setup(
                        "the process that reads the mount has ended".into(),
                    ));
                }
                Ok(length) => self.text.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io("reading from the process that asks", error));
                }
            }
            if self.text.len() > LONGEST {
                return Err(Error::Setup("the mount's answer is too long".into()));
            }
        }
        let Some(end) = self.text.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.text.drain(..=end).collect();
        self.asked = None;
        let value: Value = serde_json::from_slice(&line)
            .map_err(|error| Error::Setup(format!("the mount's answer is not JSON: {error}")))?;
        match value["error"].as_str() {
            Some(error) => Err(Error::Setup(one_line(error, 400))),
            None => Ok(Some(value)),
        }
    }

    /// Asks, and waits for the answer.
    fn once(&mut self) -> Result<Value> {
        self.ask()?;
        loop {
            if let Some(value) = self.take()? {
                return Ok(value);
            }
            if self.silence() >= Some(PATIENCE) {
                return Err(Error::Setup(format!(
                    "the mount has not answered within {} s; `vm0fs status` says how it is",
                    PATIENCE.as_secs()
                )));
            }
            screen::wait_for(self.out.as_fd(), LOOK)?;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It ends by that, or by this where it waits for a mount that has not heard it.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

/// What the second process does.
fn answer(mountpoint: &Path) -> Result<()> {
    let path = mountpoint.join(".vm0fs/activity.json");
    let mut input = io::stdin().lock();
    while input.read(&mut [0]).is_ok_and(|length| length > 0) {
        let read = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                "no vm0fs is mounted there any more, or an older one without this; \
                 vm0fs upgrade replaces that"
                    .to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "only the user who mounted, and root, may look at this".to_owned()
            }
            _ => reason(mountpoint, &error),
        });
        let value = read.and_then(|text| {
            serde_json::from_slice::<Value>(&text).map_err(|error| error.to_string())
        });
        let line = match value {
            Ok(value) => value,
            Err(error) => {
                serde_json::json!({"error": format!("{}: {error}", text::shown(mountpoint))})
            }
        };
        print(&format!("{line}\n"))?;
    }
    Ok(())
}
