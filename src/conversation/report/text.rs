//! Texts of agents and users as HTML that fetches nothing and runs nothing.

use crate::{
    conversation::markdown::{options, visible},
    text::{escape_markup, one_line},
};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// The most quotes, lists and the like within one another: Chromium takes six seconds
/// for a text of 100,000 `>`.
const DEEPEST: usize = 24;
/// The most columns of a table: Chromium takes more than a minute for 50,000.
const COLUMNS: usize = 100;

/// Text with no meaning in HTML, nor in a terminal that shows the page's source.
pub(super) fn escaped(text: &str) -> String {
    escape_markup(&visible(text))
}

/// The same for the value of an attribute, on one line.
pub(super) fn attribute(text: &str) -> String {
    escape_markup(&one_line(text, 2_000))
}

/// An agent's Markdown as HTML. HTML in it is shown as the text that it is, an
/// image by its name; only links to the web are links.
pub(super) fn markdown(text: &str) -> String {
    let text = visible(text);
    let is_wide =
        |event| matches!(event, Event::Start(Tag::Table(columns)) if columns.len() > COLUMNS);
    let options = match Parser::new_ext(&text, options()).any(is_wide) {
        true => options() - Options::ENABLE_TABLES,
        false => options(),
    };
    // How many elements are open that can nest in themselves.
    let mut depth = 0_usize;
    let not_too_deep = |event: &Event<'_>| match event {
        Event::Start(tag) if nests(&tag.to_end()) => {
            depth += 1;
            depth <= DEEPEST
        }
        Event::End(tag) if nests(tag) => {
            depth -= 1;
            depth < DEEPEST
        }
        _ => true,
    };
    // Whether each link that is open is shown as one.
    let mut links = Vec::new();
    let own = |html: String| Event::InlineHtml(CowStr::from(html));
    let events = Parser::new_ext(&text, options).filter(not_too_deep);
    let events = events.map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        // A block of HTML is shown as a paragraph.
        Event::Start(Tag::HtmlBlock) => Event::Start(Tag::Paragraph),
        Event::End(TagEnd::HtmlBlock) => Event::End(TagEnd::Paragraph),
        Event::Start(Tag::Image { dest_url, .. }) => own(format!(
            "<span class=\"media\">[image {}: ",
            escape_markup(&dest_url)
        )),
        Event::End(TagEnd::Image) => own("]</span>".into()),
        Event::Start(Tag::Link { dest_url, .. }) => {
            let is_link = ["https://", "http://", "mailto:"]
                .iter()
                .any(|scheme| dest_url.to_ascii_lowercase().starts_with(scheme));
            links.push(is_link);
            match is_link {
                true => own(format!(
                    "<a href=\"{}\" rel=\"noreferrer\">",
                    escape_markup(&dest_url)
                )),
                false => own(format!("<span title=\"{}\">", escape_markup(&dest_url))),
            }
        }
        Event::End(TagEnd::Link) => match links.pop() {
            Some(true) => own("</a>".into()),
            _ => own("</span>".into()),
        },
        // The page's own headings are above these.
        Event::Start(Tag::Heading { level, .. }) => own(format!("<h{}>", below(level))),
        Event::End(TagEnd::Heading(level)) => own(format!("</h{}>\n", below(level))),
        event => event,
    });
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    html::push_html(&mut out, events);
    // Markdown can write any character by its number, such as `&#27;`.
    visible(&out)
}

/// Whether an element can nest in itself, to any depth.
fn nests(tag: &TagEnd) -> bool {
    matches!(
        tag,
        TagEnd::BlockQuote(_)
            | TagEnd::List(_)
            | TagEnd::Item
            | TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Image
    )
}

fn below(level: HeadingLevel) -> u8 {
    (level as u8 + 3).min(6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_slow_to_lay_out() {
        for part in ["> ", "- ", "> - ", "1. ", "*a **b ", "![a ", "~~a *b "] {
            let ends = match part {
                "*a **b " => "c** d* ",
                "![a " => "](b)",
                "~~a *b " => "c* d~~ ",
                _ => "",
            };
            let html = markdown(&format!("{}x{}", part.repeat(5_000), ends.repeat(5_000)));
            let (mut depth, mut deepest) = (0_i64, 0);
            for tag in html.split('<').skip(1) {
                let change = match (tag.starts_with('/'), tag.starts_with("input")) {
                    (true, _) => -1,
                    (_, true) => 0,
                    _ => 1,
                };
                depth += change;
                deepest = deepest.max(depth);
            }
            assert!(
                depth == 0 && deepest <= 1 + DEEPEST as i64,
                "{part}: {deepest}"
            );
            assert!(html.contains('x'), "{part}");
        }
        let table = |columns| {
            let row = |cell: &str| format!("|{cell}").repeat(columns);
            markdown(&format!("{}\n{}\n{}", row("a"), row("-"), row("b")))
        };
        assert!(table(COLUMNS).contains("<table>"));
        let wide = table(COLUMNS + 1);
        assert!(
            !wide.contains("<table>") && wide.contains("|b|b|b"),
            "{wide}"
        );
    }

    #[test]
    fn markdown_brings_in_nothing() {
        for hostile in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=x>b</b>",
            "<div>\n<iframe src=x>\n</div>",
            "![<img src=x>](https://evil.example/x.png \"t<i>\")",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1)) [y](data:text/html,<script>) [z](file:///etc/passwd)",
            "[x](https://a.example/\"onmouseover=alert(1))",
            "<https://a.example/\"><script>",
            "```<script>\n</code></pre><script>\n```",
            "`</code><script>`",
            "| <i> |\n|---|\n| <img src=x> |",
            "<!-- a --> <?php ?> <![CDATA[x]]>",
            "[![x](y)](javascript:z)",
            "\u{1b}]8;;x\u{7}",
            "&#27;[2J [x](https://a.example/&#x1b;) ![&#27;](&#27;) `&#27;`",
        ] {
            let html = markdown(hostile);
            let lower = html.to_lowercase();
            for bad in [
                "<script", "<img", "<iframe", "<div", "<b ", "<i>", "<!--", "<?", "<![", "\u{1b}",
                "\u{7}",
            ] {
                assert!(!lower.contains(bad), "{hostile:?} became {html:?}");
            }
            for href in lower.split("href=\"").skip(1) {
                assert!(href.starts_with("http"), "{html}");
            }
            // No attribute but those that are written here.
            for tag in lower
                .split('<')
                .skip(1)
                .filter_map(|tag| tag.split('>').next())
            {
                assert!(!tag.contains(" on") || tag.contains("\""), "{html}");
                assert_eq!(tag.matches('"').count() % 2, 0, "{html}");
            }
        }
        assert_eq!(
            markdown("# A\n\n[b](https://c.example/?a=1&b=2) **d**"),
            "<h4>A</h4>\n<p><a href=\"https://c.example/?a=1&amp;b=2\" rel=\"noreferrer\">b</a> \
             <strong>d</strong></p>\n"
        );
    }
}
