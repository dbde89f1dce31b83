//! Codex's events, as `codex exec --json` prints them (`exec_events.rs` of its
//! public sources).

use super::{
    content,
    event::{
        Block, End, Event, Level, Outcome, Part, Session, Speaker, Sum, Todo, TodoState, Tokens,
    },
    fields::{array, json_line, json_text, owned, text},
    media, tools,
};
use crate::{humanize::count, text::one_line};
use serde_json::Value;

/// Reads an event, if its type is one of Codex's.
pub(super) fn read(kind: &str, value: &Value) -> Option<Event> {
    let parts = match kind {
        "thread.started" => vec![Part::Session(Session {
            program: "Codex",
            id: owned(value, "thread_id"),
            ..Session::default()
        })],
        "turn.started" => vec![Part::Note(Level::Info, "Turn begins".into())],
        "turn.completed" => vec![Part::End(Box::new(End {
            sum: Sum {
                tokens: value.get("usage").map(tokens).unwrap_or_default(),
                ..Sum::default()
            },
            ..turn()
        }))],
        "turn.failed" => vec![Part::End(Box::new(End {
            failure: Some(failure(value)),
            ..turn()
        }))],
        "turn.plan.updated" => {
            let said = owned(value, "explanation").map(|text| Part::Text(Speaker::Agent, text));
            said.into_iter()
                .chain(list("Plan", todos(value, "plan", "step")))
                .collect()
        }
        "warning" => vec![Part::Note(Level::Warn, failure(value))],
        "error" => vec![Part::Note(Level::Error, failure(value))],
        "item.started" | "item.updated" | "item.completed" => {
            item(&kind["item.".len()..], value.get("item")?)
        }
        _ => return None,
    };
    Some(Event::of(parts))
}

fn turn() -> End {
    End {
        turns: Some(1),
        is_turn: true,
        ..End::default()
    }
}

/// The tokens of a `usage`, whose input tokens are all that were read, cached or not.
fn tokens(usage: &Value) -> Tokens {
    let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let cached = number("cached_input_tokens");
    Tokens {
        input: Some(number("input_tokens").saturating_sub(cached)),
        output: Some(number("output_tokens")),
        cached: Some(cached),
        stored: None,
    }
}

/// Why something failed: its own message, or that of the error in it.
fn failure(value: &Value) -> String {
    let error = value.get("error").unwrap_or(&Value::Null);
    let inner = text(error, "message").or(error.as_str());
    let mut said: Vec<&str> = text(value, "message").into_iter().chain(inner).collect();
    said.dedup();
    said.extend(text(error, "additional_details"));
    match said.is_empty() {
        true => json_line(value),
        false => media::without_base64(&said.join("\n")).into_owned(),
    }
}

fn todos(value: &Value, field: &str, name: &str) -> Vec<Todo> {
    let todo = |item: &Value| Todo {
        state: match item.get("completed").and_then(Value::as_bool) {
            Some(true) => TodoState::Done,
            Some(false) => TodoState::Open,
            None => TodoState::of(text(item, "status").unwrap_or_default()),
        },
        text: one_line(text(item, name).unwrap_or_default(), 200),
    };
    array(value, field).iter().map(todo).collect()
}

/// A list of tasks after its headline.
fn list(name: &str, list: Vec<Todo>) -> [Part; 2] {
    let call = tools::part(None, name.to_owned(), &tools::progress(&list), None);
    [call, Part::Todo(list)]
}

/// A command without the shell that runs it.
fn command(item: &Value) -> String {
    let command = text(item, "command").unwrap_or_default();
    let shells = ["bash", "/bin/bash", "/bin/zsh", "/bin/sh"].into_iter();
    let mut inner = shells.filter_map(|shell| command.strip_prefix(shell)?.strip_prefix(" -lc "));
    let Some(inner) = inner.next() else {
        return command.to_owned();
    };
    let bare = ['\'', '"'].into_iter().find_map(|quote| {
        let bare = inner.strip_prefix(quote)?.strip_suffix(quote)?;
        (!bare.contains(quote)).then_some(bare)
    });
    bare.unwrap_or(inner).to_owned()
}

fn item(phase: &str, item: &Value) -> Vec<Part> {
    let kind = text(item, "type")
        .or(text(item, "item_type"))
        .unwrap_or("item");
    let field = |name: &str| text(item, name).unwrap_or_default();
    let said = || field("text").to_owned();
    let is_done = phase == "completed";
    match kind {
        "agent_message" if is_done => vec![Part::Text(Speaker::Agent, said())],
        "plan" if is_done => vec![Part::Text(Speaker::Agent, said())],
        "reasoning" if is_done => vec![Part::Thinking(said())],
        "todo_list" => list("Todo", todos(item, "items", "text")).to_vec(),
        "error" => vec![Part::Note(Level::Error, failure(item))],
        "command_execution" if phase == "started" => {
            let command = command(item);
            vec![call(item, "Bash", &command, tools::long_shell(&command))]
        }
        "command_execution" if is_done => vec![ran(item)],
        "command_execution" => vec![goes_on(item)],
        "mcp_tool_call" => tool(phase, item),
        "web_search" if phase == "started" => {
            vec![call(item, "WebSearch", field("query"), None)]
        }
        "web_search" if is_done => vec![Part::Outcome(Outcome {
            call: owned(item, "id"),
            title: Some(media::line(&format!("WebSearch {}", field("query")), 200)),
            ..Outcome::default()
        })],
        "file_change" if is_done => vec![changed(item)],
        "file_read" | "file_edit" | "file_write" if is_done => {
            let name = match kind {
                "file_read" => "Read",
                "file_edit" => "Edit",
                _ => "Write",
            };
            let diff = text(item, "diff").map(|diff| Block {
                language: "diff".into(),
                text: diff.into(),
            });
            vec![call(item, name, field("path"), diff)]
        }
        _ => {
            let rest = tools::summary(item);
            let line = format!("{} {phase}: {rest}", one_line(kind, 60));
            vec![Part::Note(Level::Info, one_line(&line, 200))]
        }
    }
}

fn call(item: &Value, name: &str, target: &str, input: Option<Block>) -> Part {
    tools::part(owned(item, "id"), name.to_owned(), target, input)
}

fn has_failed(item: &Value) -> bool {
    matches!(text(item, "status"), Some("failed" | "declined"))
}

/// A command that still runs, with the last line that it wrote.
fn goes_on(item: &Value) -> Part {
    let output = text(item, "aggregated_output").unwrap_or_default();
    let last = output.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(": {}", one_line(line, 120)));
    let line = format!("Bash goes on{}", last.unwrap_or_default());
    Part::Note(Level::Info, line)
}

/// A command that has ended, or was not permitted.
fn ran(item: &Value) -> Part {
    let code = item.get("exit_code").and_then(Value::as_i64);
    let mut title = media::line(&command(item), 120);
    match (code, text(item, "status")) {
        (_, Some("declined")) => title += " (declined)",
        (Some(code), _) if code != 0 => title += &format!(" (exit code {code})"),
        _ => {}
    }
    let output = text(item, "aggregated_output").unwrap_or_default();
    Part::Outcome(Outcome {
        call: owned(item, "id"),
        title: Some(title),
        text: media::without_base64(output).into_owned(),
        pictures: Vec::new(),
        failed: has_failed(item) || code.is_some_and(|code| code != 0),
    })
}

fn tool(phase: &str, item: &Value) -> Vec<Part> {
    let word = |name: &str| one_line(text(item, name).unwrap_or("?"), 60);
    let name = format!("{} {}", word("server"), word("tool"));
    let arguments = item.get("arguments").unwrap_or(&Value::Null);
    if phase != "completed" {
        let target = tools::summary(arguments);
        return vec![call(item, &name, &target, tools::json(arguments))];
    }
    let error = item.get("error").filter(|error| !error.is_null());
    let result = item.get("result");
    let text = match (error, result) {
        (Some(error), _) => text(error, "message").map_or_else(|| json_text(error), str::to_owned),
        (None, Some(result)) => content::shown(result),
        (None, None) => String::new(),
    };
    vec![Part::Outcome(Outcome {
        call: owned(item, "id"),
        title: Some(name),
        text,
        pictures: result.map(content::pictures).unwrap_or_default(),
        failed: error.is_some() || has_failed(item),
    })]
}

/// The files that were changed, a line each.
fn changed(item: &Value) -> Part {
    let changes = array(item, "changes");
    let lines = changes.iter().map(|change| {
        let kind = text(change, "kind").or_else(|| text(change.get("kind")?, "type"));
        let kind = one_line(kind.unwrap_or("change"), 20);
        let path = one_line(text(change, "path").unwrap_or_default(), 200);
        format!("{kind} {path}")
    });
    let text: Vec<String> = lines.collect();
    Part::Outcome(Outcome {
        call: owned(item, "id"),
        title: Some(format!("{} changed", count(changes.len(), "file"))),
        text: text.join("\n"),
        pictures: Vec::new(),
        failed: has_failed(item),
    })
}
