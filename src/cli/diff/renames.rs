//! Finds files that were renamed: deleted here and added there with the same content, as
//! `git diff -M100%` pairs them.

use super::change::{Change, Digest, Entry};
use std::collections::{HashMap, VecDeque};

/// What renamed files have in common. Of symlinks the mode is compared too, which is the
/// same for all.
type Content = (bool, Digest);

fn content(entry: &Entry) -> Option<Content> {
    Some((entry.is_link, entry.digest?))
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The deleted files of one content, by ascending path, and the same by their names.
#[derive(Default)]
struct Sources {
    all: VecDeque<usize>,
    by_name: HashMap<Box<[u8]>, VecDeque<usize>>,
}

/// Makes one change of each pair of a deleted and an added file with the same content: of
/// several, the first that has the same name in another folder, or else the first.
pub(super) fn pair(changes: Vec<Change>) -> Vec<Change> {
    let mut sources: HashMap<Content, Sources> = HashMap::new();
    for (at, change) in changes.iter().enumerate() {
        if let (Some(old), None) = (&change.old, &change.new)
            && let Some(content) = content(old)
        {
            let sources = sources.entry(content).or_default();
            sources.all.push_back(at);
            let name = base(&change.path).into();
            sources.by_name.entry(name).or_default().push_back(at);
        }
    }
    let mut used = vec![false; changes.len()];
    let mut from = vec![None; changes.len()];
    for (at, change) in changes.iter().enumerate() {
        let (None, Some(new)) = (&change.old, &change.new) else {
            continue;
        };
        let Some(sources) = content(new).and_then(|content| sources.get_mut(&content)) else {
            continue;
        };
        let named = sources.by_name.get_mut(base(&change.path));
        let named = named.and_then(|named| next(named, &used));
        if let Some(source) = named.or_else(|| next(&mut sources.all, &used)) {
            used[source] = true;
            from[at] = Some(source);
        }
    }
    let renamed = |at: usize| {
        let source: &Change = &changes[from[at]?];
        Some((source.path.clone(), source.old))
    };
    let pairs: Vec<_> = (0..changes.len()).map(renamed).collect();
    let all = changes.into_iter().zip(pairs).zip(used);
    all.filter(|(_, is_used)| !is_used)
        .map(|((change, pair), _)| match pair {
            None => change,
            Some((from, old)) => Change {
                from: Some(from),
                old,
                ..change
            },
        })
        .collect()
}

/// Takes the first that is not used yet.
fn next(of: &mut VecDeque<usize>, used: &[bool]) -> Option<usize> {
    while let Some(first) = of.pop_front() {
        if !used[first] {
            return Some(first);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(content: u8) -> Option<Entry> {
        Some(Entry {
            node: 1,
            is_link: false,
            executable: false,
            size: 1,
            digest: (content > 0).then_some([content; 32]),
        })
    }

    fn changes(of: &[(&str, u8, u8)]) -> Vec<Change> {
        of.iter()
            .map(|(path, old, new)| Change {
                path: path.as_bytes().into(),
                from: None,
                old: entry(*old).filter(|_| *old != 9),
                new: entry(*new).filter(|_| *new != 9),
            })
            .collect()
    }

    fn told(changes: Vec<Change>) -> Vec<String> {
        let text = |path: &[u8]| String::from_utf8(path.to_vec()).unwrap();
        let line = |change: Change| match &change.from {
            Some(from) => format!("{} < {}", text(&change.path), text(from)),
            None => format!("{} {}", change.status().letter(), text(&change.path)),
        };
        changes.into_iter().map(line).collect()
    }

    /// 9 stands for no file, 0 for one without a hash.
    #[test]
    fn renames_are_paired_by_content_then_by_name_and_each_file_once() {
        let all = changes(&[
            ("a", 1, 9),
            ("b", 1, 9),
            ("new/b", 9, 1),
            ("new/c", 9, 1),
            ("new/d", 9, 1),
            ("other", 9, 2),
            ("same", 2, 3),
            ("unknown", 0, 9),
            ("unknown2", 9, 0),
        ]);
        assert_eq!(
            told(pair(all)),
            [
                "new/b < b",
                "new/c < a",
                "A new/d",
                "A other",
                "M same",
                "D unknown",
                "A unknown2"
            ]
        );
    }
}
