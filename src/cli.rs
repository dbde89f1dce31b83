//! The command line: the commands and their arguments.

mod bars;
mod cache;
mod cancel;
mod complete;
mod completions;
mod demo;
mod diff;
mod doctor;
mod enable;
mod first_time;
mod follow;
mod fstab;
mod fstab_line;
mod given;
mod help;
mod logs;
mod ls;
mod man;
mod mount;
mod mount_failure;
mod mount_helper;
mod mount_path;
mod mounts;
mod named;
mod output;
mod prefetch;
mod reach;
mod run;
mod run_path;
mod second;
mod shared_cache;
mod source;
mod status;
mod top;
mod unit;
mod unmount;
mod upgrade;
mod user_manager;
mod walk;

pub use cache::CacheArgs;
pub use cancel::CancelArgs;
pub use complete::CompleteArgs;
pub use completions::CompletionsArgs;
pub use demo::DemoArgs;
pub use diff::DiffArgs;
pub use doctor::DoctorArgs;
pub use enable::{DisableArgs, EnableArgs};
pub use help::HelpArgs;
pub use logs::LogsArgs;
pub use ls::LsArgs;
pub use man::ManArgs;
pub use mount::MountArgs;
pub use mount_helper::{Failure, run as run_as_helper};
pub use output::{say, usage, with_advice};
pub use prefetch::PrefetchArgs;
pub use run::RunArgs;
pub use shared_cache::SharedCacheArgs;
pub use status::StatusArgs;
pub use top::TopArgs;
pub use unmount::UnmountArgs;
pub use upgrade::UpgradeArgs;

use clap::{
    CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue},
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
  vm0fs run my-agent \"Do it\" -f    start a run, and see what it says
  vm0fs ls runs                    the runs as a table
  vm0fs unmount ~/vm0

The guide: vm0fs help TOPIC, where TOPIC is one of tree, runs, settings,
startup, containers, consistency, cache, parts, diff, fleets, workers,
file-managers, limits, security, performance, troubleshooting.

Exit codes: 0 done, 1 failed, 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// What they are that is no command: help too. Commands that help does not show are no
    /// advice.
    pub fn read() -> Result<Self, clap::Error> {
        Self::try_parse().map_err(|mut said| {
            if let Some(ContextValue::Strings(names)) = said.get(ContextKind::SuggestedSubcommand) {
                let command = Self::command();
                let is_shown = |name: &&String| {
                    let found = command.find_subcommand(name);
                    found.is_some_and(|found| !found.is_hide_set())
                };
                let shown: Vec<String> = names.iter().filter(is_shown).cloned().collect();
                let shown = match shown.is_empty() {
                    true => ContextValue::None,
                    false => ContextValue::Strings(shown),
                };
                said.insert(ContextKind::SuggestedSubcommand, shown);
            }
            said
        })
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount the platform at a folder
    Mount(MountArgs),
    /// Unmount the platform, and wait until the mount is gone
    #[command(visible_alias = "umount")]
    Unmount(UnmountArgs),
    /// Mount now and at each login, by a service of the user's systemd
    Enable(EnableArgs),
    /// Unmount, and remove the service that `enable` made
    Disable(DisableArgs),
    /// Have mounts go on with the program as it now is on disk
    Upgrade(UpgradeArgs),
    /// Show which mounts there are, and whether they work
    Status(StatusArgs),
    /// Show who reads what through a mount now, and what it costs
    Top(TopArgs),
    /// Find out what is wrong with this machine, the service or the cache, and mend what can be mended
    Doctor(DoctorArgs),
    /// Start a run of an agent, and follow its log if asked to
    Run(RunArgs),
    /// List runs, agents, artifacts or volumes, with or without a mount
    Ls(LsArgs),
    /// Show the log of a run, and follow it if asked to
    Logs(LogsArgs),
    /// Cancel runs, and say what became of each
    Cancel(CancelArgs),
    /// Show what two versions of an artifact or a volume differ in
    Diff(DiffArgs),
    /// Download versions through a mount before they are used
    Prefetch(PrefetchArgs),
    /// List, measure, check, clear or pin the versions that were downloaded
    Cache(CacheArgs),
    /// Set up, look at or prune the cache that the machines of a fleet share
    SharedCache(SharedCacheArgs),
    /// Mount a made-up world, served by this program itself, without an account
    Demo(DemoArgs),
    /// Show a page of the guide, or the help of a command
    Help(HelpArgs),
    /// Print the script by which a shell completes the words of vm0fs
    Completions(CompletionsArgs),
    /// Print what a shell is to offer at a TAB
    #[command(hide = true)]
    Complete(CompleteArgs),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Environment;
    use clap::{CommandFactory, error::ErrorKind};
    use std::time::Duration;

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
    fn options_of_a_mount_become_settings() {
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
        let options = settings.options;
        assert!(options.connection.allow_http && options.allow_other);
        assert!(options.allow_external_symlinks);
    }

    #[test]
    fn commands_and_their_aliases_are_parsed() {
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
    fn each_wrong_use_is_an_error_of_its_kind() {
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
