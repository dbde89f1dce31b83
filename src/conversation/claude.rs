//! Claude Code's events, as `claude -p --output-format stream-json --verbose`
//! prints them (the types `SDKMessage` of its published TypeScript package).

use super::{
    Event, Level, Outcome, Part, Session, Speaker, array, media, owned, rest, text, tools,
    usage::{End, Spent, Tokens, claude_models},
    words,
};
use serde_json::Value;

/// Understands an event, if it is of a type of Claude Code's.
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
    match text(value, "subtype").unwrap_or_default() {
        "init" => Part::Session(Session {
            program: "Claude Code",
            id: owned(value, "session_id"),
            model: owned(value, "model"),
            folder: owned(value, "cwd"),
            tools: value.get("tools").and_then(Value::as_array).map(Vec::len),
            servers: array(value, "mcp_servers")
                .iter()
                .filter_map(|server| {
                    owned(server, "name").or_else(|| Some(server.as_str()?.into()))
                })
                .collect(),
        }),
        "compact_boundary" => {
            let metadata = value.get("compact_metadata").unwrap_or(&Value::Null);
            let before = metadata.get("pre_tokens").and_then(Value::as_u64);
            let before = before.map(|tokens| format!(" ({} tokens before)", words::tokens(tokens)));
            let line = format!("Conversation compacted{}", before.unwrap_or_default());
            Part::Note(Level::Info, line)
        }
        subtype => {
            let piece = rest(value, &["subtype"]).map(|piece| format!(": {piece}"));
            let piece = piece.unwrap_or_default();
            let kind = words::line(subtype, 60);
            Part::Note(Level::Info, format!("system {kind}{piece}"))
        }
    }
}

/// A message of the model, or one to it: tools' results, and what a user says.
fn message(kind: &str, value: &Value) -> Event {
    let null = Value::Null;
    let message = value.get("message").unwrap_or(&null);
    let speaker = match kind {
        "assistant" => Speaker::Agent,
        _ => Speaker::User,
    };
    let mut parts = match message.get("content") {
        Some(Value::String(text)) => vec![Part::Text(speaker, text.clone())],
        Some(Value::Array(blocks)) => blocks
            .iter()
            .flat_map(|each| block(speaker, each))
            .collect(),
        _ => Vec::new(),
    };
    if let Some(error) = text(value, "error") {
        parts.push(Part::Note(
            Level::Error,
            words::line(&media::without_base64(error), 200),
        ));
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
                _ => media::content(content),
            };
            vec![Part::Outcome(Outcome {
                call: owned(block, "tool_use_id"),
                title: None,
                text: without_tags(&text).to_owned(),
                pictures: media::pictures(content),
                failed,
            })]
        }
        "image" | "document" => {
            let blocks = Value::Array(vec![block.clone()]);
            vec![Part::Text(speaker, media::content(&blocks))]
        }
        kind => Event::note(Level::Info, kind, &words::json_line(block)).parts,
    }
}

/// What a search of the web has found: a line each, title and address.
fn found(content: &Value) -> String {
    let Some(results) = content.as_array() else {
        return media::content(content);
    };
    let lines = results.iter().map(|each| {
        let title = text(each, "title").unwrap_or_default();
        let address = text(each, "url").unwrap_or_default();
        words::line(&format!("{title} {address}"), 300)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The program wraps its own refusals of a tool's use so.
fn without_tags(text: &str) -> &str {
    let inner = text.trim().strip_prefix("<tool_use_error>");
    let inner = inner.and_then(|text| text.strip_suffix("</tool_use_error>"));
    inner.unwrap_or(text)
}

fn spent(message: &Value, is_main: bool) -> Option<Spent> {
    let model = owned(message, "model");
    // What the program says in the model's place has cost nothing.
    if model.as_deref().is_some_and(|model| model.starts_with('<')) {
        return None;
    }
    Some(Spent {
        message: owned(message, "id")?,
        model,
        tokens: Tokens::of_claude(message.get("usage")?),
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
        let errors = array(value, "errors").iter().map(words::json_text);
        let mut said: Vec<String> = errors.chain(result.clone()).collect();
        said.retain(|text| !text.trim().is_empty());
        let said: Vec<_> = said
            .iter()
            .map(|text| media::without_base64(text))
            .collect();
        match (subtype.strip_prefix("error_"), said.is_empty()) {
            (Some(kind), true) => kind.replace('_', " "),
            (Some(kind), false) => format!("{}: {}", kind.replace('_', " "), said.join("\n")),
            (None, true) => words::line(subtype, 60),
            (None, false) => said.join("\n"),
        }
    });
    End {
        failure,
        answer: result,
        turns: number("num_turns"),
        milliseconds: number("duration_ms"),
        dollars: value.get("total_cost_usd").and_then(Value::as_f64),
        tokens: value.get("usage").map(Tokens::of_claude),
        models: claude_models(value.get("modelUsage").unwrap_or(&Value::Null)),
        denials: array(value, "permission_denials").len(),
        is_turn: false,
    }
}

/// A piece of a message that is still being written.
fn partial(value: &Value) -> Part {
    let event = value.get("event").unwrap_or(&Value::Null);
    let kind = text(event, "type").unwrap_or("a part of a message");
    let delta = event.get("delta").unwrap_or(&Value::Null);
    let fields = ["text", "partial_json", "thinking"];
    let piece = fields.into_iter().find_map(|name| text(delta, name));
    let piece = piece.map(|piece| format!(": {}", words::piece(piece)));
    let kind = words::line(kind, 60);
    Part::Note(
        Level::Info,
        format!("stream_event {kind}{}", piece.unwrap_or_default()),
    )
}
