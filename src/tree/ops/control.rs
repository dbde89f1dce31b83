//! Files that are written: what somebody writes becomes an order to the
//! service, which is given once.
//!
//! `agents/<name>/run` takes all that is written until its last writer closes
//! it, for the text of a run to be started; `runs/<id>/cancel` takes any byte.

use crate::{
    api::types::{Row, Run},
    error::{Error, Result},
    progress::Progress,
    sync::{Mutex, MutexGuard},
    text::{decode, from_visible},
    tree::{
        Answer, Miss, Tree, View, Want,
        answers::listing::Listing,
        cache::FOR_EVER,
        node::Node,
        ops::{
            attributes::Stat,
            files::{Handle, Opened},
        },
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

/// The most that may be written for one run. A prompt has no limit of its own
/// that is documented; this is past what a model can read.
const LARGEST: usize = 16 << 20;

/// The kernel sends a larger write in pieces of at least this many bytes: FUSE
/// has had 32 pages since it has had large writes.
const PIECE: usize = 128 << 10;

/// The name of the file that starts runs.
pub const START_FILE: &str = "run";

/// The fields by which a request says what runs; one of them is needed.
const TARGETS: [&str; 4] = ["agent", "agent_id", "session_id", "checkpoint_id"];

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Control {
    /// `agents/<name>/run`, by the agent's id.
    Start(Arc<str>),
    /// `runs/<id>/cancel`
    Cancel(Arc<str>),
}

/// An open control file.
pub struct Writing {
    control: Control,
    node: Node,
    draft: Mutex<Draft>,
}

/// What has been written so far.
#[derive(Default)]
struct Draft {
    /// The offset of the first write, which is not 0 where somebody goes to the
    /// end first: the file's size is that of the last run's id.
    base: u64,
    text: Vec<u8>,
    /// Where the last write has left the opening's position, as far as it tells.
    position: Option<u64>,
    /// The number of the order that it became.
    order: Option<u64>,
}

/// The orders given, apart from what came of them.
#[derive(Default)]
pub(in crate::tree) struct Controls {
    next: AtomicU64,
    /// Requests that are to be sent.
    requests: Mutex<HashMap<u64, Map<String, Value>>>,
    /// The last order of each file.
    last: Mutex<HashMap<Control, u64>>,
    /// The last run that was started of each agent.
    started: Mutex<HashMap<Arc<str>, (String, Timestamp)>>,
}

/// What is done through a control file is done with the token of whoever has
/// mounted.
pub(in crate::tree) fn not_yours() -> Miss {
    Miss::Error(Error::Denied(
        "only whoever has mounted may use this".into(),
    ))
}

impl Controls {
    fn new_order(&self, control: &Control) -> u64 {
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        self.last.lock().insert(control.clone(), order);
        order
    }

    /// The last run that was started through an agent's file, and when.
    pub(in crate::tree) fn last_started(&self, agent: &str) -> Option<(String, Timestamp)> {
        self.started.lock().get(agent).cloned()
    }
}

impl Control {
    fn want(&self, order: u64) -> Want {
        match self {
            Self::Start(agent) => Want::Start(agent.clone(), order),
            Self::Cancel(run) => Want::Cancel(run.clone(), order),
        }
    }
}

/// The request that a text is: a JSON object is taken whole, with the agent
/// filled in; anything else is the prompt.
fn request(text: Vec<u8>, agent: &str) -> Result<Map<String, Value>> {
    let invalid = |message: String| Error::Invalid(message);
    let text = decode(text).ok_or_else(|| {
        let message = "no run was started: the text is neither UTF-8 nor, with a byte order mark, \
            UTF-16";
        invalid(message.into())
    })?;
    let visible = from_visible(&text);
    let mut request = if visible.starts_with('{') {
        // The message of the parser quotes nothing of the text, which may hold
        // secrets.
        serde_json::from_str::<Map<String, Value>>(visible).map_err(|error| {
            invalid(format!(
                "no run was started: what begins with {{ must be a JSON object \
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
        return Err(invalid("no run was started: there is no prompt".into()));
    }
    if !TARGETS.iter().any(|target| request.contains_key(*target)) {
        request.insert("agent_id".into(), agent.into());
    }
    Ok(request)
}

impl Writing {
    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.draft.lock()
    }

    pub(in crate::tree) fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it is another opening of the same file.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.control == other.control && !std::ptr::eq(self, other)
    }

    /// Notes a write as the kernel sent it, at an offset in bytes.
    pub(crate) fn note_write(&self, offset: u64, length: usize) {
        // One so large may be a part of what somebody is still writing: the
        // position moves when all of it is written.
        self.draft().position = (length < PIECE).then_some(offset + length as u64);
    }

    /// The file position that descriptors of this opening have, where that is
    /// known: bytes from the beginning.
    pub(crate) fn position(&self) -> Option<u64> {
        self.draft().position
    }

    /// Drops what was written past a size: `ftruncate`.
    fn truncate(&self, size: u64) {
        let mut draft = self.draft();
        let kept = size.saturating_sub(draft.base);
        draft
            .text
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }
}

impl View<'_> {
    /// Opens a file to be written.
    ///
    /// # Errors
    /// EROFS for all but the control files; EACCES for a user who has not mounted.
    pub fn open_to_write(&self, ino: u64, is_owner: bool) -> Answer<Opened> {
        let node = self.node(ino)?;
        let Node::Control(control) = &node else {
            return Err(Error::ReadOnly.into());
        };
        if !is_owner {
            return Err(not_yours());
        }
        Ok(Opened {
            handle: Handle::Control(Writing {
                control: control.clone(),
                node,
                draft: Mutex::default(),
            }),
            is_final: false,
        })
    }

    /// Lets mode, owner, times and length of a control file be set, which changes
    /// nothing but what has been written so far: programs that copy a file keep
    /// these, and would report a run that has started as a failure.
    ///
    /// # Errors
    /// EROFS for any other node; EACCES for a user who has not mounted.
    pub fn touch(&self, ino: u64, is_owner: bool, cut: Option<(&Writing, u64)>) -> Answer<Stat> {
        let node = self.node(ino)?;
        if !matches!(node, Node::Control(_)) {
            return Err(Error::ReadOnly.into());
        }
        if !is_owner {
            return Err(not_yours());
        }
        if let Some((writing, size)) = cut {
            writing.truncate(size);
        }
        self.stat(&node)
    }

    /// Why no extended attribute of a node can be set or removed. A control file
    /// is like one of a file system without any, so that programs which keep
    /// attributes go on without them.
    ///
    /// # Errors
    /// ESTALE for an unknown number.
    pub fn xattr_refusal(&self, ino: u64) -> Answer<Error> {
        Ok(match self.node(ino)? {
            Node::Control(_) => Error::NotSupported,
            _ => Error::ReadOnly,
        })
    }

    /// Takes what is written to a control file: at an offset, or at the end of
    /// what has been written so far. A file that is appended to says the latter:
    /// where the kernel takes its end to be depends on who looks at it meanwhile.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has done its work; for a
    /// cancel, whatever it fails with.
    pub fn write(&self, writing: &Writing, offset: Option<u64>, data: &[u8]) -> Answer<()> {
        if data.is_empty() {
            return Ok(());
        }
        let mut draft = writing.draft();
        if let Control::Cancel(_) = &writing.control {
            let controls = &self.tree.controls;
            let order = *draft
                .order
                .get_or_insert_with(|| controls.new_order(&writing.control));
            drop(draft);
            return self.outcome(&writing.control, order);
        }
        if draft.order.is_some() {
            let message = "the run has been started; open the file again for another";
            return Err(Error::Invalid(message.into()).into());
        }
        if draft.text.is_empty() {
            draft.base = offset.unwrap_or_default();
        }
        let start = match offset {
            Some(offset) => offset.checked_sub(draft.base),
            None => Some(draft.text.len() as u64),
        };
        let start = start.and_then(|start| usize::try_from(start).ok());
        let start = start
            .filter(|start| *start <= draft.text.len())
            .ok_or_else(|| Error::Invalid("a request cannot have holes".into()))?;
        let end = start.saturating_add(data.len());
        if end > LARGEST {
            let largest = LARGEST >> 20;
            let message = format!(
                "no run was started: more than {largest} MiB; put large inputs into a volume"
            );
            return Err(Error::TooLarge(message).into());
        }
        let new_length = draft.text.len().max(end);
        draft.text.resize(new_length, 0);
        draft.text[start..end].copy_from_slice(data);
        Ok(())
    }

    /// Ends the writing of a control file: what was written is ordered.
    ///
    /// # Errors
    /// EINVAL for a request that cannot be, and whatever the order fails with.
    pub fn finish(&self, writing: &Writing) -> Answer<()> {
        let Control::Start(agent) = &writing.control else {
            return Ok(());
        };
        let mut draft = writing.draft();
        if draft.order.is_none() && draft.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut draft.text);
        let tree = self.tree;
        let order = *draft.order.get_or_insert_with(|| {
            let order = tree.controls.new_order(&writing.control);
            match request(text, agent) {
                Ok(request) => {
                    tree.controls.requests.lock().insert(order, request);
                }
                Err(error) => tree.fail(&writing.control.want(order), &error),
            }
            order
        });
        drop(draft);
        self.outcome(&writing.control, order)
    }

    /// What came of an order; asks for it to be carried out where nothing has.
    fn outcome(&self, control: &Control, order: u64) -> Answer<()> {
        self.need(&self.tree.known.orders, &order, || control.want(order))?;
        Ok(())
    }

    /// Why the last order that was given through a file failed, if it did.
    pub(in crate::tree) fn last_refusal(&self, control: &Control) -> Option<String> {
        let order = *self.tree.controls.last.lock().get(control)?;
        let error = self.tree.last_failure(&control.want(order))?;
        Some(error.to_string())
    }
}

impl Tree {
    /// Sends an order, and takes in what it has changed.
    pub(in crate::tree) fn carry_out(
        &self,
        want: &Want,
        order: u64,
        asked: Instant,
        progress: &Progress,
    ) -> Result<()> {
        let sent = match want {
            Want::Start(..) => {
                let request = self.controls.requests.lock().remove(&order);
                let request = request
                    .ok_or_else(|| Error::Internal("a request was to be sent twice".into()))?;
                self.api.start_run(&request, progress)
            }
            Want::Cancel(run, _) => self.api.cancel_run(run, progress),
            _ => return Ok(()),
        };
        let row = sent.map_err(|error| match error.is_not_found() {
            // The file that is written does exist.
            true => Error::Invalid(error.to_string()),
            false => error,
        })?;
        if let Want::Start(agent, _) = want {
            let started = (row.value.id.clone(), Timestamp::now());
            self.controls.started.lock().insert(agent.clone(), started);
        }
        self.known
            .orders
            .put(order, row.clone(), asked, FOR_EVER, 0);
        self.note_run(row, asked);
        Ok(())
    }

    /// Takes in a run that was told of by the way.
    fn note_run(&self, row: Row<Run>, asked: Instant) {
        let id: Arc<str> = row.value.id.as_str().into();
        let lasts = match row.value.status.is_terminal() {
            true => FOR_EVER,
            false => self.list_ttl(),
        };
        let weight = 2 * row.raw.get().len() + 128;
        let with_it =
            |listing: &Listing<Run>| Listing::with_earlier(vec![row.clone()], asked, listing);
        let relisting = self.known.relisting();
        self.known.runs.amend(&(), with_it);
        drop(relisting);
        self.known.run.put(id.clone(), row, asked, lasts, weight);
        self.keep(&Want::Run(id));
    }
}

#[cfg(test)]
mod tests;
