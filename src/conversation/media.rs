//! Base64 in a text, which is shown by its type and size.

use crate::{humanize::decimal_size, text::one_line};
use std::borrow::Cow;

/// So many letters and digits without a break, or more, are base64.
const DATA: usize = 512;

/// `[image/png, 15 kB]`, from the type and the base64 text.
pub(super) fn named(kind: &str, base64: &str) -> String {
    // RFC 4648: four characters for three bytes, padding for none.
    let padding = base64
        .bytes()
        .rev()
        .take_while(|&byte| byte == b'=')
        .count();
    let size = base64.len() / 4 * 3;
    let size = decimal_size(size.saturating_sub(padding.min(2)));
    format!("[{}, {size}]", one_line(kind, 60))
}

/// The text with each piece of base64 in it replaced by its name and size.
pub(super) fn without_base64(text: &str) -> Cow<'_, str> {
    let is_data = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_');
    let mut out = String::new();
    let (mut taken, mut at) = (0, 0);
    while let Some(start) = text[at..].find(is_data).map(|found| at + found) {
        let end = text[start..]
            .find(|c| !is_data(c))
            .map_or(text.len(), |found| start + found);
        at = end;
        if end - start < DATA {
            continue;
        }
        // `data:image/png;base64,…`, RFC 2397.
        let before = text[taken..start].strip_suffix(";base64,");
        let address = before.and_then(|before| before.rsplit_once("data:"));
        let (before, kind) = address
            .filter(|(_, kind)| kind.len() < 100)
            .unwrap_or((&text[taken..start], "base64"));
        out.push_str(before);
        out.push_str(&named(kind, &text[start..end]));
        taken = end;
    }
    match taken {
        0 => text.into(),
        _ => (out + &text[taken..]).into(),
    }
}

/// A text on one line of at most `max` characters, base64 in it by its name and size.
pub(super) fn line(text: &str, max: usize) -> String {
    one_line(&without_base64(text), max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_in_a_text_is_named_and_nothing_else() {
        let data = "iVBORw0KGgo/".repeat(100);
        let text = format!("<img src=\"data:image/png;base64,{data}\"> and {data}.");
        assert_eq!(
            without_base64(&text),
            "<img src=\"[image/png, 900 B]\"> and [base64, 900 B]."
        );
        let fine = "a hash 0123456789abcdef, é, data:image/png;base64,iVBORw0KGgo=";
        assert!(matches!(without_base64(fine), Cow::Borrowed(same) if same == fine));
    }
}
