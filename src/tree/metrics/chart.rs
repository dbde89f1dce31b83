//! `metrics.svg`: CPU, memory and disk over time, one above the other.
//!
//! plotters' SVG backend knows whole numbers only, so it draws on a larger
//! canvas, which the document then shows at its size. It measures no text: no
//! font is needed, and nothing here depends on how wide a text is.

use super::{
    axis::{Axis, amount, clock, length},
    palette::{self, CPU, Colour, DISK, FAINT, GRID, INK, MEMORY, PAPER},
    series::{Figures, Sample, lines},
};
use crate::error::{Error, Result};
use plotters::{
    chart::{ChartBuilder, LabelAreaPosition},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Rectangle, Text},
    prelude::SVGBackend,
    series::AreaSeries,
    style::{
        Color, FontStyle, IntoFont, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// The size of the chart, and of everything on it, in CSS pixels.
const SIZE: (i32, i32) = (960, 640);
/// Units of the canvas in a pixel.
const FINE: i32 = 4;
/// The columns into which points are gathered: one is 1.4 pixels wide, less
/// than a line.
const COLUMNS: f64 = 600.0;

/// Margins at the left, which the names of values stand in, and at the right.
const LEFT: i32 = 88;
const RIGHT: i32 = 36;
/// Where the first panel begins, how far the next one is from it, and what of
/// it is its heading and its plot.
const PANELS: i32 = 90;
const PITCH: i32 = 172;
const HEADING: i32 = 32;
const PLOT: i32 = 124;
/// The room for the names of times below the last panel.
const TIMES: i32 = 44;
const LINE: i32 = 2;
const DOT: i32 = 4;

/// Sizes of text.
const TITLE: f64 = 28.0;
const NAME: f64 = 20.0;
const SMALL: f64 = 17.0;

/// What a chart says of its run: text that is fit for one line of XML once
/// the backend has escaped it.
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

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("drawing a chart: {error}"))
}

fn px(x: i32, y: i32) -> (i32, i32) {
    (x * FINE, y * FINE)
}

/// A series with all that is said of it.
struct Panel {
    name: &'static str,
    colour: Colour,
    values: fn(&Sample) -> Option<f64>,
    total: Option<f64>,
    figures: Option<Figures>,
}

impl Panel {
    fn all(samples: &[Sample]) -> [Self; 3] {
        let last = |total: fn(&Sample) -> Option<f64>| samples.iter().rev().find_map(total);
        let panel = |name, colour, values: fn(&Sample) -> Option<f64>, total| Self {
            name,
            colour,
            values,
            total,
            figures: Figures::of(samples.iter().map(values)),
        };
        [
            panel("CPU", CPU, |sample| sample.cpu, None),
            panel("Memory", MEMORY, |s| s.memory, last(|s| s.memory_total)),
            panel("Disk", DISK, |s| s.disk, last(|s| s.disk_total)),
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

/// Draws the chart of a run: of these samples, which are all those with a time;
/// whether there are no others either `is_empty` tells.
pub(super) fn draw(caption: &Caption, samples: &[Sample], is_empty: bool) -> Result<String> {
    let mut drawing = String::new();
    let (width, height) = px(SIZE.0, SIZE.1);
    let panels = Panel::all(samples);
    {
        let size = (width.unsigned_abs(), height.unsigned_abs());
        let canvas = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
        canvas.fill(&PAPER.light).map_err(failed)?;
        draw_title(&canvas, caption)?;
        if let [first, .., last] | [first @ last] = samples {
            let when = period(first.at, last.at, samples.len());
            text(&canvas, &when, (24, 72), SMALL, FAINT, HPos::Left)?;
            let times = Axis::time(first.at, last.at);
            for (number, panel) in panels.iter().enumerate() {
                draw_panel(&canvas, panel, number, samples, &times)?;
            }
        } else {
            let middle = (SIZE.0 / 2, SIZE.1 / 2);
            let says = match (is_empty, caption.has_ended) {
                (true, true) => "No metrics were recorded for this run",
                (true, false) => "No metrics yet",
                _ => "No sample has a time that can be read: see metrics.csv",
            };
            text(&canvas, says, middle, NAME, FAINT, HPos::Center)?;
        }
        canvas.present().map_err(failed)?;
    }
    document(caption, &panels, !samples.is_empty(), &drawing)
}

/// From when to when, for how long, and how many samples.
fn period(first: f64, last: f64, samples: usize) -> String {
    let day = "%Y-%m-%d";
    let (from, to) = (clock(first, day), clock(last, day));
    let to = if from == to { String::new() } else { to + " " };
    format!(
        "{from} {} – {to}{} UTC · {} · {samples} {}",
        clock(first, "%H:%M:%S"),
        clock(last, "%H:%M:%S"),
        length(last - first),
        if samples == 1 { "sample" } else { "samples" },
    )
}

fn font(size: f64, colour: Colour, at: HPos) -> TextStyle<'static> {
    // The backend divides sizes by this.
    let size = size * 1.24 * f64::from(FINE);
    ("sans-serif", size)
        .into_font()
        .color(&colour.light)
        .pos(Pos::new(at, VPos::Center))
}

fn text(
    canvas: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    size: f64,
    colour: Colour,
    anchor: HPos,
) -> Result<()> {
    let style = font(size, colour, anchor);
    let element = Text::new(text.to_owned(), px(at.0, at.1), style);
    canvas.draw(&element).map_err(failed)
}

fn bold(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: f64, colour: Colour) -> Result<()> {
    let mut style = font(size, colour, HPos::Left);
    style.font = style.font.style(FontStyle::Bold);
    let element = Text::new(text.to_owned(), px(at.0, at.1), style);
    canvas.draw(&element).map_err(failed)
}

/// The title, smaller where it is long, and a band of the status' colour, which
/// can be seen where no text can be read.
fn draw_title(canvas: &Canvas<'_>, caption: &Caption) -> Result<()> {
    let band = palette::of_status(&caption.status).light.filled();
    let band = Rectangle::new([px(0, 0), px(SIZE.0, 8)], band);
    canvas.draw(&band).map_err(failed)?;
    let title = caption.title();
    // Widths of bold letters, roughly, in the size of the font.
    let width: f64 = title
        .chars()
        .map(|c| if c.is_ascii() { 0.62 } else { 1.0 })
        .sum();
    let size = TITLE.min(f64::from(SIZE.0 - 48) / width);
    bold(canvas, &title, (24, 40), size, INK)
}

/// A heading with the figures, and the plot below it. The last panel also names
/// the times, which all of them share.
fn draw_panel(
    canvas: &Canvas<'_>,
    panel: &Panel,
    number: usize,
    samples: &[Sample],
    times: &Axis,
) -> Result<()> {
    let top = PANELS + PITCH * number as i32;
    let is_last = number == 2;
    let heading = top + HEADING / 2;
    let name = (LEFT, heading);
    bold(canvas, panel.name, name, NAME, panel.colour)?;
    let end = (SIZE.0 - RIGHT, heading);
    text(canvas, &panel.summary(), end, SMALL, FAINT, HPos::Right)?;
    let below = if is_last { TIMES } else { 0 };
    if is_last {
        let corner = (LEFT - 12, top + HEADING + PLOT + 25);
        text(canvas, "UTC", corner, SMALL, FAINT, HPos::Right)?;
    }
    let (width, height) = px(SIZE.0 - RIGHT, PLOT + below);
    let area = canvas.clone().shrink(px(0, top + HEADING), (width, height));
    let axis = panel.axis();
    let mut chart = ChartBuilder::on(&area)
        .set_label_area_size(LabelAreaPosition::Left, LEFT * FINE)
        .set_label_area_size(LabelAreaPosition::Bottom, below * FINE)
        .build_cartesian_2d(times.clone(), axis.clone())
        .map_err(failed)?;
    chart
        .configure_mesh()
        .bold_line_style(GRID.light.stroke_width(FINE.unsigned_abs()))
        .light_line_style(plotters::style::TRANSPARENT)
        .axis_style(plotters::style::TRANSPARENT)
        // None are drawn; names stand twice as far from their axis.
        .set_tick_mark_size(LabelAreaPosition::Left, 6 * FINE)
        .set_tick_mark_size(LabelAreaPosition::Bottom, 8 * FINE)
        .x_label_style(font(SMALL, FAINT, HPos::Center))
        .y_label_style(font(SMALL, FAINT, HPos::Right))
        .draw()
        .map_err(failed)?;
    let colour = panel.colour.light;
    if let Some(total) = panel.total.filter(|total| *total <= axis.to) {
        let line = colour.mix(0.5).stroke_width((LINE * FINE).unsigned_abs());
        let ends = [(times.from, total), (times.to, total)];
        chart
            .draw_series([PathElement::new(ends, line)])
            .map_err(failed)?;
    }
    let points = samples.iter().map(|each| (each.at, (panel.values)(each)));
    let column = (times.to - times.from) / COLUMNS;
    for line in lines(points, times.from, column) {
        if let [point] = line[..] {
            let dot = Circle::new(point, DOT * FINE, colour.filled());
            chart.draw_series([dot]).map_err(failed)?;
        } else {
            let border = colour.stroke_width((LINE * FINE).unsigned_abs());
            let area = AreaSeries::new(line, 0.0, colour.mix(0.25)).border_style(border);
            chart.draw_series(area).map_err(failed)?;
        }
    }
    Ok(())
}

/// The drawing with its size in pixels, its colours in the dark, and what is
/// read out of it to those who cannot see it.
fn document(
    caption: &Caption,
    panels: &[Panel],
    has_samples: bool,
    drawing: &str,
) -> Result<String> {
    let (_, shapes) = drawing
        .split_once(">\n")
        .ok_or_else(|| failed("no opening tag"))?;
    let agent = caption.agent.as_deref().unwrap_or("unknown");
    let title = format!("Run {} of agent {agent}: {}", caption.run, caption.status);
    let figures = panels
        .iter()
        .map(|panel| format!("{}: {}", panel.name, panel.summary()));
    let description = match has_samples {
        true => figures.collect::<Vec<_>>().join("; "),
        false => "No metrics".into(),
    };
    let (width, height) = SIZE;
    let (wide, high) = px(width, height);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {wide} {high}\" role=\"img\" stroke-linejoin=\"round\" \
         stroke-linecap=\"round\">\n<title>{}</title>\n<desc>{}</desc>\n<style>\n{}\n</style>\n{shapes}",
        escape(&title),
        escape(&description),
        palette::style(),
    ))
}

/// Text as the content of an XML element.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
