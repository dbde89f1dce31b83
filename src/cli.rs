//! The command line: what can be asked for, and its translation into settings.

mod cache;
mod demo;
mod doctor;
mod help;
mod mount_path;
mod mounts;
mod prefetch;
mod run;
mod status;

pub use cache::{CacheArgs, CacheCommand};
pub use doctor::DoctorArgs;
pub use help::HelpArgs;
pub use prefetch::PrefetchArgs;
pub use run::RunArgs;
pub use status::StatusArgs;

use crate::{
    config::{
        Crawlers, Environment, Flags, Settings, parse_crawlers, parse_duration, parse_size,
        parse_verify,
    },
    error::{Error, Result},
    logging,
    mount::{self, Outcome},
    store::Verify,
    unmount,
};
use clap::{ArgAction, Args, Parser, Subcommand};
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

/// Mount the VM0 platform as ordinary files: agents, runs, volumes and artifacts
#[derive(Debug, Parser)]
#[command(
    name = "vm0fs",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  vm0fs demo                       look around without an account
  vm0fs mount ~/vm0                mount what your token may see
  ls -lt ~/vm0/runs | head         the latest runs
  vm0fs run my-agent \"Do it\" -f   start a run, and see what it says
  vm0fs unmount ~/vm0

The guide: vm0fs help TOPIC, where TOPIC is one of tree, runs, settings, consistency,
cache, file-managers, limits, security, performance, troubleshooting.

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount the platform at a folder
    Mount(MountArgs),
    /// Unmount the platform, and wait until the mount is gone
    #[command(visible_alias = "umount")]
    Unmount(UnmountArgs),
    /// Show which mounts there are, and whether they work
    Status(StatusArgs),
    /// Find out what is wrong with this machine, the service or the cache, and mend what can be mended
    Doctor(DoctorArgs),
    /// Start a run of an agent, and follow its log if asked to
    Run(RunArgs),
    /// Download versions through a mount before they are used
    Prefetch(PrefetchArgs),
    /// List, measure, check, clear or pin the versions that were downloaded
    Cache(CacheArgs),
    /// Mount a made-up world, served by this program itself, without an account
    Demo(DemoArgs),
    /// Show a page of the guide, or the help of a command
    Help(HelpArgs),
}

/// `vm0fs mount`.
#[derive(Debug, Args)]
#[command(
    after_help = "The token comes from the first of: --token-file, VM0_API_KEY, VM0_TOKEN,
token-file in ~/.config/vm0fs/config.toml, the vm0 CLI's login (`vm0 auth login`).
There is no option for the token itself: other users can read a command line.
Every option that takes a value can stand in config.toml: cache-size = \"10GiB\"

Examples:
  vm0fs mount ~/vm0
  vm0fs mount -f -v ~/vm0                            stay, and show what happens
  vm0fs mount --token-file ~/.vm0-token ~/vm0
  vm0fs mount --cache-size 50GB --list-ttl 5s ~/vm0
  vm0fs mount --api-url http://localhost:3000 ~/vm0  a server in development"
)]
pub struct MountArgs {
    /// The folder to mount at. It must be empty; it is made if it is missing
    pub mountpoint: PathBuf,
    /// Stay in the foreground, and log to standard error
    #[arg(short, long)]
    pub foreground: bool,
    /// How to reach the service.
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Maximum size of the cache, such as 500MB or 10GiB. What was not used for longest is removed first [default: 10GiB, or a tenth of the free disk if that is less]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub cache_size: Option<u64>,
    /// How long a listing is shown before the service is asked again, such as 5s or 2m [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub list_ttl: Option<Duration>,
    /// Let other users of this machine read the mount. An ordinary user needs the line user_allow_other in /etc/fuse.conf for that
    #[arg(long)]
    pub allow_other: bool,
    /// Let symlinks of a version lead out of it. Programs that follow them then reach files of this machine
    #[arg(long)]
    pub allow_external_symlinks: bool,
    /// Do not use the network. The mount shows what is in the cache, and listings as they were last known
    #[arg(long)]
    pub offline: bool,
    /// What to do with content that does not match its version's id: warn (log it), strict (refuse it) or off (do not look) [default: warn]
    #[arg(long, value_name = "WHAT", value_parser = parse_verify)]
    pub verify: Option<Verify>,
    /// Whether indexers and programs that make thumbnails may start downloads: deny or allow [default: deny]
    #[arg(long, value_name = "WHAT", value_parser = parse_crawlers)]
    pub crawlers: Option<Crawlers>,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// How to reach the service: the same for all commands that do.
#[derive(Debug, Args)]
pub struct ConnectionArgs {
    // Not a link: the text is the help of the command line.
    #[allow(rustdoc::bare_urls)]
    /// Address of the API; https:// is added where it has no scheme [default: https://api.vm0.ai]
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// File that holds the token and nothing else. Keep it at mode 0600 [default: the token of the environment or of the vm0 CLI]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Folder of the cache, where downloaded versions are kept [default: ~/.cache/vm0fs]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// How long the network may be silent before a read fails, such as 10s or 2m [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Permit plain http:// to other machines. All on the way there can then read your token
    #[arg(long)]
    pub allow_http: bool,
}

/// `vm0fs unmount`.
#[derive(Debug, Args)]
#[command(
    after_help = "A mount that is in use stays, and you are told which processes use it. A process
that only waits for the network in it gets an error, and does not keep it.

Examples:
  vm0fs unmount ~/vm0
  vm0fs unmount --lazy ~/vm0    out of sight now, gone when no process uses it any more"
)]
pub struct UnmountArgs {
    /// The folder where the platform is mounted
    pub mountpoint: PathBuf,
    /// Detach the mount now, even if it is in use. It ends when its last user has gone
    #[arg(short, long)]
    pub lazy: bool,
    /// Ask the mount to let those go who wait in vain, in this very process.
    #[arg(long, hide = true)]
    pub worker: bool,
}

/// `vm0fs demo`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs demo                    mount the demo, and say where
  vm0fs demo ~/vm0-demo
  vm0fs demo --serve-only       only the server; prints its address and token for curl")]
pub struct DemoArgs {
    /// The folder to mount at [default: ~/vm0-demo]
    #[arg(conflicts_with = "serve_only")]
    pub mountpoint: Option<PathBuf>,
    /// Mount nothing. Run the server alone, and print its address and token
    #[arg(long)]
    pub serve_only: bool,
    /// Port of the server on this machine [default: any free one]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    /// Log what is done; given twice, also every request
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

impl ConnectionArgs {
    fn flags(self) -> Flags {
        Flags {
            api_url: self.api_url,
            token_file: self.token_file,
            cache_dir: self.cache_dir,
            timeout: self.timeout,
            allow_http: self.allow_http,
            ..Flags::default()
        }
    }
}

impl MountArgs {
    /// Mounts; in the foreground, serves the mount to its end.
    ///
    /// # Errors
    /// See [`Settings::load`] and [`mount::run`].
    pub fn run(self, environment: &Environment) -> Result<Outcome> {
        start_logging(self.verbose, self.foreground, environment)?;
        let options = self.options(environment)?;
        let foreground = options.foreground;
        let set_up_logs = || {
            if !foreground {
                let file = logging::state_dir(environment).and_then(|dir| logging::to_file(&dir));
                if let Err(error) = file {
                    // No reason not to mount: failures are in .vm0fs/errors too.
                    tracing::warn!("there will be no log file: {error}");
                }
            }
            Ok(())
        };
        mount::run(options, set_up_logs, |mountpoint, warnings| {
            let mut text: String = warnings
                .iter()
                .map(|warning| format!("vm0fs: warning: {warning}\n"))
                .collect();
            let shown = mountpoint.display();
            text += &format!("vm0fs: mounted at {shown}; Ctrl-C unmounts\n");
            // That nobody reads it is no reason to end.
            let _ = io::stderr().write_all(text.as_bytes());
        })
    }

    /// Settles what to mount. Log from before: warnings are told on the way.
    fn options(self, environment: &Environment) -> Result<mount::Options> {
        let flags = Flags {
            cache_size: self.cache_size,
            list_ttl: self.list_ttl,
            allow_other: self.allow_other,
            allow_external_symlinks: self.allow_external_symlinks,
            offline: self.offline,
            verify: self.verify,
            crawlers: self.crawlers,
            ..self.connection.flags()
        };
        Ok(mount::Options {
            mountpoint: environment.current_dir.join(self.mountpoint),
            settings: Settings::load(flags, environment)?,
            foreground: self.foreground,
        })
    }
}

impl UnmountArgs {
    /// Unmounts.
    ///
    /// # Errors
    /// See [`unmount::unmount`].
    pub fn run(self, environment: &Environment) -> Result<()> {
        let mountpoint = environment.current_dir.join(self.mountpoint);
        // Begun inside of the mount, this process would keep it busy itself.
        std::env::set_current_dir("/").map_err(|error| Error::io("changing to /", error))?;
        if self.worker {
            return mounts::ask_to_let_go(&mountpoint);
        }
        unmount::unmount(&mountpoint, self.lazy, mounts::let_go)
    }
}

/// Writes a command's result. A reader that has gone (`| head`) is no failure.
///
/// # Errors
/// [`Error::Io`] where standard output cannot be written.
fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes()).map(|_| ())
}

/// The same for what may be no text; whether there still is a reader.
///
/// # Errors
/// [`Error::Io`] where standard output cannot be written.
fn print_bytes(text: &[u8]) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::io("writing to standard output", error)),
    }
}

/// Begins to log to standard error; in colour where that stays a terminal.
///
/// # Errors
/// [`Error::Setup`] for a bad `VM0FS_LOG`.
fn start_logging(verbosity: u8, foreground: bool, environment: &Environment) -> Result<()> {
    let colour = foreground
        && io::stderr().is_terminal()
        && environment
            .variables
            .get(std::ffi::OsStr::new("NO_COLOR"))
            .is_none_or(|v| v.is_empty());
    logging::init(logging::level(verbosity, environment)?, colour);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn consistent_and_with_examples() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        fn look(command: &mut clap::Command) {
            for sub in command.get_subcommands_mut() {
                if sub.get_name() != "help" {
                    let help = sub.render_long_help().to_string();
                    assert!(help.contains("Examples:"), "{}", sub.get_name());
                    look(sub);
                }
            }
        }
        look(&mut command);
    }

    /// The command itself and all below it, by their names.
    fn all(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name());
        for sub in command.get_subcommands() {
            all(sub, &path, found);
        }
        found.push((path, command.clone()));
    }

    #[test]
    fn every_help_text_is_a_sentence_and_says_the_default() {
        let mut command = Cli::command();
        command.build();
        let mut commands = Vec::new();
        all(&command, "", &mut commands);
        assert!(commands.len() > 14, "{}", commands.len());
        for (path, command) in commands.iter().filter(|(path, _)| !path.contains(" help")) {
            let about = command.get_about().unwrap().to_string();
            let words = |text: &str| text.split_whitespace().count();
            assert!(words(&about) > 3, "{path}: {about}");
            let visible = command.get_arguments().filter(|arg| !arg.is_hide_set());
            for arg in visible.filter(|arg| !["help", "version"].contains(&arg.get_id().as_str())) {
                let text = arg.get_help().unwrap().to_string();
                let place = format!("{path} {}: {text}", arg.get_id());
                assert!(
                    text.starts_with(|first: char| first.is_uppercase()),
                    "{place}"
                );
                assert!(words(&text) >= 3 && words(&text) <= 40, "{place}");
                let takes_value = arg.get_action().takes_values();
                if takes_value && !arg.is_required_set() {
                    assert!(text.contains("[default: "), "{place}");
                }
                let units = ["SIZE", "DURATION"];
                let is_amount = arg
                    .get_value_names()
                    .is_some_and(|names| names.iter().any(|name| units.contains(&name.as_str())));
                assert!(!is_amount || text.contains("such as"), "{place}: no unit");
            }
        }
    }

    #[test]
    fn mount_options() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment {
            variables: [("VM0_TOKEN".into(), "t".into())].into(),
            home: Some(dir.path().to_owned()),
            current_dir: dir.path().to_owned(),
        };
        let line = "vm0fs mount -f -vv --api-url h:1 --cache-dir c --cache-size 50MB --list-ttl 3s \
                    --timeout 2m --allow-http --allow-other --allow-external-symlinks m";
        let Command::Mount(args) = parse(line).unwrap() else {
            panic!("not a mount");
        };
        assert_eq!(args.verbose, 2);
        let request = args.options(&environment).unwrap();
        assert!(request.foreground);
        assert_eq!(request.mountpoint, dir.path().join("m"));
        let settings = request.settings;
        assert_eq!(settings.api_url.as_str(), "https://h:1/");
        assert_eq!(settings.cache_dir, dir.path().join("c"));
        assert_eq!(settings.cache_size, 50_000_000);
        assert_eq!(settings.list_ttl, Duration::from_secs(3));
        assert_eq!(settings.timeout, Duration::from_secs(120));
        assert!(settings.allow_http && settings.allow_other && settings.allow_external_symlinks);
    }

    #[test]
    fn other_commands() {
        for line in ["vm0fs unmount --lazy m", "vm0fs umount -l m"] {
            let Command::Unmount(args) = parse(line).unwrap() else {
                panic!("{line}");
            };
            assert!(args.lazy);
        }
        let Command::Demo(args) = parse("vm0fs demo --serve-only --port 8080").unwrap() else {
            panic!("not a demo");
        };
        assert_eq!(
            (args.serve_only, args.port, args.mountpoint),
            (true, Some(8080), None)
        );
    }

    #[test]
    fn usage_errors() {
        for (line, kind) in [
            ("vm0fs", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("vm0fs mount", ErrorKind::MissingRequiredArgument),
            ("vm0fs mount --cache-size big m", ErrorKind::ValueValidation),
            ("vm0fs mount --timeout 30 m", ErrorKind::ValueValidation),
            ("vm0fs mount --token secret m", ErrorKind::UnknownArgument),
            ("vm0fs demo --serve-only m", ErrorKind::ArgumentConflict),
            ("vm0fs prefetch", ErrorKind::MissingRequiredArgument),
            (
                "vm0fs cache",
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ),
            ("vm0fs cache pin", ErrorKind::MissingRequiredArgument),
            ("vm0fs cache ls x", ErrorKind::UnknownArgument),
            ("vm0fs fly", ErrorKind::InvalidSubcommand),
            ("vm0fs --version", ErrorKind::DisplayVersion),
            ("vm0fs mount --help", ErrorKind::DisplayHelp),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.kind(), kind, "{line}");
            let shown = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            assert_eq!(error.exit_code(), if shown { 0 } else { 2 }, "{line}");
        }
    }
}
