//! Tables and rows: orders, prices, product texts, alerts.

use super::dice::Dice;
use serde_json::json;
use std::fmt::Write as _;

const REGIONS: [&str; 5] = ["North", "South", "East", "West", "Online"];
const PRODUCTS: [(&str, u64); 8] = [
    ("Walnut desk", 64_900),
    ("Oak shelf", 18_900),
    ("Reading lamp", 7_450),
    ("Linen curtain", 5_995),
    ("Office chair", 32_900),
    ("Wool rug", 24_500),
    ("Ceramic vase", 3_950),
    ("Wall clock", 4_990),
];

/// Orders of a furniture shop as CSV; raw ones have what needs cleaning:
/// repeated rows, gaps, two ways to write a date.
pub(super) fn orders(rows: u64, raw: bool) -> String {
    let mut dice = Dice::new(11);
    let mut csv = String::from("order_id,date,region,product,quantity,unit_price,total\n");
    for row in 0..rows {
        let (product, cents) = dice.pick(&PRODUCTS);
        let quantity = 1 + dice.below(6);
        let (month, day) = (1 + row * 12 / rows, 1 + dice.below(28));
        let mut region = dice.pick(&REGIONS);
        let mut date = format!("2025-{month:02}-{day:02}");
        let flaw = dice.below(12);
        if raw && flaw == 0 {
            region = "";
        } else if raw && flaw == 1 {
            date = format!("{day}.{month}.2025");
        }
        let line = format!(
            "{},{date},{region},{product},{quantity},{},{}",
            48_000 + row,
            euros(cents),
            euros(cents * quantity)
        );
        let _ = writeln!(csv, "{line}");
        if raw && flaw == 2 {
            let _ = writeln!(csv, "{line}");
        }
    }
    csv
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

const SEGMENTS: [&str; 5] = ["desks", "chairs", "lighting", "textiles", "storage"];

/// Units, prices and shares of each segment and week as CSV.
pub(super) fn prices(weeks: u64) -> String {
    let mut dice = Dice::new(7);
    let mut csv = String::from("week,segment,units,average_price_eur,share_percent\n");
    for week in 1..=weeks {
        for segment in SEGMENTS {
            let (units, price, share) = (
                900 + dice.below(4_000),
                40 + dice.below(300),
                4 + dice.below(28),
            );
            let _ = writeln!(
                csv,
                "2025-W{:02},{segment},{units},{price}.{:02},{share}.{}",
                30 + week,
                dice.below(100),
                dice.below(10)
            );
        }
    }
    csv
}

const ADJECTIVES: [&str; 6] = [
    "solid",
    "light",
    "hand-made",
    "foldable",
    "large",
    "compact",
];
const NOUNS: [&str; 8] = [
    "desk", "shelf", "lamp", "curtain", "chair", "rug", "vase", "clock",
];
const MATERIALS: [&str; 6] = ["oak", "walnut", "linen", "wool", "steel", "ceramic"];

/// Product texts in one file.
const TEXTS: u64 = 250;

/// Product texts from the one of number `first`, a row of JSON each.
pub(super) fn texts(first: u64) -> String {
    let mut dice = Dice::new(3);
    let mut text = |id: u64| {
        let (adjective, noun) = (dice.pick(&ADJECTIVES), dice.pick(&NOUNS));
        let material = dice.pick(&MATERIALS);
        let text = format!("A {adjective} {noun} in {material}, made to last.");
        format!("{}\n", json!({"id": id, "lang": "en", "text": text}))
    };
    // The numbers of each row follow from those of all rows before it.
    let rows = (0..first + TEXTS).map(&mut text);
    rows.skip(first as usize).collect()
}

const REASONS: [&str; 3] = [
    "postcode_mismatch",
    "total_over_limit",
    "repeated_card_failure",
];

/// Orders that were flagged, a row of JSON each.
pub(super) fn alerts() -> String {
    let mut dice = Dice::new(5);
    let rows = (0..120).map(|order| {
        let reason = dice.pick(&REASONS);
        let total = 20 + dice.below(6_000);
        let row = json!({"order": 47_900 + order * 3, "reason": reason, "total_eur": total});
        format!("{row}\n")
    });
    rows.collect()
}
