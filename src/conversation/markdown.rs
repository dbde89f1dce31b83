//! Makes an agent's Markdown safe inside our own: it cannot bring in an image or HTML,
//! and cannot break out of the quote or fence around it.

use crate::text::{one_line, push_visible_lines};
use pulldown_cmark::{BrokenLink, CowStr, Event, Options, Parser, Tag};

/// The extensions of CommonMark that are read: GitHub reads them, too.
pub(super) fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS
}

/// How often a text is searched again after something in it was escaped.
const ROUNDS: usize = 4;

/// The text, with characters that control a terminal written as escapes.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_visible_lines(&mut out, text, "\n");
    out
}

/// The positions where a backslash turns an image or HTML into text. Each reference
/// counts as defined, since another text can define it.
fn dangers(text: &str) -> Vec<usize> {
    let mut define = |_: BrokenLink<'_>| Some((CowStr::from("#"), CowStr::from("")));
    let parser = Parser::new_with_broken_link_callback(text, options(), Some(&mut define));
    let mut found = Vec::new();
    for (event, range) in parser.into_offset_iter() {
        match event {
            Event::Start(Tag::Image { .. }) => found.push(range.start + 1),
            Event::Html(_) | Event::InlineHtml(_) => {
                let marks = text[range.clone()].match_indices('<');
                found.extend(marks.map(|(at, _)| range.start + at));
            }
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The same Markdown with images and HTML as plain text; `None` where escaping does not
/// achieve that.
fn tame(text: &str) -> Option<String> {
    let mut text = visible(text);
    for _ in 0..ROUNDS {
        let found = dangers(&text);
        if found.is_empty() {
            return Some(text);
        }
        let mut out = String::with_capacity(text.len() + found.len());
        let mut taken = 0;
        for at in found {
            out.push_str(&text[taken..at]);
            out.push('\\');
            taken = at;
        }
        out.push_str(&text[taken..]);
        text = out;
    }
    None
}

/// Appends lines, each after `depth` quotation marks.
fn push_lines(out: &mut String, depth: usize, lines: &str) {
    for line in lines.split('\n') {
        for _ in 0..depth {
            out.push_str("> ");
        }
        out.push_str(line);
        // No white space at a line's end: two spaces are a line break.
        let end = out.trim_end_matches([' ', '\t']).len();
        out.truncate(end);
        out.push('\n');
    }
}

/// Appends a paragraph of our own Markdown and an empty line.
pub(super) fn push_paragraph(out: &mut String, depth: usize, text: &str) {
    push_lines(out, depth, text);
    push_lines(out, depth, "");
}

/// Appends an agent's text as a quote, in which its Markdown works except for images
/// and HTML.
pub(super) fn push_quote(out: &mut String, depth: usize, text: &str) {
    let text = text.trim_end().trim_start_matches(['\n', '\r']);
    match tame(text) {
        Some(text) => {
            push_lines(out, depth + 1, &text);
            push_lines(out, depth, "");
        }
        None => push_fence(out, depth, "markdown", text),
    }
}

/// Appends a text as it is between two fences, which are longer than any in it, and an
/// empty line.
pub(super) fn push_fence(out: &mut String, depth: usize, language: &str, text: &str) {
    let text = visible(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    push_lines(out, depth, &format!("{fence}{language}"));
    push_lines(out, depth, text.trim_end_matches('\n'));
    push_lines(out, depth, &fence);
    push_lines(out, depth, "");
}

/// A text as code within a line.
pub(super) fn code(text: &str) -> String {
    let text = visible(&one_line(text, 400));
    if text.is_empty() {
        return String::new();
    }
    let marks = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{marks}{space}{text}{space}{marks}")
}

/// A text within a line of our own, escaped so that it has no meaning in Markdown.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in visible(&one_line(text, 400)).chars() {
        if "\\`*_[]<>&!|~#".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The length of the longest run of backticks.
fn longest_run(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a document brings in nothing, whether or not its references are defined.
    fn is_tame(document: &str) -> bool {
        let defined = format!("{document}\n\n[r]: https://evil.example/x\n");
        dangers(document).is_empty() && dangers(&defined).is_empty()
    }

    #[test]
    fn no_image_and_no_html_comes_through() {
        let hostile = [
            "![x](https://evil.example/a.png)",
            "![x][r]",
            "![r]",
            "<img src=x> </blockquote><script>alert(1)</script>",
            "<!-- a\n\n![x](y)\n-->",
            "<div>\n![x](y)\n\n</div>",
            "- a\n  ```\n![x](https://evil.example)\n",
            "- ```\n![x](https://evil.example)",
            "`a\n![x](y)` b",
            "text ` more\n`![x](https://evil.example)` y",
            "\\![x](y) \\\\![x](y)",
            "[![x](y)](z)",
            "| a |\n|---|\n| ![x](y) <b> |",
            "    code\n![x](y)",
            "> ```\n![x](y)",
            "```\nnever closed ![x](y)",
            "``` a`b\n![x](y)\n```",
            "# ![x](y)\n\n<https://fine.example>",
            "<pre>\n![x](y)\n</pre>\n\n<![CDATA[ ![x](y) ]]>",
        ];
        for text in hostile {
            let mut out = String::new();
            push_quote(&mut out, 0, text);
            assert!(is_tame(&out), "{text:?} became {out:?}");
            out.push_str("![after](x)");
            let after = dangers(&out);
            assert_eq!(
                after.len(),
                1,
                "{text:?} has swallowed what follows: {out:?}"
            );
        }
    }

    #[test]
    fn harmless_markdown_stays_as_it_was_written() {
        for text in [
            "`Vec<String>` and\n\n```rust\n#![allow(dead_code)]\nlet x: Vec<u8>;\n```",
            "a < b, c > d, wow! [link](https://x.example)\n\n- one\n  - two",
        ] {
            assert_eq!(tame(text).as_deref(), Some(text));
        }
        assert_eq!(
            tame("Vec<String> here").as_deref(),
            Some("Vec\\<String> here")
        );
        assert_eq!(tame("a\u{1b}[2J\r\nb").as_deref(), Some("a\\e[2J\nb"));
    }

    #[test]
    fn a_fence_is_longer_than_any_in_it() {
        let mut out = String::new();
        push_fence(&mut out, 1, "text", "a\n````\n![x](y)\n");
        assert_eq!(out, "> `````text\n> a\n> ````\n> ![x](y)\n> `````\n>\n");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(plain("a*b <i>"), "a\\*b \\<i\\>");
    }
}
