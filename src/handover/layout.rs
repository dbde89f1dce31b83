//! Where in the memory each part is. The memory is sparse: what is not written takes
//! no space, so that the parts can be far apart.

/// The format of all that is kept; to be raised with each change of it. A worker does
/// not take over what has another one.
pub(super) const FORMAT: u32 = 2;

/// What the memory begins with.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"vm0fs ho");

/// A mapped part in bytes: the header, what the threads work on, and what has killed
/// workers.
pub(super) const FIXED: u64 = 64 << 10;

/// The words of the header, in words of 8 bytes: what it begins with, its format, the
/// number of the last handle, how many slots were ever in use, and where the next
/// extent begins.
pub(super) const WORD_MAGIC: usize = 0;
pub(super) const WORD_FORMAT: usize = 1;
pub(super) const WORD_HANDLE: usize = 2;
pub(super) const WORD_SLOTS: usize = 3;
pub(super) const WORD_EXTENT: usize = 4;

/// What threads work on: the first word, and how many there are.
pub(super) const THREADS: (usize, usize) = (512, 128);
/// What has killed workers, likewise.
pub(super) const DEATHS: (usize, usize) = (THREADS.0 + THREADS.1 * WORK_WORDS, 64);
/// The words of one of either.
pub(super) const WORK_WORDS: usize = 24;

/// The slots of open handles: where they begin, the bytes that are mapped at a time,
/// how many of these there may be, and the words of a slot.
pub(super) const SLOTS: u64 = 1 << 20;
pub(super) const SLOT_CHUNK: u64 = 256 << 10;
pub(super) const SLOT_CHUNKS: usize = 256;
pub(super) const SLOT_WORDS: usize = 8;
pub(super) const SLOTS_A_CHUNK: usize = SLOT_CHUNK as usize / (SLOT_WORDS * 8);

/// The journal: where it begins and ends, and the bytes that are mapped at a time.
pub(super) const JOURNAL: u64 = 1 << 30;
pub(super) const JOURNAL_END: u64 = 1 << 40;
pub(super) const JOURNAL_CHUNK: u64 = 256 << 10;

/// The extents: where they begin, and where the memory ends.
pub(super) const EXTENTS: u64 = 1 << 41;
pub(super) const END: u64 = 1 << 60;
/// Extents begin at a multiple of this, so that they can be freed by themselves.
pub(super) const PAGE: u64 = 4096;
