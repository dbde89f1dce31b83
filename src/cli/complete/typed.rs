//! What the words before the cursor say, as the command itself reads them.

use crate::{
    cli::reach,
    config::{ConnectionOptions, Environment},
};
use clap::{ArgMatches, FromArgMatches};
use std::path::PathBuf;

/// The words before the cursor, as arguments.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// What `--mountpoint` names, absolute.
    pub(super) mountpoint: Option<PathBuf>,
    /// How the service is reached.
    pub(super) connection: ConnectionOptions,
    /// Whether the command asks mounts at all.
    pub(super) asks_mounts: bool,
    /// The artifact or the volume whose versions are meant.
    pub(super) storage: Option<PathBuf>,
    /// What `help` is to show.
    pub(super) topic: Vec<String>,
}

impl Typed {
    /// Reads `words`, which may lack arguments. What follows a wrong one is not known.
    pub(super) fn read(
        command: clap::Command,
        words: &[String],
        environment: &Environment,
    ) -> Self {
        let home = environment.home.as_deref();
        let words = words
            .iter()
            .map(|word| match (word.strip_prefix("~/"), home) {
                // As the shell will.
                (Some(rest), Some(home)) => home.join(rest).into_os_string(),
                _ => word.into(),
            });
        let matches = command.ignore_errors(true).try_get_matches_from(words);
        let mut matches = matches.unwrap_or_default();
        while let Some((_, inner)) = matches.remove_subcommand() {
            matches = inner;
        }
        let mountpoint = path(&matches, "mountpoint");
        let mut topic = matches.try_remove_many::<String>("topic");
        Self {
            mountpoint: mountpoint.map(|path| reach::absolute(&path, environment)),
            asks_mounts: matches.try_contains_id("mountpoint").is_ok(),
            storage: path(&matches, "named"),
            topic: topic.iter_mut().flatten().flatten().collect(),
            connection: match matches.try_contains_id("api_url") {
                Ok(_) => ConnectionOptions::from_arg_matches(&matches).unwrap_or_default(),
                Err(_) => ConnectionOptions::default(),
            },
        }
    }
}

fn path(matches: &ArgMatches, name: &str) -> Option<PathBuf> {
    matches.try_get_one::<PathBuf>(name).ok()?.cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use std::path::Path;

    fn typed(line: &str) -> Typed {
        let environment = Environment {
            home: Some("/home/me".into()),
            current_dir: "/here".into(),
            ..Environment::default()
        };
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        Typed::read(Cli::command(), &words, &environment)
    }

    #[test]
    fn a_value_of_an_option_is_no_argument() {
        for line in [
            "vm0fs diff site",
            "vm0fs diff --timeout 30s site",
            "vm0fs diff --timeout=30s --stat -v site old",
            "vm0fs diff --mountpoint m -- site",
        ] {
            assert_eq!(
                typed(line).storage.as_deref(),
                Some(Path::new("site")),
                "{line}"
            );
        }
        assert_eq!(typed("vm0fs diff --timeout 30s").storage, None);
        let storage = typed("vm0fs diff ~/vm0/artifacts/x").storage.unwrap();
        assert_eq!(storage, Path::new("/home/me/vm0/artifacts/x"));
    }

    #[test]
    fn options_say_what_the_command_asks() {
        let given = typed("vm0fs logs --mountpoint m/ --api-url h:1 --cache-dir ~/c");
        assert_eq!(given.mountpoint.as_deref(), Some(Path::new("/here/m")));
        assert_eq!(given.connection.api_url.as_deref(), Some("h:1"));
        assert_eq!(
            given.connection.cache_dir.as_deref(),
            Some(Path::new("/home/me/c"))
        );
        assert!(given.asks_mounts && !typed("vm0fs run").asks_mounts);
        let given = typed("vm0fs ls runs --token-file t --limit 3");
        assert_eq!(given.connection.token_file.as_deref(), Some(Path::new("t")));
        // What is still to come, or wrong, is no error.
        for line in [
            "vm0fs",
            "vm0fs fly",
            "vm0fs logs --mountpoint",
            "vm0fs logs -h",
        ] {
            assert_eq!(typed(line).mountpoint, None, "{line}");
        }
        assert_eq!(typed("vm0fs help cache").topic, ["cache"]);
    }
}
