//! The listing of runs as a table: `runs/.runs.jsonl` and `.runs.csv`, and the
//! same of one agent's runs. Hidden, so that `runs/*` stays runs only. They are
//! made of the listing: no call beyond it.
//!
//! Newest first, a line each, with the columns of [`COLUMNS`]: times are UTC in
//! RFC 3339 with milliseconds, so that they sort as text; the duration is in
//! seconds, from the start of the sandbox to the end, as far as both are known.
//! Of the prompt it is the first line that is not blank, at most [`PROMPT`]
//! characters of it and no control characters: all of it is the run's `prompt`.
//!
//! In JSON what is not known is `null`, and control characters, with those that
//! reorder a terminal's line, are escapes. What CSV does is told in [`csv`].

use crate::{
    api::types::Run,
    error::{Error, Result},
    text::one_line,
    tree::{
        answers::{self, Agents, Listing, Runs, last_change},
        cache::FOR_EVER,
        csv,
        fetch_key::{Answer, FetchKey, Miss},
        node::{Form, names::escape},
        ops::freshness::Age,
        view::{Table, View},
    },
};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use std::{fmt::Write, sync::Arc, time::Instant};

/// The columns, in their order; in JSON the names of the fields.
const COLUMNS: [&str; 8] = [
    "id",
    "agent",
    "status",
    "created",
    "started",
    "completed",
    "duration",
    "prompt",
];

/// The most characters that a table shows of a prompt: a prompt may be a book in one
/// line, and programs read a table of ten thousand runs as a whole.
const PROMPT: usize = 500;

/// A run as a row.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    agent: Option<&'a str>,
    status: &'a str,
    created: Moment,
    started: Option<Moment>,
    completed: Option<Moment>,
    duration: Option<Seconds>,
    prompt: String,
}

/// An instant as the table writes it.
#[derive(Clone, Copy)]
struct Moment(Timestamp);

impl Moment {
    fn text(self) -> String {
        format!("{:.3}", self.0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

/// A length of time in milliseconds, written in seconds: whole where it can be.
#[derive(Clone, Copy)]
struct Seconds(u64);

impl Seconds {
    /// `None` where the end is before the start: clocks differ, and a table is
    /// added up.
    fn between(start: Timestamp, end: Timestamp) -> Option<Self> {
        u64::try_from(end.duration_since(start).as_millis())
            .ok()
            .map(Self)
    }

    fn value(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => serializer.serialize_u64(self.0 / 1000),
            _ => serializer.serialize_f64(self.value()),
        }
    }
}

impl<'a> Row<'a> {
    fn new(run: &'a Run, agent: Option<&'a str>) -> Self {
        let is_blank = |line: &&str| !line.trim().is_empty();
        let first_line = run.prompt.lines().find(is_blank).unwrap_or_default();
        let ends = run.started_at.zip(run.completed_at);
        Self {
            id: &run.id,
            agent,
            status: run.status.as_str(),
            created: Moment(run.created_at),
            started: run.started_at.map(Moment),
            completed: run.completed_at.map(Moment),
            duration: ends.and_then(|(start, end)| Seconds::between(start, end)),
            prompt: one_line(first_line, PROMPT),
        }
    }

    fn push_csv(&self, out: &mut String) {
        let text = |moment: Option<Moment>| moment.map(Moment::text);
        let created = self.created.text();
        let (started, completed) = (text(self.started), text(self.completed));
        let duration = self.duration.map(|seconds| seconds.value().to_string());
        let cells: [Option<&str>; COLUMNS.len()] = [
            Some(self.id),
            self.agent,
            Some(self.status),
            Some(&created),
            started.as_deref(),
            completed.as_deref(),
            duration.as_deref(),
            Some(&self.prompt),
        ];
        csv::push_row(out, cells);
    }

    fn push_json(&self, out: &mut String) -> Result<()> {
        let json =
            serde_json::to_string(self).map_err(|error| Error::Internal(error.to_string()))?;
        for character in json.chars() {
            match character {
                // JSON itself forbids only the first of them in a string.
                '\u{7f}'..='\u{9f}'
                | '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{:04x}", character as u32);
                }
                c => out.push(c),
            }
        }
        out.push('\n');
        Ok(())
    }
}

impl View<'_> {
    /// The table of all runs, or of an agent's. It is made again when answers have come
    /// that it does not show.
    pub(super) fn runs_table(&self, agent: Option<&Arc<str>>, form: Form) -> Answer<Arc<Table>> {
        let (answers, tables) = (&self.tree.answers, &self.tree.tables);
        let key = (agent.cloned(), form);
        let made = tables.last(&key).map(|(table, _)| table);
        if self.any_age {
            // No table is made for an attribute in a listing: that takes a while.
            return made.ok_or(Miss::Fetch(FetchKey::of::<Runs>(())));
        }
        let asked = Instant::now();
        let (listing, _) = self.runs()?;
        let count = answers.of::<answers::Run>().answers();
        let of_this = |table: &Arc<Table>| {
            table.answers == count && table.listing.as_ptr() == Arc::as_ptr(&listing)
        };
        if let Some(made) = made.filter(of_this) {
            return Ok(made);
        }
        let (text, changed) = self.write_table(&listing, agent, form)?;
        let table = Arc::new(Table {
            bytes: text.into_bytes().into(),
            changed,
            listing: Arc::downgrade(&listing),
            answers: count,
        });
        let weight = table.bytes.len();
        tables.put(key, table.clone(), asked, FOR_EVER, weight);
        Ok(table)
    }

    fn write_table(
        &self,
        listing: &Listing<Run>,
        agent: Option<&Arc<str>>,
        form: Form,
    ) -> Answer<(String, Option<Timestamp>)> {
        let agents = self.tree.answers.of::<Agents>().last(&());
        let name_of = |run: &Run| {
            let listed = agents.as_ref()?.0.id(run.agent_id.as_deref()?)?;
            Some(listed.row.value.name.clone())
        };
        let mut out = String::new();
        if form == Form::Csv {
            csv::push_row(&mut out, COLUMNS.map(Some));
        }
        let mut changed: Option<Timestamp> = None;
        // A listing has the oldest first.
        for item in listing.items().iter().rev() {
            if let Some(agent) = agent
                && !self.is_run_of(&item.row.value, agent)?
            {
                continue;
            }
            // An answer on the run may be newer than the listing.
            let (newest, _) = match item.row.value.status.is_terminal() {
                true => (item.row.clone(), FOR_EVER),
                false => self.run(&item.id, Age::Any)?,
            };
            let run = &newest.value;
            changed = changed.max(Some(last_change(run)));
            let name = run.agent_name.clone().or_else(|| name_of(run));
            let row = Row::new(run, name.as_deref());
            match form {
                Form::Csv => row.push_csv(&mut out),
                Form::Jsonl => row.push_json(&mut out)?,
            }
        }
        Ok((out, changed))
    }

    /// The target of `agents/<name>/latest`, the newest run of an agent; `None`
    /// where the agent has none.
    pub(super) fn latest_run(&self, agent: &Arc<str>) -> Answer<Option<Arc<str>>> {
        let (listing, _) = self.runs()?;
        for item in listing.items().iter().rev() {
            if self.is_run_of(&item.row.value, agent)? {
                let target = format!("../../runs/{}", escape(&item.id));
                return Ok(Some(target.into()));
            }
        }
        Ok(None)
    }
}
