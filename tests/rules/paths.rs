//! The paths that a source file names: its modules, its imports, and what its
//! code reaches through them. No more of the grammar is read than that takes.

use std::collections::BTreeSet;

/// A path of the source, such as `["super", "names", "Name"]`, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// One name that a `use` brings into a file.
#[derive(Debug)]
pub(super) struct Import {
    /// What the file calls it; `*` where it takes all.
    pub(super) name: String,
    pub(super) from: Named,
    /// Whether it is handed on to other files.
    pub(super) is_public: bool,
}

/// What a file names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The modules that it declares and that are files of their own.
    pub(super) children: BTreeSet<String>,
    pub(super) imports: Vec<Import>,
    /// The paths in its code, those of one word included.
    pub(super) paths: Vec<Named>,
}

impl Names {
    /// Reads a file without its tests.
    pub(super) fn of(code: &str) -> Self {
        let tokens = tokens(code);
        let mut names = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let next = |ahead: usize| tokens.get(at + ahead).map_or("", |token| &token.text);
            at += match (next(0), next(2)) {
                ("mod", ";") => {
                    names.children.insert(next(1).to_owned());
                    3
                }
                ("use", _) => {
                    // `pub use` and `pub(crate) use`.
                    let before = at.checked_sub(1).map_or("", |before| &tokens[before].text);
                    let is_public = before == "pub" || before == ")";
                    names.read_import(&tokens[at + 1..], is_public)
                }
                (word, _) if is_word(word) => names.read_path(&tokens[at..]),
                _ => 1,
            };
        }
        names
    }

    /// Takes the tree of a `use`; gives how many tokens it and the `use` have.
    fn read_import(&mut self, tokens: &[Token], is_public: bool) -> usize {
        let end = tokens.iter().position(|token| token.text == ";");
        let end = end.unwrap_or(tokens.len());
        self.read_tree(&mut tokens[..end].iter(), &[], is_public);
        end + 1
    }

    /// Takes one level of such a tree, up to its `}`.
    fn read_tree<'a>(
        &mut self,
        tokens: &mut impl Iterator<Item = &'a Token>,
        before: &[String],
        is_public: bool,
    ) {
        let mut path = before.to_vec();
        let mut alias = None;
        let mut line = 0;
        let mut is_alias = false;
        loop {
            let token = tokens.next();
            let text = token.map_or("}", |token| token.text.as_str());
            line = token.map_or(line, |token| token.line);
            match text {
                "," | "}" => {
                    if path.len() > before.len() {
                        self.import(&path, alias.take(), line, is_public);
                    }
                    path = before.to_vec();
                    if text == "}" {
                        return;
                    }
                }
                "{" => {
                    self.read_tree(tokens, &path, is_public);
                    path = before.to_vec();
                }
                "as" => is_alias = true,
                "::" => {}
                word if is_alias => {
                    alias = Some(word.to_owned());
                    is_alias = false;
                }
                word => path.push(word.to_owned()),
            }
        }
    }

    fn import(&mut self, path: &[String], alias: Option<String>, line: usize, is_public: bool) {
        let mut path = path.to_vec();
        // `a::{self}` is `a`.
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.unwrap_or_else(|| path.last().unwrap().clone());
        let from = Named { path, line };
        self.imports.push(Import {
            name,
            from,
            is_public,
        });
    }

    /// Takes a path, and gives how many tokens it has.
    fn read_path(&mut self, tokens: &[Token]) -> usize {
        let mut path = vec![tokens[0].text.clone()];
        let mut end = 1;
        while let [separator, word, ..] = &tokens[end..]
            && separator.text == "::"
            && is_word(&word.text)
        {
            path.push(word.text.clone());
            end += 2;
        }
        let line = tokens[0].line;
        self.paths.push(Named { path, line });
        end
    }
}

/// A word or a sign of a file.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// The words and signs of a file, `::` as one; comments and literals left out.
pub(super) fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = code;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = match first {
                _ if is_word(rest) => rest
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                let text = rest[..length].to_owned();
                tokens.push(Token { text, line });
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment or literal that a text begins with, if it does.
fn skipped(text: &str) -> Option<usize> {
    let until = |start: usize, end: &str| {
        let found = text[start..].find(end);
        found.map_or(text.len(), |at| start + at + end.len())
    };
    if text.starts_with("//") {
        return Some(until(2, "\n"));
    }
    if text.starts_with("/*") {
        return Some(until(2, "*/"));
    }
    if let Some(raw) = text.strip_prefix('r').or(text.strip_prefix("br"))
        && let Some(quote) = raw.find(|c| c != '#')
        && raw[quote..].starts_with('"')
    {
        let start = text.len() - raw.len() + quote + 1;
        return Some(until(start, &format!("\"{}", &raw[..quote])));
    }
    if text.starts_with('"') {
        return Some(quoted(text));
    }
    // A lifetime has no quote behind its first character.
    let mut characters = text.strip_prefix('\'')?.chars();
    match characters.next()? {
        '\\' => Some(quoted(text)),
        first if characters.next() == Some('\'') => Some(2 + first.len_utf8()),
        _ => Some(1),
    }
}

/// The length of a literal in the quotes that it begins with.
fn quoted(text: &str) -> usize {
    let quote = text.chars().next();
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        if !is_escaped && Some(character) == quote {
            return at + 1;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

#[test]
fn imports_and_paths_are_read() {
    let names = Names::of(
        "//! use a::b;\nmod x;\nuse crate::{a::{self, B as C}, d};\npub(super) use x::*;\n\
         fn f<'a>(_: char) { 'x'; '\\''; \"mod y;\"; r#\"\"use z;\"#; x::g::<d::E>(); }\n",
    );
    assert_eq!(Vec::from_iter(&names.children), ["x"]);
    let imports = names.imports.iter().map(|import| {
        let from = &import.from;
        let line = from.line;
        (import.name.as_str(), from.path.join("::"), line)
    });
    assert_eq!(
        Vec::from_iter(imports),
        [
            ("a", "crate::a".into(), 3),
            ("C", "crate::a::B".into(), 3),
            ("d", "crate::d".into(), 3),
            ("*", "x::*".into(), 4),
        ]
    );
    assert_eq!(
        Vec::from_iter(names.imports.iter().map(|import| import.is_public)),
        [false, false, false, true]
    );
    let long = names.paths.iter().filter(|named| named.path.len() > 1);
    let long: Vec<String> = long.map(|named| named.path.join("::")).collect();
    assert_eq!(long, ["x::g", "d::E"]);
}
