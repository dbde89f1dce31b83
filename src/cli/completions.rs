//! `vm0fs completions`: the script by which a shell completes the words of vm0fs. The
//! scripts ask `vm0fs complete` at every TAB, so that they need no change when the
//! program has another option.

use super::{complete::Shell, output::print};
use crate::error::Result;
use clap::Args;

/// `vm0fs completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Commands, options and their values are completed, files and folders; and, as
far as they are known without the network, mountpoints, agents and topics of the
guide. The scripts ask the program itself, and stay right when it is exchanged.

Examples:
  source <(vm0fs completions bash)       # in ~/.bashrc
  eval \"$(vm0fs completions zsh)\"        # in ~/.zshrc, after compinit
  vm0fs completions fish > ~/.config/fish/completions/vm0fs.fish"
)]
pub struct CompletionsArgs {
    /// The shell that the script is for: bash, zsh or fish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

impl CompletionsArgs {
    /// Prints the script.
    ///
    /// # Errors
    /// Where standard output cannot be written.
    pub fn run(self) -> Result<()> {
        print(match self.shell {
            Shell::Bash => include_str!("completions/vm0fs.bash"),
            Shell::Zsh => include_str!("completions/vm0fs.zsh"),
            Shell::Fish => include_str!("completions/vm0fs.fish"),
        })
    }
}
