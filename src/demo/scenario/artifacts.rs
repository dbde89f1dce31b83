//! The artifacts of the demo world: what the agents have made.

use super::{
    super::{
        archive::File,
        world::{Kind, World},
    },
    make::{Dice, bars, mark, orders},
    plans::stored_ago,
    volumes::{TOPICS, pretty, slug, storage},
};
use axum::body::Bytes;
use serde_json::json;
use std::fmt::Write as _;

pub(super) fn add(world: &mut World) {
    let weeks = REPORTS.iter().enumerate();
    let weeks = weeks.map(|(index, report)| (report.0, reports(index + 1)));
    made(
        world,
        "research-reports",
        "research-analyst",
        weeks.collect(),
    );
    let messages = [
        "First half, cleaned",
        "Whole year, cleaned",
        "Regions filled in from postcodes",
    ];
    let clean = messages.into_iter().zip(CLEANED.map(clean_sales)).collect();
    made(world, "clean-sales", "data-cleaner", clean);
    let sites = vec![
        ("Build 41", site(8)),
        ("Build 42: search and dark mode", site(30)),
    ];
    made(world, "docs-site", "site-builder", sites);
    let notes = (1..=3).map(|count| ("", reviews(count)));
    made(world, "review-notes", "code-reviewer", notes.collect());
    let vectors = vec![
        ("64 dimensions", embeddings(64)),
        ("128 dimensions, both languages", embeddings(128)),
    ];
    made(world, "embeddings", "model-trainer", vectors);
    made(world, "order-alerts", "order-watcher", vec![("", alerts())]);
    let author = "changelog-writer";
    let notes = ["1.1", "1.2", "1.3"].into_iter().zip(1..);
    let notes = notes.map(|(release, count)| (release, release_notes(count)));
    made(world, "release-notes", author, notes.collect());
    // A run that had nothing to change stores a version without files.
    made(
        world,
        "dry-run",
        author,
        vec![("Nothing to change", Vec::new())],
    );
}

/// Adds an artifact whose versions were stored at the end of their runs.
fn made(world: &mut World, name: &'static str, agent: &str, versions: Vec<(&str, Vec<File>)>) {
    let author = format!("agent:{agent}");
    let versions = versions.into_iter().enumerate();
    let versions = versions.map(|(index, (message, files))| {
        (stored_ago(name, index), message, author.as_str(), files)
    });
    storage(world, Kind::Artifact, name, versions.collect());
}

/// Message of the version, title, finding, chart.
pub(super) const REPORTS: [(&str, &str, &str, [u32; 8]); 4] = [
    (
        "Week 44",
        "Desks recover, lighting waits for winter",
        "Units of desks rose for the third week; lighting is flat, as in each October.",
        [38, 44, 61, 57, 72, 80, 76, 91],
    ),
    (
        "Week 45",
        "Textiles lead, prices hold",
        "Textiles took two points of share from storage without a cut in price.",
        [41, 47, 58, 63, 70, 77, 82, 88],
    ),
    (
        "Week 46",
        "Chairs: demand outruns supply",
        "Delivery times for chairs passed four weeks; two rivals raised prices by 6 %.",
        [52, 55, 61, 66, 74, 83, 92, 97],
    ),
    (
        "Week 47",
        "Early winter business",
        "Lighting grew by 31 % within two weeks, most of it online.",
        [30, 33, 37, 46, 58, 71, 85, 99],
    ),
];

fn reports(count: usize) -> Vec<File> {
    let mut files = Vec::new();
    let mut index = String::from("# Weekly market reports\n\n");
    for (week, title, finding, chart) in &REPORTS[..count] {
        let name = slug(week);
        let _ = writeln!(index, "- [{week}: {title}]({name}/report.md)");
        let text = format!(
            "# {week}: {title}\n\n## Summary\n\n{finding}\n\n![Units by week](units.png)\n\n\
             ## Figures\n\n| segment | units | against last week |\n|---|---:|---:|\n\
             | desks | {} | +{} % |\n| chairs | {} | +{} % |\n| lighting | {} | +{} % |\n\n\
             ## Method\n\nAssociation bulletin and own orders, weighted by confidence. The household \
             panel is six weeks behind and was used for shares only.\n\n\
             ## Open questions\n\n- Does the growth in lighting come from new customers?\n\
             - Are returns of chairs rising with delivery times?\n",
            chart[7] * 41,
            chart[7] - chart[6],
            chart[6] * 37,
            chart[6] / 9,
            chart[5] * 52,
            chart[5] / 7,
        );
        files.push(File::new(format!("{name}/report.md"), text));
        files.push(File::new(format!("{name}/units.png"), bars(chart)));
        files.push(File::new(
            format!("{name}/figures.json"),
            pretty(&json!({"week": week, "index": chart, "finding": finding})),
        ));
    }
    files.push(File::new("README.md", index));
    // As `ln -s` makes them: one to a file, one to a folder.
    let newest = slug(REPORTS[count - 1].0);
    files.push(File::symlink("newest", newest.clone()));
    files.push(File::symlink("newest.md", format!("{newest}/report.md")));
    files
}

/// Orders in each version of the cleaned sales.
pub(super) const CLEANED: [u64; 3] = [560, 1_260, 1_310];

fn clean_sales(rows: u64) -> Vec<File> {
    let report = json!({"rows_in": rows + rows / 9, "rows_out": rows, "duplicates_removed": rows / 12, "dates_rewritten": rows / 14, "regions_missing": rows / 40});
    vec![
        File::new("orders.csv", orders(rows, 11, false)),
        File::new("by-region/summary.csv", "region,orders,total_eur\nNorth,262,118204.50\nSouth,241,99310.05\nEast,230,90455.20\nWest,268,121876.90\nOnline,259,117034.35\n"),
        File::new("cleaning-report.json", pretty(&report)),
        File::hard_link("by-region/all.csv", "orders.csv"),
        File::new("clean.py", "#!/usr/bin/env python3\n\"\"\"Cleans an export: one row an order, ISO dates, known regions.\"\"\"\n\nimport csv\nimport sys\n\nseen = set()\nwriter = csv.writer(sys.stdout)\nfor row in csv.reader(sys.stdin):\n    if row[0] not in seen:\n        seen.add(row[0])\n        writer.writerow(row)\n").executable(),
    ]
}

/// The built website: `sections` pages for each topic, and what they share.
fn site(sections: usize) -> Vec<File> {
    let mut files = Vec::new();
    let mut index = Vec::new();
    for topic in TOPICS {
        let folder = slug(topic);
        for section in 1..=sections {
            let title = format!("{topic}, part {section}");
            let path = format!("{folder}/{section:02}.html");
            let body = format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <title>{title} · Shop manual</title>\n\
                 <link rel=\"stylesheet\" href=\"../assets/site.css\">\n\
                 <script src=\"../assets/search.js\" defer></script>\n</head>\n<body>\n\
                 <nav><a href=\"../index.html\">Shop manual</a> › {topic}</nav>\n\
                 <main>\n<h1>{title}</h1>\n<p>What a manager needs to know about {}, \
                 with an example from day to day.</p>\n<ol>\n<li>Open <b>Settings</b>.</li>\n\
                 <li>Choose <b>{topic}</b>.</li>\n<li>Save; the change is live within a minute.</li>\n\
                 </ol>\n<p><a href=\"{:02}.html\">Next</a></p>\n</main>\n</body>\n</html>\n",
                topic.to_lowercase(),
                section % sections + 1,
            );
            index.push(json!({"title": title, "url": path}));
            files.push(File::new(path, body));
        }
    }
    let links: String = TOPICS.iter().fold(String::new(), |mut links, topic| {
        let _ = writeln!(
            links,
            "<li><a href=\"{}/01.html\">{topic}</a></li>",
            slug(topic)
        );
        links
    });
    files.push(File::new("index.html", format!("<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Shop manual</title>\n<link rel=\"stylesheet\" href=\"assets/site.css\">\n<h1>Shop manual</h1>\n<ul>\n{links}</ul>\n</html>\n")));
    files.push(File::new("assets/site.css", ":root { --ink: #1d2a35; --paper: #f4efe6; }\n@media (prefers-color-scheme: dark) { :root { --ink: #e8e4da; --paper: #14191e; } }\nbody { font: 17px/1.6 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 42rem; padding: 2rem; }\nnav { font-size: .85em; }\n"));
    files.push(File::new("assets/search.js", "const pages = await (await fetch(new URL('search-index.json', import.meta.url))).json();\nexport const find = words => pages.filter(page => page.title.toLowerCase().includes(words.toLowerCase()));\n"));
    files.push(File::new("assets/search-index.json", pretty(&json!(index))));
    files.push(File::new("assets/logo.png", mark(128, 214)));
    // For what an editor has not finished yet.
    files.push(File::folder("drafts"));
    files
}

fn reviews(count: usize) -> Vec<File> {
    const NOTES: [(&str, &str); 3] = [
        (
            "2025-refund-float",
            "**Must fix.** `partial` computes with floats: `0.05 * 0.5` gives 0.025, which rounds to 0.03 or 0.02 depending on the platform's mood.\n\n```python\nassert partial(0.05, 0.5) == 0.03  # fails\n```\n\nSuggestion: integers of cents, or `Decimal` with `ROUND_HALF_UP`.",
        ),
        (
            "2025-ledger",
            "**Looks good.** The ledger is append-only and easy to test. Small things:\n\n- `balance` is linear; fine for now, note it in the docstring.\n- `entries` could be private.",
        ),
        (
            "2025-idempotency",
            "**Question.** `seen` lives as long as the process. After a restart the same key acts again: is that meant? If not, keep the keys where the ledger is.",
        ),
    ];
    let mut files: Vec<File> = NOTES[..count]
        .iter()
        .map(|(name, text)| {
            File::new(
                format!("reviews/{name}.md"),
                format!("# Review: {name}\n\n{text}\n"),
            )
        })
        .collect();
    files.push(File::new("test-results.xml", format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\"/>\n", count * 14, count % 2)));
    if count > 1 {
        files.push(File::new("patches/0001-Compute-refunds-in-cents.patch", "--- a/payments/refund.py\n+++ b/payments/refund.py\n@@ -7,2 +7,3 @@\n-    return round(amount * share, 2)\n+    cents = int(amount * 100 * share)\n+    return cents / 100\n"));
    }
    files
}

fn alerts() -> Vec<File> {
    let mut dice = Dice::new(5);
    let mut lines = String::new();
    for order in 0..120 {
        let reason = dice.pick(&[
            "postcode_mismatch",
            "total_over_limit",
            "repeated_card_failure",
        ]);
        let row = json!({"order": 47_900 + order * 3, "reason": reason, "total_eur": 20 + dice.below(6_000)});
        let _ = writeln!(lines, "{row}");
    }
    vec![
        File::new("alerts.jsonl", lines),
        File::new(
            "handover.md",
            "# Handover\n\nThree reasons cover all flags of this week. Postcode mismatches are mostly typing errors: call, do not cancel.\n",
        ),
    ]
}

fn release_notes(count: usize) -> Vec<File> {
    const NOTES: [(&str, &str); 3] = [
        (
            "1.1.0",
            "- Refunds can be partial\n- Card numbers are masked in logs",
        ),
        (
            "1.2.0",
            "- Requests with the same key act once\n- Python 3.12 is needed",
        ),
        (
            "1.3.0",
            "- Half a cent is rounded up, always\n- The ledger no longer accepts zero amounts",
        ),
    ];
    let mut text = String::from("# Changelog\n");
    let mut files = Vec::new();
    for (version, changes) in NOTES[..count].iter().rev() {
        let _ = write!(text, "\n## {version}\n\n{changes}\n");
        files.push(File::new(
            format!("releases/v{version}.md"),
            format!("# {version}\n\n{changes}\n"),
        ));
    }
    files.push(File::new("CHANGELOG.md", text));
    files
}

/// Bytes of one block of the vectors' file.
const BLOCK: usize = 256 << 10;

/// SHA-256 of the vectors' file with 64 and with 128 dimensions, so that the
/// demo starts without hashing 192 MiB. A test holds them.
const VECTORS_64: &str = "0490eb150135a379edad123ed7801aa4ebb27ee1b454be5ee1f35bc6f8c90bc8";
const VECTORS_128: &str = "7fb67cddd6563c8a176a41cdbc2ec03959e3d4d227b63b03f19543d1ef5f5a1e";

/// A megabyte of vectors for each dimension: 64 MiB or 128 MiB, which exist
/// only while they are sent.
fn embeddings(dimensions: u64) -> Vec<File> {
    let mut dice = Dice::new(dimensions);
    let distinct: Vec<Bytes> = (0..4)
        .map(|_| {
            let mut block = Vec::with_capacity(BLOCK);
            while block.len() < BLOCK {
                // Between -1 and 1, in steps that a half float would have.
                let value = dice.below(4_096) as f32 / 2_048.0 - 1.0;
                block.extend(value.to_le_bytes());
            }
            block.into()
        })
        .collect();
    let order = (0..dimensions * 4).map(|_| dice.below(4) as u32).collect();
    let known = if dimensions == 64 {
        VECTORS_64
    } else {
        VECTORS_128
    };
    let vectors = File::blocks("vectors.f32", distinct, order, from_hex(known));
    let meta = json!({"dimensions": dimensions, "count": 262_144, "type": "float32", "byte_order": "little", "normalised": false});
    let read = "import numpy\n\n\ndef load(path, dimensions):\n    return numpy.memmap(path, dtype=\"<f4\").reshape(-1, dimensions)\n";
    vec![
        File::new(
            "README.md",
            format!(
                "# Product embeddings\n\n262,144 vectors of {dimensions} dimensions, little-endian float32, row by row.\n\n```python\nvectors = numpy.memmap(\"vectors.f32\", dtype=\"<f4\").reshape(-1, {dimensions})\n```\n"
            ),
        ),
        File::new("meta.json", pretty(&meta)),
        vectors,
        File::new("tools/load.py", read),
    ]
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_known_hashes_are_true() {
        for dimensions in [64, 128] {
            let files = embeddings(dimensions);
            let mut hasher = Sha256::new();
            files[2].parts().for_each(|part| hasher.update(part));
            let hash: [u8; 32] = hasher.finalize().into();
            assert_eq!(files[2].size(), dimensions << 20);
            let hex = super::super::super::archive::hex(&hash);
            assert_eq!(files[2].sha256(), hash, "{dimensions}: {hex}");
        }
    }
}
