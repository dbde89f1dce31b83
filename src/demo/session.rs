//! Writes down what agent programs do, in the events that they really send:
//! [`Claude`] for Claude Code, [`Codex`] for Codex. The demo's stories and the
//! tests take their events from here, so that no shape is made up elsewhere.
//!
//! A session has a clock of its own. Its methods gather events at the clock's
//! time; [`Run::tell`] puts what has been gathered into a run's log.
//!
//! ```
//! use vm0fs::demo::{Claude, Run, World};
//!
//! let mut world = World::empty();
//! let at = world.ago(60);
//! let mut run = Run::new("writer", at).status("running");
//! let mut claude = Claude::new("any seed", at);
//! claude.init().wait(2_000).text("I look around first.");
//! claude.tool("Bash", serde_json::json!({"command": "ls"})).wait(300).result("README.md");
//! claude.wait(900).finish("There is one file.");
//! run.tell(&mut claude);
//! // The beginning, what it said, its call, the result, the answer and the end.
//! assert_eq!(run.logs.len(), 6);
//! ```

mod claude;
mod codex;
mod usage;

pub use claude::Claude;
pub use codex::Codex;

use super::{
    archive::sha256_hex,
    world::{Run, after},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Events of a program, each with the time at which it was sent.
pub type Events = Vec<(Timestamp, Value)>;

/// A program whose events can be taken to a run's log.
pub trait Program {
    /// Gives what it has gathered since the last time, oldest first.
    fn take(&mut self) -> Events;
}

impl Run {
    /// Adds what a program has gathered to the log, an agent row an event.
    pub fn tell(&mut self, program: &mut impl Program) {
        for (at, event) in program.take() {
            self.event(at, event);
        }
    }
}

/// What every program has: an own clock, ids that follow from a seed, and the
/// events so far.
#[derive(Clone, Debug)]
struct Script {
    seed: String,
    start: Timestamp,
    now: Timestamp,
    ids: u64,
    events: Events,
}

impl Script {
    fn new(seed: &str, start: Timestamp) -> Self {
        Self {
            seed: seed.into(),
            start,
            now: start,
            ids: 0,
            events: Vec::new(),
        }
    }

    fn push(&mut self, event: Value) {
        self.events.push((self.now, event));
    }

    fn wait(&mut self, milliseconds: i64) {
        self.now = after(self.now, milliseconds);
    }

    /// Milliseconds since the start.
    fn elapsed(&self) -> i64 {
        (self.now.as_millisecond() - self.start.as_millisecond()).max(0)
    }

    /// `msg_01…`, `toolu_01…`: a prefix, and 22 letters and digits.
    fn id(&mut self, prefix: &str) -> String {
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

/// The events that some older deployments add among the agent program's own.
pub mod lifecycle {
    use super::{Run, Value, json};

    /// The first event of a run.
    pub fn start(run: &Run) -> Value {
        let artifact = run.artifact_name.as_ref();
        json!({
            "type": "vm0_start",
            "runId": run.id,
            "agent": run.agent_name,
            "prompt": run.prompt,
            "volumes": run.volumes,
            "artifact": artifact.map(|name| json!({"name": name, "version": "latest"})),
        })
    }

    /// The last event of a run that has done its work.
    pub fn result(run: &Run) -> Value {
        let artifact = run
            .artifact_name
            .as_ref()
            .zip(run.artifact_version.as_ref());
        json!({
            "type": "vm0_result",
            "checkpointId": run.checkpoint_id,
            "agentSessionId": run.session_id,
            "conversationId": super::super::uuid(&format!("conversation:{}", run.id)),
            "artifact": artifact.map(|(name, version)| json!({ name.as_str(): version })),
            "volumes": run.volumes,
        })
    }

    /// The last event of a run that has not.
    pub fn error(message: &str) -> Value {
        json!({"type": "vm0_error", "error": message})
    }
}

#[cfg(test)]
mod tests;
