//! What must hold for each page, of any events: for the fuzz target `answer` and for
//! the tests.

/// Every element that a page can have, and its doctype. Those after `ul` come from an
/// agent's Markdown.
const OWN: [&str; 51] = [
    "!DOCTYPE",
    "a",
    "article",
    "b",
    "body",
    "code",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "head",
    "header",
    "html",
    "li",
    "main",
    "meta",
    "nav",
    "p",
    "pre",
    "section",
    "span",
    "style",
    "summary",
    "svg",
    "time",
    "title",
    "ul",
    "ol",
    "em",
    "strong",
    "del",
    "blockquote",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "h4",
    "h5",
    "h6",
    "hr",
    "br",
    "input",
    "img",
];
/// The elements that have no end tag.
const EMPTY: [&str; 6] = ["!DOCTYPE", "meta", "hr", "br", "input", "img"];
/// The attributes that elements can have.
const ATTRIBUTES: [&str; 23] = [
    "html",
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "id",
    "href",
    "rel",
    "title",
    "datetime",
    "open",
    "aria-label",
    "start",
    "disabled",
    "type",
    "checked",
    "style",
    "alt",
    "src",
    "/",
    "",
];

/// Asserts that a page without a chart has no elements and attributes but its own,
/// that each is closed in its order, and that links lead to the web or to files
/// beside it.
pub(crate) fn check(page: &str) {
    // Styles are the page's own, and are no elements.
    let end = page.find("</style>").unwrap_or_default();
    let begin = page.find("<style>").map_or(0, |at| at + "<style>".len());
    let page = [&page[..begin], &page[end..]].concat();
    let mut open: Vec<&str> = Vec::new();
    for rest in page.split('<').skip(1) {
        let (tag, text) = rest.split_once('>').unwrap_or((rest, ""));
        assert!(!text.contains('\u{1b}'), "a terminal is driven: {text:?}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(
                open.pop(),
                Some(name),
                "closed in another order than opened"
            );
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let name = name.trim_end_matches('/');
        assert!(OWN.contains(&name), "{tag:?} is no element of a page's own");
        if !EMPTY.contains(&name) {
            open.push(name);
        }
        // Names stand outside of quotation marks.
        let parts = attributes.split('"').collect::<Vec<_>>();
        assert!(parts.len() % 2 == 1, "{tag:?} has half an attribute");
        for names in parts.iter().step_by(2) {
            for name in names.split(' ') {
                let name = name.trim_end_matches('=');
                assert!(
                    ATTRIBUTES.contains(&name),
                    "{tag:?} has an attribute {name:?}"
                );
            }
        }
        if let Some(src) = attributes.split("src=\"").nth(1) {
            assert!(src.starts_with("data:image/"), "{src} would be fetched");
        }
        if let Some(href) = attributes.split("href=\"").nth(1) {
            let is_web = ["https://", "http://", "mailto:"]
                .iter()
                .any(|scheme| href.to_ascii_lowercase().starts_with(scheme));
            assert!(
                is_web
                    || !href
                        .split(['"', '/', '#'])
                        .next()
                        .is_some_and(|path| path.contains(':')),
                "{href}"
            );
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
}
