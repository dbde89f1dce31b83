//! The tables of runs, made of the listing.

use crate::{
    api::types::Run,
    tree::{
        answers::{self, Agents, Listing, Runs},
        cache::FOR_EVER,
        fetch_key::{Answer, FetchKey, Miss},
        node::{Form, names::escape},
        ops::freshness::Age,
        run_table::{Rows, Table},
        view::View,
    },
};
use std::{sync::Arc, time::Instant};

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
        let count = answers.count::<answers::Run>();
        if let Some(made) = made.filter(|table| table.is_of(&listing, count)) {
            return Ok(made);
        }
        let rows = self.write_table(&listing, agent, form)?;
        let table = Arc::new(rows.table(&listing, count));
        let weight = table.bytes().len();
        tables.put(key, table.clone(), asked, FOR_EVER, weight);
        Ok(table)
    }

    fn write_table(
        &self,
        listing: &Listing<Run>,
        agent: Option<&Arc<str>>,
        form: Form,
    ) -> Answer<Rows> {
        let agents = self.tree.answers.last::<Agents>(&());
        let name_of = |run: &Run| {
            let listed = agents.as_ref()?.0.id(run.agent_id.as_deref()?)?;
            Some(listed.row.value.name.clone())
        };
        let mut rows = Rows::new(form);
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
            let name = run.agent_name.clone().or_else(|| name_of(run));
            rows.push(run, name.as_deref())?;
        }
        Ok(rows)
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
