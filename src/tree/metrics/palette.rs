//! The colours of a chart, in the light and in the dark.
//!
//! Shapes carry the light colours as attributes, which every viewer knows. A
//! style sheet gives those who ask for the dark the other of each pair.

use plotters::style::RGBColor;
use std::fmt::Write;

/// A colour and what it is in the dark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    pub(super) light: RGBColor,
    dark: RGBColor,
}

const fn pair(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Colour {
    Colour {
        light: RGBColor(light.0, light.1, light.2),
        dark: RGBColor(dark.0, dark.1, dark.2),
    }
}

pub(super) const PAPER: Colour = pair((0xff, 0xff, 0xff), (0x0d, 0x11, 0x17));
pub(super) const INK: Colour = pair((0x1f, 0x23, 0x28), (0xf0, 0xf3, 0xf6));
pub(super) const FAINT: Colour = pair((0x59, 0x63, 0x6e), (0x9d, 0xa7, 0xb1));
pub(super) const GRID: Colour = pair((0xdf, 0xe3, 0xe8), (0x2b, 0x31, 0x39));

pub(super) const CPU: Colour = pair((0x1f, 0x6f, 0xeb), (0x58, 0xa6, 0xff));
pub(super) const MEMORY: Colour = pair((0x8a, 0x4f, 0xdd), (0xbc, 0x8c, 0xff));
pub(super) const DISK: Colour = pair((0x0b, 0x85, 0x7a), (0x2f, 0xcb, 0xb6));

const GOOD: Colour = pair((0x1a, 0x7f, 0x37), (0x3f, 0xb9, 0x50));
const BAD: Colour = pair((0xcf, 0x22, 0x2e), (0xf8, 0x51, 0x49));
const LATE: Colour = pair((0xbc, 0x6c, 0x00), (0xe3, 0xa0, 0x2c));
const ENDED: Colour = pair((0x6e, 0x77, 0x81), (0x8b, 0x94, 0x9e));
const LIVE: Colour = pair((0x09, 0x69, 0xda), (0x4c, 0x9d, 0xf5));

const ALL: [Colour; 12] = [
    PAPER, INK, FAINT, GRID, CPU, MEMORY, DISK, GOOD, BAD, LATE, ENDED, LIVE,
];

/// The colour of a run's status.
pub(super) fn of_status(status: &str) -> Colour {
    match status {
        "completed" => GOOD,
        "failed" => BAD,
        "timeout" => LATE,
        "cancelled" => ENDED,
        _ => LIVE,
    }
}

/// The style sheet. It finds shapes by the colours they carry, as plotters
/// writes them.
pub(super) fn style() -> String {
    let hex = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    let mut style = String::from("@media (prefers-color-scheme: dark) {\n");
    for colour in ALL {
        let (light, dark) = (hex(colour.light), hex(colour.dark));
        // Writing to a String cannot fail.
        let _ = writeln!(
            style,
            "[fill=\"{light}\"] {{ fill: {dark} }} [stroke=\"{light}\"] {{ stroke: {dark} }}"
        );
    }
    style.push('}');
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_colour_has_one_dark_one() {
        for (n, colour) in ALL.iter().enumerate() {
            let mut others = ALL[..n].iter();
            assert!(others.all(|other| other.light != colour.light));
        }
        assert_eq!(style().lines().count(), ALL.len() + 2);
    }
}
