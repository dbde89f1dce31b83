//! The stories of the demo's runs, and the words that each run adds to its own.

use super::{artifacts::REPORTS, plans::Plan};

macro_rules! stories {
    ($($name:ident = $($file:literal)+;)+) => {
        $(pub(super) const $name: &str =
            concat!($(include_str!(concat!("../stories/", $file, ".story"))),+);)+
    };
}

stories! {
    BUILD = "build";
    BUILD_FIRST = "build-first";
    CI = "ci";
    CLEAN = "clean";
    EVALUATE = "evaluate";
    FORECAST = "forecast";
    FORECAST_AGAIN = "forecast-again";
    GERMAN = "german";
    LINKS = "links";
    MERGE = "merge";
    NOTES = "notes";
    REGIONS = "regions";
    REPORT = "report";
    REPORT_LONG = "report-long";
    REVIEW = "review";
    SEGMENTS = "segments";
    SHRINK = "shrink";
    STYLE = "style";
    TESTS_ONLY = "tests-only";
    TRAIN = "train";
    TRAIN_FAILED = "train-failed";
    TWICE = "twice";
    TWICE_AGAIN = "twice-again";
    WATCH_WEEK = "watch-begin" "watch" "watch-end";
    WATCH_WEEKEND = "watch-begin" "watch" "watch-cancelled";
}

/// A run that has not begun has nothing to tell.
pub(super) const PENDING: &str = "";

/// What the review of each version of the payments service came to: the tests'
/// exit, what they printed, the note, the verdict.
const REVIEWS: [[&str; 4]; 3] = [
    [
        "!",
        "Exit code 1\n\u{1b}[32m.......\u{1b}[0m\u{1b}[31mF\u{1b}[0m\u{1b}[32m......\u{1b}[0m\n\u{1b}[31m\u{1b}[1m1 failed\u{1b}[0m, \u{1b}[32m13 passed\u{1b}[0m in 0.42s",
        "reviews/2025-refund-float.md",
        "**One thing must be fixed.** `partial` computes with floats, so half a cent is rounded up or down as the platform likes; one test fails because of it.",
    ],
    [
        "",
        "\u{1b}[32m............................\u{1b}[0m\n\u{1b}[32m28 passed\u{1b}[0m in 0.51s",
        "reviews/2025-ledger.md",
        "**The ledger looks good.** It is append-only and easy to test. `balance` is linear, which is fine for now; `entries` could be private. `partial` still cuts instead of rounding: see the patch.",
    ],
    [
        "!",
        "Exit code 1\n\u{1b}[32m..................\u{1b}[0m\u{1b}[31mF\u{1b}[0m\n\u{1b}[31m\u{1b}[1m1 failed\u{1b}[0m, \u{1b}[32m41 passed\u{1b}[0m in 0.63s",
        "reviews/2025-idempotency.md",
        "**The rounding is right now; one question is open.** `seen` lives as long as the process: after a restart the same key acts again. Is that meant? One test of it fails.",
    ],
];

/// Changes of each release, as `git log --oneline` has them.
const CHANGES: [[&str; 2]; 3] = [
    [
        "1.1.0",
        "a41f0c2 Refunds can be partial\n09be771 Mask card numbers in logs",
    ],
    [
        "1.2.0",
        "5520fd1 Requests with the same key act once\n77a3e0b Need Python 3.12",
    ],
    [
        "1.3.0",
        "4f1c9e2 Round half a cent up, always\nc03d551 Refuse zero amounts in the ledger",
    ],
];

/// The words that the story of a run needs beside those that each has.
pub(super) fn words(plan: &Plan) -> Vec<(&'static str, String)> {
    let index = plan.7.map_or(0, |(_, index)| index);
    let pairs: Vec<(&'static str, String)> = match plan.7.map(|(name, _)| name) {
        Some("research-reports") => {
            let (week, title, finding, _) = REPORTS[index];
            vec![
                ("week", week.into()),
                ("folder", super::volumes::slug(week)),
                ("title", title.into()),
                ("finding", finding.into()),
            ]
        }
        Some("clean-sales") => {
            let rows = super::artifacts::CLEANED[index];
            vec![
                ("rows_in", (rows + rows / 9).to_string()),
                ("rows_out", rows.to_string()),
                ("duplicates", (rows / 12).to_string()),
                ("dates", (rows / 14).to_string()),
                ("missing", (rows / 40).to_string()),
                ("checks", [6, 40][index.min(1)].to_string()),
            ]
        }
        Some("docs-site") => vec![
            ("pages", ["93", "335"][index].into()),
            ("checks", "34".into()),
        ],
        Some("review-notes") => {
            let [tests, outcome, note, verdict] = REVIEWS[index];
            vec![
                ("tests", tests.into()),
                ("outcome", outcome.into()),
                ("note", note.into()),
                ("verdict", verdict.into()),
                ("mark", if tests.is_empty() { "." } else { "F" }.into()),
                ("checks", [5, 3, 12][index].to_string()),
            ]
        }
        Some("embeddings") => vec![
            ("dimensions", [64, 128][index].to_string()),
            ("checks", [24, 48][index].to_string()),
        ],
        Some("release-notes") => {
            let [release, changes] = CHANGES[index];
            vec![("release", release.into()), ("changes", changes.into())]
        }
        _ if plan.5 == WATCH_WEEK => vec![("turns", "52".into()), ("before", "47".into())],
        _ if plan.5 == WATCH_WEEKEND => vec![("turns", "17".into()), ("before", "46".into())],
        _ => Vec::new(),
    };
    pairs
}
