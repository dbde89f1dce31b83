//! The page around the conversation.

use super::{
    text::{attribute, escaped, markdown},
    threads::Threads,
};
use crate::{
    conversation::usage::Usage,
    humanize::{date_and_time, took},
    text::one_line,
};
use jiff::Timestamp;
use std::{fmt::Write, time::Duration};

/// The whole style sheet. Its colours are those of the chart.
const STYLE: &str = include_str!("report.css");

/// The browser fetches nothing and runs nothing, even if markup got into the page;
/// pictures are in the page itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The facts of a run that its page shows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// The run's id.
    pub(crate) run: String,
    /// The agent's name, where it is known.
    pub(crate) agent: Option<String>,
    /// The service's word for the status.
    pub(crate) status: String,
    /// Whether it has ended.
    pub(crate) has_ended: bool,
    /// Why it failed, in the service's words.
    pub(crate) error: Option<String>,
    /// The task that the user gave.
    pub(crate) prompt: String,
    /// When it was created, began and ended.
    pub(crate) created: Timestamp,
    /// See `created`.
    pub(crate) started: Option<Timestamp>,
    /// See `created`.
    pub(crate) completed: Option<Timestamp>,
    /// Its artifact and its volumes: the kind of each, its name, and a path relative to
    /// the page.
    pub(crate) links: Vec<(&'static str, String, String)>,
    /// The chart of its metrics, as an `<svg>` element; empty where there is none.
    pub(crate) chart: String,
}

/// The page of a run.
pub(crate) fn page(facts: &Facts, answer: &str, usage: &Usage, threads: &Threads) -> String {
    let agent = facts.agent.as_deref().unwrap_or("an agent");
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}: {} ({})</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n",
        attribute(agent),
        attribute(&one_line(&facts.prompt, 80)),
        attribute(&facts.status),
    );
    let (name, class) = (escaped(agent), class(&facts.status));
    let status = escaped(&facts.status);
    out += &format!("<h1>{name} <span class=\"status {class}\">{status}</span></h1>\n");
    write_facts(facts, usage, &mut out);
    threads.write_failures(&mut out);
    out.push_str("</header>\n");
    let is_told = |text: &&str| !text.trim().is_empty();
    if let Some(error) = facts.error.as_deref().filter(is_told) {
        let html = format!("<pre class=\"output failed\">{}</pre>", escaped(error));
        out += &section("Error", &html);
    }
    for (title, text) in [("Prompt", &*facts.prompt), ("Answer", answer)] {
        if is_told(&text) {
            let html = format!("<div class=\"said\">{}</div>", markdown(text));
            out += &section(title, &html);
        }
    }
    if !facts.chart.is_empty() {
        out += &section("Metrics", &format!("<figure>{}</figure>", facts.chart));
    }
    out.push_str("<section><h2>Conversation</h2>\n");
    threads.write(&mut out);
    if !facts.has_ended {
        out.push_str("<p class=\"quiet\">The run goes on. Load the page again to see more.</p>\n");
    }
    out.push_str(
        "</section>\n<footer class=\"quiet\">The whole of it: <a href=\"transcript.md\">transcript.md</a>, \
         <a href=\"logs\">logs</a>, <a href=\"events.jsonl\">events.jsonl</a>, \
         <a href=\"run.json\">run.json</a>, <a href=\"usage.json\">usage.json</a>, \
         <a href=\"metrics.csv\">metrics.csv</a></footer>\n</main>\n</body>\n</html>\n",
    );
    out
}

/// HTML below a heading.
fn section(title: &str, html: &str) -> String {
    format!("<section><h2>{title}</h2>{html}</section>\n")
}

/// The class of a status that has a colour of its own.
fn class(status: &str) -> &'static str {
    match status {
        "completed" => "good",
        "failed" | "timeout" => "bad",
        "cancelled" => "odd",
        _ => "live",
    }
}

fn write_facts(facts: &Facts, usage: &Usage, out: &mut String) {
    out.push_str("<dl>\n");
    let mut row = |name: &str, html: &str| {
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{html}</dd></div>");
    };
    row("Run", &format!("<code>{}</code>", escaped(&facts.run)));
    row("Created", &moment(facts.created));
    if let Some(started) = facts.started {
        row("Started", &moment(started));
    }
    if let Some(completed) = facts.completed {
        row("Ended", &moment(completed));
    }
    if let (Some(started), Some(completed)) = (facts.started, facts.completed) {
        let lasted = Duration::try_from(completed.duration_since(started));
        row("Duration", &took(lasted.unwrap_or_default()));
    }
    let models = usage.sum.models.keys();
    let models: Vec<String> = models.map(|name| escaped(&one_line(name, 80))).collect();
    if !models.is_empty() {
        row("Model", &models.join(", "));
    }
    for (name, fact) in usage.facts() {
        row(name, &fact);
    }
    for (what, name, path) in &facts.links {
        let (path, name) = (attribute(path), escaped(name));
        row(what, &format!("<a href=\"{path}\">{name}</a>"));
    }
    out.push_str("</dl>\n");
}

fn moment(at: Timestamp) -> String {
    format!("<time datetime=\"{at}\">{} UTC</time>", date_and_time(at))
}
