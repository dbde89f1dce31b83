//! `metrics.svg`: CPU, memory and disk over time, one above the other.

use super::{
    axis::{Axis, amount, clock, length},
    palette::{self, CPU, Colour, DISK, FAINT, INK, MEMORY, PAPER},
    series::{Sample, lines},
    svg::{self, BOLD, END, MIDDLE, Place, START},
};
use crate::humanize::count;

/// The size of the chart, and of everything on it, in CSS pixels.
const SIZE: Place = (960.0, 640.0);
/// The number of columns into which points are gathered. One is 1.4 pixels wide, less
/// than a line.
const COLUMNS: f64 = 600.0;

/// The left and right end of all plots. The names of values stand to the left.
const LEFT: f64 = 88.0;
const RIGHT: f64 = SIZE.0 - 36.0;
/// Where title and period begin.
const MARGIN: f64 = 24.0;
/// Where the first panel begins, the distance of the panels, and the heights of their
/// heading and plot.
const PANELS: f64 = 90.0;
const PITCH: f64 = 172.0;
const HEADING: f64 = 32.0;
const PLOT: f64 = 124.0;

/// Sizes of text.
const TITLE: f64 = 28.0;
const NAME: f64 = 20.0;
const SMALL: f64 = 17.0;

/// What a chart says of its run. Each text is one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caption {
    pub(super) run: String,
    pub(super) agent: Option<String>,
    pub(super) status: String,
    pub(super) has_ended: bool,
}

/// A series, its name, colour and figures.
struct Panel {
    name: &'static str,
    colour: Colour,
    /// Its place among a sample's values.
    value: usize,
    total: Option<f64>,
    /// Average and maximum, where there is any value.
    figures: Option<(f64, f64)>,
}

impl Panel {
    fn all(samples: &[Sample]) -> [Self; 3] {
        let panel = |name, colour, value: usize, total: Option<usize>| {
            let values = samples.iter().filter_map(|each| each.values[value]);
            let values: Vec<f64> = values.collect();
            let average = values.iter().sum::<f64>() / values.len() as f64;
            let highest = values.iter().copied().fold(0.0, f64::max);
            Self {
                name,
                colour,
                value,
                total: total.and_then(|n| samples.iter().rev().find_map(|each| each.values[n])),
                figures: (!values.is_empty()).then_some((average, highest)),
            }
        };
        [
            panel("CPU", CPU, 0, None),
            panel("Memory", MEMORY, 1, Some(2)),
            panel("Disk", DISK, 3, Some(4)),
        ]
    }

    fn is_percent(&self) -> bool {
        self.colour == CPU
    }

    fn axis(&self) -> Axis {
        let highest = self.figures.map_or(0.0, |(_, highest)| highest);
        match self.is_percent() {
            true => Axis::percent(highest),
            false => Axis::megabytes(highest, self.total),
        }
    }

    fn summary(&self) -> String {
        let Some((average, highest)) = self.figures else {
            return "not recorded".into();
        };
        let show = |value: f64| match self.is_percent() {
            true => format!("{value:.0} %"),
            false => amount(value),
        };
        let of = self.total.map(|total| format!(" of {}", amount(total)));
        let (average, highest, of) = (show(average), show(highest), of.unwrap_or_default());
        format!("average {average} · max {highest}{of}")
    }
}

/// Draws the chart of a run. `samples` are those with a time; `is_empty` tells whether
/// the run has no samples at all.
pub(super) fn draw(caption: &Caption, samples: &[Sample], is_empty: bool) -> String {
    let panels = Panel::all(samples);
    let mut out = svg::rectangle(SIZE, PAPER) + &head(caption);
    if let [first, .., last] | [first @ last] = samples {
        let when = period(first.at, last.at, samples.len());
        out += &svg::text(&when, (MARGIN, 72.0), START, SMALL, FAINT);
        let times = Axis::time(first.at, last.at);
        let mut top = PANELS;
        for panel in &panels {
            out += &panel.draw(top, samples, &times);
            top += PITCH;
        }
        out += &names_of(&times, top - PITCH + HEADING + PLOT);
    } else {
        let middle = (SIZE.0 / 2.0, SIZE.1 / 2.0);
        let says = match (is_empty, caption.has_ended) {
            (true, true) => "No metrics were recorded for this run",
            (true, false) => "No metrics yet",
            _ => "No sample has a time that can be read: see metrics.csv",
        };
        out += &svg::text(says, middle, MIDDLE, NAME, FAINT);
    }
    let agent = caption.agent.as_deref().unwrap_or("unknown");
    let title = format!("Run {} of agent {agent}: {}", caption.run, caption.status);
    let figures = panels.map(|panel| format!("{}: {}", panel.name, panel.summary()));
    let description = match samples.is_empty() {
        false => figures.join("; "),
        true => "No metrics".into(),
    };
    svg::document(SIZE, [&title, &description], &palette::style(), &out)
}

/// First and last time, the time between them, and the number of samples.
fn period(first: f64, last: f64, samples: usize) -> String {
    let [from, to] = [first, last].map(|at| clock(at, "%Y-%m-%d"));
    let [start, end] = [first, last].map(|at| clock(at, "%H:%M:%S"));
    let to = if from == to { String::new() } else { to + " " };
    let (length, samples) = (length(last - first), count(samples, "sample"));
    format!("{from} {start} – {to}{end} UTC · {length} · {samples}")
}

/// The title, in a smaller font if it is long, and a band in the colour of the status,
/// which shows also in thumbnails.
fn head(caption: &Caption) -> String {
    let run: String = caption.run.chars().take(8).collect();
    let agent = caption.agent.as_deref().unwrap_or("run");
    let title = format!("{agent} · {run} · {}", caption.status);
    // Rough widths of bold letters, in units of the font size.
    let width = |c: char| if c.is_ascii() { 0.62 } else { 1.0 };
    let width: f64 = title.chars().map(width).sum();
    let size = TITLE.min((SIZE.0 - 2.0 * MARGIN) / width);
    svg::rectangle((SIZE.0, 8.0), palette::of_status(&caption.status))
        + &svg::text(&title, (MARGIN, 40.0), BOLD, size, INK)
}

impl Panel {
    /// A heading with the figures, and the plot below it.
    fn draw(&self, top: f64, samples: &[Sample], times: &Axis) -> String {
        let (heading, floor) = (top + HEADING / 2.0, top + HEADING + PLOT);
        let mut out = svg::text(self.name, (LEFT, heading), BOLD, NAME, self.colour);
        out += &svg::text(&self.summary(), (RIGHT, heading), END, SMALL, FAINT);
        let values = self.axis();
        let x = |at: f64| times.place(at, LEFT, RIGHT);
        let y = |value: f64| values.place(value, floor, floor - PLOT);
        for (at, _) in &times.marks {
            out += &svg::rule((x(*at), floor - PLOT), (x(*at), floor));
        }
        for (value, name) in &values.marks {
            out += &svg::rule((LEFT, y(*value)), (RIGHT, y(*value)));
            out += &svg::text(name, (LEFT - 12.0, y(*value)), END, SMALL, FAINT);
        }
        if let Some(total) = self.total.filter(|total| *total <= values.to) {
            out += &svg::line(&[(LEFT, y(total)), (RIGHT, y(total))], self.colour, 0.5);
        }
        let points = samples
            .iter()
            .map(|each| (each.at, each.values[self.value]));
        let column = (times.to - times.from) / COLUMNS;
        for line in lines(points, times.from, column) {
            let line: Vec<Place> = line.iter().map(|(at, value)| (x(*at), y(*value))).collect();
            if let [point] = line[..] {
                out += &svg::dot(point, self.colour);
            } else {
                out += &svg::area(&line, floor, self.colour);
                out += &svg::line(&line, self.colour, 1.0);
            }
        }
        out
    }
}

/// The names of the times, which all panels share, below the last one's `floor`.
fn names_of(times: &Axis, floor: f64) -> String {
    let y = floor + 25.0;
    let mut out = svg::text("UTC", (LEFT - 12.0, y), END, SMALL, FAINT);
    for (at, name) in &times.marks {
        let x = times.place(*at, LEFT, RIGHT);
        out += &svg::text(name, (x, y), MIDDLE, SMALL, FAINT);
    }
    out
}
