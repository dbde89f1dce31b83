//! Numbers as people read them, and text cut to what they read.

pub(super) use crate::humanize::{decimal_size as bytes, dollars, tokens};

use crate::humanize;
use std::{borrow::Cow, time::Duration};

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    humanize::count(number as u64, noun)
}

/// A line of at most `width` characters, and how many more it has.
pub(super) fn cut(line: &str, width: usize) -> Cow<'_, str> {
    match line.char_indices().nth(width) {
        None => line.into(),
        Some((end, _)) => {
            let more = count(line[end..].chars().count(), "more character");
            format!("{}… {more}", &line[..end]).into()
        }
    }
}

/// Milliseconds: `0.8 s`, `42 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn time(milliseconds: u64) -> String {
    humanize::took(Duration::from_millis(milliseconds))
}
