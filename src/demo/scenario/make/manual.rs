//! The shop's manual: its pages as Markdown, and the sections of its website.

use crate::demo::scenario::data::Words;
use serde_json::{Value, json};

const TOPICS: [&str; 11] = [
    "Getting started",
    "Installation",
    "Configuration",
    "Orders",
    "Refunds",
    "Webhooks",
    "Permissions",
    "Rate limits",
    "Exports",
    "Troubleshooting",
    "Glossary",
];

fn slug(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}

fn words<const N: usize>(topic: &str, more: [(&str, String); N]) -> Words {
    let mut words = Words::from([
        ("topic".into(), topic.into()),
        ("slug".into(), slug(topic)),
        ("lower".into(), topic.to_lowercase()),
    ]);
    words.extend(more.map(|(name, word)| (name.into(), word)));
    words
}

/// The words of so many pages: first the guides, one a topic, then the reference.
pub(crate) fn pages(count: usize) -> Vec<Words> {
    let page = |order: usize| {
        let (folder, kind) = match order / TOPICS.len() {
            0 => ("guides", "guide"),
            _ => ("reference", "reference"),
        };
        words(
            TOPICS[order % TOPICS.len()],
            [
                ("folder", folder.into()),
                ("kind", kind.into()),
                ("order", order.to_string()),
            ],
        )
    };
    (0..count).map(page).collect()
}

/// The words of so many sections for each topic.
pub(crate) fn sections(count: usize) -> Vec<Words> {
    let section = |topic, part: usize| {
        words(
            topic,
            [
                ("part", part.to_string()),
                ("section", format!("{part:02}")),
                ("next", format!("{:02}", part % count + 1)),
            ],
        )
    };
    let topics = TOPICS.iter();
    topics
        .flat_map(|topic| (1..=count).map(move |part| section(topic, part)))
        .collect()
}

/// What the website's search finds: each section's title and path.
pub(super) fn search_index(sections_each: usize) -> Value {
    let sections = sections(sections_each).into_iter();
    let pages = sections.map(|words| {
        let title = format!("{}, part {}", words["topic"], words["part"]);
        json!({"title": title, "url": format!("{}/{}.html", words["slug"], words["section"])})
    });
    pages.collect()
}
