//! The pages of commands, from their arguments and help texts.

use super::{
    page::{self, Page},
    words,
};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::collections::BTreeSet;

/// The section of commands.
const COMMANDS: u8 = 1;

/// The pages of a command and of all below it that are shown.
pub(super) fn pages(command: &clap::Command, date: &str) -> Vec<Page> {
    let common = Rest::of(command).exits.join(" ");
    let mut pages = Vec::new();
    add(command, &[], &common, date, &mut pages);
    pages
}

fn add(
    command: &clap::Command,
    above: &[&clap::Command],
    common: &str,
    date: &str,
    pages: &mut Vec<Page>,
) {
    let own = page(command, above, common, date);
    pages.extend(aliases(command).iter().map(|name| own.alias(name)));
    pages.push(own);
    let above = [above, &[command]].concat();
    for sub in shown(command) {
        add(sub, &above, common, date, pages);
    }
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// `vm0fs-cache-ls`.
fn name(command: &clap::Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

/// `vm0fs-umount`.
fn aliases(command: &clap::Command) -> Vec<String> {
    let name = name(command);
    let (before, _) = name.rsplit_once('-').unwrap_or((name, ""));
    let aliases = command.get_visible_aliases();
    aliases.map(|alias| format!("{before}-{alias}")).collect()
}

fn page(command: &clap::Command, above: &[&clap::Command], common: &str, date: &str) -> Page {
    let own_name = name(command);
    let rest = Rest::of(command);
    let about = command.get_about().map(ToString::to_string);
    let aliases = aliases(command);
    let names = [own_name]
        .into_iter()
        .chain(aliases.iter().map(String::as_str));
    let names = Vec::from_iter(names);
    let mut page = Page::new(&names, COMMANDS, date, &about.unwrap_or_default());
    // As `--help` has it: the list of all options is below.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let man = command.clone().override_usage(usage);
    let man = Man::new(man.subcommand_help_heading("COMMANDS"));
    page.draw(&man, Man::render_synopsis_section);
    page.draw(&man, Man::render_description_section);
    let mut prose = Roff::new();
    for text in words::description(own_name) {
        page::paragraph(&mut prose, text);
    }
    for paragraph in &rest.prose {
        match paragraph {
            Paragraph::Text(text) => page::paragraph(&mut prose, text),
            Paragraph::Lines(lines) => {
                prose.control("PP", []);
                page::lines(&mut prose, lines);
            }
        }
    }
    page.add(&prose);
    page.draw(&man, Man::render_options_section);
    if shown(command).next().is_some() {
        page.draw(&man, Man::render_subcommands_section);
    }

    let mut end = Roff::new();
    page::section(&mut end, "EXIT STATUS");
    for sentence in &rest.exits {
        add_codes(&mut end, sentence);
    }
    // A list of all its codes leaves none to the common ones.
    let has_all = rest
        .exits
        .iter()
        .any(|sentence| sentence.starts_with(CODES));
    if !above.is_empty() && !has_all {
        if !rest.exits.is_empty() {
            page::paragraph(&mut end, "Otherwise:");
        }
        add_codes(&mut end, common);
    }
    let known = arguments(command);
    page::terms(&mut end, "ENVIRONMENT", words::environment(&known));
    page::terms(&mut end, "FILES", words::files(&known));
    if !rest.examples.is_empty() {
        page::section(&mut end, "EXAMPLES");
        page::lines(&mut end, &rest.examples);
    }
    let related = words::related(own_name);
    let above = above.iter().rev().map(|above| name(above));
    let own = above.chain(shown(command).map(name));
    let mut others: Vec<String> = own.map(|name| format!("{name}({COMMANDS})")).collect();
    for other in related.pages {
        let is_own = other.split('(').next() == Some(own_name);
        if !is_own && !others.iter().any(|known| known == other) {
            others.push((*other).to_owned());
        }
    }
    page::see_also(&mut end, &others, related.topics);
    page.add(&end);
    page
}

/// What a list of all codes begins with.
const CODES: &str = "Exit codes";

/// A sentence about exit codes: one that ends as `: 0 done, 1 failed.` as a list.
fn add_codes(roff: &mut Roff, sentence: &str) {
    let (lead, list) = sentence.rsplit_once(": ").unwrap_or((sentence, ""));
    let codes: Option<Vec<_>> = list
        .trim_end_matches('.')
        .split(", ")
        .map(|item| item.split_once(' '))
        .collect();
    let codes = codes.filter(|codes| codes.iter().all(|(code, _)| code.parse::<u8>().is_ok()));
    let Some(codes) = codes else {
        roff.text([roman(sentence)]);
        return;
    };
    if lead != CODES {
        roff.text([roman(format!("{lead}:"))]);
    }
    for (code, meaning) in codes {
        page::term(roff, vec![bold(code)], meaning);
    }
}

/// The names of a command, of its arguments, and those of all below it.
fn arguments(command: &clap::Command) -> BTreeSet<&str> {
    let own = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let own = own.map(|arg| arg.get_id().as_str());
    let own = own.chain([command.get_name()]);
    own.chain(shown(command).flat_map(arguments)).collect()
}

/// A paragraph of a help text.
#[derive(Debug, PartialEq, Eq)]
enum Paragraph {
    /// Sentences, to be filled into lines.
    Text(String),
    /// A table or the like.
    Lines(Vec<String>),
}

/// What a help text says behind the options, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rest {
    prose: Vec<Paragraph>,
    /// The sentences about exit codes.
    exits: Vec<String>,
    examples: Vec<String>,
}

impl Rest {
    fn of(command: &clap::Command) -> Self {
        let text = command.get_after_help();
        let text = text.map(ToString::to_string).unwrap_or_default();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut rest = Self::default();
        for paragraph in text.split("\n\n") {
            let mut lines: Vec<String> = paragraph.lines().map(str::to_owned).collect();
            if paragraph.starts_with("Examples:\n") {
                rest.examples = lines.split_off(1);
            } else if lines.iter().any(|line| line.starts_with(' ')) {
                rest.prose.push(Paragraph::Lines(lines));
            } else {
                let sentences = sentences(&lines.join(" "));
                let (exits, others): (Vec<String>, Vec<String>) = sentences
                    .into_iter()
                    .partition(|sentence| sentence.contains("xit code"));
                rest.exits.extend(exits);
                if !others.is_empty() {
                    rest.prose.push(Paragraph::Text(others.join(" ")));
                }
            }
        }
        rest
    }
}

/// A text by its sentences: a full stop, then a capital letter.
fn sentences(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    for word in text.split_whitespace() {
        if sentence.ends_with('.') && word.starts_with(|first: char| first.is_uppercase()) {
            sentences.push(std::mem::take(&mut sentence));
        }
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence += word;
    }
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_is_taken_apart() {
        let rest = Rest::parse(
            "It waits. Exit code 1 where that\nfails. Ctrl-C ends it.\n\n  a  b\n  c  d\n\n\
             Examples:\n  x\n  y",
        );
        assert_eq!(rest.exits, ["Exit code 1 where that fails."]);
        assert_eq!(rest.examples, ["  x", "  y"]);
        assert_eq!(
            rest.prose,
            [
                Paragraph::Text("It waits. Ctrl-C ends it.".into()),
                Paragraph::Lines(vec!["  a  b".into(), "  c  d".into()]),
            ]
        );
    }

    #[test]
    fn sentences_end_where_another_begins() {
        let text = "See config.toml. It has all, e.g. names.\nThen go";
        assert_eq!(
            sentences(text),
            ["See config.toml.", "It has all, e.g. names.", "Then go"]
        );
    }
}
