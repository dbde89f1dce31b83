//! The listing of runs as a table: `runs/.runs.jsonl` and `.runs.csv`, and the
//! same of one agent's runs. Hidden, so that `runs/*` stays runs only. They are
//! made of the listing: no call beyond it. The same of agents, volumes and artifacts,
//! in JSON only.
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
    api::types::{Run, StorageKind},
    text::{one_line, turns_text},
    tree::{
        answers::{self, Agents, Listing, Named, Registered, Runs, Storages, last_change},
        cache::FOR_EVER,
        csv,
        fetch_key::{Answer, FetchKey, Miss},
        live::Show,
        node::{Form, names::escape},
        view::{Table, View},
    },
};
use jiff::Timestamp;
use serde_json::Value;
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

/// The fields of an agent in its table, and those of a volume or an artifact.
const AGENT_COLUMNS: [&str; 5] = ["id", "name", "version", "created", "updated"];
const STORAGE_COLUMNS: [&str; 7] = [
    "id", "name", "version", "size", "files", "created", "updated",
];

/// The most characters that a table shows of a prompt: a prompt may be a book in one
/// line, and programs read a table of ten thousand runs as a whole.
const PROMPT: usize = 500;

/// A run as a row: its cells in the order of [`COLUMNS`].
fn cells(run: &Run, agent: Option<&str>) -> [Value; COLUMNS.len()] {
    let ends = run.started_at.zip(run.completed_at);
    // Clocks differ, so the end may be before the start; and a table is added up.
    let milliseconds =
        ends.and_then(|(start, end)| u64::try_from(end.duration_since(start).as_millis()).ok());
    let duration = match milliseconds {
        Some(time) if time % 1000 == 0 => (time / 1000).into(),
        time => time.map(|time| time as f64 / 1000.0).into(),
    };
    let is_blank = |line: &&str| !line.trim().is_empty();
    let first_line = run.prompt.lines().find(is_blank).unwrap_or_default();
    [
        run.id.as_str().into(),
        agent.into(),
        run.status.as_str().into(),
        moment(Some(run.created_at)),
        moment(run.started_at),
        moment(run.completed_at),
        duration,
        one_line(first_line, PROMPT).into(),
    ]
}

/// A time, in UTC with milliseconds.
fn moment(at: Option<Timestamp>) -> Value {
    at.map(|at| format!("{at:.3}")).into()
}

fn push_csv(out: &mut String, cells: &[Value]) {
    let number = |cell: &Value| cell.as_number().map(ToString::to_string);
    let numbers: Vec<_> = cells.iter().map(number).collect();
    let cells = cells.iter().zip(&numbers);
    csv::push_row(
        out,
        cells.map(|(cell, number)| cell.as_str().or(number.as_deref())),
    );
}

fn push_json<const N: usize>(out: &mut String, names: [&str; N], cells: [Value; N]) {
    let names = names.into_iter().map(str::to_owned);
    let json = Value::Object(names.zip(cells).collect()).to_string();
    for character in json.chars() {
        match character {
            // JSON itself forbids only the first of them in a string.
            c if ('\u{7f}'..='\u{9f}').contains(&c) || turns_text(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('\n');
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
        let (listing, _) = self.need_or_last::<Runs>(&())?;
        // Each only grows: their sum is the same while both are.
        let count = answers.of::<answers::Run>().answers() + answers.of::<Agents>().answers();
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
                false => self.run(&item.id, Show::Last)?,
            };
            let run = &newest.value;
            changed = changed.max(Some(last_change(run)));
            let name = run.agent_name.clone().or_else(|| name_of(run));
            let cells = cells(run, name.as_deref());
            match form {
                Form::Csv => push_csv(&mut out, &cells),
                Form::Jsonl => push_json(&mut out, COLUMNS, cells),
            }
        }
        Ok((out, changed))
    }

    /// All agents as lines of JSON, by name.
    pub(super) fn agents_table(&self) -> Answer<Arc<[u8]>> {
        self.objects_table::<Agents, _, _>(&(), AGENT_COLUMNS, |agent| {
            [
                agent.id.as_str().into(),
                agent.name.as_str().into(),
                agent.current_version_id.as_deref().into(),
                moment(Some(agent.created_at)),
                moment(agent.updated_at),
            ]
        })
    }

    /// All volumes or artifacts as lines of JSON, by name.
    pub(super) fn storages_table(&self, kind: StorageKind) -> Answer<Arc<[u8]>> {
        self.objects_table::<Storages, _, _>(&kind, STORAGE_COLUMNS, |storage| {
            [
                storage.id.as_str().into(),
                storage.name.as_str().into(),
                storage.current_version_id.as_deref().into(),
                storage.size.into(),
                storage.file_count.into(),
                moment(Some(storage.created_at)),
                moment(storage.updated_at),
            ]
        })
    }

    fn objects_table<L, T, const N: usize>(
        &self,
        list: &L::Key,
        columns: [&str; N],
        cells: impl Fn(&T) -> [Value; N],
    ) -> Answer<Arc<[u8]>>
    where
        L: Registered<Value = Listing<T>>,
        T: Named,
    {
        if self.any_age {
            // None is made for an attribute in a listing.
            return Err(Miss::Fetch(FetchKey::of::<L>(list.clone())));
        }
        let (listing, _) = self.need_or_last::<L>(list)?;
        let mut rows: Vec<&T> = listing.items().iter().map(|item| &item.row.value).collect();
        rows.sort_by(|a, b| a.name().cmp(b.name()));
        let mut out = String::new();
        for row in rows {
            push_json(&mut out, columns, cells(row));
        }
        Ok(out.into_bytes().into())
    }

    /// The target of `agents/<name>/latest`, the newest run of an agent; `None`
    /// where the agent has none.
    pub(super) fn latest_run(&self, agent: &Arc<str>) -> Answer<Option<Arc<str>>> {
        let (listing, _) = self.need_or_last::<Runs>(&())?;
        for item in listing.items().iter().rev() {
            if self.is_run_of(&item.row.value, agent)? {
                let target = format!("../../runs/{}", escape(&item.id));
                return Ok(Some(target.into()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::types::Row, fake::World, tree::tests::Bench};
    use serde::de::DeserializeOwned;
    use std::time::Duration;

    fn listing<T: Named + DeserializeOwned>(json: &str) -> Listing<T> {
        let value = serde_json::from_str(json).unwrap();
        let raw = serde_json::from_str(json).unwrap();
        Listing::new(vec![Row { value, raw }], Instant::now())
    }

    #[test]
    fn a_table_gets_the_names_of_agents_that_come_after_it() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let bench = Bench::new(World::empty());
        let (answers, now) = (&bench.tree.answers, Instant::now());
        let runs = listing(
            r#"{"id": "run_1", "agent_id": "ag_1", "status": "completed",
                "created_at": "2026-01-02T03:04:05Z"}"#,
        );
        answers.keep::<Runs>(&(), runs, now, HOUR);
        let table = || {
            let table = bench.tree.at(now).runs_table(None, Form::Csv).unwrap();
            String::from_utf8(table.bytes.to_vec()).unwrap()
        };
        assert!(table().contains("run_1,,completed"), "{}", table());
        let agents =
            listing(r#"{"id": "ag_1", "name": "writer", "created_at": "2026-01-02T03:04:05Z"}"#);
        answers.keep::<Agents>(&(), agents, now, HOUR);
        assert!(table().contains("run_1,writer,completed"), "{}", table());
    }
}
