//! Events beside the conversation: lists of things to do, partial messages, limits,
//! and the end.

use super::{
    super::usage::{HAIKU, SONNET},
    Claude,
};
use serde_json::{Value, json};

impl Claude {
    /// It writes its list of things to do: what, and `pending`, `in_progress`
    /// or `completed`. The tool's usual answer comes with it.
    pub fn todo(&mut self, list: &[(&str, &str)]) -> &mut Self {
        let todos: Vec<Value> = list
            .iter()
            .map(|(content, status)| {
                json!({"content": content, "status": status, "activeForm": content})
            })
            .collect();
        self.tool("TodoWrite", json!({ "todos": todos })).result(
            "Todos have been modified successfully. Ensure that you continue to use the todo list \
             to track your progress. Please proceed with the current tasks if applicable",
        )
    }

    /// A part of a message that is still being written.
    pub fn partial(&mut self, text: &str) -> &mut Self {
        let event = json!({
            "type": "stream_event",
            "event": {
                "type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": text},
            },
            "session_id": self.program.session,
            "parent_tool_use_id": self.parent(),
            "uuid": self.uuid(),
        });
        self.raw(event)
    }

    /// It reports the state of its rate limit, as it does at times.
    pub fn rate_limit(&mut self) -> &mut Self {
        let event = json!({
            "type": "rate_limit_event",
            "rate_limit_info": {
                "status": "allowed",
                "resetsAt": self.now.as_second() + 9_000,
                "rateLimitType": "five_hour",
            },
            "session_id": self.program.session,
            "uuid": self.uuid(),
        });
        self.raw(event)
    }

    /// It ends with an answer: the last text is the same.
    pub fn finish(&mut self, answer: &str) -> &mut Self {
        self.text(answer);
        self.end("success", false, Some(answer))
    }

    /// It ends with `error` alone, such as an error of the API.
    pub fn fail(&mut self, error: &str) -> &mut Self {
        self.end("success", true, Some(error))
    }

    /// It ends for a reason such as `error_max_turns` or
    /// `error_during_execution`, which has no answer.
    pub fn abort(&mut self, subtype: &str, errors: &[&str]) -> &mut Self {
        self.end(subtype, true, None);
        if let Some((_, event)) = self.events.last_mut() {
            event["errors"] = json!(errors);
        }
        self
    }

    /// The last event, with time and cost.
    pub fn end(&mut self, subtype: &str, is_error: bool, answer: Option<&str>) -> &mut Self {
        let elapsed = self.elapsed();
        let mut models = json!({ SONNET.0: self.program.used.of_model(SONNET.1) });
        let mut cost = self.program.used.cost(SONNET.1);
        if self.program.used_by_subagents.output > 0 {
            models[HAIKU.0] = self.program.used_by_subagents.of_model(HAIKU.1);
            cost += self.program.used_by_subagents.cost(HAIKU.1);
        }
        let mut event = json!({
            "type": "result",
            "subtype": subtype,
            "is_error": is_error,
            "duration_ms": elapsed,
            "duration_api_ms": elapsed * 7 / 10,
            "num_turns": self.program.turns,
        });
        if let Some(answer) = answer {
            event["result"] = answer.into();
        }
        event["session_id"] = self.program.session.clone().into();
        event["total_cost_usd"] = json!((cost * 10_000.0).round() / 10_000.0);
        event["usage"] = self.program.used.json();
        event["modelUsage"] = models;
        event["permission_denials"] = json!(self.program.denials);
        event["uuid"] = self.uuid().into();
        self.talk().message = None;
        self.raw(event)
    }
}
