//! Claude Code's events, as `claude -p --output-format stream-json --verbose`
//! prints them (the types `SDKMessage` of its published TypeScript package).

use super::{
    content,
    event::{End, Event, Level, ModelUse, Outcome, Part, Session, Speaker, Spent, Sum, Tokens},
    fields::{array, json_line, json_text, owned, piece, rest, text},
    media, tools,
};
use crate::{humanize, text::one_line};
use serde_json::Value;

/// Reads an event, if its type is one of Claude Code's.
pub(super) fn read(kind: &str, value: &Value) -> Option<Event> {
    let parts = match kind {
        "system" => vec![system(value)],
        "assistant" | "user" if value.get("message").is_some() => {
            return Some(message(kind, value));
        }
        "result" => vec![Part::End(Box::new(end(value)))],
        "stream_event" => vec![partial(value)],
        _ => return None,
    };
    Some(Event {
        parts,
        parent: owned(value, "parent_tool_use_id"),
        spent: None,
    })
}

fn system(value: &Value) -> Part {
    let servers = array(value, "mcp_servers");
    let name_of = |server: &Value| owned(server, "name").or(server.as_str().map(str::to_owned));
    match text(value, "subtype").unwrap_or_default() {
        "init" => Part::Session(Session {
            program: "Claude Code",
            id: owned(value, "session_id"),
            model: owned(value, "model"),
            folder: owned(value, "cwd"),
            tools: value.get("tools").and_then(Value::as_array).map(Vec::len),
            servers: servers.iter().filter_map(name_of).collect(),
        }),
        "compact_boundary" => {
            let before = value.pointer("/compact_metadata/pre_tokens");
            let before = before.and_then(Value::as_u64).map(humanize::tokens);
            let before = before.map(|tokens| format!(" ({tokens} tokens before)"));
            let line = format!("Conversation compacted{}", before.unwrap_or_default());
            Part::Note(Level::Info, line)
        }
        subtype => {
            let piece = rest(value, &["subtype"]).map(|piece| format!(": {piece}"));
            let piece = piece.unwrap_or_default();
            let kind = one_line(subtype, 60);
            Part::Note(Level::Info, format!("system {kind}{piece}"))
        }
    }
}

/// A message of the model, or one to it: results of tools, and texts of the user.
fn message(kind: &str, value: &Value) -> Event {
    let message = value.get("message").unwrap_or(&Value::Null);
    let speaker = match kind {
        "assistant" => Speaker::Agent,
        _ => Speaker::User,
    };
    let mut parts = match message.get("content") {
        Some(Value::String(text)) => vec![Part::Text(speaker, text.clone())],
        Some(Value::Array(blocks)) => {
            let parts = blocks.iter().flat_map(|each| block(speaker, each));
            parts.collect()
        }
        _ => Vec::new(),
    };
    if let Some(error) = text(value, "error") {
        parts.push(Part::Note(Level::Error, media::line(error, 200)));
    }
    let parent = owned(value, "parent_tool_use_id");
    Event {
        parts,
        spent: spent(message, parent.is_none()).filter(|_| speaker == Speaker::Agent),
        parent,
    }
}

fn block(speaker: Speaker, block: &Value) -> Vec<Part> {
    let field = |name: &str| text(block, name).unwrap_or_default();
    match field("type") {
        "text" => vec![Part::Text(speaker, field("text").to_owned())],
        "thinking" => vec![Part::Thinking(field("thinking").to_owned())],
        "redacted_thinking" => vec![Part::Thinking(String::new())],
        "tool_use" | "server_tool_use" | "mcp_tool_use" => {
            let input = block.get("input").unwrap_or(&Value::Null);
            tools::call(owned(block, "id"), field("name"), input)
        }
        kind if kind.ends_with("tool_result") => {
            let content = block.get("content").unwrap_or(&Value::Null);
            let failed = content.get("error_code").is_some()
                || block.get("is_error").and_then(Value::as_bool) == Some(true);
            let text = match kind {
                "web_search_tool_result" => found(content),
                _ => content::shown(content),
            };
            vec![Part::Outcome(Outcome {
                call: owned(block, "tool_use_id"),
                title: None,
                text: without_tags(&text).to_owned(),
                pictures: content::pictures(content),
                failed,
            })]
        }
        "image" | "document" => {
            let blocks = Value::Array(vec![block.clone()]);
            vec![Part::Text(speaker, content::shown(&blocks))]
        }
        kind => Event::note(Level::Info, kind, &json_line(block)).parts,
    }
}

/// The results of a web search: title and address, a line each.
fn found(content: &Value) -> String {
    let Some(results) = content.as_array() else {
        return content::shown(content);
    };
    let lines = results.iter().map(|each| {
        let title = text(each, "title").unwrap_or_default();
        let address = text(each, "url").unwrap_or_default();
        one_line(&format!("{title} {address}"), 300)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A result without the tags that the program puts around its own refusals.
fn without_tags(text: &str) -> &str {
    let inner = text.trim().strip_prefix("<tool_use_error>");
    let inner = inner.and_then(|text| text.strip_suffix("</tool_use_error>"));
    inner.unwrap_or(text)
}

fn spent(message: &Value, is_main: bool) -> Option<Spent> {
    let model = owned(message, "model");
    // A message that the program itself writes in the model's place costs nothing.
    if model.as_deref().is_some_and(|model| model.starts_with('<')) {
        return None;
    }
    Some(Spent {
        message: owned(message, "id")?,
        model,
        tokens: tokens(message.get("usage")?, &USAGE),
        is_main,
    })
}

fn end(value: &Value) -> End {
    let number = |name: &str| value.get(name).and_then(Value::as_u64);
    let subtype = text(value, "subtype").unwrap_or_default();
    let result = owned(value, "result");
    let is_error = value.get("is_error").and_then(Value::as_bool);
    let failed = is_error.unwrap_or(subtype.starts_with("error"));
    let failure = failed.then(|| {
        let errors = array(value, "errors").iter().map(json_text);
        let mut said: Vec<String> = errors.chain(result.clone()).collect();
        said.retain(|text| !text.trim().is_empty());
        let said = said.iter().map(|text| media::without_base64(text));
        let said = said.collect::<Vec<_>>().join("\n");
        let kind = subtype.strip_prefix("error_");
        match (kind.map(|kind| kind.replace('_', " ")), said.is_empty()) {
            (Some(kind), true) => kind,
            (Some(kind), false) => format!("{kind}: {said}"),
            (None, true) => one_line(subtype, 60),
            (None, false) => said,
        }
    });
    let usage = value.get("usage");
    let models = value.get("modelUsage").and_then(Value::as_object);
    let models = models.into_iter().flatten();
    End {
        failure,
        answer: result,
        turns: number("num_turns"),
        milliseconds: number("duration_ms"),
        sum: Sum {
            dollars: value.get("total_cost_usd").and_then(Value::as_f64),
            tokens: usage.map(|usage| tokens(usage, &USAGE)).unwrap_or_default(),
            models: models.map(of_model).collect(),
        },
        denials: array(value, "permission_denials").len(),
        is_turn: false,
    }
}

/// The names of the counts in a `usage` of Claude's API, and in the `modelUsage` of a
/// result: read, written, read from a cache, written to it.
const USAGE: [&str; 4] = [
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
];
const MODEL_USAGE: [&str; 4] = [
    "inputTokens",
    "outputTokens",
    "cacheReadInputTokens",
    "cacheCreationInputTokens",
];

fn tokens(usage: &Value, names: &[&str; 4]) -> Tokens {
    let [input, output, cached, stored] =
        names.map(|name| Some(usage.get(name).and_then(Value::as_u64).unwrap_or(0)));
    Tokens {
        input,
        output,
        cached,
        stored,
    }
}

/// What one model has used, by its name.
fn of_model((name, usage): (&String, &Value)) -> (String, ModelUse) {
    let tokens = tokens(usage, &MODEL_USAGE);
    let dollars = usage.get("costUSD").and_then(Value::as_f64);
    (name.clone(), ModelUse { tokens, dollars })
}

/// A piece of a message that the model is still writing.
fn partial(value: &Value) -> Part {
    let event = value.get("event").unwrap_or(&Value::Null);
    let kind = text(event, "type").unwrap_or("a part of a message");
    let delta = event.get("delta").unwrap_or(&Value::Null);
    let fields = ["text", "partial_json", "thinking"];
    let told = fields.into_iter().find_map(|name| text(delta, name));
    let told = told.map(|told| format!(": {}", piece(told)));
    let (kind, told) = (one_line(kind, 60), told.unwrap_or_default());
    Part::Note(Level::Info, format!("stream_event {kind}{told}"))
}
