//! `vm0fs complete`: what a shell offers at a TAB. It says nothing on standard error,
//! takes a second at most, and asks no network: what it does not know it leaves out.

mod bash;
mod known;
mod listings;
mod typed;
mod value;
pub(super) mod values;

use self::{bash::Line, known::Known, typed::Typed, value::Value, values::Values};
use super::output::print;
use crate::{config::Environment, error::Result};
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::engine;
use std::ffi::OsString;

/// The shells that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

/// `vm0fs complete`.
#[derive(Debug, Args)]
#[command(
    after_help = "The scripts of `vm0fs completions` run it. The first line says what follows:
`values`, a line each, with a tab before what is said of it; or `files` or
`folders`, which the shell finds itself.

Examples:
  vm0fs complete --shell fish -- vm0fs unm"
)]
pub struct CompleteArgs {
    /// The shell that asks: bash, zsh or fish [default: fish]
    #[arg(long, value_name = "SHELL", value_enum, hide_possible_values = true)]
    shell: Option<Shell>,
    /// Characters that begin another word for bash [default: none]
    #[arg(long, value_name = "CHARACTERS", allow_hyphen_values = true)]
    breaks: Option<String>,
    /// Print what a mount knows, in this process.
    #[arg(long, hide = true)]
    worker: bool,
    /// The words of the line up to the cursor; for bash, the line [default: none]
    #[arg(last = true, value_name = "WORD")]
    words: Vec<OsString>,
}

/// What a shell is to offer.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    Values(Vec<Value>),
    Files,
    Folders,
}

impl CompleteArgs {
    /// Prints what the shell is to offer.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn run(self, command: clap::Command, environment: &Environment) -> Result<()> {
        if self.worker {
            return print(&listings::read_mount(&self.words));
        }
        let words = self.words.iter().map(|word| word.to_string_lossy());
        let words = Vec::from_iter(words.map(String::from));
        match self.shell {
            Some(Shell::Bash) => {
                let line = Line::parse(&words.concat());
                let breaks = self.breaks.unwrap_or_default();
                let offer = offer(command, &line.words, environment);
                print(&text(&offer, |value| line.quoted(&value.text, &breaks)))
            }
            Some(Shell::Zsh | Shell::Fish) | None => {
                let offer = offer(command, &words, environment);
                print(&text(&offer, |value| Some(value.line())))
            }
        }
    }
}

/// An offer as the scripts read it.
fn text(offer: &Offer, show: impl Fn(&Value) -> Option<String>) -> String {
    match offer {
        Offer::Files => "files\n".into(),
        Offer::Folders => "folders\n".into(),
        Offer::Values(values) => {
            let lines = values.iter().filter_map(show).map(|line| line + "\n");
            format!("values\n{}", lines.collect::<String>())
        }
    }
}

/// What can stand for the last of `words`.
fn offer(command: clap::Command, words: &[String], environment: &Environment) -> Offer {
    let word = words.last().cloned().unwrap_or_default();
    let index = words.len().saturating_sub(1);
    let mut command = with_names(with_paths(command), &words[..index], &word);
    let typed = Typed::read(command.clone(), &words[..index], environment);
    let arguments = words.iter().map(OsString::from).collect();
    // It is given no folder: files are the shell's business.
    let found = engine::complete(&mut command, arguments, index, None).unwrap_or_default();
    let known = Known::new(environment, &words[..index], &typed);
    let mut values = Vec::new();
    for candidate in found {
        let text = candidate.get_value().to_string_lossy().into_owned();
        let kind = candidate.get_id().and_then(|id| Values::named(id));
        match kind {
            // The word is an option: no other argument begins so.
            Some(_) if text.is_empty() && word.starts_with('-') => {}
            // Its text is the option before it, as in `--cache-dir=`.
            Some(Values::Files) => return Offer::Files,
            Some(Values::Folders) => return Offer::Folders,
            Some(kind) => {
                let typed = word.strip_prefix(&text).unwrap_or_default();
                match known.values(kind, typed, &command) {
                    Some(found) => values.extend(found.into_iter().map(|value| Value {
                        text: format!("{text}{}", value.text),
                        ..value
                    })),
                    None => return Offer::Files,
                }
            }
            None if candidate.is_hide_set() => {}
            None => {
                let help = candidate.get_help().map(ToString::to_string);
                values.push(Value::new(&text, &help.unwrap_or_default()));
            }
        }
    }
    values.retain(Value::is_harmless);
    // Options are for those who begin one, or where there is nothing else.
    if !word.starts_with('-') && values.iter().any(|value| !value.text.starts_with('-')) {
        values.retain(|value| !value.text.starts_with('-'));
    }
    Offer::Values(values)
}

/// The command with files and folders where it takes paths.
fn with_paths(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let has_own = arg.get::<engine::ArgValueCompleter>().is_some();
        match arg.get_value_hint() {
            _ if has_own => arg,
            ValueHint::DirPath => arg.add(Values::Folders.completer()),
            ValueHint::AnyPath | ValueHint::FilePath => arg.add(Values::Files.completer()),
            _ => arg,
        }
    });
    command.mut_subcommands(with_paths)
}

/// The command in which a name stands for what has two, unless the other is typed: the
/// engine would offer only one of both, which may be the other.
fn with_names(command: clap::Command, before: &[String], word: &str) -> clap::Command {
    command.mut_subcommands(|sub| {
        let is_typed = sub
            .get_visible_aliases()
            .any(|alias| before.iter().any(|typed| typed == alias));
        match sub.get_name().starts_with(word) && !is_typed {
            true => sub.visible_alias(None),
            false => sub,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn offered(line: &str) -> Offer {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        offer(Cli::command(), &words, &Environment::default())
    }

    #[track_caller]
    fn texts(line: &str) -> Vec<String> {
        let Offer::Values(values) = offered(line) else {
            panic!("{line}: files");
        };
        values.into_iter().map(|value| value.text).collect()
    }

    #[test]
    fn commands_and_options() {
        assert_eq!(texts("vm0fs unm"), ["unmount"]);
        assert_eq!(texts("vm0fs cache unp"), ["unpin"]);
        assert_eq!(texts("vm0fs cache ls --j"), ["--json"]);
        assert_eq!(texts("vm0fs mount --verify "), ["warn", "strict", "off"]);
        assert_eq!(texts("vm0fs mount --verify=s"), ["--verify=strict"]);
        assert_eq!(texts("vm0fs completions z"), ["zsh"]);
        assert_eq!(texts("vm0fs ls ru"), ["runs"]);
        let second = texts("vm0fs ls runs --status failed,ti");
        assert_eq!(second, ["failed,timeout"]);
        assert!(texts("vm0fs fly").is_empty());
        assert_eq!(texts("vm0fs um"), ["umount"]);
        assert_eq!(texts("vm0fs umount --la"), ["--lazy"]);
        assert_eq!(texts("vm0fs mount --ti"), ["--timeout"]);
        assert!(texts("vm0fs mount -").contains(&"--timeout".into()));
        let Offer::Values(values) = offered("vm0fs unm") else {
            panic!("files");
        };
        assert!(values[0].about.starts_with("Unmount the platform"));
    }

    #[test]
    fn what_is_hidden_is_not_offered() {
        assert!(texts("vm0fs mount --wor").is_empty());
        assert!(texts("vm0fs ma").is_empty());
        let all = texts("vm0fs ");
        assert!(all.contains(&"unmount".into()) && !all.contains(&"man".into()));
        assert!(!all.iter().any(|text| text.starts_with('-')), "{all:?}");
        assert!(texts("vm0fs doctor ").contains(&"--fix".into()));
    }

    #[test]
    fn paths_are_left_to_the_shell() {
        assert_eq!(offered("vm0fs mount "), Offer::Folders);
        assert_eq!(offered("vm0fs mount --cache-dir=/t"), Offer::Folders);
        assert_eq!(offered("vm0fs mount --token-file "), Offer::Files);
        assert_eq!(offered("vm0fs prefetch /x"), Offer::Files);
        assert_eq!(offered("vm0fs cache pin /x"), Offer::Files);
    }

    #[test]
    fn topics_are_completed() {
        assert_eq!(texts("vm0fs help tro"), ["troubleshooting"]);
        // A page of the guide comes before the command of that name.
        assert_eq!(texts("vm0fs help cac"), ["cache"]);
        assert_eq!(texts("vm0fs help upg"), ["upgrade"]);
        assert_eq!(texts("vm0fs help cache p"), ["pin"]);
        for line in ["vm0fs help unmount t", "vm0fs help troubleshooting t"] {
            assert!(texts(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn names_that_would_change_a_terminal_are_left_out() {
        assert!(Value::new("a b'c\"$(x) é", "").is_harmless());
        for text in ["", "a\nb", "a\u{1b}[2Jb", "a\u{202e}b"] {
            assert!(!Value::new(text, "").is_harmless(), "{text:?}");
        }
        assert_eq!(Value::new("a", "b\n\u{1b}c").line(), "a\tb c");
    }
}
