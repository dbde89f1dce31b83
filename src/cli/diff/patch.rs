//! A difference as a patch, in git's format. The line `index` is there only where it tells
//! more than the lines do. Of content that is not shown it has SHA-256 instead of git's own
//! ids.

use super::{
    binary::{self, Blob},
    change::{Change, Entry, Status},
    names::{quoted, sided},
    paint::{Ink, Page},
    side::{Opened, Side},
};
use crate::{error::Result, humanize, text::hex};
use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};
use std::{
    ops::Range,
    time::{Duration, Instant},
};

/// Maximum size of a file that is shown as text, in bytes, and its lines: what comparing
/// them takes of memory is some times that.
pub(super) const LONGEST: u64 = 16 << 20;
const LINES: usize = 500_000;
/// Maximum size of a file that is put into a patch in git's binary form, in bytes: it is
/// held in memory, here and by `git apply`, which takes no patch of 1 GiB.
const LARGEST: u64 = 64 << 20;
/// A NUL in the first bytes makes a file a binary one (git's `buffer_is_binary`).
const HEAD: usize = 8000;
/// Lines that are the same around each difference.
const CONTEXT: usize = 3;
/// How long lines are compared; what has not been by then counts as different.
const LIMIT: Duration = Duration::from_secs(5);

/// One side of a difference.
#[derive(Clone, Copy)]
struct Part<'a, 's> {
    side: &'a Side<'s>,
    path: &'a [u8],
    entry: Option<Entry>,
}

/// Adds the patch of one difference to a page, and says whether it holds all that makes the
/// new version. Reads only what is shown. With `is_binary`, what lines cannot tell is put
/// into git's binary form.
///
/// # Errors
/// What reading content fails with.
pub(super) fn write(
    page: &mut Page,
    change: &Change,
    (old, new): (&Side<'_>, &Side<'_>),
    is_binary: bool,
) -> Result<bool> {
    let before = |entry| Part {
        side: old,
        path: change.old_path(),
        entry,
    };
    let after = |entry| Part {
        side: new,
        path: &change.path,
        entry,
    };
    if change.status() == Status::Type {
        let is_gone = one(page, before(change.old), after(None), is_binary)?;
        let is_made = one(page, before(None), after(change.new), is_binary)?;
        return Ok(is_gone && is_made);
    }
    one(page, before(change.old), after(change.new), is_binary)
}

fn one(page: &mut Page, old: Part<'_, '_>, new: Part<'_, '_>, is_binary: bool) -> Result<bool> {
    let names = (sided("a", old.path), sided("b", new.path));
    let head = |page: &mut Page, text: String| page.line(Ink::Head, text.as_bytes());
    head(page, format!("diff --git {} {}", names.0, names.1));
    match (&old.entry, &new.entry) {
        (None, Some(entry)) => head(page, format!("new file mode {}", entry.mode())),
        (Some(entry), None) => head(page, format!("deleted file mode {}", entry.mode())),
        (Some(before), Some(after)) if before.mode() != after.mode() => {
            head(page, format!("old mode {}", before.mode()));
            head(page, format!("new mode {}", after.mode()));
        }
        _ => {}
    }
    if old.path != new.path {
        head(page, "similarity index 100%".into());
        head(page, format!("rename from {}", quoted(old.path)));
        head(page, format!("rename to {}", quoted(new.path)));
    }
    if let (Some(before), Some(after)) = (&old.entry, &new.entry)
        && before.has_content_of(after)
    {
        return Ok(true);
    }
    let label = |entry: &Option<Entry>, name: &str, path: &[u8]| match entry {
        None => "/dev/null".to_owned(),
        // A tab shows where a name with spaces ends.
        Some(_) if path.contains(&b' ') => format!("{name}\t"),
        Some(_) => name.to_owned(),
    };
    let labels = (
        label(&old.entry, &names.0, old.path),
        label(&new.entry, &names.1, new.path),
    );
    let contents = contents(old, new)?;
    if let Contents::Text(before, after) = contents {
        if let (Some(Entry { is_link: true, .. }), Some(after_entry)) = (old.entry, new.entry) {
            // By the mode here patch(1) knows that it is to change a symlink.
            let (old, new) = (binary::id(&before), binary::id(&after));
            head(page, format!("index {old}..{new} {}", after_entry.mode()));
        }
        if !(before.is_empty() && after.is_empty()) {
            head(page, format!("--- {}", labels.0));
            head(page, format!("+++ {}", labels.1));
            hunks(page, &before, &after);
        }
        return Ok(true);
    }
    let is_small = |part: Part<'_, '_>| part.entry.is_none_or(|entry| entry.size <= LARGEST);
    if is_binary && is_small(old) && is_small(new) {
        let (before, after) = (blob(old)?, blob(new)?);
        let id = |part: Part<'_, '_>, blob: &Blob| match part.entry {
            Some(_) => blob.id.clone(),
            None => binary::NONE.to_owned(),
        };
        head(
            page,
            format!("index {}..{}", id(old, &before), id(new, &after)),
        );
        binary::write(page, &before, &after);
        return Ok(true);
    }
    let hash = |part: Part<'_, '_>| {
        let digest = part.entry.and_then(|entry| entry.digest);
        hex(&digest.unwrap_or_default())
    };
    head(page, format!("index {}..{}", hash(old), hash(new)));
    let what = match contents {
        Contents::Large => "Files",
        _ => "Binary files",
    };
    // No more on this line: `git apply --exclude` knows by its end what it leaves out.
    let (old_label, new_label) = (labels.0.trim_end(), labels.1.trim_end());
    let text = format!("{what} {old_label} and {new_label} differ");
    page.line(Ink::Plain, text.as_bytes());
    if let Contents::Large = contents {
        let size = |part: &Part<'_, '_>| {
            let entry = part.entry.as_ref();
            entry.map_or("no file".into(), |entry| humanize::size(entry.size))
        };
        let most = humanize::size(LONGEST);
        let text = format!(
            "({} and {}: more than {most} or {LINES} lines are not shown)",
            size(&old),
            size(&new)
        );
        page.line(Ink::Plain, text.as_bytes());
    }
    Ok(false)
}

/// The content of one side in git's binary form.
fn blob(part: Part<'_, '_>) -> Result<Blob> {
    let (opened, mut content) = beginning(part)?;
    if let Some(opened) = opened {
        content.extend(opened.read(content.len() as u64, LARGEST as usize)?);
    }
    Blob::of(&content)
}

/// What is shown of a difference.
enum Contents {
    Text(Vec<u8>, Vec<u8>),
    Binary,
    Large,
}

/// Reads as much of both as it takes to know how they are shown.
fn contents(old: Part<'_, '_>, new: Part<'_, '_>) -> Result<Contents> {
    let is_large = |part: &Part<'_, '_>| part.entry.is_some_and(|entry| entry.size > LONGEST);
    if is_large(&old) || is_large(&new) {
        return Ok(Contents::Large);
    }
    let mut beginnings = Vec::new();
    for part in [old, new] {
        let (opened, bytes) = beginning(part)?;
        if bytes.contains(&0) {
            return Ok(Contents::Binary);
        }
        beginnings.push((opened, bytes));
    }
    let mut texts = Vec::new();
    for (opened, mut bytes) in beginnings {
        if let Some(opened) = opened {
            bytes.extend(opened.read(bytes.len() as u64, LONGEST as usize)?);
        }
        if bytes.iter().filter(|byte| **byte == b'\n').count() > LINES {
            return Ok(Contents::Large);
        }
        texts.push(bytes);
    }
    let new = texts.pop().unwrap_or_default();
    Ok(Contents::Text(texts.pop().unwrap_or_default(), new))
}

/// The first bytes of one side, and where the rest is read.
fn beginning<'s>(part: Part<'_, 's>) -> Result<(Option<Opened<'s>>, Vec<u8>)> {
    match part.entry {
        Some(entry) if entry.is_link => Ok((None, part.side.target(entry.node).to_vec())),
        Some(entry) if entry.size > 0 => {
            let opened = part.side.open(part.path)?;
            let bytes = opened.read(0, HEAD)?;
            Ok((Some(opened), bytes))
        }
        _ => Ok((None, Vec::new())),
    }
}

/// The lines that differ, with those around them.
fn hunks(page: &mut Page, old: &[u8], new: &[u8]) {
    let lines = |text| <[u8]>::split_inclusive(text, |byte| *byte == b'\n').collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    let limit = Instant::now().checked_add(LIMIT);
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, limit);
    for group in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let span = |range: fn(&DiffOp) -> Range<usize>| range(first).start..range(last).end;
        let (from, to) = (span(DiffOp::old_range), span(DiffOp::new_range));
        let head = format!("@@ -{} +{} @@", place(&from), place(&to));
        page.line(Ink::Place, head.as_bytes());
        for op in &group {
            let (tag, from, to) = op.as_tag_tuple();
            match tag {
                DiffTag::Equal => put(page, Ink::Plain, b' ', &old[from]),
                DiffTag::Delete => put(page, Ink::Old, b'-', &old[from]),
                DiffTag::Insert => put(page, Ink::New, b'+', &new[to]),
                DiffTag::Replace => {
                    put(page, Ink::Old, b'-', &old[from]);
                    put(page, Ink::New, b'+', &new[to]);
                }
            }
        }
    }
}

/// The first line, counted from 1, and how many they are unless one.
fn place(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        count => format!("{},{count}", lines.start + 1),
    }
}

fn put(page: &mut Page, ink: Ink, sign: u8, lines: &[&[u8]]) {
    for line in lines {
        let (text, has_end) = match line.split_last() {
            Some((b'\n', text)) => (text, true),
            _ => (*line, false),
        };
        page.line(ink, &[&[sign], text].concat());
        if !has_end {
            page.line(Ink::Plain, b"\\ No newline at end of file");
        }
    }
}
