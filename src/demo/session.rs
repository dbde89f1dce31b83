//! Writes down what agent programs do, in the events that they really send:
//! [`Claude`] for Claude Code, [`Codex`] for Codex. The demo's stories and the
//! tests take their events from here, so that no test invents a shape.
//!
//! A session has its own clock. Its methods add events at the clock's time;
//! [`Run::tell`] moves the events into a run's log.
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
mod common;
mod usage;

pub use claude::Claude;
pub use codex::Codex;
pub use common::{Events, Session};

use super::world::Run;

impl Run {
    /// Moves a session's events into the log, an agent row for each.
    pub fn tell<P>(&mut self, session: &mut Session<P>) {
        for (at, event) in session.take() {
            self.event(at, event);
        }
    }
}

/// The events that some older deployments add among the agent program's own.
pub mod lifecycle {
    use super::Run;
    use serde_json::{Value, json};

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

    /// The last event of a run that has succeeded.
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

    /// The last event of a run that has failed.
    pub fn error(message: &str) -> Value {
        json!({"type": "vm0_error", "error": message})
    }
}

#[cfg(test)]
mod tests;
