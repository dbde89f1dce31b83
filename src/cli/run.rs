//! `vm0fs run`: starts a run and, if asked to, follows its log to its end. It
//! goes the way that a mount goes, through the tree, without the kernel.

use super::{
    lookup,
    output::{print, print_bytes, start_logging},
};
use crate::{
    config::{ConnectionOptions, Environment, MountOptions, Settings, Span},
    error::{Error, Result},
    mount,
    pending::PendingRequests,
    text::one_line,
    tree::{Handle, START_FILE, Tree, View, WriteRequest},
};
use clap::{ArgAction, Args};
use std::{
    cell::Cell,
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// How often the log is looked at: what a stream has brought is there by then.
const LOOK: Duration = Duration::from_millis(200);
/// Rows that come late are waited for so long after the run has ended.
const LATE: Duration = Duration::from_secs(3);
/// How long the status of a run that no stream tells of is believed.
const STATUS_TTL: Duration = Duration::from_secs(5);
/// The wait after a failure that may pass, doubled with each in a row.
const RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Bytes of the log taken at a time.
const PIECE: usize = 256 << 10;

/// How a run can end, and the exit code that tells.
const ENDS: [(&str, u8); 4] = [
    ("completed", 0),
    ("failed", 3),
    ("timeout", 4),
    ("cancelled", 5),
];

/// Whether a failure may be over the next time. The run goes on meanwhile, so
/// it is no reason to stop following.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Transport(_) | Error::Timeout { .. } | Error::BadAnswer { .. } => true,
        _ => matches!(error.status(), Some(408 | 429 | 500..)),
    }
}

/// The files of a run that can be followed: its log, and its events.
const LOG: &str = "logs";
const EVENTS: &str = "events.jsonl";

/// Characters of a run's error that are said.
const LONGEST_REASON: usize = 2_000;

/// `vm0fs run`.
#[derive(Debug, Args)]
#[command(
    after_help = "The first line printed is the run's id. With --follow, its log follows, and the
exit code tells how it ended: 0 completed, 3 failed, 4 timed out, 5 cancelled.
Why a run failed is said on standard error. Ctrl-C stops following; the run goes
on.

With --follow --json, standard output has the agent's events and nothing else, one
JSON object a line, as in the file events.jsonl; the id is said on standard error.

A JSON object instead of a prompt is the whole request, with the agent filled
in: prompt, variables, secrets, volumes, artifact_name, session_id …

Examples:
  vm0fs run my-agent \"Summarise the data\"
  vm0fs run my-agent --follow < prompt.txt
  vm0fs run my-agent --follow --json \"Go\" | jq .type
  jq -n '{prompt: \"Deploy\", secrets: {KEY: env.KEY}}' | vm0fs run my-agent -"
)]
pub struct RunArgs {
    /// Name or id of the agent
    agent: String,
    /// What the agent is to do, as text or as a JSON request [default: standard input, as with `-`]
    prompt: Option<String>,
    /// Print the run's log as it grows, until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Print the agent's events as JSON, one object a line, instead of the log
    #[arg(long, requires = "follow")]
    json: bool,
    /// How to reach the service.
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

impl RunArgs {
    /// Starts the run, and follows it.
    ///
    /// # Errors
    /// See [`Settings::load`]; what the service refuses.
    pub fn run(self, environment: &Environment) -> Result<ExitCode> {
        start_logging(self.verbose, false, environment)?;
        let options = MountOptions {
            list_ttl: Some(Span(STATUS_TTL)),
            ..self.connection.into()
        };
        let settings = Settings::load(options, environment)?;
        let text = match self.prompt.as_deref() {
            None | Some("-") => read_input()?,
            Some(prompt) => prompt.as_bytes().to_vec(),
        };
        let (tree, pending) = mount::open(&settings)?;
        let session = Session {
            tree: &tree,
            pending: &pending,
            has_said_why: Cell::new(false),
        };
        let id = session.start(&self.agent, &text)?;
        match self.json {
            // What reads the events reads JSON only.
            true => tell(&format!("run {id}")),
            false => print(&format!("{id}\n"))?,
        }
        match (self.follow, self.json) {
            (true, true) => session.follow(&id, EVENTS),
            (true, false) => session.follow(&id, LOG),
            (false, _) => Ok(ExitCode::SUCCESS),
        }
    }
}

fn read_input() -> Result<Vec<u8>> {
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        // Without this, the command seems to hang.
        let _ = writeln!(io::stderr(), "vm0fs: the prompt, ended with Ctrl-D:");
    }
    let mut text = Vec::new();
    let read = input.read_to_end(&mut text);
    read.map_err(|error| Error::io("reading the prompt from standard input", error))?;
    Ok(text)
}

/// Writes a line to standard error. A closed one is no failure.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "vm0fs: {}", one_line(text, LONGEST_REASON));
}

/// A tree, asked as the kernel would ask it.
struct Session<'a> {
    tree: &'a Tree,
    pending: &'a PendingRequests,
    /// Whether the user has been told why the run has failed.
    has_said_why: Cell<bool>,
}

impl Session<'_> {
    /// The inode of a path, after its symlinks.
    fn find(&self, path: &[&str]) -> Result<u64> {
        lookup::find(self.pending, path)
    }

    fn start(&self, agent: &str, text: &[u8]) -> Result<String> {
        if text.trim_ascii().is_empty() {
            let message = "there is no prompt; give one as an argument or on standard input";
            return Err(Error::Setup(message.into()));
        }
        let found = self.find(&["agents", agent, START_FILE]);
        let ino = found.map_err(|error| match error {
            Error::NotFound(_) => Error::Setup(format!(
                "there is no agent {agent:?}; `ls agents` in a mount shows those there are"
            )),
            error => error,
        })?;
        let opened = self.pending.run(|view| view.open_to_write(ino, true))?;
        let Handle::Control(writing) = &opened.handle else {
            return Err(Error::Internal("the run file cannot be written".into()));
        };
        let write = WriteRequest {
            request: 0,
            offset: 0,
            appends: false,
            data: text,
        };
        let write = |view: &View<'_>| view.write(writing, &write);
        self.pending.run(write)?;
        self.pending.run(|view| view.finish(writing))?;
        Ok(self.read_whole(ino)?.trim_end().to_owned())
    }

    fn read_whole(&self, ino: u64) -> Result<String> {
        let opened = self.pending.run(|view| view.open(ino, true))?;
        let bytes = self.read(&opened.handle, 0)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn read(&self, handle: &Handle, offset: u64) -> Result<Vec<u8>> {
        self.pending.run(|view| {
            let mut buffer = Vec::new();
            view.read(handle, offset, PIECE, &mut buffer)?;
            Ok(buffer)
        })
    }

    /// Asks again until the answer is no failure that may pass.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T>) -> Result<T> {
        let mut pause = RETRY;
        loop {
            match ask() {
                Err(error) if may_pass(&error) => thread::sleep(pause),
                answer => return answer,
            }
            pause = LONGEST_RETRY.min(2 * pause);
        }
    }

    /// Says something about why a run has failed, unless that was said.
    fn say_once(&self, id: &str, why: &str) {
        if !self.has_said_why.replace(true) {
            tell(&format!("run {id}{why}"));
        }
    }

    /// Says once why a run has failed, where that is known.
    fn say_why(&self, id: &str) {
        if let Some(reason) = self.tree.why_failed(id) {
            self.say_once(id, &format!(": {reason}"));
        }
    }

    /// Says once how a run has ended, and why.
    fn say_end(&self, id: &str, end: &str) {
        // Only the answer for this run has the reason, and may have to be fetched.
        let error = self.find(&["runs", id, "error"]);
        if let Err(error) = error.and_then(|error| self.read_whole(error)) {
            tracing::warn!("the error of run {id} cannot be read: {error}");
        }
        self.say_why(id);
        match end {
            "failed" => self.say_once(id, " failed, and the service does not say why"),
            "timeout" => self.say_once(id, " was ended by its time limit"),
            "cancelled" => self.say_once(id, " was cancelled"),
            _ => {}
        }
    }

    /// Prints a file of a run to its end, and tells by the exit code how the run
    /// ended.
    fn follow(&self, id: &str, file: &str) -> Result<ExitCode> {
        let status = self.patiently(|| self.find(&["runs", id, "status"]))?;
        let log = self.patiently(|| self.find(&["runs", id, file]))?;
        let opened = self.patiently(|| self.pending.run(|view| view.open(log, true)))?;
        let mut offset = 0;
        let mut ended: Option<(u8, Instant)> = None;
        let (mut next_look, mut pause) = (Instant::now(), RETRY);
        loop {
            let bytes = self.read(&opened.handle, offset)?;
            if !bytes.is_empty() {
                offset += bytes.len() as u64;
                if !print_bytes(&bytes)? {
                    // The reader has gone.
                    return Ok(ExitCode::SUCCESS);
                }
                continue;
            }
            self.say_why(id);
            match ended {
                Some((code, at)) if at.elapsed() >= LATE => return Ok(ExitCode::from(code)),
                None if Instant::now() >= next_look => match self.read_whole(status) {
                    Ok(status) => {
                        let end = ENDS.iter().find(|(word, _)| *word == status.trim_end());
                        if let Some((end, code)) = end {
                            self.say_end(id, end);
                            ended = Some((*code, Instant::now()));
                        }
                        pause = RETRY;
                    }
                    // The failure is in the log; rows may still come.
                    Err(error) if may_pass(&error) => {
                        next_look = Instant::now() + pause;
                        pause = LONGEST_RETRY.min(2 * pause);
                    }
                    Err(error) => return Err(error),
                },
                Some(_) | None => {}
            }
            thread::sleep(LOOK);
        }
    }
}
