//! The files of versions, and the producers of archives.

use axum::body::Bytes;
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

/// Which producer's form an archive has, and which files it lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maker {
    /// node-tar, in the `vm0` CLI: ustar, pax for long or non-ASCII names;
    /// only what is listed, no directories.
    #[default]
    NodeTar,
    /// The Rust `tar` crate, in newer sandboxes: GNU headers and long names, and
    /// exactly the listed regular files.
    RustTar,
    /// GNU tar over `.`, in sandboxes until spring 2026: names begin with `./`,
    /// and directories, symbolic and hard links have entries.
    Sandbox,
}

/// The content of a [`File`].
#[derive(Clone, Debug)]
pub(super) enum Body {
    Bytes(Bytes),
    Blocks(Arc<Blocks>),
    /// A symbolic link with its target, unchanged.
    Symlink(String),
    /// A further name of the file at a path.
    HardLink(String),
    Folder,
}

/// A sequence of a few distinct blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) distinct: Vec<Bytes>,
    /// Indexes into `distinct`.
    pub(super) order: Vec<u32>,
    sha256: OnceLock<[u8; 32]>,
}

/// One entry of a version: a regular file, a link or a folder.
#[derive(Clone, Debug)]
pub struct File {
    /// Path relative to the version's root.
    pub path: String,
    /// Whether the execute bits are set.
    pub executable: bool,
    /// Modification time in unix seconds.
    pub modified: u64,
    /// Its mode, if that is neither 0644 nor 0755.
    pub(super) mode: Option<u32>,
    pub(super) body: Body,
}

/// 2026-01-05T09:00:00Z: a fixed default, so that the same files give the same archive.
const DEFAULT_MODIFIED: u64 = 1_767_603_600;

impl File {
    /// A file that holds `content`.
    pub fn new(path: impl Into<String>, content: impl Into<Bytes>) -> Self {
        Self::with(path, Body::Bytes(content.into()))
    }

    fn with(path: impl Into<String>, body: Body) -> Self {
        Self {
            path: path.into(),
            executable: false,
            modified: DEFAULT_MODIFIED,
            mode: None,
            body,
        }
    }

    /// A symbolic link to `target`, which is stored unchanged.
    pub fn symlink(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self::with(path, Body::Symlink(target.into()))
    }

    /// A further name of the file at the path `of`.
    pub fn hard_link(path: impl Into<String>, of: impl Into<String>) -> Self {
        Self::with(path, Body::HardLink(of.into()))
    }

    /// A directory, which may be empty.
    pub fn folder(path: impl Into<String>) -> Self {
        Self::with(path, Body::Folder)
    }

    /// Whether it is a regular file with a content of its own.
    pub fn is_regular(&self) -> bool {
        matches!(self.body, Body::Bytes(_) | Body::Blocks(_))
    }

    /// The same file with a mode such as 0640.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self.executable = mode & 0o100 != 0;
        self
    }

    /// A file that holds `distinct[order[0]]`, `distinct[order[1]]`, and so on.
    /// Indexes past the end of `distinct` are ignored.
    ///
    /// `sha256` may be given where it is known, to save hashing the whole.
    pub fn blocks(
        path: impl Into<String>,
        distinct: Vec<Bytes>,
        order: Vec<u32>,
        sha256: Option<[u8; 32]>,
    ) -> Self {
        let known = OnceLock::new();
        if let Some(sha256) = sha256 {
            let _ = known.set(sha256);
        }
        let body = Body::Blocks(Arc::new(Blocks {
            distinct,
            order,
            sha256: known,
        }));
        Self::with(path, body)
    }

    /// The same file with its execute bits set.
    pub fn executable(mut self) -> Self {
        self.executable = true;
        self
    }

    /// The same file with another modification time, in unix seconds.
    pub fn modified(mut self, seconds: u64) -> Self {
        self.modified = seconds;
        self
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }

    /// The content, part by part.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        let (single, blocks) = match &self.body {
            Body::Bytes(bytes) => (Some(bytes), None),
            Body::Blocks(blocks) => (None, Some(blocks)),
            Body::Symlink(_) | Body::HardLink(_) | Body::Folder => (None, None),
        };
        let repeated = blocks.into_iter().flat_map(|blocks| {
            blocks
                .order
                .iter()
                .filter_map(|&index| blocks.distinct.get(index as usize))
        });
        single.into_iter().chain(repeated)
    }

    /// SHA-256 of the content.
    pub fn sha256(&self) -> [u8; 32] {
        let hash = || {
            let mut hasher = Sha256::new();
            self.parts().for_each(|part| hasher.update(part));
            hasher.finalize().into()
        };
        match &self.body {
            Body::Blocks(blocks) => *blocks.sha256.get_or_init(hash),
            _ => hash(),
        }
    }
}
