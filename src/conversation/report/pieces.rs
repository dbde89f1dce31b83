//! As much of what agents wrote as a page holds, so that a browser shows it at once.

use super::text::{escaped, markdown};
use crate::{
    conversation::{
        event::{Outcome, Picture},
        media,
    },
    humanize::count,
};
use std::fmt::Write;

/// Lines and bytes of a tool's input or output that the page holds.
const LINES: usize = 200;
const BYTES: usize = 32 << 10;
/// Bytes of a text of the agent or the user: far more than people read, and a browser
/// takes a second to show it.
const SAID: usize = 256 << 10;
/// Bytes of texts that a page has room for. When it is full, [`LEAST`] bytes of each
/// further text are shown.
const ROOM: usize = 12 << 20;
const LEAST: usize = 500;
/// Bytes of base64 that one picture may have, and all pictures of a page: a screenshot
/// has some 100 kB, and a page should open at once.
const PICTURE: usize = 1 << 20;
const PICTURES: usize = 8 << 20;

/// As much of a text as the page holds, and how many more lines it has.
pub(super) struct Cut {
    pub(super) text: String,
    pub(super) more: usize,
}

/// A tool's output, without what the page does not hold.
pub(super) struct Gave {
    /// The call's id.
    pub(super) call: Option<String>,
    /// The call in words, where the event repeats it.
    pub(super) title: Option<String>,
    pub(super) failed: bool,
    pub(super) pictures: Vec<Picture>,
    pub(super) text: Cut,
    /// How many lines the whole text has.
    pub(super) lines: usize,
}

/// The bytes that a page holds so far.
#[derive(Default)]
pub(super) struct Room {
    pictures: usize,
    texts: usize,
}

impl Room {
    /// As much of a text as the page holds.
    pub(super) fn cut(&mut self, text: &str) -> Cut {
        let cut = cut(text, self.left(BYTES));
        self.texts += cut.text.len();
        cut
    }

    /// How much of a text the page has room for, `most` bytes at most.
    fn left(&self, most: usize) -> usize {
        most.min(ROOM.saturating_sub(self.texts)).max(LEAST)
    }

    /// A text of the agent or the user, as HTML.
    pub(super) fn said(&mut self, text: &str) -> String {
        let text = media::without_base64(text);
        let end = text.floor_char_boundary(self.left(SAID));
        self.texts += end;
        let more = text[end..].chars().count();
        markdown(&text[..end]) + &rest(more, "more character", None)
    }

    /// A tool's output, with as many of its pictures as the page has room for.
    pub(super) fn fitting(&mut self, outcome: &Outcome) -> Gave {
        let text = outcome.text.trim_matches(['\n', '\r']);
        let fits = |picture: &&Picture| {
            let size = picture.data.len();
            let fits = size <= PICTURE && self.pictures + size <= PICTURES;
            self.pictures += if fits { size } else { 0 };
            fits
        };
        let pictures = outcome.pictures.iter().filter(fits).cloned().collect();
        Gave {
            call: outcome.call.clone(),
            title: outcome.title.clone(),
            failed: outcome.failed,
            pictures,
            lines: text.trim().lines().count(),
            text: self.cut(text),
        }
    }
}

/// Writes as much of a text as the page holds, and where the rest is.
pub(super) fn write_block(class: &str, shown: &Cut, sequence: Option<u64>, out: &mut String) {
    let _ = write!(out, "<pre class=\"{class}\">{}</pre>", escaped(&shown.text));
    out.push_str(&rest(shown.more, "more line", sequence));
}

/// Where all of a text is, if there is more of it than the page shows.
pub(super) fn rest(more: usize, noun: &str, sequence: Option<u64>) -> String {
    if more == 0 {
        return String::new();
    }
    let place = sequence.map(|sequence| format!(", sequence {sequence}"));
    let (more, place) = (count(more, noun), place.unwrap_or_default());
    format!("<p class=\"quiet\">{more}: <a href=\"events.jsonl\">events.jsonl</a>{place}</p>")
}

/// The first lines of a text, in at most so many bytes.
fn cut(text: &str, most: usize) -> Cut {
    let text = media::without_base64(text);
    let mut lines = text.lines();
    let mut shown = String::new();
    for (number, line) in lines.by_ref().take(LINES).enumerate() {
        if number > 0 {
            shown.push('\n');
        }
        let room = most.saturating_sub(shown.len());
        if line.len() > room {
            shown.push_str(&line[..line.floor_char_boundary(room)]);
            shown.push('…');
            return Cut {
                text: shown,
                more: lines.count() + 1,
            };
        }
        shown.push_str(line);
    }
    Cut {
        text: shown,
        more: lines.count(),
    }
}
