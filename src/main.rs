//! The command line program: parse, dispatch, exit code. The only place that
//! prints an error.

use clap::Parser;
use std::process::ExitCode;
use vm0fs::{
    cli::{self, Cli, Command},
    config::Environment,
    error::{Error, Result},
};

fn main() -> ExitCode {
    // Prints help, or what is wrong with the usage, and exits with 0 or 2.
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm0fs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let environment = Environment::of_process();
    match command {
        Command::Mount(args) => {
            cli::start_logging(args.verbose, args.foreground, &environment)?;
            let request = args.request(&environment)?;
            Err(Error::Internal(format!(
                "mounting {} is not wired up",
                request.mountpoint.display()
            )))
        }
        Command::Unmount(args) => args.run(&environment),
        Command::Demo(_) => Err(Error::Internal("the demo is not wired up".into())),
    }
}
