//! `vm0fs run`: starts a run and, if asked to, follows its log to its end. It
//! goes the way that a mount goes, through the tree, without the kernel.

use super::{
    complete::values::Values,
    follow::{EVENTS, Follower, LOG},
    mounts,
    named::unknown_agent,
    output::{print, start_quiet_logging, tell},
    source::Source,
};
use crate::{
    config::{ConnectionOptions, Environment, MountOptions, Settings, Span},
    error::{Error, Result},
    mount, text,
    tree::{START_FILE, path_component},
};
use clap::{ArgAction, Args};
use std::{
    io::{self, IsTerminal, Read, Write},
    process::ExitCode,
    time::Duration,
};
use tracing_subscriber::filter::LevelFilter;

/// How long the status of a run that no stream tells of is believed.
const STATUS_TTL: Duration = Duration::from_secs(5);

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
    #[arg(add = Values::Agents.completer())]
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
        let usual = match self.follow {
            true => LevelFilter::INFO,
            false => LevelFilter::WARN,
        };
        start_quiet_logging(self.verbose, usual, environment)?;
        let options = MountOptions {
            list_ttl: Some(Span(STATUS_TTL)),
            ..self.connection.into()
        };
        let settings = Settings::load(options, environment);
        let settings = settings.map_err(|error| advise(error, &self.agent))?;
        let text = match self.prompt.as_deref() {
            None | Some("-") => read_input()?,
            Some(prompt) => prompt.as_bytes().to_vec(),
        };
        let (tree, pending) = mount::open(&settings)?;
        let source = Source::Tree(tree, pending);
        let id = start(&source, &self.agent, &text)?;
        match self.json {
            // What reads the events reads JSON only.
            true => tell(&format!("run {id}")),
            false => print(&format!("{id}\n")).map_err(|error| {
                Error::Setup(format!("run {id} is started and goes on, but {error}"))
            })?,
        }
        let run = path_component(&id);
        let follower = Follower::new(&source, &run);
        match (self.follow, self.json) {
            (true, true) => follower.follow(EVENTS, None),
            (true, false) => follower.follow(LOG, None),
            (false, _) => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Says what starts the run where there is no token but that of a mount.
fn advise(error: Error, agent: &str) -> Error {
    let own = mounts::own().unwrap_or_default();
    match (&error, own.first()) {
        (Error::NoToken, Some(mount)) => Error::Setup(format!(
            "{error}. A mount of yours has a token: echo PROMPT > {}/agents/{}/run",
            text::shell_path(&mount.mountpoint),
            text::shell_word(&path_component(agent))
        )),
        _ => error,
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

/// Starts a run, and gives its id.
fn start(source: &Source, agent: &str, text: &[u8]) -> Result<String> {
    if text.trim_ascii().is_empty() {
        let message = "there is no prompt; give one as an argument or on standard input";
        return Err(Error::Setup(message.into()));
    }
    let file = ["agents", agent, START_FILE];
    match source.write(&file, text) {
        Ok(()) => source.text(&file),
        Err(Error::NotFound(_)) => Err(unknown_agent(source, agent)),
        Err(error) => Err(error),
    }
}
