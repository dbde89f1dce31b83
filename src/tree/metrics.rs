//! A run's metrics, and the files made of them: the answer as sent, a table, and a
//! chart.

mod axis;
mod chart;
mod palette;
mod series;
mod svg;
mod table;

use crate::{api::types::Run, sync::Mutex, text::one_line};
use chart::Caption;
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};

/// Maximum characters of a name and of a status in a chart's title. An agent's name
/// has up to 100 by the service's rule.
const NAME: usize = 60;
const WORD: usize = 20;

/// The metrics of a run, and the files made of them so far.
#[derive(Debug)]
pub(crate) struct Metrics {
    raw: Box<RawValue>,
    table: OnceLock<Arc<[u8]>>,
    /// With its caption, since the status of a live run changes.
    chart: Mutex<Option<(Caption, Arc<[u8]>)>>,
}

impl Metrics {
    pub(crate) fn new(raw: Box<RawValue>) -> Self {
        Self {
            raw,
            table: OnceLock::new(),
            chart: Mutex::new(None),
        }
    }

    /// The answer as sent.
    pub(crate) fn raw(&self) -> &RawValue {
        &self.raw
    }

    /// Its size in memory in bytes, roughly: the answer, the table, which is seldom
    /// longer, and the chart, which is seldom longer either.
    pub(crate) fn weight(&self) -> usize {
        3 * self.raw.get().len() + (16 << 10)
    }

    /// Whether there is no sample.
    pub(crate) fn is_empty(&self) -> bool {
        table::rows(self.raw.get()).next().is_none()
    }

    /// The bytes of `metrics.csv`.
    pub(crate) fn csv(&self) -> Arc<[u8]> {
        let make = || table::csv(table::rows(self.raw.get())).into_bytes().into();
        self.table.get_or_init(make).clone()
    }

    /// The bytes of `metrics.svg`; `run` is the run of these metrics.
    pub(crate) fn svg(&self, run: &Run) -> Arc<[u8]> {
        let caption = caption(run);
        if let Some((drawn, bytes)) = &*self.chart.lock()
            && *drawn == caption
        {
            return bytes.clone();
        }
        // Without the lock: two threads that draw at once draw the same.
        let mut rows = table::rows(self.raw.get()).peekable();
        let is_empty = rows.peek().is_none();
        let svg = chart::draw(&caption, &series::samples(rows), is_empty);
        let bytes: Arc<[u8]> = svg.into_bytes().into();
        *self.chart.lock() = Some((caption, bytes.clone()));
        bytes
    }
}

fn caption(run: &Run) -> Caption {
    Caption {
        run: one_line(&run.id, NAME),
        agent: run.agent_name.as_deref().map(|name| one_line(name, NAME)),
        status: one_line(run.status.as_str(), WORD),
        has_ended: run.status.is_terminal(),
    }
}

#[cfg(test)]
mod tests;
