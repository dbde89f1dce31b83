//! Numbers as people read them: sizes, times, counts, sums of money, and tables of
//! these. What is for programs is written elsewhere, and exactly.

use crate::text::width;
use jiff::Timestamp;
use std::{
    fmt::{Display, Write},
    time::Duration,
};

/// Bytes: `17 B`, `1.5 MiB`, `20 GiB`. Binary units, as those of the cache's size.
pub fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        // What would be rounded up to 1024 is one of the next unit.
        if value >= 1023.5 {
            (value, unit) = (value / 1024.0, larger);
        }
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// Bytes in decimal units, as mail programs name an attachment's: `15 kB`.
pub fn decimal_size(bytes: usize) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", (bytes + 500) / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// Bytes a second: `1.5 MiB/s`.
pub fn rate(bytes: u64, took: Duration) -> String {
    let per_second = bytes as f64 / took.as_secs_f64().max(0.001);
    format!("{}/s", size(per_second as u64))
}

/// A length of time in its largest unit, rounded down: `3 s`, `5 min`, `2 h`, `4 d`.
/// For ages and waits.
pub fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long something took: `0.8 s`, `42 s`, `3 min 12 s`, `2 h 5 min`.
pub fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_millis() as f64 / 1e3),
        10..60 => format!("{seconds} s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

/// The time of day in UTC: `03:04:05`.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Date and time in UTC: `2026-01-02 03:04:05`.
pub fn date_and_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A count with its noun: `1 file`, `2 files`.
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// US dollars, with as many digits as a small sum needs: `$0.42`, `$0.0031`.
pub fn dollars(sum: f64) -> String {
    match sum {
        _ if sum > 0.0 && sum < 0.095 => format!("${sum:.4}"),
        _ => format!("${sum:.2}"),
    }
}

/// Tokens of a language model: `950`, `12.3k`, `1.2M`.
pub fn tokens(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..999_950 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// Where the cells of a table's column stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// For text.
    Left,
    /// For numbers.
    Right,
}

/// Cuts the cells of one column so that a row takes at most so many columns of a terminal,
/// but not below `least`.
pub fn fit<const N: usize>(
    rows: &mut [[String; N]],
    column: usize,
    most: usize,
    least: usize,
    cut: fn(&str, usize) -> String,
) {
    let others = (0..N).filter(|other| *other != column);
    let others: usize = others.map(|other| widest(rows, other) + 2).sum();
    let most = most.saturating_sub(others).max(least);
    for row in rows {
        row[column] = cut(&row[column], most);
    }
}

/// Columns of a terminal that the widest cell of a column takes.
pub fn widest<const N: usize>(rows: &[[String; N]], column: usize) -> usize {
    let widths = rows.iter().map(|row| width(&row[column]));
    widths.max().unwrap_or(0)
}

/// Rows in columns as wide as their widest cell, two spaces apart. A cell is text
/// without line breaks.
pub fn table<const N: usize>(rows: &[[String; N]], columns: [Align; N]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| widest(rows, column));
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, align), widest) in row.iter().zip(columns).zip(widths) {
            let space = " ".repeat(widest - width(cell));
            // Writing to a String cannot fail.
            let _ = match align {
                Align::Left => write!(line, "{cell}{space}  "),
                Align::Right => write!(line, "{space}{cell}  "),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (10 << 30, "10 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
        assert_eq!(decimal_size(15_400), "15 kB");
        assert_eq!(decimal_size(999), "999 B");
        assert_eq!(decimal_size(2_340_000), "2.3 MB");
        assert_eq!(rate(3 << 20, Duration::from_secs(2)), "1.5 MiB/s");
        assert_eq!(rate(1, Duration::ZERO), "1000 B/s");
    }

    #[test]
    fn ages_are_shown_in_one_unit() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_199, "1 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        assert_eq!(took(Duration::from_millis(800)), "0.8 s");
        assert_eq!(took(Duration::from_millis(192_400)), "3 min 12 s");
        assert_eq!(took(Duration::from_secs(60)), "1 min");
        assert_eq!(took(Duration::from_millis(7_500_000)), "2 h 5 min");
        let at = Timestamp::from_second(1_767_323_045).unwrap();
        assert_eq!(time_of_day(at), "03:04:05");
        assert_eq!(date_and_time(at), "2026-01-02 03:04:05");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(dollars(0.0031), "$0.0031");
        assert_eq!(dollars(0.421), "$0.42");
        assert_eq!(dollars(0.0), "$0.00");
        assert_eq!(tokens(950), "950");
        assert_eq!(tokens(12_345), "12.3k");
        assert_eq!(tokens(999_999), "1.0M");
        assert_eq!(count(1, "line"), "1 line");
        assert_eq!(count(0, "line"), "0 lines");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["é", "1", "x"], ["ab", "23", ""]].map(|row| row.map(str::to_owned));
        let text = table(&rows, [Align::Left, Align::Right, Align::Left]);
        assert_eq!(text, "é    1  x\nab  23\n");
        assert_eq!(table::<3>(&[], [Align::Left; 3]), "");
    }
}
