//! The rows of a run's log, as a fetch brings them.

use super::{owner::Live, schedule::Event};
use crate::{
    conversation::transcript::Ending,
    error::Result,
    progress::Progress,
    tree::{
        answers::{Answers, Run, RunLogs},
        cache::FOR_EVER,
        logs::Logs,
    },
};
use std::{sync::Arc, time::Instant};

impl Live {
    /// Asks for the rows of a log that have not come yet.
    ///
    /// # Errors
    /// What the call fails with.
    pub(crate) fn fetch_rows(
        &self,
        answers: &Answers,
        id: &Arc<str>,
        progress: &Progress,
    ) -> Result<()> {
        let asked = Instant::now();
        // As it was before the call: a run that ends during it has more to say.
        let lasts = answers.rest_lasts(id);
        let logs = self.log(id);
        let api = answers.service().api();
        self.decide(id, Event::RowsAsked, 1);
        let any = if lasts == Some(FOR_EVER) {
            // What stands for good is worth some calls more.
            logs.add_missing(api.run_logs(id, &mut logs.reader_again(), progress)?)
        } else {
            self.keep(id, &logs);
            let mut reader = logs.take_reader();
            let rows = api.run_logs(id, &mut reader, progress);
            let (rows, failure) = match rows {
                Ok(rows) => (rows, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            let any = logs.give_reader(reader, rows);
            if let Some(error) = failure {
                return Err(error);
            }
            any
        };
        let lasts = if let Some(lasts) = lasts {
            // The run had ended before this was asked: what it still says comes late.
            conclude(answers, id, &logs);
            lasts
        } else {
            let service = answers.service();
            let newest = answers.newest_of(id);
            let old_status = newest.is_none_or(|(_, asked)| asked.elapsed() >= service.list_ttl());
            let came = Event::RowsCame { any, old_status };
            let decision = self.decide(id, came, service.slowdown());
            // Where nothing else would tell that the run has ended.
            if decision.ask_for_run
                && let Err(error) = answers.fetch::<Run>(id, progress)
            {
                // The next time does as well.
                tracing::debug!("whether run {id} has ended: {error}");
            }
            decision.lasts
        };
        // What was shown in the order in which it came is shown in the order
        // of time from now on; a process that has it open goes on as before.
        let logs = match lasts == FOR_EVER && !logs.is_in_order() {
            true => Arc::new(logs.settled()),
            false => logs,
        };
        answers.keep::<RunLogs>(id, logs, asked, lasts);
        Ok(())
    }
}

/// Has a log show how its run has ended.
pub(crate) fn conclude(answers: &Answers, id: &Arc<str>, logs: &Logs) {
    if let Some((row, _)) = answers.newest_of(id) {
        let run = &row.value;
        let times = run.started_at.zip(run.completed_at);
        let took = times.map(|(start, end)| end.duration_since(start).as_millis());
        logs.conclude(Ending {
            status: run.status.as_str().to_owned(),
            milliseconds: took.and_then(|took| u64::try_from(took).ok()),
        });
    }
}
