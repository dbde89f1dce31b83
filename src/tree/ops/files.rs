//! Opening and reading.

use crate::{
    error::{Error, Result},
    store::{self, NodeKind, PartialFile, PartialRead, PartialVersion, Seek},
    sync::Mutex,
    tree::{
        content::{Content, Files},
        fetch_key::{Answer, Miss, Need, Reader},
        logs::{LogView, Logs},
        node::{Kind, Node, RunFile, VersionId},
        ops::attributes::Stat,
        orders::{Writing, not_yours},
        view::View,
    },
};
use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How often content that comes in parts is opened anew and read before all of it is asked
/// for: other reads bring parts of it, and remove them, at any moment.
const LOOKS: u32 = 4;

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
    of: VersionId,
    ino: u64,
    number: u32,
    /// The same file, once the version is sealed and has checksums.
    sealed: OnceLock<store::Content>,
}

impl OpenPartial {
    /// The file in the sealed version, where that has come of the archive that
    /// it was opened on.
    fn sealed(&self, content: &Content) -> Result<Option<&store::Content>> {
        if let Some(file) = self.sealed.get() {
            return Ok(Some(file));
        }
        // Another archive can have other files under the same numbers.
        self.content.read_at(self.content.size(), &mut [])?;
        if content.partial(&self.of).is_some() {
            return Ok(None);
        }
        let sealed = content.sealed(&self.of);
        let Some(version) = sealed.filter(|sealed| self.content.is_in(sealed)) else {
            return Ok(None);
        };
        let file = version.open(self.number)?;
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
    pub(super) node: Node,
    pub(super) bytes: Mutex<Arc<[u8]>>,
}

impl Page {
    pub(super) fn bytes(&self) -> Arc<[u8]> {
        self.bytes.lock().clone()
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

/// What of `bytes` is in `size` bytes at `offset`.
fn part(bytes: &[u8], offset: u64, size: usize) -> &[u8] {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let start = start.min(bytes.len());
    &bytes[start..start.saturating_add(size).min(bytes.len())]
}

/// How many of `size` bytes at `offset` there are in a file.
fn wanted(file: u64, offset: u64, size: usize) -> usize {
    let left = file.saturating_sub(offset);
    size.min(usize::try_from(left).unwrap_or(usize::MAX))
}

fn cut_short() -> Error {
    Error::Io {
        context: "reading the cache".into(),
        source: Arc::new(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What opening a version's node gives that needs no content.
fn without_content(entry: &store::Node) -> Result<Option<Opened>> {
    match entry.kind {
        NodeKind::Directory => Err(Error::IsDirectory),
        NodeKind::Symlink => Err(Error::Invalid("is a symbolic link".into())),
        NodeKind::File if entry.size > 0 => Ok(None),
        NodeKind::File => Ok(Some(Opened {
            handle: Handle::Bytes(Arc::from([])),
            is_final: true,
        })),
    }
}

impl View<'_> {
    /// Opens a file to be written.
    ///
    /// # Errors
    /// EROFS for all but the control files; EACCES for a user who has not mounted.
    pub fn open_to_write(&self, ino: u64, is_owner: bool) -> Answer<Opened> {
        let node = self.node(ino)?;
        let Node::Control(control) = node else {
            return Err(Error::ReadOnly.into());
        };
        if !is_owner {
            return Err(not_yours().into());
        }
        Ok(Opened {
            handle: Handle::Control(self.tree.orders.open(control)),
            is_final: false,
        })
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// EISDIR, EINVAL for a symlink, EACCES for a private file of another user, ESTALE,
    /// and what a fetch fails with.
    pub fn open(&self, ino: u64, is_owner: bool) -> Answer<Opened> {
        let node = self.node(ino)?;
        if node.is_private() && !is_owner {
            return Err(not_yours().into());
        }
        let Node::Entry(version, number) = &node else {
            return self.open_ours(node);
        };
        match self.files(version)? {
            Files::None => Err(Error::IsDirectory.into()),
            Files::Partial(partial) => self.open_partial(&partial, version, *number, ino),
            Files::Sealed(sealed) => {
                let entry = sealed.index().node(*number).ok_or(Error::Stale)?;
                if let Some(opened) = without_content(&entry)? {
                    return Ok(opened);
                }
                if let Some(content) = sealed.open(*number)? {
                    let handle = Handle::Content(content, ino);
                    return Ok(Opened {
                        handle,
                        is_final: true,
                    });
                }
                // Evicted, and perhaps being downloaded again; it is shown only under the
                // same numbers.
                match self.tree.content.partial(version) {
                    Some(partial) => self.open_partial(&partial, version, *number, ino),
                    None => Err(self.content_miss(version)),
                }
            }
        }
    }

    fn open_ours(&self, node: Node) -> Answer<Opened> {
        if let &Node::RunFile(ref id, RunFile::Log(view)) = &node {
            let (logs, is_final) = self.log_file(id, view)?;
            return Ok(Opened {
                handle: Handle::Log(OpenLog {
                    run: id.clone(),
                    view,
                    logs,
                }),
                is_final,
            });
        }
        let file = self.render(&node)?;
        let handle = match file.is_final {
            true => Handle::Bytes(file.bytes),
            false => Handle::Page(Page {
                node,
                bytes: Mutex::new(file.bytes),
            }),
        };
        Ok(Opened {
            handle,
            is_final: file.is_final,
        })
    }

    fn open_partial(
        &self,
        partial: &PartialVersion,
        version: &VersionId,
        number: u32,
        ino: u64,
    ) -> Answer<Opened> {
        let not_yet = || self.content_miss(version);
        let entry = partial.node(number).ok_or_else(not_yet)?;
        if let Some(opened) = without_content(&entry)? {
            // The end of the archive can still prove all of it wrong.
            return Ok(Opened {
                is_final: false,
                ..opened
            });
        }
        let content = partial.open(number).ok_or_else(not_yet)?;
        Ok(Opened {
            handle: Handle::Partial(Box::new(OpenPartial {
                content,
                of: version.clone(),
                ino,
                number,
                sealed: OnceLock::new(),
            })),
            is_final: false,
        })
    }

    /// Where the next data or hole of an open file is, from `offset` on; `None` where
    /// there is none. What is not of a version has no holes but the one at its end.
    ///
    /// # Errors
    /// What asking for its size fails with.
    pub fn seek(&self, ino: u64, handle: &Handle, offset: u64, what: Seek) -> Answer<Option<u64>> {
        let size = match handle {
            Handle::Content(content, _) => return Ok(content.seek(offset, what)),
            Handle::Partial(open) => return Ok(open.content.seek(offset, what)),
            _ => self.getattr(ino)?.attributes.size,
        };
        Ok((offset < size).then_some(match what {
            Seek::Data => offset,
            Seek::Hole => size,
        }))
    }

    /// Reads up to `size` bytes at `offset` into `buffer`, whose old content is
    /// dropped: fewer only at the end of the file.
    ///
    /// # Errors
    /// EIO where the cache's files cannot be read, and what the fetch of a version
    /// fails with that is partial, or damaged on disk.
    pub fn read(
        &self,
        handle: &Handle,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        // Content fills all of the buffer: what is in it need not be zeroed first.
        if !matches!(handle, Handle::Content(..) | Handle::Partial(_)) {
            buffer.clear();
        }
        match handle {
            Handle::Bytes(bytes) => buffer.extend_from_slice(part(bytes, offset, size)),
            Handle::Page(page) => self.read_page(page, offset, size, buffer)?,
            Handle::Log(OpenLog { run, view, logs }) => {
                logs.read(*view, offset, size, buffer);
                // A process that reads at the end may wait for more. Why a fetch fails
                // is reported elsewhere: what the process has read stays true.
                if buffer.is_empty()
                    && let Err(miss @ Miss::Fetch(_)) = self.logs(run)
                {
                    return Err(miss);
                }
                logs.read(
                    *view,
                    offset + buffer.len() as u64,
                    size - buffer.len(),
                    buffer,
                );
            }
            Handle::Control(writing) => {
                let file = self.render(&writing.node())?;
                buffer.extend_from_slice(part(&file.bytes, offset, size));
            }
            Handle::Content(content, ino) => {
                buffer.resize(wanted(content.size(), offset, size), 0);
                if content.read_at(offset, buffer).is_none() {
                    self.is_to_come(*ino, content, offset, buffer.len())?;
                    return self.read_anew(*ino, content.size(), offset, size, buffer);
                }
            }
            Handle::Partial(open) => self.read_partial(open, offset, size, buffer)?,
        }
        Ok(())
    }

    fn read_partial(
        &self,
        open: &OpenPartial,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        let content = &open.content;
        buffer.resize(wanted(content.size(), offset, size), 0);
        if buffer.is_empty() {
            return Ok(());
        }
        if let Some(sealed) = open.sealed(&self.tree.content)? {
            if sealed.read_at(offset, buffer).is_none() {
                self.is_to_come(open.ino, sealed, offset, buffer.len())?;
                return self.read_anew(open.ino, content.size(), offset, size, buffer);
            }
            return Ok(());
        }
        match content.read_at(offset, buffer)? {
            PartialRead::Read(0) => Err(cut_short().into()),
            PartialRead::Read(read) if read == buffer.len() => Ok(()),
            // Not a part of it: where the file is mapped, the kernel takes a
            // short read for the end of the file.
            PartialRead::Read(_) | PartialRead::NotYet => Err(self.content_miss(&open.of)),
        }
    }

    /// At the end of a file that may have grown, what it has grown by; one that
    /// has become another is read to the end as it was.
    fn read_page(&self, page: &Page, offset: u64, size: usize, buffer: &mut Vec<u8>) -> Answer<()> {
        let mut bytes = page.bytes();
        if part(&bytes, offset, size).is_empty() && size > 0 {
            bytes = self.grown(page)?;
        }
        buffer.extend_from_slice(part(&bytes, offset, size));
        Ok(())
    }

    /// The bytes of an open file, and what it has grown by since it was opened.
    fn grown(&self, page: &Page) -> Answer<Arc<[u8]>> {
        let known = page.bytes();
        match self.render(&page.node) {
            Ok(file) if file.bytes.starts_with(&known) => {
                *page.bytes.lock() = file.bytes.clone();
                Ok(file.bytes)
            }
            Err(miss @ Miss::Fetch(_)) => Err(miss),
            Ok(_) | Err(_) => Ok(known),
        }
    }

    /// The attributes of an open file: its size is that of what can be read through
    /// this handle.
    ///
    /// # Errors
    /// As [`View::getattr`].
    pub fn getattr_of(&self, ino: u64, handle: &Handle) -> Answer<Stat> {
        let mut stat = self.getattr(ino)?;
        if let Handle::Page(page) = handle {
            let size = self.grown(page)?.len() as u64;
            if size != stat.attributes.size {
                // What has changed since it was opened has another size for all others.
                stat.attributes.size = size;
                stat.lasts = Duration::ZERO;
            }
        }
        Ok(stat)
    }

    /// What a read misses of content that is on disk only partly; nothing where the
    /// content is to be opened anew.
    fn is_to_come(
        &self,
        ino: u64,
        content: &store::Content,
        offset: u64,
        size: usize,
    ) -> Answer<()> {
        match (content.missing(offset, size), self.node(ino)?) {
            (Some(missing), Node::Entry(version, number)) => {
                Err(self.miss(&version, Need::Part(missing, Reader(number))))
            }
            _ => Ok(()),
        }
    }

    /// Reads, for a handle whose content turned out damaged, what has been
    /// fetched in its place since.
    fn read_anew(
        &self,
        ino: u64,
        file: u64,
        offset: u64,
        size: usize,
        buffer: &mut Vec<u8>,
    ) -> Answer<()> {
        for _ in 0..LOOKS {
            match self.open(ino, true)?.handle {
                Handle::Content(content, ino) if content.size() == file => {
                    if content.read_at(offset, buffer).is_some() {
                        return Ok(());
                    }
                    self.is_to_come(ino, &content, offset, buffer.len())?;
                    if !content.is_partly_there() {
                        // Twice in a row is more than an accident.
                        return Err(cut_short().into());
                    }
                    // What was missing can have come meanwhile, or the content was removed.
                }
                Handle::Partial(open) if open.content.size() == file => {
                    // All or nothing: the kernel takes fewer bytes for the end of a
                    // file that is in its page cache, and fills up with zeros.
                    return self.read_partial(&open, offset, size, buffer);
                }
                // Another file than the handle was opened on.
                _ => return Err(cut_short().into()),
            }
        }
        match self.node(ino)? {
            // It cannot come in parts any more.
            Node::Entry(version, _) => Err(self.miss(&version, Need::All)),
            _ => Err(cut_short().into()),
        }
    }

    /// Checks for `opendir` that the inode is a directory. Says whether its
    /// listing can never change.
    ///
    /// # Errors
    /// ENOTDIR, ESTALE.
    pub fn open_directory(&self, ino: u64) -> Answer<bool> {
        match self.node(ino)? {
            // The kernel opens as a directory only what it knows to be one.
            Node::Entry(..) => Ok(true),
            node if node.kind() == Some(Kind::Directory) => Ok(false),
            _ => Err(Error::NotDirectory.into()),
        }
    }
}
