//! Sessions of Claude Code, as it prints them with `--output-format stream-json`.

mod rest;

use super::{
    super::world::uuid,
    common::Session,
    usage::{HAIKU, SONNET, Usage},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// Its own tools; MCP servers add more.
const TOOLS: [&str; 12] = [
    "Task",
    "Bash",
    "Glob",
    "Grep",
    "Read",
    "Edit",
    "Write",
    "NotebookEdit",
    "WebFetch",
    "WebSearch",
    "TodoWrite",
    "Skill",
];

/// Tokens that every request carries: the instructions and the tools.
const FIRST_CONTEXT: u64 = 14_200;

/// A tool call that waits for its result.
#[derive(Clone, Debug)]
struct Call {
    id: String,
    name: String,
    input: Value,
}

/// The main conversation, or that of a subagent.
#[derive(Clone, Debug, Default)]
struct Talk {
    /// The call that started the subagent.
    started_by: Option<Call>,
    /// The id and the tokens of the API message whose blocks are being added.
    message: Option<(String, Usage)>,
    calls: VecDeque<Call>,
    /// Tokens of the conversation so far.
    context: u64,
}

/// A session of Claude Code.
///
/// `thinking`, `text` and `tool` that follow each other are blocks of one API
/// message, an event each with the same `message.id`; a result ends it.
/// Results belong to the oldest call without one.
pub type Claude = Session<ClaudeState>;

/// The state of a session of Claude Code.
#[derive(Clone, Debug)]
pub struct ClaudeState {
    session: String,
    /// Servers that add tools, and whether each could be reached.
    servers: Vec<(String, bool)>,
    /// The last is the one that speaks.
    talks: Vec<Talk>,
    turns: u64,
    used: Usage,
    used_by_subagents: Usage,
    denials: Vec<Value>,
}

impl Claude {
    /// A session that begins at `start`. Its ids follow from `seed`.
    pub fn new(seed: &str, start: Timestamp) -> Self {
        let state = ClaudeState {
            session: uuid(&format!("claude:{seed}")),
            servers: Vec::new(),
            talks: vec![Talk::default()],
            turns: 0,
            used: Usage::default(),
            used_by_subagents: Usage::default(),
            denials: Vec::new(),
        };
        Self::of(state, seed, start)
    }

    /// The event with which it says a text, outside of any session.
    pub fn said(text: &str) -> Value {
        let mut claude = Self::new(text, Timestamp::UNIX_EPOCH);
        let mut events = claude.text(text).take();
        events.pop().map_or(Value::Null, |(_, event)| event)
    }

    /// Continues another session: its id is that of the agent's session.
    pub fn session(&mut self, id: &str) -> &mut Self {
        self.program.session = id.into();
        self
    }

    /// Adds an MCP server; call it before [`Claude::init`].
    pub fn server(&mut self, name: &str, is_connected: bool) -> &mut Self {
        self.program.servers.push((name.into(), is_connected));
        self
    }

    fn talk(&mut self) -> &mut Talk {
        if self.program.talks.is_empty() {
            self.program.talks.push(Talk::default());
        }
        let last = self.program.talks.len() - 1;
        &mut self.program.talks[last]
    }

    fn parent(&self) -> Option<&str> {
        let call = self.program.talks.last()?.started_by.as_ref()?;
        Some(&call.id)
    }

    fn uuid(&mut self) -> String {
        self.ids += 1;
        uuid(&format!("event:{}:{}", self.seed, self.ids))
    }

    fn system(&mut self, subtype: &str, more: Value) {
        let mut event = json!({"type": "system", "subtype": subtype});
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event["session_id"] = self.program.session.clone().into();
        event["uuid"] = self.uuid().into();
        self.raw(event);
    }

    /// The first event: its tools, servers and model.
    pub fn init(&mut self) -> &mut Self {
        let servers: Vec<Value> = self
            .program
            .servers
            .iter()
            .map(|(name, is_connected)| {
                json!({"name": name, "status": if *is_connected { "connected" } else { "failed" }})
            })
            .collect();
        self.system(
            "init",
            json!({
                "cwd": "/home/user/workspace",
                "tools": TOOLS,
                "mcp_servers": servers,
                "model": SONNET.0,
                "permissionMode": "bypassPermissions",
                "slash_commands": ["compact", "context", "cost", "init", "review"],
                "apiKeySource": "ANTHROPIC_API_KEY",
                "claude_code_version": "2.0.53",
                "output_style": "default",
                "agents": ["general-purpose", "Explore", "Plan"],
                "skills": [],
                "plugins": [],
            }),
        );
        self
    }

    /// It has summarised the conversation, which had become too long.
    pub fn compacted(&mut self) -> &mut Self {
        let tokens = self.talk().context;
        self.talk().context = tokens / 8;
        self.system(
            "compact_boundary",
            json!({"compact_metadata": {"trigger": "auto", "pre_tokens": tokens}}),
        );
        self
    }

    fn block(&mut self, block: Value, characters: usize) -> &mut Self {
        let output = characters as u64 / 4 + 9;
        let is_sub = self.program.talks.len() > 1;
        let model = if is_sub { HAIKU } else { SONNET }.0;
        let (id, usage) = match self.talk().message.clone() {
            Some(message) => message,
            None => {
                let id = self.id("msg");
                let talk = self.talk();
                let fresh = 300 + characters as u64 / 3;
                let usage = Usage {
                    input: 3 + characters as u64 % 7,
                    cache_creation: fresh,
                    cache_read: FIRST_CONTEXT + talk.context,
                    output,
                };
                talk.context += fresh;
                talk.message = Some((id.clone(), usage));
                match is_sub {
                    true => self.program.used_by_subagents.add(usage),
                    false => {
                        self.program.used.add(usage);
                        self.program.turns += 1;
                    }
                }
                (id, usage)
            }
        };
        let event = json!({
            "type": "assistant",
            "message": {
                "model": model,
                "id": id,
                "type": "message",
                "role": "assistant",
                "content": [block],
                "stop_reason": null,
                "stop_sequence": null,
                "usage": usage.json(),
                "context_management": null,
            },
            "parent_tool_use_id": self.parent(),
            "session_id": self.program.session,
            "uuid": self.uuid(),
        });
        self.raw(event);
        self
    }

    /// It says something.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.block(json!({"type": "text", "text": text}), text.len())
    }

    /// It thinks.
    pub fn thinking(&mut self, text: &str) -> &mut Self {
        let signature = STANDARD.encode(self.id("thought").repeat(3));
        self.block(
            json!({"type": "thinking", "thinking": text, "signature": signature}),
            text.len(),
        )
    }

    /// It thinks, and the service hides the text.
    pub fn redacted_thinking(&mut self) -> &mut Self {
        let data = STANDARD.encode(self.id("hidden").repeat(4));
        self.block(json!({"type": "redacted_thinking", "data": data}), 80)
    }

    /// It calls a tool.
    pub fn tool(&mut self, name: &str, input: Value) -> &mut Self {
        let id = self.id("toolu");
        let length = input.to_string().len();
        let block = json!({"type": "tool_use", "id": id, "name": name, "input": input});
        self.talk().calls.push_back(Call {
            id,
            name: name.into(),
            input,
        });
        self.block(block, length)
    }

    /// It starts a subagent, which speaks from now on until [`Claude::returned`].
    pub fn subagent(&mut self, kind: &str, description: &str, prompt: &str) -> &mut Self {
        self.tool(
            "Task",
            json!({"description": description, "prompt": prompt, "subagent_type": kind}),
        );
        let started_by = self.talk().calls.pop_back();
        self.program.talks.push(Talk {
            started_by,
            ..Talk::default()
        });
        let content = json!([{"type": "text", "text": prompt}]);
        self.user(content, None);
        self
    }

    /// The subagent has ended; its answer is the result of the call that started it.
    /// Without a subagent, this does nothing.
    pub fn returned(&mut self, text: &str) -> &mut Self {
        if self.program.talks.len() > 1
            && let Some(call) = self.program.talks.pop().and_then(|talk| talk.started_by)
        {
            let content = json!([{"type": "text", "text": text}]);
            let structured = json!({
                "status": "completed",
                "prompt": call.input["prompt"],
                "content": content,
                "totalDurationMs": 21_400,
                "totalTokens": self.program.used_by_subagents.output + self.program.used_by_subagents.cache_creation,
                "totalToolUseCount": 2,
            });
            self.talk().calls.push_front(call);
            self.answer(content, None, structured);
        }
        self
    }

    /// The result of the oldest call without one.
    pub fn result(&mut self, text: &str) -> &mut Self {
        let structured = self.structured(text);
        let is_error = (self.called() == Some("Bash")).then_some(false);
        self.answer(text.into(), is_error, structured)
    }

    /// That call has failed.
    pub fn failed(&mut self, text: &str) -> &mut Self {
        let structured = format!("Error: {text}").into();
        self.answer(text.into(), Some(true), structured)
    }

    /// The result of that call, an image of a type such as `image/png`.
    pub fn image(&mut self, media_type: &str, bytes: &[u8]) -> &mut Self {
        let data = STANDARD.encode(bytes);
        let source = json!({"type": "base64", "media_type": media_type, "data": data});
        let structured = json!({
            "type": "image",
            "file": {"base64": data, "type": media_type, "originalSize": bytes.len()},
        });
        self.answer(
            json!([{"type": "image", "source": source}]),
            None,
            structured,
        )
    }

    /// The result of that call, in content blocks.
    pub fn blocks(&mut self, content: Value) -> &mut Self {
        self.answer(content.clone(), None, content)
    }

    /// That call was not allowed.
    pub fn denied(&mut self) -> &mut Self {
        let Some(call) = self.talk().calls.front().cloned() else {
            return self;
        };
        self.program.denials.push(json!({
            "tool_name": call.name, "tool_use_id": call.id, "tool_input": call.input,
        }));
        self.failed(&format!(
            "Claude requested permissions to use {}, but you haven't granted it yet.",
            call.name
        ))
    }

    fn called(&mut self) -> Option<&str> {
        Some(&self.talk().calls.front()?.name)
    }

    /// The structured result that some tools give beside the text.
    fn structured(&mut self, text: &str) -> Value {
        let Some(Call { name, input, .. }) = self.talk().calls.front().cloned() else {
            return Value::Null;
        };
        match name.as_str() {
            "Bash" => {
                json!({"stdout": text, "stderr": "", "interrupted": false, "isImage": false})
            }
            "Read" => {
                let lines: Vec<&str> = text
                    .lines()
                    .map(|line| line.split_once('→').map_or(line, |(_, rest)| rest))
                    .collect();
                json!({"type": "text", "file": {
                    "filePath": input["file_path"], "content": lines.join("\n"),
                    "numLines": lines.len(), "startLine": 1, "totalLines": lines.len(),
                }})
            }
            "TodoWrite" => json!({"oldTodos": [], "newTodos": input["todos"]}),
            "Write" => json!({
                "type": "create", "filePath": input["file_path"], "content": input["content"],
                "structuredPatch": [],
            }),
            "Edit" => json!({
                "filePath": input["file_path"], "oldString": input["old_string"],
                "newString": input["new_string"], "replaceAll": false, "userModified": false,
            }),
            _ => text.into(),
        }
    }

    fn answer(&mut self, content: Value, is_error: Option<bool>, structured: Value) -> &mut Self {
        let call = self.talk().calls.pop_front();
        let id = call.map_or_else(|| self.id("toolu"), |call| call.id);
        let mut block = json!({"tool_use_id": id, "type": "tool_result", "content": content});
        if let Some(is_error) = is_error {
            block["is_error"] = is_error.into();
        }
        self.talk().context += block.to_string().len() as u64 / 4;
        self.user(json!([block]), Some(structured));
        self
    }

    fn user(&mut self, content: Value, structured: Option<Value>) {
        self.talk().message = None;
        let mut event = json!({
            "type": "user",
            "message": {"role": "user", "content": content},
            "parent_tool_use_id": self.parent(),
            "session_id": self.program.session,
            "uuid": self.uuid(),
        });
        if let Some(structured) = structured {
            event["tool_use_result"] = structured;
        }
        self.raw(event);
    }

    /// A message from the user, as a string: a continued session has one.
    pub fn asked(&mut self, text: &str) -> &mut Self {
        self.user(text.into(), None);
        self
    }
}
