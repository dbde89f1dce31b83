//! The command line program: parse, dispatch, exit code. The only place that
//! prints an error.

use clap::CommandFactory;
use std::process::ExitCode;
use vm0fs::{
    cli::{self, Cli, Command},
    config::{self, Environment},
    error::Result,
    logging, malloc,
    mount::Outcome,
    proc, signals, supervisor,
};

#[global_allocator]
static ALLOCATOR: malloc::Allocator = malloc::Allocator;

fn main() -> ExitCode {
    malloc::settle();
    signals::settle();
    proc::settle_name();
    match supervisor::supervise() {
        Ok(Some(code)) => return code,
        // This process is to be no supervisor.
        Ok(None) => {}
        Err(error) => {
            cli::say(&error.to_string());
            return ExitCode::FAILURE;
        }
    }
    match cli::run_as_helper(&Cli::command()) {
        Ok(None) => {}
        Ok(Some(code)) => return ExitCode::from(code),
        Err(cli::Failure { code, error }) => {
            cli::say(&error.to_string());
            return ExitCode::from(code);
        }
    }
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(said) => return cli::usage(&said),
    };
    let ended = run(cli.command);
    logging::clear_bars();
    match ended {
        Ok(code) => code,
        Err(error) => {
            cli::say(&cli::with_advice(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    let environment = Environment::of_process();
    config::secrets::keep();
    match command {
        Command::Mount(args) => match args.run(&environment)? {
            Outcome::Background(warnings) => {
                for warning in warnings.lines() {
                    cli::say(&format!("warning: {warning}"));
                }
            }
            Outcome::Failed => return Ok(ExitCode::FAILURE),
            Outcome::Ended => {}
        },
        Command::Unmount(args) => args.run(&environment)?,
        Command::Enable(args) => args.run(&environment)?,
        Command::Disable(args) => args.run(&environment)?,
        Command::Upgrade(args) => return args.run(&environment),
        Command::Status(args) => return args.run(&environment),
        Command::Top(args) => args.run(&environment)?,
        Command::Doctor(args) => return args.run(&environment),
        Command::Run(args) => return args.run(&environment),
        Command::Ls(args) => args.run(&environment)?,
        Command::Logs(args) => return args.run(&environment),
        Command::Cancel(args) => return args.run(&environment),
        Command::Diff(args) => return Ok(args.run(&environment)),
        Command::Prefetch(args) => return args.run(),
        Command::Cache(args) => return args.run(&environment),
        Command::SharedCache(args) => args.run(&environment)?,
        Command::Demo(args) => args.run(&environment)?,
        Command::Help(args) => args.run(Cli::command())?,
        Command::Completions(args) => args.run()?,
        Command::Complete(args) => args.run(Cli::command(), &environment)?,
        Command::Man(args) => args.run(Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}
