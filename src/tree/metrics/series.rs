//! Samples as numbers to draw, their figures, and their lines with few points.

use super::table::Row;
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
    pub(super) cpu: Option<f64>,
    /// In MB, as are the others.
    pub(super) memory: Option<f64>,
    pub(super) memory_total: Option<f64>,
    pub(super) disk: Option<f64>,
    pub(super) disk_total: Option<f64>,
}

/// The number of a cell, if it is plausible.
fn number(cell: Option<Cow<'_, str>>, most: f64) -> Option<f64> {
    let value = cell?.parse().ok()?;
    (0.0..=most).contains(&value).then_some(value)
}

/// The rows with a time, earliest first.
pub(super) fn samples<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<Sample> {
    let sample = |[at, cpu, memory, memory_total, disk, disk_total]: Row<'a>| {
        let at: Timestamp = at?.parse().ok()?;
        Some(Sample {
            at: at.as_millisecond() as f64 / 1_000.0,
            cpu: number(cpu, MOST_PERCENT),
            memory: number(memory, MOST_MB),
            memory_total: number(memory_total, MOST_MB),
            disk: number(disk, MOST_MB),
            disk_total: number(disk_total, MOST_MB),
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
    lowest: Point,
    highest: Point,
}

impl Column {
    fn push_to(self, line: &mut Vec<Point>) {
        let (a, b) = (self.lowest, self.highest);
        let (first, second) = if a.0 <= b.0 { (a, b) } else { (b, a) };
        line.push(first);
        if first != second {
            line.push(second);
        }
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
    let mut lines = Vec::new();
    let mut line = Vec::new();
    let mut current: Option<Column> = None;
    let mut is_missing = false;
    for (at, value) in points {
        let Some(value) = value else {
            is_missing = true;
            continue;
        };
        let point = (at, value);
        let number = ((at - from) / width) as u64;
        match &mut current {
            Some(column) if column.number == number => {
                if value < column.lowest.1 {
                    column.lowest = point;
                }
                if value > column.highest.1 {
                    column.highest = point;
                }
            }
            _ => {
                let column = Column {
                    number,
                    lowest: point,
                    highest: point,
                };
                if let Some(done) = current.replace(column) {
                    let is_far = number > done.number + 1;
                    done.push_to(&mut line);
                    if is_missing && is_far {
                        lines.push(std::mem::take(&mut line));
                    }
                }
            }
        }
        is_missing = false;
    }
    if let Some(last) = current {
        last.push_to(&mut line);
        lines.push(line);
    }
    lines
}
