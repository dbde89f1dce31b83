//! The shapes of a chart, written as SVG. Places are in CSS pixels, rounded to a
//! quarter of one. Later shapes cover earlier ones.
//!
//! Nothing here measures text: no font is needed, and nothing depends on how wide
//! a text is.

use super::palette::{Colour, GRID};
use crate::text::escape_markup;

/// A place on the drawing: from the left, from the top.
pub(super) type Place = (f64, f64);

/// How a text is set: which end of it is at its place, and its weight.
pub(super) const BOLD: &str = r#"text-anchor="start" font-weight="bold""#;
pub(super) const START: &str = r#"text-anchor="start""#;
pub(super) const MIDDLE: &str = r#"text-anchor="middle""#;
pub(super) const END: &str = r#"text-anchor="end""#;

/// A rectangle from the top left corner on.
pub(super) fn rectangle((width, height): Place, (fill, _): Colour) -> String {
    format!("<rect width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>\n")
}

/// A text at a place, vertically centred.
pub(super) fn text(text: &str, (x, y): Place, set: &str, size: f64, (fill, _): Colour) -> String {
    let ([x, y, size], text) = ([x, y, size].map(fine), escape_markup(text));
    format!(
        "<text x=\"{x}\" y=\"{y}\" dy=\"0.5ex\" {set} \
         font-size=\"{size}\" fill=\"{fill}\">\n{text}\n</text>\n"
    )
}

/// A line of the grid.
pub(super) fn rule(from: Place, to: Place) -> String {
    let ([x1, y1, x2, y2], (stroke, _)) = ([from.0, from.1, to.0, to.1].map(fine), GRID);
    format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" stroke=\"{stroke}\"/>\n")
}

/// A line through points.
pub(super) fn line(points: &[Place], (stroke, _): Colour, opacity: f64) -> String {
    let points = joined(points);
    format!(
        "<polyline fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" opacity=\"{opacity}\" points=\"{points}\"/>\n"
    )
}

/// The area between a line through points, at least one, and the height `floor`.
pub(super) fn area(points: &[Place], floor: f64, (fill, _): Colour) -> String {
    let ends = [points[points.len() - 1].0, points[0].0].map(|x| (x, floor));
    let (line, ends) = (joined(points), joined(&ends));
    format!("<polygon fill=\"{fill}\" opacity=\"0.25\" points=\"{line} {ends}\"/>\n")
}

/// A point by itself.
pub(super) fn dot((x, y): Place, (fill, _): Colour) -> String {
    let (x, y) = (fine(x), fine(y));
    format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{fill}\"/>\n")
}

/// The document of this size. Screen readers read title and description.
pub(super) fn document(
    (width, height): Place,
    [title, description]: [&str; 2],
    css: &str,
    shapes: &str,
) -> String {
    let (title, description) = (escape_markup(title), escape_markup(description));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\" \
         stroke-linejoin=\"round\" stroke-linecap=\"round\">\n<title>{title}</title>\n\
         <desc>{description}</desc>\n<style>\n{css}\n</style>\n{shapes}</svg>\n"
    )
}

/// A length in pixels as it is written.
fn fine(length: f64) -> f64 {
    (length * 4.0).round() / 4.0
}

fn joined(points: &[Place]) -> String {
    let points = points.iter();
    let points = points.map(|&(x, y)| format!("{},{}", fine(x), fine(y)));
    points.collect::<Vec<_>>().join(" ")
}
