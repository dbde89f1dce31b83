//! Samples as numbers to draw, their figures, and their lines with few points.

use super::table::{COLUMNS, Row};
use jiff::Timestamp;
use std::borrow::Cow;

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

/// Average and maximum of a series.
#[derive(Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) average: f64,
    pub(super) highest: f64,
}

impl Figures {
    /// The figures of the values that are not missing; `None` without any.
    pub(super) fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let (mut count, mut sum, mut highest) = (0_u32, 0.0, 0.0_f64);
        for value in values.flatten() {
            count += 1;
            sum += value;
            highest = highest.max(value);
        }
        (count > 0).then(|| Self {
            average: sum / f64::from(count),
            highest,
        })
    }
}

/// A time and a value.
pub(super) type Point = (f64, f64);

/// The lowest and the highest point of a column of the chart.
struct Column {
    number: u64,
    /// Whether a gap before it can be seen.
    follows_gap: bool,
    lowest: Point,
    highest: Point,
}

impl Column {
    /// Both points, the earlier one first; one if they are the same.
    fn points(&self) -> impl Iterator<Item = Point> {
        let mut points = [self.lowest, self.highest];
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let is_one = points[0] == points[1];
        points.into_iter().skip(usize::from(is_one))
    }
}

/// The lines of a series of points, earliest first. A missing value breaks a line,
/// unless the gap is too small to be seen. A line has only the lowest and the highest
/// point of each column of `width` seconds, so peaks stay, and the chart of a day is
/// no larger than that of an hour.
pub(super) fn lines(
    points: impl Iterator<Item = (f64, Option<f64>)>,
    from: f64,
    width: f64,
) -> Vec<Vec<Point>> {
    let mut columns: Vec<Column> = Vec::new();
    let mut is_missing = false;
    for (at, value) in points {
        let Some(value) = value else {
            is_missing = true;
            continue;
        };
        let (point, number) = ((at, value), ((at - from) / width) as u64);
        match columns.last_mut() {
            Some(column) if column.number == number => {
                if value < column.lowest.1 {
                    column.lowest = point;
                }
                if value > column.highest.1 {
                    column.highest = point;
                }
            }
            last => {
                let is_far = last.is_some_and(|last| number > last.number + 1);
                columns.push(Column {
                    number,
                    follows_gap: is_missing && is_far,
                    lowest: point,
                    highest: point,
                });
            }
        }
        is_missing = false;
    }
    let lines = columns.chunk_by(|_, next| !next.follows_gap);
    lines
        .map(|line| line.iter().flat_map(Column::points).collect())
        .collect()
}
