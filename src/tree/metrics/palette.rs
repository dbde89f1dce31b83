//! The colours of a chart, for light and for dark pages.
//!
//! Shapes have the light colours as attributes, which every viewer shows. A style
//! sheet replaces them by the dark ones if the user prefers a dark page.

use std::fmt::Write;

/// A colour, and the one for dark pages.
pub(super) type Colour = (&'static str, &'static str);

pub(super) const PAPER: Colour = ("#ffffff", "#0d1117");
pub(super) const INK: Colour = ("#1f2328", "#f0f3f6");
pub(super) const FAINT: Colour = ("#59636e", "#9da7b1");
pub(super) const GRID: Colour = ("#dfe3e8", "#2b3139");

pub(super) const CPU: Colour = ("#1f6feb", "#58a6ff");
pub(super) const MEMORY: Colour = ("#8a4fdd", "#bc8cff");
pub(super) const DISK: Colour = ("#0b857a", "#2fcbb6");

const GOOD: Colour = ("#1a7f37", "#3fb950");
const BAD: Colour = ("#cf222e", "#f85149");
const LATE: Colour = ("#bc6c00", "#e3a02c");
const ENDED: Colour = ("#6e7781", "#8b949e");
const LIVE: Colour = ("#0969da", "#4c9df5");

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

/// The style sheet. It selects shapes by their light colour.
pub(super) fn style() -> String {
    let mut style = String::from("@media (prefers-color-scheme: dark) {\n");
    for (light, dark) in ALL {
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
    fn no_two_colours_are_the_same_on_a_light_page() {
        for (n, colour) in ALL.iter().enumerate() {
            let mut others = ALL[..n].iter();
            assert!(others.all(|other| other.0 != colour.0));
        }
        assert_eq!(style().lines().count(), ALL.len() + 2);
    }
}
