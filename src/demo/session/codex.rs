//! Sessions of Codex, as it prints them with `exec --json`.

use super::{super::world::uuid, common::Session};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A session of Codex.
pub type Codex = Session<CodexState>;

/// The state of a session of Codex.
#[derive(Clone, Debug)]
pub struct CodexState {
    items: u64,
    /// The command that runs: its item's id and its line.
    command: Option<(String, String)>,
    /// The list of things to do: its item's id and its entries.
    todo: Option<(String, Value)>,
    /// Characters said and read, from which the tokens follow.
    read: u64,
    said: u64,
}

impl Codex {
    /// A session that begins at `start`. Its ids follow from `seed`.
    pub fn new(seed: &str, start: Timestamp) -> Self {
        let state = CodexState {
            items: 0,
            command: None,
            todo: None,
            read: 0,
            said: 0,
        };
        Self::of(state, seed, start)
    }

    /// The first events: the thread, and its first turn.
    pub fn begin(&mut self) -> &mut Self {
        let thread = uuid(&format!("codex:{}", self.seed));
        self.raw(json!({"type": "thread.started", "thread_id": thread}))
            .raw(json!({"type": "turn.started"}))
    }

    fn next_item(&mut self) -> String {
        self.program.items += 1;
        format!("item_{}", self.program.items - 1)
    }

    fn item(&mut self, step: &str, item: Value) -> &mut Self {
        self.program.said += item.to_string().len() as u64;
        self.raw(json!({"type": format!("item.{step}"), "item": item}))
    }

    fn completed(&mut self, kind: &str, more: Value) -> &mut Self {
        let mut item = json!({"id": self.next_item(), "type": kind});
        if let (Value::Object(item), Value::Object(more)) = (&mut item, more) {
            item.extend(more);
        }
        self.item("completed", item)
    }

    /// It says something.
    pub fn message(&mut self, text: &str) -> &mut Self {
        self.completed("agent_message", json!({ "text": text }))
    }

    /// It thinks.
    pub fn reasoning(&mut self, text: &str) -> &mut Self {
        self.completed("reasoning", json!({ "text": text }))
    }

    /// It runs a command, until [`Codex::output`].
    pub fn command(&mut self, line: &str) -> &mut Self {
        let id = self.next_item();
        let line = format!("bash -lc '{line}'");
        self.program.command = Some((id.clone(), line.clone()));
        self.item(
            "started",
            json!({
                "id": id, "type": "command_execution", "command": line,
                "aggregated_output": "", "exit_code": null, "status": "in_progress",
            }),
        )
    }

    /// The command goes on, and has printed so much.
    pub fn printed(&mut self, output: &str) -> &mut Self {
        self.command_is("updated", output, None, "in_progress")
    }

    /// The command has ended.
    pub fn output(&mut self, output: &str, exit_code: i32) -> &mut Self {
        let status = if exit_code == 0 {
            "completed"
        } else {
            "failed"
        };
        self.program.read += output.len() as u64;
        self.command_is("completed", output, Some(exit_code), status)
    }

    /// The command was not allowed.
    pub fn declined(&mut self) -> &mut Self {
        self.command_is("completed", "", None, "declined")
    }

    fn command_is(
        &mut self,
        step: &str,
        output: &str,
        exit_code: Option<i32>,
        status: &str,
    ) -> &mut Self {
        let Some((id, line)) = self.program.command.clone() else {
            return self;
        };
        if step == "completed" {
            self.program.command = None;
        }
        self.item(
            step,
            json!({
                "id": id, "type": "command_execution", "command": line,
                "aggregated_output": output, "exit_code": exit_code, "status": status,
            }),
        )
    }

    /// It changes files: path, and `add`, `modify` or `delete`.
    pub fn changes(&mut self, changes: &[(&str, &str)]) -> &mut Self {
        let changes: Vec<Value> = changes
            .iter()
            .map(|(path, kind)| json!({"path": path, "kind": kind}))
            .collect();
        self.completed(
            "file_change",
            json!({"changes": changes, "status": "completed"}),
        )
    }

    /// It calls a tool of an MCP server, which answers or fails.
    pub fn mcp(
        &mut self,
        server: &str,
        tool: &str,
        arguments: Value,
        answer: Result<&str, &str>,
    ) -> &mut Self {
        let id = self.next_item();
        let mut item = json!({
            "id": id, "type": "mcp_tool_call", "server": server, "tool": tool,
            "arguments": arguments, "result": null, "error": null, "status": "in_progress",
        });
        self.item("started", item.clone());
        match answer {
            Ok(text) => {
                item["result"] = json!({
                    "content": [{"type": "text", "text": text}], "structured_content": null,
                });
                item["status"] = "completed".into();
            }
            Err(message) => {
                item["error"] = json!({ "message": message });
                item["status"] = "failed".into();
            }
        }
        self.item("completed", item)
    }

    /// It searches the web.
    pub fn search(&mut self, query: &str) -> &mut Self {
        self.completed("web_search", json!({ "query": query }))
    }

    /// It writes its list of things to do: what, and whether that is done.
    pub fn todo(&mut self, list: &[(&str, bool)]) -> &mut Self {
        let items: Vec<Value> = list
            .iter()
            .map(|(text, completed)| json!({"text": text, "completed": completed}))
            .collect();
        let (step, id) = match &self.program.todo {
            Some((id, _)) => ("updated", id.clone()),
            None => ("started", self.next_item()),
        };
        self.program.todo = Some((id.clone(), items.clone().into()));
        self.item(step, json!({"id": id, "type": "todo_list", "items": items}))
    }

    /// It reports a problem and goes on.
    pub fn warning(&mut self, message: &str) -> &mut Self {
        self.completed("error", json!({ "message": message }))
    }

    fn end_items(&mut self) {
        if let Some((id, items)) = self.program.todo.take() {
            self.item(
                "completed",
                json!({"id": id, "type": "todo_list", "items": items}),
            );
        }
    }

    /// The turn has ended. Its last message is the answer.
    pub fn finish(&mut self) -> &mut Self {
        self.end_items();
        let input = 9_800 * (self.program.items + 1) + self.program.read / 4;
        let usage = json!({
            "input_tokens": input,
            "cached_input_tokens": input * 8 / 10,
            "output_tokens": self.program.said / 5 + 40,
        });
        self.raw(json!({"type": "turn.completed", "usage": usage}))
    }

    /// The turn has failed.
    pub fn fail(&mut self, message: &str) -> &mut Self {
        self.raw(json!({"type": "error", "message": message}))
            .raw(json!({"type": "turn.failed", "error": {"message": message}}))
    }
}
