//! The axes of a chart: their ends, and the values that they name.

use jiff::Timestamp;

/// Steps between the times that are named, in seconds.
const TIME_STEPS: [u32; 20] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, DAY,
    172_800, 604_800,
];
const DAY: u32 = 86_400;
/// Maximum number of named times, and the shortest time that an axis shows, in
/// seconds.
const TIMES: f64 = 7.0;
const SHORTEST: f64 = 10.0;
/// The share of the axis at its ends where the name of a time would stick out.
const EDGE: f64 = 0.05;
/// The approximate number of parts of an axis of values.
const PARTS: f64 = 4.0;
/// If this share of the total is used, the axis reaches up to the total.
const MUCH: f64 = 0.4;
/// The units of memory, in MB. 1,024 of the service's "mb" make a "gb": sandboxes
/// have 4,096 or 20,480.
const UNITS: [(&str, f64); 3] = [("MB", 1.0), ("GB", 1_024.0), ("TB", 1_048_576.0)];

/// An axis: its ends, and the values that are named along it.
pub(super) struct Axis {
    /// Seconds since 1970, percent or MB.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Values and their names.
    pub(super) marks: Vec<(f64, String)>,
}

/// The largest unit that is not larger than the amount.
fn unit(megabytes: f64) -> (&'static str, f64) {
    let fits = |(_, size): &&(_, f64)| megabytes >= *size;
    *UNITS.iter().rev().find(fits).unwrap_or(&UNITS[0])
}

impl Axis {
    /// For percentages. The axis reaches at least 100, so that charts can be compared;
    /// several cores use more.
    pub(super) fn percent(highest: f64) -> Self {
        Self::up_to(highest.max(100.0), ("%", 1.0))
    }

    /// For megabytes.
    pub(super) fn megabytes(highest: f64, total: Option<f64>) -> Self {
        let shown = match total {
            Some(total) if highest >= MUCH * total => highest.max(total),
            _ => highest,
        };
        Self::up_to(shown, unit(shown))
    }

    fn up_to(highest: f64, (unit, per_unit): (&'static str, f64)) -> Self {
        let highest = (highest / per_unit).max(1.0);
        let about = highest / PARTS;
        let power = 10.0_f64.powf(about.log10().floor());
        let nice = [1.0, 2.0, 2.5, 5.0].map(|step| step * power);
        let step = nice.into_iter().find(|step| *step >= about);
        let step = step.unwrap_or(10.0 * power);
        let parts = (highest / step).ceil();
        let mark = |part| {
            let value = f64::from(part) * step;
            // A step has at most three digits behind the point; a sum of steps may
            // have more.
            let shown = (value * 1_000.0).round() / 1_000.0;
            (value * per_unit, format!("{shown} {unit}"))
        };
        Self {
            from: 0.0,
            to: parts * step * per_unit,
            marks: (0..=parts as u32).map(mark).collect(),
        }
    }

    /// For times, from the first to the last sample, but at least [`SHORTEST`].
    pub(super) fn time(first: f64, last: f64) -> Self {
        let widen = (SHORTEST - (last - first)).max(0.0) / 2.0;
        let (from, to) = (first - widen, last + widen);
        let span = to - from;
        let fits = |step: &f64| span / step <= TIMES;
        let mut steps = TIME_STEPS.into_iter().map(f64::from);
        // Beyond weeks, as many days as necessary.
        let days = f64::from(DAY) * (span / TIMES / f64::from(DAY)).ceil();
        let step = steps.find(fits).unwrap_or(days);
        let first = ((from + EDGE * span) / step).ceil() as i64;
        let last = ((to - EDGE * span) / step).floor() as i64;
        let format = match step {
            _ if step >= f64::from(DAY) => "%Y-%m-%d",
            _ if span > f64::from(DAY) => "%m-%d %H:%M",
            _ if step < 60.0 => "%H:%M:%S",
            _ => "%H:%M",
        };
        let times = (first..=last).map(|number| number as f64 * step);
        Self {
            from,
            to,
            marks: times.map(|at| (at, clock(at, format))).collect(),
        }
    }

    /// Where a value stands on an axis that is drawn between two places.
    pub(super) fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        from + (to - from) * (value - self.from) / (self.to - self.from)
    }
}

/// An amount of memory with two or three digits.
pub(super) fn amount(megabytes: f64) -> String {
    let (unit, size) = unit(megabytes);
    let value = megabytes / size;
    match value < 9.95 {
        true => format!("{} {unit}", (value * 10.0).round() / 10.0),
        false => format!("{value:.0} {unit}"),
    }
}

/// A time in UTC, in a format of `strftime`.
pub(super) fn clock(at: f64, format: &str) -> String {
    let at = Timestamp::from_millisecond((at * 1_000.0) as i64);
    at.map(|at| at.strftime(format).to_string())
        .unwrap_or_default()
}

/// A length of time in its two largest units: `45 s`, `12 min 5 s`, `1 d 2 h`.
pub(super) fn length(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (large, of, small, with) = match seconds {
        0..60 => (seconds, "s", 0, ""),
        60..3_600 => (seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => (seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => (seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    };
    match small {
        0 => format!("{large} {of}"),
        _ => format!("{large} {of} {small} {with}"),
    }
}
