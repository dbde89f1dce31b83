//! `vm0fs man`: writes the manual pages. What a page says of a command is what its
//! `--help` says, in the order of a manual; `man/words` has what no help text says.

mod command;
mod formats;
mod page;
mod words;

use crate::error::{Error, Result};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use page::Page;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The variable that dates a build which is to be the same at any time, in seconds
/// (<https://reproducible-builds.org/specs/source-date-epoch/>).
const DATE: &str = "SOURCE_DATE_EPOCH";

/// `vm0fs man`.
#[derive(Debug, Args)]
#[command(
    after_help = "The pages go into man1, man5 and man8 of the folder. Their date is that of
SOURCE_DATE_EPOCH, else today's.

Examples:
  vm0fs man ~/.local/share/man    then: man vm0fs"
)]
pub struct ManArgs {
    /// The folder for the pages, which is made if it is missing
    #[arg(value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

impl ManArgs {
    /// Writes the pages of the program whose arguments are `command`.
    ///
    /// # Errors
    /// [`Error::Setup`] where a file cannot be written.
    pub fn run(self, command: clap::Command) -> Result<()> {
        for page in pages(command, &date()) {
            let folder = self.folder.join(format!("man{}", page.section));
            let file = folder.join(page.file_name());
            let failed = |what: &str, path: &Path, error: io::Error| {
                Error::Setup(format!(
                    "{what} {}: {error}; name a folder that you may write in",
                    path.display()
                ))
            };
            fs::create_dir_all(&folder).map_err(|error| failed("making", &folder, error))?;
            fs::write(&file, &page.text).map_err(|error| failed("writing", &file, error))?;
        }
        Ok(())
    }
}

/// All pages, each with this date.
fn pages(mut command: clap::Command, date: &str) -> Vec<Page> {
    command.build();
    let mut pages = command::pages(&command, date);
    pages.push(formats::config(date));
    if let Some(mount) = command.find_subcommand("mount") {
        let page = formats::mount_helper(mount, date);
        pages.push(page.alias(formats::OTHER_HELPER));
        pages.push(page);
    }
    pages
}

/// The day that the pages are of, as `2026-11-30`.
fn date() -> String {
    let given = std::env::var(DATE).ok();
    let given = given.and_then(|text| text.parse().ok());
    let given = given.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = given.unwrap_or_else(Timestamp::now);
    // `2026-11-30T00:00:00Z`
    time.to_string().chars().take_while(|c| *c != 'T').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Cli, guide};
    use clap::CommandFactory;

    fn all() -> Vec<Page> {
        pages(Cli::command(), "2026-11-30")
    }

    #[test]
    fn every_command_has_a_page_and_no_hidden_one_has() {
        let names: Vec<String> = all().iter().map(Page::file_name).collect();
        for name in [
            "vm0fs.1",
            "vm0fs-mount.1",
            "vm0fs-umount.1",
            "vm0fs-cache-pin.1",
            "vm0fs-shared-cache-init.1",
            "vm0fs.toml.5",
            "mount.vm0fs.8",
        ] {
            assert!(names.iter().any(|own| own == name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name == "vm0fs-man.1"), "{names:?}");
    }

    #[test]
    fn pages_lead_only_to_pages_and_topics_that_are() {
        let pages = all();
        for page in &pages {
            let text = ["\\fB", "\\fR", "\\fI", "\\"].iter();
            let text = text.fold(page.text.clone(), |text, sign| text.replace(sign, ""));
            let words = text.split_whitespace();
            for named in
                words.filter(|word| word.starts_with("vm0fs") || word.starts_with("mount."))
            {
                let Some((name, rest)) = named.split_once('(') else {
                    continue;
                };
                let section = rest.split(')').next().unwrap();
                let exists = pages
                    .iter()
                    .any(|page| page.name == name && page.section.to_string() == section);
                assert!(exists, "{} leads to {name}({section})", page.name);
            }
            for topic in text.split("vm0fs help ").skip(1) {
                let end = topic.find(|c: char| !c.is_ascii_alphabetic() && c != '-');
                let topic = &topic[..end.unwrap_or(topic.len())];
                let known = guide::page(topic).is_some();
                let is_example = ["", "TOPIC", "mount"].contains(&topic);
                assert!(known || is_example, "{}: {topic:?}", page.name);
            }
        }
    }

    #[test]
    fn a_page_has_the_sections_of_a_manual() {
        let pages = all();
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name);
            page.unwrap().text.clone()
        };
        let mount = text("vm0fs-mount");
        let heads: Vec<&str> = mount
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|head| head.trim_matches('"'))
            .collect();
        assert_eq!(
            heads,
            [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "EXIT STATUS",
                "ENVIRONMENT",
                "FILES",
                "EXAMPLES",
                "SEE ALSO"
            ]
        );
        assert!(!mount.contains("\\-worker"), "what is hidden: {mount}");
        // What it is comes before its options.
        let whole = text("vm0fs");
        let (description, _) = whole.split_once(".SH OPTIONS").unwrap();
        assert!(description.contains("A prompt that is written"), "{whole}");
        let run = text("vm0fs-run");
        let (before, exits) = run.split_once(".SH \"EXIT STATUS\"").unwrap();
        assert!(exits.contains("\\fB4\\fR\ntimed out\n"), "{exits}");
        assert!(!before.contains("timed out"), "said twice: {before}");
        assert!(exits.contains("\\fB2\\fR\nwrong usage\n"), "{exits}");
        let diff = text("vm0fs-diff");
        assert!(
            diff.contains("\\fB1\\fR\ndifferences\n") && !diff.contains("failed\n"),
            "{diff}"
        );
        assert_eq!(text("vm0fs-umount"), text("vm0fs-unmount"));
    }

    #[test]
    fn no_character_is_typeset_as_another() {
        for page in all() {
            // groff draws these as accents and quotes.
            let odd = page.text.lines().skip(2).find(|line| {
                let is_text = !line.starts_with('.');
                is_text && line.contains(['~', '^', '`'])
            });
            assert_eq!(odd, None, "{}", page.name);
        }
    }
}
