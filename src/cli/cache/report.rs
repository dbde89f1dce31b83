//! The cache's state: as text for people, in which hostile names are made harmless,
//! and as JSON for programs.

use crate::{
    humanize::{self, Align, age, count, size},
    store::{Audit, Breakdown, CachedVersion, Cleared, Present},
    text::one_line,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{fmt::Write, path::Path};

/// Characters of a version's id that are shown: git shows about as many.
const SHORT_ID: usize = 12;
/// Characters of a storage's name that are shown.
const NAME: usize = 40;

const HEADINGS: [(&str, Align); 10] = [
    ("KIND", Align::Left),
    ("STORAGE", Align::Left),
    ("VERSION", Align::Left),
    ("FILES", Align::Right),
    ("SIZE", Align::Right),
    ("ON DISK", Align::Right),
    ("CONTENT", Align::Left),
    ("PINNED", Align::Left),
    ("VERIFIED", Align::Left),
    ("LAST USE", Align::Right),
];

/// One line a version, under headings.
pub(super) fn table(items: &[CachedVersion]) -> String {
    let rows = items.iter().map(|item| {
        let (kind, storage, version) = names(item);
        let yes = |is| if is { "yes" } else { "-" };
        let meta = item.meta.as_ref();
        let known = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        [
            kind,
            storage,
            version,
            known(meta.map(|meta| meta.file_count.to_string())),
            known(meta.map(|meta| size(meta.bytes))),
            size(item.on_disk),
            match (meta, item.present) {
                (None, _) => "broken",
                (_, Present::Whole) => "cached",
                (_, Present::Partly) => "partly",
                (_, Present::None) => "tree",
            }
            .into(),
            yes(item.pinned).into(),
            known(meta.map(|meta| meta.verified.as_str().to_owned())),
            known(meta.map(|_| format!("{} ago", age(item.used.elapsed().unwrap_or_default())))),
        ]
    });
    let headings = std::iter::once(HEADINGS.map(|(heading, _)| heading.to_owned()));
    let rows: Vec<[String; 10]> = headings.chain(rows).collect();
    humanize::table(&rows, HEADINGS.map(|(_, align)| align))
}

/// Kind, storage and version, fit for a terminal.
fn names(item: &CachedVersion) -> (String, String, String) {
    let short = |text: &str| -> String { one_line(text, SHORT_ID).replace('…', "") };
    let Some(meta) = &item.meta else {
        return ("?".into(), "?".into(), short(&item.key));
    };
    let storage = item.name.as_deref().unwrap_or(&meta.storage_id);
    (
        one_line(&meta.kind, NAME),
        one_line(storage, NAME),
        short(&meta.version_id),
    )
}

/// A version in a line of text.
pub(super) fn title(item: &CachedVersion) -> String {
    let (kind, storage, version) = names(item);
    format!("{kind}/{storage}/{version}")
}

/// The list for programs.
pub(super) fn items(items: &[CachedVersion]) -> Value {
    let item = |item: &CachedVersion| {
        let meta = item.meta.as_ref();
        json!({
            "key": item.key,
            "broken": meta.is_none(),
            "origin": meta.map(|meta| &meta.origin),
            "kind": meta.map(|meta| &meta.kind),
            "storage": meta.map(|meta| &meta.storage_id),
            "name": item.name,
            "version": meta.map(|meta| &meta.version_id),
            "files": meta.map(|meta| meta.file_count),
            "size": meta.map(|meta| meta.bytes),
            "on_disk": item.on_disk,
            "content": item.present == Present::Whole,
            "partly": item.present == Present::Partly,
            "pinned": item.pinned,
            "verified": meta.map(|meta| meta.verified.as_str()),
            "sealed_at": meta.map(|meta| meta.sealed_at.to_string()),
            "last_use": Timestamp::try_from(item.used).ok().map(|time| time.to_string()),
        })
    };
    items.iter().map(item).collect()
}

/// What takes up the space, line by line.
pub(super) fn breakdown(sum: &Breakdown, dir: &Path) -> String {
    let versions = |number| count(number, "version");
    let total = sum.total();
    let share = total.saturating_mul(100) / sum.ceiling.max(1);
    let (ceiling, dir) = (
        size(sum.ceiling),
        one_line(&dir.to_string_lossy(), usize::MAX),
    );
    let mut content = versions(sum.with_content);
    if sum.partly > 0 {
        let _ = write!(content, ", {} in part", sum.partly);
    }
    let mut lines = vec![
        ("content", sum.content, content),
        ("trees", sum.trees, versions(sum.versions)),
        (
            "reservations",
            sum.reserved,
            "downloads at work or broken off".into(),
        ),
        ("answers", sum.answers, "of the API".into()),
        ("total", total, format!("{share} % of {ceiling}, in {dir}")),
    ];
    if sum.pinned_versions > 0 {
        lines.push(("of it pinned", sum.pinned, versions(sum.pinned_versions)));
    }
    let line = |(what, bytes, of)| format!("{what:12}  {:>10}  {of}\n", size(bytes));
    lines.into_iter().map(line).collect()
}

/// The same for programs.
pub(super) fn sums(sum: &Breakdown) -> Value {
    let mut sums = json!(sum);
    sums["total"] = sum.total().into();
    sums
}

/// What clearing did, in one line.
pub(super) fn cleared(cleared: &Cleared, all: bool) -> String {
    let Cleared {
        versions,
        bytes,
        pinned,
        in_use,
        downloads,
    } = cleared;
    let freed = || format!("freed {}", size(*bytes));
    let broken_off = format!("{} broken off", count(*downloads, "download"));
    let mut line = match (count(*versions, "version"), all) {
        _ if *versions + *downloads == 0 => "nothing to free".to_owned(),
        _ if *versions == 0 => format!("{}: {broken_off}", freed()),
        (versions, true) => format!("{}: {versions}", freed()),
        (versions, false) => format!("{}: the content of {versions}", freed()),
    };
    if *versions > 0 && *downloads > 0 {
        let _ = write!(line, "; {broken_off}");
    }
    if *pinned > 0 {
        let _ = write!(line, "; kept {pinned} pinned (--pinned)");
    }
    if *in_use > 0 {
        let _ = write!(line, "; kept {in_use} that a process has open");
    }
    line + "\n"
}

/// What an audit found, in words.
pub(super) fn audit(audit: &Audit) -> String {
    match audit {
        Audit::Proven => "good: its id is the hash of the content".into(),
        Audit::Complete => "complete; its id is no hash of the content".into(),
        Audit::Partly => "the tree is good, and so is the content as far as it has come".into(),
        Audit::TreeOnly => "the tree is good; the content is not there".into(),
        Audit::ContentDamaged(why) => format!("DAMAGED content: {}", one_line(why, 200)),
        Audit::Broken(why) => format!("BROKEN: {}", one_line(why, 200)),
        Audit::Gone => "gone".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, SystemTime};

    fn item(meta: Value) -> CachedVersion {
        CachedVersion {
            key: "ab".repeat(32),
            meta: serde_json::from_value(meta).ok(),
            name: None,
            present: Present::Whole,
            on_disk: 3 << 20,
            content: 2 << 20,
            used: SystemTime::now() - Duration::from_secs(7200),
            pinned: true,
        }
    }

    fn meta(storage: &str, version: &str) -> Value {
        json!({
            "origin": "https://x", "kind": "volumes", "storage_id": storage,
            "version_id": version, "file_count": 7, "bytes": 2 << 20,
            "declared_size": null, "declared_files": null,
            "sealed_at": "2026-01-01T00:00:00Z", "content_bytes": 2 << 20,
            "tree_bytes": 1, "archive_bytes": 1, "verified": "yes", "skipped": 0,
        })
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let mut one = item(meta("st\u{1b}[2Jo\nre", "v\u{202e}er\r1234567890"));
        let broken = item(json!({}));
        let text = table(&[one.clone(), broken]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(!text.contains(['\u{1b}', '\r', '\u{202e}']), "{text:?}");
        assert!(lines[1].contains("st [2Jo re  v er 1234567"), "{text}");
        assert!(
            lines[1].ends_with("cached   yes     yes        2 h ago"),
            "{text}"
        );
        assert!(lines[2].contains("abababababab") && lines[2].contains("broken"));
        one.name = Some("a\u{7}name".into());
        assert_eq!(title(&one), "volumes/a name/v er 1234567");
        // Programs get everything as it is.
        let value = items(&[one]);
        assert_eq!(value[0]["storage"], "st\u{1b}[2Jo\nre");
        assert_eq!(value[0]["version"], "v\u{202e}er\r1234567890");
        assert!(!value.to_string().contains('\u{1b}'));
    }

    #[test]
    fn clearing_says_what_it_kept() {
        let mut done = Cleared::default();
        assert_eq!(cleared(&done, false), "nothing to free\n");
        done = Cleared {
            versions: 2,
            bytes: 2048,
            pinned: 1,
            in_use: 3,
            downloads: 0,
        };
        assert_eq!(
            cleared(&done, false),
            "freed 2.0 KiB: the content of 2 versions; kept 1 pinned (--pinned); \
             kept 3 that a process has open\n"
        );
        (done.pinned, done.in_use, done.downloads) = (0, 0, 1);
        assert_eq!(
            cleared(&done, true),
            "freed 2.0 KiB: 2 versions; 1 download broken off\n"
        );
        done.versions = 0;
        assert_eq!(
            cleared(&done, true),
            "freed 2.0 KiB: 1 download broken off\n"
        );
    }

    #[test]
    fn sums_add_up() {
        let sum = Breakdown {
            content: 600,
            trees: 300,
            reserved: 60,
            answers: 40,
            ceiling: 2000,
            pinned: 500,
            pinned_versions: 1,
            ..Breakdown::default()
        };
        let text = breakdown(&sum, Path::new("/c"));
        assert!(text.contains("1000 B  50 % of 2.0 KiB, in /c"), "{text}");
        assert!(
            text.contains("of it pinned       500 B  1 version\n"),
            "{text}"
        );
    }
}
