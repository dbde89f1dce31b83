//! Orders to the service: what processes write to control files, each sent once.

use crate::{
    api::types::{Row, Run},
    error::{Error, Result},
    progress::Progress,
    sync::Mutex,
    text::{decode, from_visible},
    tree::{
        answers::Answers,
        cache::{Cache, FOR_EVER, Lookup},
        node::{Control, Node},
    },
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The most bytes that a process may write for one run. The service documents no limit
/// for a prompt; this is more than a model can read.
const LARGEST: usize = 16 << 20;

/// The kernel sends a larger write in pieces of at least this many bytes: FUSE
/// has had 32 pages since it has had large writes.
const PIECE: usize = 128 << 10;

/// The fields by which a request says what runs; one of them is needed.
const TARGETS: [&str; 4] = ["agent", "agent_id", "session_id", "checkpoint_id"];

/// An open control file.
pub struct Writing {
    control: Control,
    draft: Mutex<Draft>,
}

/// What has been written so far.
#[derive(Default)]
struct Draft {
    /// The offset of the first write. It is not 0 where a process seeks to the end
    /// first: the file's size is that of the last run's id.
    base: u64,
    text: Vec<u8>,
    /// The file position after the last write, where the write tells it.
    position: Option<u64>,
    /// The number of the order that it became.
    order: Option<u64>,
}

/// The orders that were given through this mount, by their numbers.
pub(crate) struct Orders {
    next: AtomicU64,
    /// Requests that are to be sent.
    requests: Mutex<HashMap<u64, Map<String, Value>>>,
    /// The last order of each file.
    last: Mutex<HashMap<Control, u64>>,
    /// The last run that was started of each agent.
    started: Mutex<HashMap<Arc<str>, (String, Timestamp)>>,
    /// What came of them, for good: nothing is sent twice.
    outcomes: Cache<u64, ()>,
}

/// Orders whose outcome is remembered.
const OUTCOMES: (usize, usize) = (20_000, usize::MAX);

impl Default for Orders {
    fn default() -> Self {
        Self {
            next: AtomicU64::default(),
            requests: Mutex::default(),
            last: Mutex::default(),
            started: Mutex::default(),
            outcomes: Cache::new(OUTCOMES),
        }
    }
}

impl Orders {
    fn new_order(&self, control: &Control) -> u64 {
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        self.last.lock().insert(control.clone(), order);
        order
    }

    /// Takes a write to a control file, at an offset or at the end of what was written
    /// before. Gives the order, if the write is one by itself.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has started its run.
    pub(super) fn write(
        &self,
        writing: &Writing,
        offset: Option<u64>,
        data: &[u8],
    ) -> Result<Option<u64>> {
        let mut draft = writing.draft.lock();
        if let Control::Cancel(_) = &writing.control {
            let new_order = || self.new_order(&writing.control);
            return Ok(Some(*draft.order.get_or_insert_with(new_order)));
        }
        draft.write(offset, data)?;
        Ok(None)
    }

    /// Ends the writing of a control file. Gives the order that was written; `None`
    /// where nothing was.
    ///
    /// # Errors
    /// Why the order is refused, once: asked again, it is one that has failed.
    pub(super) fn finish(&self, writing: &Writing) -> Result<Option<u64>> {
        let Control::Start(agent) = &writing.control else {
            return Ok(None);
        };
        let mut draft = writing.draft.lock();
        if draft.order.is_some() || draft.text.is_empty() {
            return Ok(draft.order);
        }
        let text = std::mem::take(&mut draft.text);
        let order = *draft.order.insert(self.new_order(&writing.control));
        let request = request(text, agent).inspect_err(|error| self.fail(order, error))?;
        self.requests.lock().insert(order, request);
        Ok(Some(order))
    }

    /// What came of an order, for a request that arrived at `since`.
    pub(super) fn outcome(&self, order: u64, since: Instant) -> Lookup<()> {
        self.outcomes.get(&order, since)
    }

    /// Notes that an order has failed, for good: it is not given again.
    pub(super) fn fail(&self, order: u64, error: &Error) {
        let now = Instant::now();
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
        let sent: Result<Row<Run>> = match control {
            Control::Start(_) => {
                let twice = || Error::Internal("a request was to be sent twice".into());
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
        if let Control::Start(agent) = control {
            let started = (row.value.id.clone(), Timestamp::now());
            self.started.lock().insert(agent.clone(), started);
        }
        self.outcomes.put(order, (), asked, FOR_EVER, 0);
        answers.note_run(row, asked);
        Ok(())
    }
}

impl Draft {
    fn write(&mut self, offset: Option<u64>, data: &[u8]) -> Result<()> {
        if self.order.is_some() {
            let message = "the run has been started; open the file again for another";
            return Err(Error::Invalid(message.into()));
        }
        if self.text.is_empty() {
            self.base = offset.unwrap_or_default();
        }
        let start = match offset {
            Some(offset) => offset.checked_sub(self.base).map(usize::try_from),
            None => Some(Ok(self.text.len())),
        };
        let start = start
            .and_then(Result::ok)
            .filter(|start| *start <= self.text.len())
            .ok_or_else(|| Error::Invalid("a request cannot have holes".into()))?;
        let end = start.saturating_add(data.len());
        if end > LARGEST {
            let largest = LARGEST >> 20;
            let message = format!(
                "no run was started: more than {largest} MiB; put large inputs into a volume"
            );
            return Err(Error::TooLarge(message));
        }
        let new_length = self.text.len().max(end);
        self.text.resize(new_length, 0);
        self.text[start..end].copy_from_slice(data);
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

impl Writing {
    /// An opening of a control file.
    pub(super) fn new(control: Control) -> Self {
        Self {
            control,
            draft: Mutex::default(),
        }
    }

    /// The file.
    pub(super) fn control(&self) -> &Control {
        &self.control
    }

    /// The file's node.
    pub(super) fn node(&self) -> Node {
        Node::Control(self.control.clone())
    }

    /// Notes a write as the kernel sent it, at an offset in bytes.
    pub(crate) fn note_write(&self, offset: u64, length: usize) {
        // Such a large write may be one piece of several: the file position moves
        // when the kernel has sent all of them.
        self.draft.lock().position = (length < PIECE).then_some(offset + length as u64);
    }

    /// The file position that descriptors of this opening have, where that is
    /// known: bytes from the beginning.
    pub(crate) fn position(&self) -> Option<u64> {
        self.draft.lock().position
    }

    /// Drops what was written past a size: `ftruncate`.
    pub(super) fn truncate(&self, size: u64) {
        let mut draft = self.draft.lock();
        let kept = size.saturating_sub(draft.base);
        draft
            .text
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests;
