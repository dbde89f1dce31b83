//! Answers of the API on disk: the last ones, for when the network is
//! gone, and those that can never change, so that they are never asked for again.
//!
//! `<cache>/v1/answers/<account>/<name>`: a checksum line, then the answer as
//! the tree wrote it. A damaged file reads as absent. The files have a maximum size
//! together; the least recently used are removed first.

use crate::{
    error::{Error, Result},
    store::files::{make_directory, touch},
    sync::{Mutex, RwLock},
    text::hex,
};
use nix::fcntl::AT_FDCWD;
use sha2::{Digest, Sha256};
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// The beginning of the first line. The number is raised when answers are
/// written in another way: an older one then reads as absent.
const MAGIC: &str = "vm0fs answer 1 ";
/// One answer larger than this share of the budget is not kept: it would push
/// out most of the others.
const LARGEST_SHARE: u64 = 4;
/// After writing this share of the budget, a scan looks for files to remove.
const SCAN_SHARE: u64 = 16;

/// Answers of one account at one API.
pub struct AnswerStore {
    dir: PathBuf,
    budget: u64,
    /// Bytes written since the last scan.
    written: AtomicU64,
    /// Whether nothing may be written any more. Read-locked during each write.
    closed: RwLock<bool>,
    scan: Mutex<()>,
}

impl AnswerStore {
    /// The answers of an account below the cache directory, with `budget` bytes
    /// for all accounts together. `account` is hashed: it may hold a secret.
    ///
    /// # Errors
    /// [`Error::Io`] if its directory cannot be made.
    pub fn open(cache: &Path, account: &str, budget: u64) -> Result<Self> {
        let dir = cache
            .join("v1/answers")
            .join(&digest(account.as_bytes())[..32]);
        make_directory(&dir)?;
        let store = Self {
            dir,
            budget,
            written: AtomicU64::new(0),
            closed: RwLock::new(false),
            scan: Mutex::new(()),
        };
        store.make_room();
        Ok(store)
    }

    /// The answer kept under a name.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut content = fs::read(&path).ok()?;
        let end = content.iter().position(|&byte| byte == b'\n')?;
        let line = str::from_utf8(&content[..end]).ok()?;
        let checksum = line.strip_prefix(MAGIC)?.to_owned();
        content.drain(..=end);
        if checksum != digest(&content) {
            tracing::warn!(name, "a damaged answer in the cache is left aside");
            let _ = fs::remove_file(&path);
            return None;
        }
        // Notes the time of last use, by which files are removed.
        touch(AT_FDCWD, &path);
        Some(content)
    }

    /// Keeps an answer. A failure is only logged: this is a cache.
    pub fn put(&self, name: &str, content: &[u8]) {
        let length = content.len() as u64;
        if length > self.budget / LARGEST_SHARE {
            return;
        }
        if let Err(error) = self.write(name, content) {
            tracing::debug!("{}", Error::io(format!("keeping the answer {name}"), error));
            return;
        }
        let written = self.written.fetch_add(length, Ordering::Relaxed) + length;
        if written > self.budget / SCAN_SHARE {
            self.make_room();
        }
    }

    /// Waits for writes to end, and prevents new ones: the cache may be about to be
    /// removed.
    pub fn close(&self) {
        *self.closed.write() = true;
    }

    /// Maximum size of all answers, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes that the answers of all accounts take, read from disk.
    pub fn bytes(&self) -> u64 {
        self.files().iter().map(|(_, length, _)| length).sum()
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let closed = self.closed.read();
        if *closed {
            return Ok(());
        }
        // A removed cache directory is made again.
        make_directory(&self.dir).map_err(io::Error::other)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        writeln!(file, "{MAGIC}{}", digest(content))?;
        file.write_all(content)?;
        // No fsync: after a crash of the machine the checksum shows what is damaged.
        file.persist(self.path(name))?;
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        // Names hold ids, which the service chose: hashed, none can be a path.
        self.dir.join(&digest(name.as_bytes())[..40])
    }

    /// Removes the least recently used of all accounts until the budget holds.
    fn make_room(&self) {
        let Some(_scan) = self.scan.try_lock() else {
            return;
        };
        self.written.store(0, Ordering::Relaxed);
        let mut files = self.files();
        // Leaves space for what is written until the next scan.
        let keep = self.budget - self.budget / SCAN_SHARE;
        let mut total: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        for (_, length, path) in files {
            if total <= keep {
                break;
            }
            if fs::remove_file(path).is_ok() {
                total -= length;
            }
        }
    }

    /// Every answer of every account: time of last use, length, path.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let mut files = Vec::new();
        let accounts = self.dir.parent().map(fs::read_dir);
        for account in accounts.into_iter().flatten().flatten().flatten() {
            for file in fs::read_dir(account.path()).into_iter().flatten().flatten() {
                if let Ok(metadata) = file.metadata() {
                    let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    files.push((used, metadata.len(), file.path()));
                }
            }
        }
        files
    }
}

/// The SHA-256 of some bytes in hex.
fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_outlive_the_store_and_accounts_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let store = AnswerStore::open(dir.path(), "origin token", 1 << 20).unwrap();
        assert_eq!(store.get("runs"), None);
        store.put("runs", b"[1]");
        store.put("runs", b"[1,2]");
        store.put("../../escape", b"x");
        drop(store);
        let store = AnswerStore::open(dir.path(), "origin token", 1 << 20).unwrap();
        assert_eq!(store.get("runs").as_deref(), Some(&b"[1,2]"[..]));
        assert_eq!(store.get("../../escape").as_deref(), Some(&b"x"[..]));
        let other = AnswerStore::open(dir.path(), "origin other", 1 << 20).unwrap();
        assert_eq!(other.get("runs"), None);
        let names = fs::read_dir(dir.path().join("v1/answers")).unwrap();
        for name in names {
            assert!(
                !name
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains("token")
            );
        }
    }

    #[test]
    fn damage_reads_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let store = AnswerStore::open(dir.path(), "a", 1 << 20).unwrap();
        store.put("n", b"content");
        let path = store.path("n");
        let whole = fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(store.get("n"), None, "byte {position}");
            fs::write(&path, &whole[..position]).unwrap();
            assert_eq!(store.get("n"), None, "cut at {position}");
        }
        fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(store.get("n"), None);
        store.put("n", b"again");
        assert_eq!(store.get("n").as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn bounded_and_the_least_recently_used_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = AnswerStore::open(dir.path(), "a", 100_000).unwrap();
        store.put("huge", &[0; 50_000]);
        assert_eq!(
            store.get("huge"),
            None,
            "one answer must not push out all others"
        );
        store.put("first", &[1; 4000]);
        for n in 0..100 {
            store.put(&format!("n{n}"), &[2; 4000]);
            assert!(store.get("first").is_some(), "used all the time");
        }
        let total: u64 = fs::read_dir(&store.dir)
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        assert!(total <= 100_000, "{total}");
        assert_eq!(store.get("n0"), None);
        assert!(store.get("n99").is_some());
    }
}
