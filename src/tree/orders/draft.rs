//! An open control file, and what has been written to it: kept for the next worker, to
//! which the process goes on to write.

use crate::{
    error::{Error, Result},
    handover::{Fields, Handover, Reader, Stream},
    sync::Mutex,
    tree::node::{Control, Node},
};
use std::sync::Arc;

/// The most bytes that a process may write for one run. The service documents no limit
/// for a prompt; this is more than a model can read.
pub(super) const LARGEST: usize = 16 << 20;

/// The kernel sends a larger write in pieces of at least this many bytes: FUSE
/// has had 32 pages since it has had large writes.
const PIECE: usize = 128 << 10;

/// A write as the kernel sends it.
#[derive(Clone, Copy, Debug)]
pub struct WriteRequest<'a> {
    /// The number of the request. One that is sent again to the next worker has the same.
    pub request: u64,
    /// Where it goes, in bytes.
    pub offset: u64,
    /// Whether it goes to the end of what was written before, and the offset says nothing:
    /// of files that are opened to append, what the kernel takes for their end depends
    /// on other processes that look at the file.
    pub appends: bool,
    /// What is written.
    pub data: &'a [u8],
}

/// An open control file.
pub struct Writing {
    control: Control,
    draft: Mutex<Draft>,
    handover: Arc<Handover>,
    /// What has happened to the draft; `None` where nothing can be kept.
    stream: Option<Stream>,
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
    /// The number of the last write's request.
    last: Option<u64>,
    /// The number of the order that it became.
    order: Option<u64>,
}

// What has happened to a draft, by the first byte of its records.
const WRITTEN: u8 = 1;
const CUT: u8 = 2;
const ORDERED: u8 = 3;

impl Draft {
    /// Where in the text a write goes.
    fn place(&self, write: &WriteRequest<'_>) -> Result<usize> {
        if self.order.is_some() {
            let message = "the run has been started; open the file again for another";
            return Err(Error::Invalid(message.into()));
        }
        let base = match self.text.is_empty() {
            true if write.appends => 0,
            true => write.offset,
            false => self.base,
        };
        let start = match write.appends {
            false => write.offset.checked_sub(base).map(usize::try_from),
            true => Some(Ok(self.text.len())),
        };
        let start = start
            .and_then(Result::ok)
            .filter(|start| *start <= self.text.len())
            .ok_or_else(|| Error::Invalid("a request cannot have holes".into()))?;
        if start.saturating_add(write.data.len()) > LARGEST {
            let largest = LARGEST >> 20;
            let message = format!(
                "no run was started: more than {largest} MiB; put large inputs into a volume"
            );
            return Err(Error::TooLarge(message));
        }
        Ok(start)
    }

    fn put(&mut self, start: usize, write: &WriteRequest<'_>) {
        if self.text.is_empty() {
            self.base = if write.appends { 0 } else { write.offset };
        }
        let end = start + write.data.len();
        let new_length = self.text.len().max(end);
        self.text.resize(new_length, 0);
        self.text[start..end].copy_from_slice(write.data);
        self.last = Some(write.request);
        // Such a large write may be one piece of several: the file position moves
        // when the kernel has sent all of them.
        let length = write.data.len();
        self.position = (length < PIECE).then_some(write.offset + length as u64);
    }

    fn cut(&mut self, size: u64) {
        let kept = size.saturating_sub(self.base);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        self.text.truncate(kept);
    }

    /// Takes a record of an earlier worker.
    fn take(&mut self, record: &mut Reader<'_>) -> Option<()> {
        match record.byte()? {
            WRITTEN => {
                let (request, offset) = (record.number()?, record.number()?);
                let write = WriteRequest {
                    request,
                    offset,
                    appends: record.byte()? > 0,
                    data: record.bytes()?,
                };
                let start = self.place(&write).ok()?;
                self.put(start, &write);
            }
            CUT => self.cut(record.number()?),
            ORDERED => self.order = Some(record.number()?),
            _ => {}
        }
        Some(())
    }
}

impl Writing {
    /// An opening of a control file.
    pub(in crate::tree) fn new(control: Control, handover: Arc<Handover>) -> Self {
        Self {
            control,
            draft: Mutex::default(),
            stream: handover.stream(),
            handover,
        }
    }

    /// An opening that an earlier worker left, by its number.
    ///
    /// # Errors
    /// ESTALE where it is lost.
    pub(in crate::tree) fn left(
        control: Control,
        handover: Arc<Handover>,
        number: u64,
    ) -> Result<Self> {
        let mut draft = Draft::default();
        let mut is_whole = true;
        let take = |record: &mut Reader<'_>| is_whole &= draft.take(record).is_some();
        let stream = handover.left_stream(number, take);
        if !is_whole || stream.is_none() {
            return Err(Error::Stale);
        }
        Ok(Self {
            control,
            draft: Mutex::new(draft),
            stream,
            handover,
        })
    }

    /// The number by which the next worker finds it; 0 for none.
    pub(in crate::tree) fn number(&self) -> u64 {
        self.stream.as_ref().map_or(0, Stream::number)
    }

    /// The file.
    pub(in crate::tree) fn control(&self) -> &Control {
        &self.control
    }

    /// The file's node.
    pub(in crate::tree) fn node(&self) -> Node {
        Node::Control(self.control.clone())
    }

    /// Writes down what happens to the draft, before it does.
    fn note(&self, record: Fields) -> Result<()> {
        let noted = self.stream.as_ref();
        let noted = noted.is_some_and(|stream| self.handover.add_to(stream, &record));
        match noted || !self.handover.must_tell() {
            true => Ok(()),
            // Half of what was written must not become an order.
            false => Err(Error::NoSpace(format!(
                "what is written for the {} cannot be kept; open the file again",
                self.control
            ))),
        }
    }

    /// Takes a write.
    ///
    /// # Errors
    /// EFBIG, EINVAL for a hole and for a file that has started its run.
    pub(super) fn write(&self, write: &WriteRequest<'_>) -> Result<()> {
        let mut draft = self.draft.lock();
        if draft.last == Some(write.request) {
            // An earlier worker has taken it, and could not say so any more.
            return Ok(());
        }
        let start = draft.place(write)?;
        let record = Fields::new()
            .byte(WRITTEN)
            .number(write.request)
            .number(write.offset)
            .byte(write.appends.into())
            .bytes(write.data);
        self.note(record)?;
        draft.put(start, write);
        Ok(())
    }

    /// The order that it is, if it is one already.
    pub(super) fn order(&self) -> Option<u64> {
        self.draft.lock().order
    }

    /// Makes it an order, which gives the number, unless it is one already. Gives the
    /// number and, of a new order, the text.
    ///
    /// # Errors
    /// ENOSPC where that cannot be kept.
    pub(super) fn become_order(
        &self,
        new_order: impl FnOnce() -> Result<u64>,
    ) -> Result<(u64, Option<Vec<u8>>)> {
        let mut draft = self.draft.lock();
        if let Some(order) = draft.order {
            return Ok((order, None));
        }
        let order = new_order()?;
        self.note(Fields::new().byte(ORDERED).number(order))?;
        draft.order = Some(order);
        Ok((order, Some(std::mem::take(&mut draft.text))))
    }

    /// The text of an order that an earlier worker has made of it, and not sent.
    pub(super) fn take_text(&self) -> Vec<u8> {
        std::mem::take(&mut self.draft.lock().text)
    }

    /// Whether nothing has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.draft.lock().text.is_empty()
    }

    /// The file position that descriptors of this opening have, where that is
    /// known: bytes from the beginning.
    pub(crate) fn position(&self) -> Option<u64> {
        self.draft.lock().position
    }

    /// Drops what was written past a size: `ftruncate`.
    ///
    /// # Errors
    /// ENOSPC where that cannot be kept.
    pub(in crate::tree) fn truncate(&self, size: u64) -> Result<()> {
        let mut draft = self.draft.lock();
        if draft.text.is_empty() {
            return Ok(());
        }
        self.note(Fields::new().byte(CUT).number(size))?;
        draft.cut(size);
        Ok(())
    }
}
