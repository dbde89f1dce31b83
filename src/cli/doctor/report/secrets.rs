//! What a report must not show.

use crate::{
    api::{Token, hide_secret, hide_tokens},
    config::{self, Environment, MountOptions, Settings, secrets},
    error::Result,
    text::one_line,
};
use std::path::PathBuf;

/// A shorter text in place of a file's name is a name, and can be a part of other words.
const SHORTEST: usize = 16;

/// What ends an address in a text.
const ADDRESS_ENDS: [char; 5] = ['"', '\'', '`', '<', '>'];

/// What is known to be secret here.
pub(in crate::cli::doctor) struct Secrets {
    token: Option<Token>,
    /// Texts, and what stands in their place.
    texts: Vec<(String, &'static str)>,
    home: Option<PathBuf>,
}

impl Secrets {
    pub(in crate::cli::doctor) fn new(
        options: &MountOptions,
        settings: &Result<Settings>,
        environment: &Environment,
    ) -> Self {
        // Also where the settings that use them are bad.
        let set = secrets::set(environment).map(|(_, value)| value.to_string_lossy());
        let set = set.map(|value| (value.trim().to_owned(), "[secret]"));
        let no_files = config::no_files(options, environment).unwrap_or_default();
        let no_files = no_files.into_iter().map(|name| (name, "[no such file]"));
        let no_files = no_files.filter(|(name, _)| name.len() >= SHORTEST);
        let texts = set.chain(no_files).filter(|(text, _)| !text.is_empty());
        // As a line has it, too.
        let texts = texts.flat_map(|(text, word)| {
            let line = one_line(&text, usize::MAX);
            let other = (line != text).then_some((line, word));
            [Some((text, word)), other]
        });
        let mut texts: Vec<_> = texts.flatten().collect();
        // One may be a part of another.
        texts.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self {
            token: settings
                .as_ref()
                .ok()
                .map(|settings| settings.token.clone()),
            texts,
            home: environment.home.clone(),
        }
    }

    /// `text` without these, without what looks like a secret, and with `~` for the home
    /// folder.
    pub(super) fn hide(&self, text: &str) -> String {
        let mut text = match &self.token {
            Some(token) => token.redact(text),
            None => text.to_owned(),
        };
        for (secret, word) in &self.texts {
            text = hide_secret(&text, secret, word);
        }
        let text = without_address_secrets(&hide_tokens(&text));
        let home = self.home.as_deref().and_then(|home| home.to_str());
        match home.map(|home| home.trim_end_matches('/')) {
            Some(home) if !home.is_empty() => without_home(&text, home),
            _ => text,
        }
    }
}

/// A text whose addresses have no user, password or query: these may be secrets.
fn without_address_secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let begin = rest[..at].trim_end_matches(is_scheme).len();
        let found = &rest[at..];
        let word = found.find(char::is_whitespace).unwrap_or(found.len());
        // A password may have these characters, and a query most of them.
        let login = found[..word].rfind('@').unwrap_or_default();
        let end = match found[login..word].find('?') {
            Some(query) => found[login + query..word]
                .find(['"', '<', '>'])
                .map(|end| query + end),
            None => found[login..word].find(ADDRESS_ENDS),
        };
        let end = at + end.map_or(word, |end| login + end);
        out += &rest[..begin];
        out += &config::without_secrets(&rest[begin..end]);
        rest = &rest[end..];
    }
    out + rest
}

/// `~` for the home folder, where that is all of a path or its beginning.
fn without_home(text: &str, home: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let (mut out, mut from) = (String::new(), 0);
    for (at, _) in text.match_indices(home) {
        let (before, after) = (&text[..at], &text[at + home.len()..]);
        // The slashes of file:///home/me are those of an address.
        let begins = before.ends_with("://") || !before.ends_with(|c| c == '/' || is_of_name(c));
        let ends = !after.starts_with(is_of_name);
        out += &text[from..at];
        out += if begins && ends { "~" } else { home };
        from = at + home.len();
    }
    out + &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(home: &str, variables: &[(&str, &str)]) -> Secrets {
        let environment = Environment {
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            home: Some(home.into()),
            current_dir: "/".into(),
        };
        let options = MountOptions::default();
        let settings = Settings::load(options.clone(), &environment);
        Secrets::new(&options, &settings, &environment)
    }

    #[test]
    fn the_home_is_not_told() {
        let hide = |home, text| secrets(home, &[]).hide(text);
        assert_eq!(hide("/home/me/", "/home/me/vm0 /home/me: x"), "~/vm0 ~: x");
        assert_eq!(hide("/", "/a"), "/a");
        let other = "/home/mem /home/me.old /home/me";
        assert_eq!(hide("/home/me", other), "/home/mem /home/me.old ~");
        let inside = "/mnt/home/me /root/cache/home/me/x";
        assert_eq!(hide("/home/me", inside), inside);
        assert_eq!(hide("/root", "/mnt/root/cache"), "/mnt/root/cache");
        let others = "--cache-dir=/home/me/c file:///home/me/s: \"/home/me\"";
        let hidden = "--cache-dir=~/c file://~/s: \"~\"";
        assert_eq!(hide("/home/me", others), hidden);
    }

    #[test]
    fn a_token_of_any_kind_is_not_told_where_a_line_has_cut_it() {
        let secrets = secrets("/", &[("VM0_API_KEY", "eyJhbGciOi.long")]);
        assert!(secrets.token.is_some());
        assert_eq!(secrets.hide("a eyJhbGciOi.long, b"), "a [token], b");
        assert_eq!(secrets.hide("cut: eyJhbG… b"), "cut: [token]… b");
    }

    #[test]
    fn secrets_are_not_told_wherever_they_stand() {
        let pasted = "no/such file\tat_all";
        let variables = [
            ("VM0_API_KEY", "eyJhbGciOi"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI"),
            ("VM0FS_SHARED_CACHE_KEY_FILE", pasted),
            // So that the settings are bad.
            ("VM0_API_URL", "https://["),
        ];
        let secrets = secrets("/", &variables);
        assert!(secrets.token.is_none());
        for (text, shown) in [
            ("a eyJhbGciOi, b", "a [secret], b"),
            ("in wJalrXUtnFEMI/1", "in [secret]/1"),
            ("x: no/such file\tat_all: no", "x: [no such file]: no"),
            ("x: no/such file at_all: no", "x: [no such file]: no"),
            ("cut: eyJhbG…", "cut: [secret]…"),
            ("cut: no/such fi… and on…", "cut: [no such file]… and on…"),
            ("vm0_live_abc", "[token]"),
            ("by http://me:pw@proxy:3128/ it", "by …@proxy:3128/ it"),
            ("GET \"https://s/x?sig=1#2\" s", "GET \"https://s/x…\" s"),
            ("by http://me:p'w@proxy:3128/ it", "by …@proxy:3128/ it"),
            ("at https://h/x?sig=ab'REST b", "at https://h/x… b"),
            ("cut: http://me:longpassw… b", "cut: http://… b"),
            ("by http://me:p?w@proxy:3128/ it", "by http://… it"),
            (
                "{\"a\":\"https://s/x\",\"b\":1}",
                "{\"a\":\"https://s/x\",\"b\":1}",
            ),
            ("https://s/x/ ok", "https://s/x/ ok"),
        ] {
            assert_eq!(secrets.hide(text), shown);
        }
    }
}
