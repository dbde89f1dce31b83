//! The samples of an answer as rows, and `metrics.csv`.

use super::super::csv;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The columns, by the names that the service has for them.
pub(super) const COLUMNS: [&str; 6] = [
    "timestamp",
    "cpu_percent",
    "memory_used_mb",
    "memory_total_mb",
    "disk_used_mb",
    "disk_total_mb",
];

/// A sample as sent: `None` for a missing value. Numbers stay the text that was sent,
/// so that no digit changes.
pub(super) type Row<'a> = [Option<Cow<'a, str>>; COLUMNS.len()];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// The fields of a sample that are read. Others take no memory, however many an agent
/// has written.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Sample<'a> {
    timestamp: Option<&'a RawValue>,
    cpu_percent: Option<&'a RawValue>,
    memory_used_mb: Option<&'a RawValue>,
    memory_total_mb: Option<&'a RawValue>,
    disk_used_mb: Option<&'a RawValue>,
    disk_total_mb: Option<&'a RawValue>,
}

/// The samples of a metrics answer in its order. Other values than objects are left
/// out; an answer that is not of metrics has none.
pub(super) fn rows(answer: &str) -> impl Iterator<Item = Row<'_>> {
    let answer = serde_json::from_str::<Answer<'_>>(answer);
    let data = answer.map(|answer| answer.data).unwrap_or_default();
    data.into_iter()
        .map(RawValue::get)
        // serde would accept an array, with the fields by position.
        .filter(|row| row.starts_with('{'))
        .filter_map(|row| serde_json::from_str::<Sample<'_>>(row).ok())
        .map(|sample| {
            [
                sample.timestamp,
                sample.cpu_percent,
                sample.memory_used_mb,
                sample.memory_total_mb,
                sample.disk_used_mb,
                sample.disk_total_mb,
            ]
            .map(|value| value.and_then(text))
        })
}

/// A number or a string as text.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(Cow::Owned),
        b'-' | b'0'..=b'9' => Some(json.into()),
        _ => None,
    }
}

/// The rows as CSV with a header. The numbers come from the sandbox, where an agent
/// may have written other text: [`mod@csv`] makes it harmless.
pub(super) fn csv<'a>(rows: impl Iterator<Item = Row<'a>>) -> String {
    let mut out = String::new();
    csv::push_row(&mut out, COLUMNS.map(Some));
    for row in rows {
        csv::push_row(&mut out, row.iter().map(Option::as_deref));
    }
    out
}
