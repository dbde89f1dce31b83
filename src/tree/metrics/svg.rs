//! The shapes of a chart, written as SVG. Places are in CSS pixels, rounded to a
//! quarter of one.
//!
//! Nothing here measures text: no font is needed, and nothing depends on how wide
//! a text is.

use super::palette::{Colour, FAINT, GRID};
use std::fmt::{Arguments, Write};

/// A place on the drawing: from the left, from the top.
pub(super) type Place = (f64, f64);

/// Shapes, of which later ones cover earlier ones.
#[derive(Default)]
pub(super) struct Shapes(String);

impl Shapes {
    fn push(&mut self, shape: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(shape);
        self.0.push('\n');
    }

    /// A rectangle from the top left corner on.
    pub(super) fn rectangle(&mut self, (width, height): Place, colour: Colour) {
        let fill = colour.light;
        self.push(format_args!(
            r#"<rect width="{width}" height="{height}" fill="{fill}"/>"#
        ));
    }

    /// A bold text that begins at a place, vertically centred.
    pub(super) fn heading(&mut self, text: &str, place: Place, size: f64, colour: Colour) {
        let style = r#"text-anchor="start" font-weight="bold""#;
        self.push_text(text, place, style, size, colour);
    }

    /// A faint text whose `anchor` ("start", "middle" or "end") is at a place, vertically
    /// centred.
    pub(super) fn text(&mut self, text: &str, place: Place, anchor: &str, size: f64) {
        let style = format!(r#"text-anchor="{anchor}""#);
        self.push_text(text, place, &style, size, FAINT);
    }

    fn push_text(&mut self, text: &str, (x, y): Place, style: &str, size: f64, colour: Colour) {
        let ([x, y, size], fill, text) = ([x, y, size].map(fine), colour.light, escape(text));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"0.5ex\" {style} \
             font-size=\"{size}\" fill=\"{fill}\">\n{text}\n</text>"
        ));
    }

    /// A line of the grid.
    pub(super) fn rule(&mut self, from: Place, to: Place) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(fine);
        let stroke = GRID.light;
        self.push(format_args!(
            r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{stroke}"/>"#
        ));
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[Place], colour: Colour, opacity: f64) {
        let (points, stroke) = (joined(points), colour.light);
        self.push(format_args!(
            r#"<polyline fill="none" stroke="{stroke}" stroke-width="2" opacity="{opacity}" points="{points}"/>"#
        ));
    }

    /// The area between a line through points and the height `floor`.
    pub(super) fn area(&mut self, points: &[Place], floor: f64, colour: Colour) {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let (line, ends) = (joined(points), joined(&[(last.0, floor), (first.0, floor)]));
        let fill = colour.light;
        self.push(format_args!(
            r#"<polygon fill="{fill}" opacity="0.25" points="{line} {ends}"/>"#
        ));
    }

    pub(super) fn dot(&mut self, (x, y): Place, colour: Colour) {
        let (x, y, fill) = (fine(x), fine(y), colour.light);
        self.push(format_args!(
            r#"<circle cx="{x}" cy="{y}" r="4" fill="{fill}"/>"#
        ));
    }

    /// The document of this size. Screen readers read title and description.
    pub(super) fn document(self, size: Place, title: &str, description: &str, css: &str) -> String {
        let ((width, height), shapes) = (size, self.0);
        let (title, description) = (escape(title), escape(description));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"sans-serif\" \
             stroke-linejoin=\"round\" stroke-linecap=\"round\">\n<title>{title}</title>\n\
             <desc>{description}</desc>\n<style>\n{css}\n</style>\n{shapes}</svg>\n"
        )
    }
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

/// Text as the content of an XML element.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;")
}
