//! Open files.

use crate::{
    error::Result,
    store::{self, PartialFile},
    sync::Mutex,
    tree::{
        content::Content,
        logs::{LogView, Logs},
        node::{Node, VersionId},
        orders::Writing,
    },
};
use std::sync::{Arc, OnceLock};

/// What an open file reads from. It stays readable when content is evicted or changes.
pub enum Handle {
    /// A file of ours that can never change.
    Bytes(Arc<[u8]>),
    /// A file of ours that may change, as it was when it was opened and as far
    /// as it has grown since.
    Page(Page),
    /// A run's log, which grows while the run lives.
    Log(OpenLog),
    /// A control file that is written.
    Control(Writing),
    /// A file of a version, and its inode number.
    Content(store::Content, u64),
    /// A file of a version that is, or was, partial.
    Partial(Box<OpenPartial>),
}

/// An open file of a version that was partial when it was opened.
pub struct OpenPartial {
    pub(super) content: PartialFile,
    pub(super) of: VersionId,
    pub(super) ino: u64,
    number: u32,
    /// The same file, once the version is sealed and has checksums.
    sealed: OnceLock<store::Content>,
}

impl OpenPartial {
    pub(super) fn new(content: PartialFile, of: VersionId, ino: u64, number: u32) -> Self {
        Self {
            content,
            of,
            ino,
            number,
            sealed: OnceLock::new(),
        }
    }

    /// The file in the sealed version, where that has come of the archive that
    /// it was opened on.
    pub(super) fn sealed(&self, content: &Content) -> Result<Option<&store::Content>> {
        if let Some(file) = self.sealed.get() {
            return Ok(Some(file));
        }
        // Another archive can have other files under the same numbers.
        self.content.read_at(self.content.size(), &mut [])?;
        if content.partial(&self.of).is_some() {
            return Ok(None);
        }
        let Some(version) = content.sealed(&self.of) else {
            return Ok(None);
        };
        let file = version.open(self.number)?;
        let file = file.filter(|file| file.size() == self.content.size());
        Ok(file.map(|file| self.sealed.get_or_init(|| file)))
    }
}

/// An open log of a run.
pub struct OpenLog {
    pub(super) run: Arc<str>,
    pub(super) view: LogView,
    pub(super) logs: Arc<Logs>,
}

/// An open file that may change.
pub struct Page {
    node: Node,
    bytes: Mutex<Arc<[u8]>>,
}

impl Page {
    pub(super) fn new(node: Node, bytes: Arc<[u8]>) -> Self {
        Self {
            node,
            bytes: Mutex::new(bytes),
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn bytes(&self) -> Arc<[u8]> {
        self.bytes.lock().clone()
    }

    /// Notes what the file has grown to.
    pub(super) fn grow(&self, bytes: Arc<[u8]>) {
        *self.bytes.lock() = bytes;
    }
}

/// An open file and how the kernel may treat it.
pub struct Opened {
    /// What it reads from.
    pub handle: Handle,
    /// The content can never change, so the kernel may keep its pages from an earlier
    /// open.
    pub is_final: bool,
}
