//! `metrics.svg`: CPU, memory and disk over time, one above the other.

use super::{
    axis::{Axis, amount, clock, length},
    palette::{self, CPU, Colour, DISK, INK, MEMORY, PAPER},
    series::{Figures, Sample, lines},
    svg::{Place, Shapes},
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

impl Caption {
    fn title(&self) -> String {
        let run: String = self.run.chars().take(8).collect();
        let agent = self.agent.as_deref().unwrap_or("run");
        format!("{agent} · {run} · {}", self.status)
    }
}

/// A series, its name, colour and figures.
struct Panel {
    name: &'static str,
    colour: Colour,
    /// Its place among a sample's values.
    value: usize,
    total: Option<f64>,
    figures: Option<Figures>,
}

impl Panel {
    fn all(samples: &[Sample]) -> [Self; 3] {
        let panel = |name, colour, value: usize, total: Option<usize>| Self {
            name,
            colour,
            value,
            total: total.and_then(|n| samples.iter().rev().find_map(|each| each.values[n])),
            figures: Figures::of(samples.iter().map(|each| each.values[value])),
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
        let highest = self.figures.as_ref().map_or(0.0, |figures| figures.highest);
        if self.is_percent() {
            Axis::percent(highest)
        } else {
            Axis::megabytes(highest, self.total)
        }
    }

    fn summary(&self) -> String {
        let Some(Figures { average, highest }) = self.figures else {
            return "not recorded".into();
        };
        let show = |value: f64| match self.is_percent() {
            true => format!("{value:.0} %"),
            false => amount(value),
        };
        let of = self.total.map(|total| format!(" of {}", amount(total)));
        format!(
            "average {} · max {}{}",
            show(average),
            show(highest),
            of.unwrap_or_default()
        )
    }
}

/// Draws the chart of a run. `samples` are those with a time; `is_empty` tells whether
/// the run has no samples at all.
pub(super) fn draw(caption: &Caption, samples: &[Sample], is_empty: bool) -> String {
    let mut shapes = Shapes::default();
    let panels = Panel::all(samples);
    shapes.rectangle(SIZE, PAPER);
    draw_title(&mut shapes, caption);
    if let [first, .., last] | [first @ last] = samples {
        let when = period(first.at, last.at, samples.len());
        shapes.text(&when, (MARGIN, 72.0), "start", SMALL);
        let times = Axis::time(first.at, last.at);
        let mut top = PANELS;
        for panel in &panels {
            draw_panel(&mut shapes, panel, top, samples, &times);
            top += PITCH;
        }
        draw_times(&mut shapes, &times, top - PITCH + HEADING + PLOT);
    } else {
        let middle = (SIZE.0 / 2.0, SIZE.1 / 2.0);
        let says = match (is_empty, caption.has_ended) {
            (true, true) => "No metrics were recorded for this run",
            (true, false) => "No metrics yet",
            _ => "No sample has a time that can be read: see metrics.csv",
        };
        shapes.text(says, middle, "middle", NAME);
    }
    let agent = caption.agent.as_deref().unwrap_or("unknown");
    let title = format!("Run {} of agent {agent}: {}", caption.run, caption.status);
    let figures = panels.map(|panel| format!("{}: {}", panel.name, panel.summary()));
    let description = match samples.is_empty() {
        false => figures.join("; "),
        true => "No metrics".into(),
    };
    shapes.document(SIZE, &title, &description, &palette::style())
}

/// First and last time, the time between them, and the number of samples.
fn period(first: f64, last: f64, samples: usize) -> String {
    let day = "%Y-%m-%d";
    let (from, to) = (clock(first, day), clock(last, day));
    let to = if from == to { String::new() } else { to + " " };
    format!(
        "{from} {} – {to}{} UTC · {} · {}",
        clock(first, "%H:%M:%S"),
        clock(last, "%H:%M:%S"),
        length(last - first),
        count(samples, "sample"),
    )
}

/// The title, in a smaller font if it is long, and a band in the colour of the status,
/// which shows also in thumbnails.
fn draw_title(shapes: &mut Shapes, caption: &Caption) {
    shapes.rectangle((SIZE.0, 8.0), palette::of_status(&caption.status));
    let title = caption.title();
    // Rough widths of bold letters, in units of the font size.
    let width = |c: char| if c.is_ascii() { 0.62 } else { 1.0 };
    let width: f64 = title.chars().map(width).sum();
    let size = TITLE.min((SIZE.0 - 2.0 * MARGIN) / width);
    shapes.heading(&title, (MARGIN, 40.0), size, INK);
}

/// A heading with the figures, and the plot below it.
fn draw_panel(shapes: &mut Shapes, panel: &Panel, top: f64, samples: &[Sample], times: &Axis) {
    let (heading, floor) = (top + HEADING / 2.0, top + HEADING + PLOT);
    shapes.heading(panel.name, (LEFT, heading), NAME, panel.colour);
    let summary = panel.summary();
    shapes.text(&summary, (RIGHT, heading), "end", SMALL);
    let values = panel.axis();
    let x = |at: f64| times.place(at, LEFT, RIGHT);
    let y = |value: f64| values.place(value, floor, floor - PLOT);
    for (at, _) in &times.marks {
        shapes.rule((x(*at), floor - PLOT), (x(*at), floor));
    }
    for (value, name) in &values.marks {
        shapes.rule((LEFT, y(*value)), (RIGHT, y(*value)));
        let place = (LEFT - 12.0, y(*value));
        shapes.text(name, place, "end", SMALL);
    }
    if let Some(total) = panel.total.filter(|total| *total <= values.to) {
        let ends = [(LEFT, y(total)), (RIGHT, y(total))];
        shapes.line(&ends, panel.colour, 0.5);
    }
    let points = samples
        .iter()
        .map(|each| (each.at, each.values[panel.value]));
    let column = (times.to - times.from) / COLUMNS;
    for line in lines(points, times.from, column) {
        let line: Vec<Place> = line.iter().map(|(at, value)| (x(*at), y(*value))).collect();
        if let [point] = line[..] {
            shapes.dot(point, panel.colour);
        } else {
            shapes.area(&line, floor, panel.colour);
            shapes.line(&line, panel.colour, 1.0);
        }
    }
}

/// The names of the times, which all panels share, below the last one's `floor`.
fn draw_times(shapes: &mut Shapes, times: &Axis, floor: f64) {
    let y = floor + 25.0;
    shapes.text("UTC", (LEFT - 12.0, y), "end", SMALL);
    for (at, name) in &times.marks {
        let x = times.place(*at, LEFT, RIGHT);
        shapes.text(name, (x, y), "middle", SMALL);
    }
}
