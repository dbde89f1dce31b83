//! The part that sessions of all agent programs share.

use crate::demo::{digest::sha256_hex, world::after};
use jiff::Timestamp;
use serde_json::Value;

/// Events of a program, each with the time at which it was sent.
pub type Events = Vec<(Timestamp, Value)>;

/// A session of an agent program: a clock, ids that follow from a seed, the
/// events so far, and the program's own state.
#[derive(Clone, Debug)]
pub struct Session<P> {
    pub(super) seed: String,
    start: Timestamp,
    pub(super) now: Timestamp,
    pub(super) ids: u64,
    pub(super) events: Events,
    pub(super) program: P,
}

impl<P> Session<P> {
    /// A session that begins at `start`.
    pub(super) fn of(program: P, seed: &str, start: Timestamp) -> Self {
        Self {
            seed: seed.into(),
            start,
            now: start,
            ids: 0,
            events: Vec::new(),
            program,
        }
    }

    /// Moves the clock on.
    pub fn wait(&mut self, milliseconds: i64) -> &mut Self {
        self.now = after(self.now, milliseconds);
        self
    }

    /// Sets the clock.
    pub fn at(&mut self, time: Timestamp) -> &mut Self {
        self.now = time;
        self
    }

    /// The clock's time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Adds any event, unchanged.
    pub fn raw(&mut self, event: Value) -> &mut Self {
        self.events.push((self.now, event));
        self
    }

    /// Takes the events that were added since the last call, oldest first.
    pub fn take(&mut self) -> Events {
        std::mem::take(&mut self.events)
    }

    /// Milliseconds since the start.
    pub(super) fn elapsed(&self) -> i64 {
        (self.now.as_millisecond() - self.start.as_millisecond()).max(0)
    }

    /// `msg_01…`, `toolu_01…`: a prefix, and 22 letters and digits.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        self.ids += 1;
        let hash = sha256_hex(format!("{prefix}:{}:{}", self.seed, self.ids));
        let letters = hash.as_bytes().chunks(2).take(22).map(|pair| {
            let number = pair
                .iter()
                .fold(0, |sum, &digit| sum * 7 + usize::from(digit));
            char::from(ALPHABET[number % ALPHABET.len()])
        });
        format!("{prefix}_01{}", letters.collect::<String>())
    }
}
