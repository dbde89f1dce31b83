//! What two versions can differ in: a file or a symlink of one or both.

/// A SHA-256.
pub(super) type Digest = [u8; 32];

/// A file or a symlink of a version. Times are no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its number in the version's index.
    pub(super) node: u32,
    pub(super) is_link: bool,
    pub(super) executable: bool,
    /// Bytes of its content, or of its target.
    pub(super) size: u64,
    /// The hash of the content or of the target; `None` if the content was not hashed.
    pub(super) digest: Option<Digest>,
}

impl Entry {
    /// Its mode, as git has it.
    pub(super) fn mode(&self) -> &'static str {
        match (self.is_link, self.executable) {
            (true, _) => "120000",
            (false, true) => "100755",
            (false, false) => "100644",
        }
    }

    /// Whether both certainly have the same content, or lead to the same.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        self.is_link == other.is_link && self.digest.is_some() && self.digest == other.digest
    }
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its path below the version, in the new one if it is there.
    pub(super) path: Box<[u8]>,
    /// Its path in the old version, if that is another one.
    pub(super) from: Option<Box<[u8]>>,
    pub(super) old: Option<Entry>,
    pub(super) new: Option<Entry>,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Added,
    Deleted,
    /// Its content, its target or its mode has changed.
    Modified,
    /// A file has become a symlink, or a symlink a file.
    Type,
    Renamed,
}

impl Status {
    /// How `git diff --name-status` writes it.
    pub(super) fn letter(self) -> &'static str {
        match self {
            Self::Added => "A",
            Self::Deleted => "D",
            Self::Modified => "M",
            Self::Type => "T",
            Self::Renamed => "R100",
        }
    }

    /// In one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Deleted => "deleted",
            Self::Modified => "modified",
            Self::Type => "type changed",
            Self::Renamed => "renamed",
        }
    }
}

impl Change {
    pub(super) fn status(&self) -> Status {
        match (&self.old, &self.new) {
            _ if self.from.is_some() => Status::Renamed,
            (None, _) => Status::Added,
            (_, None) => Status::Deleted,
            (Some(old), Some(new)) if old.is_link != new.is_link => Status::Type,
            _ => Status::Modified,
        }
    }

    /// Its path in the old version.
    pub(super) fn old_path(&self) -> &[u8] {
        self.from.as_deref().unwrap_or(&self.path)
    }
}
