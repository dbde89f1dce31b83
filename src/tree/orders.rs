//! Orders to the service: what processes write to control files, each sent once.

mod draft;
mod record;

pub use draft::{WriteRequest, Writing};

use crate::{
    api::types::{Row, Run},
    error::{Error, Result},
    handover::{Handover, Owner},
    progress::Progress,
    sync::Mutex,
    text::{decode, from_visible},
    tree::{
        answers::Answers,
        cache::{Cache, FOR_EVER, Lookup},
        node::Control,
    },
};
use jiff::Timestamp;
use record::Record;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The fields by which a request says what runs; one of them is needed.
const TARGETS: [&str; 4] = ["agent", "agent_id", "session_id", "checkpoint_id"];

/// The orders that were given through this mount, by their numbers.
pub(crate) struct Orders {
    next: AtomicU64,
    /// Requests that are to be sent.
    requests: Mutex<HashMap<u64, Map<String, Value>>>,
    /// Those that may have been sent: none is sent again.
    sent: Mutex<HashSet<u64>>,
    /// The last order of each file.
    last: Mutex<HashMap<Control, u64>>,
    /// The last run that was started of each agent.
    started: Mutex<HashMap<Arc<str>, (String, Timestamp)>>,
    /// What came of them, for good: nothing is sent twice.
    outcomes: Cache<u64, ()>,
    handover: Arc<Handover>,
}

/// Orders whose outcome is remembered.
const OUTCOMES: (usize, usize) = (20_000, usize::MAX);

/// What an order that may have been sent may have done.
fn may_be_sent(control: &Control) -> Error {
    Error::may_be_sent(match control {
        Control::Start(_) => "started",
        Control::Cancel(_) => "cancelled",
    })
}

impl Orders {
    /// The orders that an earlier worker left, and those of which it is not known
    /// whether they were sent, each with what is to be said of it.
    pub(super) fn new(handover: Arc<Handover>) -> (Self, Vec<(Control, Error)>) {
        let orders = Self {
            next: AtomicU64::default(),
            requests: Mutex::default(),
            sent: Mutex::default(),
            last: Mutex::default(),
            started: Mutex::default(),
            outcomes: Cache::new(OUTCOMES),
            handover: handover.clone(),
        };
        let mut given = HashMap::new();
        let mut unknown = BTreeSet::new();
        handover.records(Owner::Orders, |record| {
            let Some(record) = Record::read(record) else {
                return;
            };
            orders.take(&record, &mut given);
            match record {
                Record::Sending(order) => unknown.insert(order),
                Record::Done(order, _) | Record::Failed(order, ..) => unknown.remove(&order),
                Record::Given(..) => false,
            };
        });
        if handover.is_damaged() {
            // Numbers that were given may be lost.
            let now = Timestamp::now().as_millisecond().unsigned_abs();
            orders.next.fetch_max(now, Ordering::Relaxed);
        }
        let unknown = unknown.into_iter().filter_map(|order| {
            let control: &Control = given.get(&order)?;
            let error = may_be_sent(control);
            // Said once: the next worker finds a failure.
            orders.fail(order, &error);
            Some((control.clone(), error))
        });
        let unknown = unknown.collect();
        (orders, unknown)
    }

    /// Takes a record of an earlier worker.
    fn take(&self, record: &Record, given: &mut HashMap<u64, Control>) {
        let now = Instant::now();
        match record {
            Record::Given(order, control) => {
                self.next
                    .fetch_max(order.saturating_add(1), Ordering::Relaxed);
                self.last.lock().insert(control.clone(), *order);
                given.insert(*order, control.clone());
            }
            Record::Sending(order) => {
                self.sent.lock().insert(*order);
            }
            Record::Done(order, run) => {
                self.outcomes.put(*order, (), now, FOR_EVER, 0);
                if let (Some(Control::Start(agent)), Some(run)) = (given.get(order), run) {
                    self.started.lock().insert(agent.clone(), run.clone());
                }
            }
            Record::Failed(order, errno, message) => {
                let (message, errno) = (message.clone(), *errno);
                let error = Error::Earlier { message, errno };
                self.outcomes.fail(order, error, now, FOR_EVER);
            }
        }
    }

    /// Writes down what happens to an order.
    ///
    /// # Errors
    /// ENOSPC where that cannot be done, and another worker may take over.
    fn note(&self, record: &Record) -> Result<()> {
        let is_noted = self.handover.add(Owner::Orders, record.write());
        match is_noted || !self.handover.must_tell() {
            true => Ok(()),
            false => Err(Error::NoSpace(
                "no memory to note what is sent; nothing was sent".into(),
            )),
        }
    }

    fn new_order(&self, control: &Control) -> Result<u64> {
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        self.note(&Record::Given(order, control.clone()))?;
        self.last.lock().insert(control.clone(), order);
        Ok(order)
    }

    /// Takes a write to a control file. Gives the order, if the write is one by itself.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has started its run; ENOSPC where
    /// it cannot be kept.
    pub(super) fn write(&self, writing: &Writing, write: &WriteRequest<'_>) -> Result<Option<u64>> {
        let control = writing.control();
        if let Control::Cancel(_) = control {
            let (order, _) = writing.become_order(|| self.new_order(control))?;
            return Ok(Some(order));
        }
        writing.write(write)?;
        Ok(None)
    }

    /// Ends the writing of a control file. Gives the order that was written; `None`
    /// where nothing was.
    ///
    /// # Errors
    /// Why the order is refused, once: asked again, it is one that has failed.
    pub(super) fn finish(&self, writing: &Writing) -> Result<Option<u64>> {
        let control = writing.control();
        let Control::Start(agent) = control else {
            return Ok(None);
        };
        if writing.order().is_none() && writing.is_empty() {
            return Ok(None);
        }
        let (order, text) = writing.become_order(|| self.new_order(control))?;
        if let Some(text) = text {
            self.prepare(order, text, agent)?;
        }
        Ok(Some(order))
    }

    /// Makes the request that is to be sent.
    fn prepare(&self, order: u64, text: Vec<u8>, agent: &str) -> Result<()> {
        let request = request(text, agent).inspect_err(|error| self.fail(order, error))?;
        self.requests.lock().insert(order, request);
        Ok(())
    }

    /// Takes a control file that an earlier worker had open. An order that it became and
    /// that was not sent is sent when the file is closed again.
    ///
    /// # Errors
    /// ESTALE where what was written is lost.
    pub(super) fn reopen(&self, control: Control, number: u64) -> Result<Writing> {
        let writing = Writing::left(control, self.handover.clone(), number)?;
        let Some(order) = writing.order() else {
            return Ok(writing);
        };
        let is_open = matches!(self.outcome(order, Instant::now()), Lookup::Missing);
        if is_open && (self.handover.is_damaged() || self.sent.lock().contains(&order)) {
            self.fail(order, &may_be_sent(writing.control()));
        } else if is_open && let Control::Start(agent) = writing.control() {
            // Why it is refused, it has as its outcome then.
            let _ = self.prepare(order, writing.take_text(), agent);
        }
        Ok(writing)
    }

    /// A new opening of a control file.
    pub(super) fn open(&self, control: Control) -> Writing {
        Writing::new(control, self.handover.clone())
    }

    /// What came of an order, for a request that arrived at `since`.
    pub(super) fn outcome(&self, order: u64, since: Instant) -> Lookup<()> {
        self.outcomes.get(&order, since)
    }

    /// Notes that an order has failed, for good: it is not given again.
    pub(super) fn fail(&self, order: u64, error: &Error) {
        let now = Instant::now();
        let record = Record::Failed(order, error.errno(), error.to_string());
        if let Err(error) = self.note(&record) {
            tracing::error!("{error}");
        }
        self.outcomes.fail(&order, error.clone(), now, FOR_EVER);
    }

    /// Why an order has failed.
    pub(super) fn failure(&self, order: u64) -> Option<Error> {
        self.outcomes.last_failure(&order)
    }

    /// Why the last order that was given through a file failed, if it did.
    pub(super) fn last_failure(&self, control: &Control) -> Option<Error> {
        let order = *self.last.lock().get(control)?;
        self.failure(order)
    }

    /// The last run that was started through an agent's file, and when.
    pub(super) fn last_started(&self, agent: &str) -> Option<(String, Timestamp)> {
        self.started.lock().get(agent).cloned()
    }

    /// Sends an order, and notes what it has changed.
    ///
    /// # Errors
    /// What the call fails with.
    pub(super) fn carry_out(
        &self,
        control: &Control,
        order: u64,
        answers: &Answers,
        progress: &Progress,
    ) -> Result<()> {
        let asked = Instant::now();
        let api = answers.service().api();
        let twice = || Error::Internal("a request was to be sent twice".into());
        if !self.sent.lock().insert(order) {
            return Err(twice());
        }
        // Before it leaves: from here on no other worker sends it again.
        self.note(&Record::Sending(order))?;
        let sent: Result<Row<Run>> = match control {
            Control::Start(_) => {
                let request = self.requests.lock().remove(&order).ok_or_else(twice)?;
                api.start_run(&request, progress)
            }
            Control::Cancel(run) => api.cancel_run(run, progress),
        };
        let row = sent.map_err(|error| match error.is_not_found() {
            // The file that is written does exist.
            true => Error::Invalid(error.to_string()),
            false => error,
        })?;
        let started = (row.value.id.clone(), Timestamp::now());
        let done = match control {
            Control::Start(_) => Record::Done(order, Some(started.clone())),
            Control::Cancel(_) => Record::Done(order, None),
        };
        if let Err(error) = self.note(&done) {
            tracing::error!("{error}");
        }
        if let Control::Start(agent) = control {
            self.started.lock().insert(agent.clone(), started);
        }
        self.outcomes.put(order, (), asked, FOR_EVER, 0);
        answers.note_run(row, asked);
        Ok(())
    }
}

/// The request that a text is: a JSON object is taken whole, with the agent
/// filled in; anything else is the prompt.
fn request(text: Vec<u8>, agent: &str) -> Result<Map<String, Value>> {
    let invalid = |why: &str| Error::Invalid(format!("no run was started: {why}"));
    let not_text = "the text is neither UTF-8 nor, with a byte order mark, UTF-16";
    let text = decode(text).ok_or_else(|| invalid(not_text))?;
    let visible = from_visible(&text);
    let mut request = if visible.starts_with('{') {
        // The message of the parser quotes nothing of the text, which may hold
        // secrets.
        serde_json::from_str::<Map<String, Value>>(visible).map_err(|error| {
            invalid(&format!(
                "what begins with {{ must be a JSON object \
                 ({:?} error at line {}, column {}); a prompt that begins so goes into \
                 {{\"prompt\": …}}",
                error.classify(),
                error.line(),
                error.column()
            ))
        })?
    } else {
        // What `echo` and editors put at the end is not part of the prompt.
        let prompt = text.strip_suffix('\n').unwrap_or(&text);
        let prompt = prompt.strip_suffix('\r').unwrap_or(prompt);
        Map::from_iter([("prompt".to_owned(), prompt.into())])
    };
    let prompt = request.get("prompt").and_then(Value::as_str);
    if prompt.is_none_or(|prompt| prompt.trim().is_empty()) {
        return Err(invalid("there is no prompt"));
    }
    if !TARGETS.iter().any(|target| request.contains_key(*target)) {
        request.insert("agent_id".into(), agent.into());
    }
    Ok(request)
}

/// A control file acts with the token of the user who mounted.
pub(super) fn not_yours() -> Error {
    Error::Denied("only the user who mounted may use this".into())
}

#[cfg(test)]
mod tests;
