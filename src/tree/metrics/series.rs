//! Samples as numbers to draw, their figures, and their lines with few points.

use super::table::{COLUMNS, Row};
use jiff::Timestamp;
use std::{borrow::Cow, mem};

/// Maximum plausible values: a thousand cores, a pebibyte. The chart leaves out larger
/// values and negative ones; the table has them.
const MOST_PERCENT: f64 = 100_000.0;
const MOST_MB: f64 = (1u64 << 30) as f64;

/// A sample with a time.
pub(super) struct Sample {
    /// Seconds since 1970.
    pub(super) at: f64,
    /// The values of the other columns: percent of a CPU, and MB.
    pub(super) values: [Option<f64>; COLUMNS.len() - 1],
}

/// The number of a cell, if it is plausible.
fn number(cell: Option<Cow<'_, str>>, most: f64) -> Option<f64> {
    let value = cell?.parse().ok()?;
    (0.0..=most).contains(&value).then_some(value)
}

/// The rows with a time, earliest first.
pub(super) fn samples<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<Sample> {
    let sample = |[at, cpu, sizes @ ..]: Row<'a>| {
        let at: Timestamp = at?.parse().ok()?;
        let [used, total, disk_used, disk_total] = sizes.map(|cell| number(cell, MOST_MB));
        Some(Sample {
            at: at.as_millisecond() as f64 / 1_000.0,
            values: [
                number(cpu, MOST_PERCENT),
                used,
                total,
                disk_used,
                disk_total,
            ],
        })
    };
    let mut samples: Vec<Sample> = rows.filter_map(sample).collect();
    samples.sort_by(|a, b| a.at.total_cmp(&b.at));
    samples
}

/// A time and a value.
pub(super) type Point = (f64, f64);

/// The lines of a series of points, earliest first. A missing value breaks a line,
/// unless the gap is too small to be seen. A line has only the lowest and the highest
/// point of each column of `width` seconds, so peaks stay, and the chart of a day is
/// no larger than that of an hour.
pub(super) fn lines(
    points: impl Iterator<Item = (f64, Option<f64>)>,
    from: f64,
    width: f64,
) -> Vec<Vec<Point>> {
    let mut is_missing = false;
    // Each with its column, and whether a value is missing before it.
    let points = points.filter_map(|(at, value)| {
        let follows_missing = mem::replace(&mut is_missing, value.is_none());
        let column = ((at - from) / width) as u64;
        Some((column, follows_missing, (at, value?)))
    });
    let points: Vec<(u64, bool, Point)> = points.collect();
    let mut lines: Vec<Vec<Point>> = Vec::new();
    let mut last = 0;
    for column in points.chunk_by(|a, b| a.0 == b.0) {
        let (number, follows_missing, _) = column[0];
        if lines.is_empty() || follows_missing && number > last + 1 {
            lines.push(Vec::new());
        }
        last = number;
        let points = column.iter().map(|(.., point)| *point);
        let by_value = |a: &Point, b: &Point| a.1.total_cmp(&b.1);
        // The first of equal ones: in reverse, since `max_by` gives the last.
        let lowest = points.clone().min_by(by_value);
        let highest = points.rev().max_by(by_value);
        let mut ends: Vec<Point> = lowest.into_iter().chain(highest).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        ends.dedup();
        if let Some(line) = lines.last_mut() {
            line.extend(ends);
        }
    }
    lines
}
