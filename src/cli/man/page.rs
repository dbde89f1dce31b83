//! One manual page: its text in the language of `man`.

use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};
use std::io::{self, Write};

/// Lets an apostrophe be one, as `roff` uses it.
const QUOTE: &str = r".ie \n(.g .ds Aq \(aq
.el .ds Aq '";

/// What draws a section of a command.
pub(super) type Draw = fn(&Man, &mut dyn Write) -> io::Result<()>;

/// A manual page.
#[derive(Debug)]
pub(super) struct Page {
    /// Its name, such as `vm0fs-mount`.
    pub(super) name: String,
    /// The section of the manual: 1 commands, 5 files, 8 administration.
    pub(super) section: u8,
    /// What `man` reads.
    pub(super) text: String,
}

impl Page {
    /// The name of its file.
    pub(super) fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }

    /// The same page in a file of another name: whole, so that it can be read by its path.
    pub(super) fn alias(&self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: self.text.clone(),
            ..*self
        }
    }

    /// The beginning of a page: its names, section, date, and what it is about. Its file has
    /// the first name.
    pub(super) fn new(names: &[&str], number: u8, date: &str, about: &str) -> Self {
        let name = names.first().copied().unwrap_or_default();
        let mut page = Self {
            name: name.to_owned(),
            section: number,
            text: format!("{QUOTE}\n"),
        };
        let source = concat!("vm0fs ", env!("CARGO_PKG_VERSION"));
        let mut roff = Roff::new();
        roff.control("TH", [name, &number.to_string(), date, source, "vm0fs"]);
        // Options are too long to align both margins of a narrow page.
        roff.control("ad", ["l"]);
        section(&mut roff, "NAME");
        roff.text([roman(format!("{} - {about}", names.join(", ")))]);
        page.add(&roff);
        page
    }

    /// Goes on with what was drawn.
    ///
    /// What `clap_mangen` and `roff` leave as it is, groff would draw as an accent or a
    /// quote: a path with such a `~` cannot be copied.
    pub(super) fn add(&mut self, roff: &Roff) {
        self.add_text(&roff.render());
    }

    /// Goes on with a section of a command.
    pub(super) fn draw(&mut self, man: &Man, draw: Draw) {
        let mut text = Vec::new();
        // Memory takes all.
        let _ = draw(man, &mut text);
        self.add_text(&String::from_utf8_lossy(&text));
    }

    fn add_text(&mut self, text: &str) {
        // What `roff` begins each text with is said once.
        let text = text.strip_prefix(QUOTE).unwrap_or(text);
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.starts_with('.') {
                true => self.text += line,
                false => self.text += &plain(line),
            }
            self.text.push('\n');
        }
    }
}

/// A line of text in which what stands in backquotes is bold, and no character is
/// drawn as another.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut parts = line.split('`');
    text += parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    for (number, part) in rest.iter().enumerate() {
        let is_last = number + 1 == rest.len();
        text += match (number % 2 == 0, is_last) {
            (true, true) => r"\(ga",
            (true, false) => r"\fB",
            (false, _) => r"\fR",
        };
        text += part;
    }
    // A terminal without UTF-8 has no such dots.
    let text = text.replace('…', "...");
    text.replace('~', r"\(ti").replace('^', r"\(ha")
}

/// Begins a section.
pub(super) fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

/// A paragraph of text.
pub(super) fn paragraph(roff: &mut Roff, text: &str) {
    roff.control("PP", []);
    roff.text([roman(text)]);
}

/// Lines that stay as they are.
pub(super) fn lines(roff: &mut Roff, lines: &[String]) {
    roff.control("EX", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("EE", []);
}

/// A term and what it means.
pub(super) fn term(roff: &mut Roff, term: Vec<Inline>, text: &str) {
    roff.control("TP", []);
    roff.text(term);
    roff.text([roman(text)]);
}

/// A section of terms; none where there are none.
pub(super) fn terms<'a>(
    roff: &mut Roff,
    name: &str,
    terms: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    let mut terms = terms.into_iter().peekable();
    if terms.peek().is_some() {
        section(roff, name);
    }
    for (what, text) in terms {
        term(roff, vec![bold(what)], text);
    }
}

/// The section of other pages, such as `vm0fs-mount(1)`, and of topics of the guide.
pub(super) fn see_also(roff: &mut Roff, pages: &[String], topics: &[&str]) {
    section(roff, "SEE ALSO");
    let mut line = Vec::new();
    for (number, page) in pages.iter().enumerate() {
        let (name, rest) = page.split_at(page.find('(').unwrap_or(page.len()));
        line.push(roman(if number == 0 { "" } else { ", " }));
        line.extend([bold(name), roman(rest)]);
    }
    roff.text(line);
    if !topics.is_empty() {
        roff.control("PP", []);
        let mut line = vec![roman("Pages of the guide: ")];
        for (number, topic) in topics.iter().enumerate() {
            line.push(roman(if number == 0 { "" } else { ", " }));
            line.push(bold(format!("vm0fs help {topic}")));
        }
        roff.text(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backquotes_are_bold_and_tildes_can_be_copied() {
        assert_eq!(plain("a `b c` d"), r"a \fBb c\fR d");
        assert_eq!(plain("`x`"), r"\fBx\fR");
        assert_eq!(plain("one ` alone"), r"one \(ga alone");
        assert_eq!(plain("~/a^b"), r"\(ti/a\(hab");
        assert_eq!(plain("a, b …"), "a, b ...");
    }
}
