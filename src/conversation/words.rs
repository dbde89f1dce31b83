//! Numbers as people read them, and text cut to what they read.

use std::borrow::Cow;

/// A count with its noun: `1 file`, `2 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
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

/// Bytes in decimal units, as mail programs name an attachment's: `15 kB`.
pub(super) fn bytes(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", (bytes + 500) / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Milliseconds: `0.8 s`, `42 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..10 => format!("{:.1} s", milliseconds as f64 / 1e3),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// US dollars, with as many digits as a small sum needs: `$0.42`, `$0.0031`.
pub(crate) fn dollars(sum: f64) -> String {
    match sum {
        _ if sum > 0.0 && sum < 0.095 => format!("${sum:.4}"),
        _ => format!("${sum:.2}"),
    }
}

/// Tokens: `950`, `12.3k`, `1.2M`.
pub(crate) fn tokens(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..999_950 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(bytes(15_400), "15 kB");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(2_340_000), "2.3 MB");
        assert_eq!(time(800), "0.8 s");
        assert_eq!(time(192_400), "3 min 12 s");
        assert_eq!(time(7_500_000), "2 h 5 min");
        assert_eq!(dollars(0.0031), "$0.0031");
        assert_eq!(dollars(0.421), "$0.42");
        assert_eq!(dollars(0.0), "$0.00");
        assert_eq!(tokens(950), "950");
        assert_eq!(tokens(12_345), "12.3k");
        assert_eq!(tokens(999_999), "1.0M");
        assert_eq!(count(1, "line"), "1 line");
    }
}
