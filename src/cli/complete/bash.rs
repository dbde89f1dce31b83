//! The line that bash is completing, and words as bash reads them.
//!
//! Bash splits a line at more than white space (`COMP_WORDBREAKS`), replaces what
//! follows the last such character, and inserts what it is given as it is.

/// A line up to the cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its words without quotes; the last is the one at the cursor, which may be empty.
    pub(super) words: Vec<String>,
    /// The last word as it was typed.
    raw: String,
}

/// How a character is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    /// In `'…'`.
    Single,
    /// In `"…"`.
    Double,
}

/// A word as far as it is read.
#[derive(Default)]
struct Reader {
    text: String,
    quote: Option<Quote>,
    is_escaped: bool,
}

impl Reader {
    /// Takes a character; returns whether it is one of the word, not of its quotes.
    fn take(&mut self, c: char) -> bool {
        let quote = self.quote.unwrap_or(Quote::None);
        if self.is_escaped {
            self.is_escaped = false;
            if quote == Quote::Double && !matches!(c, '"' | '\\' | '$' | '`') {
                self.text.push('\\');
            }
        } else {
            match (quote, c) {
                (Quote::None, '\'') => self.quote = Some(Quote::Single),
                (Quote::None, '"') => self.quote = Some(Quote::Double),
                (Quote::Single, '\'') | (Quote::Double, '"') => self.quote = Some(Quote::None),
                (Quote::None | Quote::Double, '\\') => self.is_escaped = true,
                _ => {
                    self.text.push(c);
                    return true;
                }
            }
            return false;
        }
        self.text.push(c);
        true
    }

    fn is_plain(&self) -> bool {
        !self.is_escaped && self.quote.is_none_or(|quote| quote == Quote::None)
    }
}

impl Line {
    /// Reads a line.
    pub(super) fn parse(line: &str) -> Self {
        let mut words = Vec::new();
        let (mut reader, mut raw) = (Reader::default(), String::new());
        for c in line.chars() {
            if c.is_whitespace() && reader.is_plain() {
                if !raw.is_empty() {
                    words.push(std::mem::take(&mut reader).text);
                    raw.clear();
                }
                continue;
            }
            raw.push(c);
            reader.take(c);
        }
        words.push(reader.text);
        Self { words, raw }
    }

    /// What bash is to insert for the last word to become `value`: from where bash goes
    /// on, quoted as the word is. `None` where what stands before is not of the value.
    pub(super) fn quoted(&self, value: &str, breaks: &str) -> Option<String> {
        let mut reader = Reader::default();
        let mut kept = String::new();
        for c in self.raw.chars() {
            let was_plain = reader.is_plain();
            let is_of_word = reader.take(c);
            let opens = was_plain && matches!(reader.quote, Some(Quote::Single | Quote::Double));
            if opens || (was_plain && is_of_word && breaks.contains(c)) {
                kept.clone_from(&reader.text);
            }
        }
        let rest = value.strip_prefix(&kept)?;
        Some(match reader.quote.unwrap_or(Quote::None) {
            Quote::Single => rest.replace('\'', r"'\''"),
            Quote::Double => escaped(rest, |c| matches!(c, '"' | '\\' | '$' | '`')),
            // The shell is to find the home.
            Quote::None => match (kept.as_str(), rest.strip_prefix("~/")) {
                ("", Some(below)) => format!("~/{}", escaped(below, is_special)),
                _ => escaped(rest, is_special),
            },
        })
    }
}

fn escaped(text: &str, is_special: fn(char) -> bool) -> String {
    let escape = |c: char| is_special(c).then_some('\\').into_iter().chain([c]);
    text.chars().flat_map(escape).collect()
}

fn is_special(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric() && !"_%+,./:=@^-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'><=;|&(:";

    #[track_caller]
    fn words(line: &str, expected: &[&str]) {
        assert_eq!(Line::parse(line).words, expected, "{line}");
    }

    #[test]
    fn a_line_is_read_as_bash_reads_it() {
        words("vm0fs run ", &["vm0fs", "run", ""]);
        words("  vm0fs  run", &["vm0fs", "run"]);
        words(r#"vm0fs run my\ ag"#, &["vm0fs", "run", "my ag"]);
        words(r#"vm0fs run "my ag"#, &["vm0fs", "run", "my ag"]);
        words(
            r#"vm0fs run "a\"b\c" 'd\' "#,
            &["vm0fs", "run", "a\"b\\c", "d\\", ""],
        );
        words("vm0fs '' ", &["vm0fs", "", ""]);
        words("", &[""]);
    }

    #[track_caller]
    fn inserts(typed: &str, value: &str, expected: Option<&str>) {
        let line = Line::parse(&format!("vm0fs run {typed}"));
        assert_eq!(line.quoted(value, BREAKS).as_deref(), expected, "{typed}");
    }

    #[test]
    fn values_are_quoted_as_they_were_begun() {
        inserts("", "plain-name_1", Some("plain-name_1"));
        inserts("my", "my agent", Some(r"my\ agent"));
        inserts(r"my\ a", "my agent", Some(r"my\ agent"));
        inserts("", "$(x);`y`*'\"", Some(r#"\$\(x\)\;\`y\`\*\'\""#));
        inserts("\"my a", "my \"$agent", Some(r#"my \"\$agent"#));
        inserts("'my a", "my agent's", Some(r"my agent'\''s"));
        inserts("", "Grüße", Some("Grüße"));
        inserts("~/v", "~/vm0 x", Some(r"~/vm0\ x"));
        inserts("", "a~", Some(r"a\~"));
    }

    #[test]
    fn bash_goes_on_after_the_last_break() {
        inserts("--verify=s", "--verify=strict", Some("strict"));
        inserts("a:", "a:b c", Some(r"b\ c"));
        inserts(r"a\:", "a:b", Some("a:b"));
        inserts("a:", "b:c", None);
        inserts("--x='a b", "--x=a bc", Some("a bc"));
    }
}
