//! `vm0fs help`: a page of the guide, or what a command's `--help` shows.

use super::{complete::values::Values, output::print};
use crate::{
    error::{Error, Result},
    guide::{self, PAGES},
    text::nearest,
};
use clap::Args;

/// `vm0fs help`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vm0fs help                       all commands and topics
  vm0fs help troubleshooting       a page of the guide
  vm0fs help mount                 the same as vm0fs mount --help

A mount has the same pages in .vm0fs/help/.")]
pub struct HelpArgs {
    /// A topic of the guide, or a command and its subcommand
    #[arg(value_name = "TOPIC", add = Values::Topics.completer())]
    topic: Vec<String>,
}

impl HelpArgs {
    /// Prints the page, or the help of `command` or of one below it.
    ///
    /// # Errors
    /// [`Error::Setup`] where there is neither such a topic nor such a command.
    pub fn run(self, mut command: clap::Command) -> Result<()> {
        if let [topic] = self.topic.as_slice()
            && let Some(page) = guide::page(topic)
        {
            return print(page.text);
        }
        command.build();
        let all = command.clone();
        let mut found = &mut command;
        for name in &self.topic {
            let inner = found.find_subcommand_mut(name);
            found = inner.ok_or_else(|| unknown(&self.topic, &all))?;
        }
        let mut text = found.render_long_help().to_string();
        if self.topic.is_empty() {
            text += "\nTopics of the guide:\n";
            for page in PAGES {
                text += &format!("  {:16} {}\n", page.name, page.about);
            }
        }
        print(&text)
    }
}

fn unknown(topic: &[String], commands: &clap::Command) -> Error {
    let names: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    let word = topic.join(" ");
    let commands = commands.get_subcommands().map(clap::Command::get_name);
    let near = nearest(&word, names.iter().copied().chain(commands));
    let near = near.map(|near| format!(" (did you mean {near:?}?)"));
    Error::Setup(format!(
        "there is no topic and no command {word:?}{}; topics: {}; vm0fs --help lists the commands",
        near.unwrap_or_default(),
        names.join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn topics_and_commands_have_help_and_nothing_else_has() {
        let run = |topic: &[&str]| {
            let topic = topic.iter().map(|word| (*word).to_owned()).collect();
            HelpArgs { topic }.run(Cli::command())
        };
        assert!(run(&["cache"]).is_ok() && run(&["mount"]).is_ok() && run(&[]).is_ok());
        assert!(run(&["cache", "pin"]).is_ok());
        let error = run(&["cahce"]).unwrap_err().to_string();
        assert!(
            error.contains("\"cahce\" (did you mean \"cache\"?)")
                && error.contains("troubleshooting"),
            "{error}"
        );
    }

    #[test]
    fn the_programs_help_names_every_topic() {
        let help = Cli::command().render_long_help().to_string();
        assert!(PAGES.iter().all(|page| help.contains(page.name)), "{help}");
    }
}
