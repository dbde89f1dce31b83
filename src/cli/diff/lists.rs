//! The differences as lists: by status, with sizes, and as JSON. They need no content.

use super::{
    change::{Change, Entry, Status},
    names::quoted,
    side::Side,
};
use crate::{
    humanize::{self, Align},
    text::hex,
};
use serde_json::{Value, json};

/// Bytes that are printed at a time.
const PIECE: usize = 64 << 10;

/// Lines of status and path, tabs between, as `git diff --name-status` has them, some at
/// a time.
pub(super) fn name_status(changes: &[Change]) -> impl Iterator<Item = Vec<u8>> {
    let mut changes = changes.iter();
    std::iter::from_fn(move || {
        let mut out = String::new();
        for change in changes.by_ref() {
            out += change.status().letter();
            if let Some(from) = &change.from {
                out += "\t";
                out += &quoted(from);
            }
            out += "\t";
            out += &quoted(&change.path);
            out += "\n";
            if out.len() >= PIECE {
                break;
            }
        }
        (!out.is_empty()).then(|| out.into_bytes())
    })
}

/// A table of paths and sizes, and their sums.
pub(super) fn stat(changes: &[Change]) -> String {
    let row = |change: &Change| {
        let path = match &change.from {
            Some(from) => format!("{} -> {}", quoted(from), quoted(&change.path)),
            None => quoted(&change.path),
        };
        let letter = change.status().letter()[..1].to_owned();
        [letter, path, sizes(change)]
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    let mut out = humanize::table(&rows, [Align::Left, Align::Left, Align::Left]);
    let all = [
        Status::Added,
        Status::Deleted,
        Status::Modified,
        Status::Type,
        Status::Renamed,
    ];
    let counts = all.into_iter().filter_map(|status| {
        let count = changes
            .iter()
            .filter(|change| change.status() == status)
            .count();
        (count > 0).then(|| format!("{count} {}", status.word()))
    });
    let counts: Vec<_> = counts.collect();
    if !counts.is_empty() {
        let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| entry.size);
        let sum = |of: fn(&Change) -> &Option<Entry>| {
            let sizes = changes.iter().map(|change| size(of(change)));
            humanize::size(sizes.fold(0, u64::saturating_add))
        };
        out += &format!(
            "{}: {}; {} -> {}\n",
            humanize::count(changes.len() as u64, "file"),
            counts.join(", "),
            sum(|change| &change.old),
            sum(|change| &change.new)
        );
    }
    out
}

/// The size before and after, and what else has changed.
fn sizes(change: &Change) -> String {
    let size = |entry: &Entry| humanize::size(entry.size);
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("+{}", size(new)),
        (Some(old), None) => format!("-{}", size(old)),
        (Some(old), Some(new)) => {
            let mut text = match old.size == new.size {
                true => size(new),
                false => format!("{} -> {}", size(old), size(new)),
            };
            if old.mode() != new.mode() {
                text += &format!(", mode {} -> {}", old.mode(), new.mode());
            }
            text
        }
        (None, None) => String::new(),
    }
}

/// All of it, for programs. Names that are no UTF-8 have replacement characters, and
/// their bytes in hexadecimal beside them.
pub(super) fn json(storage: &str, old: &Side<'_>, new: &Side<'_>, changes: &[Change]) -> Value {
    let entry = |side: &Side<'_>, entry: &Entry| {
        let mut value = json!({
            "type": if entry.is_link { "symlink" } else { "file" },
            "mode": entry.mode(),
            "size": entry.size,
        });
        match entry.is_link {
            true => set_text(&mut value, "target", side.target(entry.node)),
            false => value["sha256"] = entry.digest.map(|digest| hex(&digest)).into(),
        }
        value
    };
    let change = |change: &Change| {
        let mut value = json!({"status": change.status().letter()});
        set_text(&mut value, "path", &change.path);
        if let Some(from) = &change.from {
            set_text(&mut value, "from", from);
        }
        value["old"] = change.old.as_ref().map(|of| entry(old, of)).into();
        value["new"] = change.new.as_ref().map(|of| entry(new, of)).into();
        value
    };
    json!({
        "storage": storage,
        "old": old.id,
        "new": new.id,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn set_text(value: &mut Value, key: &str, bytes: &[u8]) {
    value[key] = String::from_utf8_lossy(bytes).into();
    if std::str::from_utf8(bytes).is_err() {
        value[format!("{key}_hex")] = hex(bytes).into();
    }
}
