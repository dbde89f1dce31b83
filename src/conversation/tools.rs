//! A tool call as a headline: the tool and its main argument. The names and inputs are
//! those of Claude Code's own tools; any other tool, such as an MCP server's, is shown
//! by the fields of its input.

use super::{
    event::{Block, Call, Part, Todo, TodoState},
    fields::{array, json_line, text},
    media,
};
use crate::text::one_line;
use serde_json::Value;

/// The most characters of a headline's target.
const TARGET: usize = 200;

/// A tool call, and the list of tasks where the call writes one.
pub(super) fn call(id: Option<String>, name: &str, input: &Value) -> Vec<Part> {
    let field = |name: &str| text(input, name).unwrap_or_default();
    let path = || {
        let path = text(input, "file_path").or(text(input, "notebook_path"));
        path.unwrap_or_default().to_owned()
    };
    let mut todos = None;
    let (target, block) = match name {
        "Read" => (path(), None),
        "Write" => (path(), code(&path(), field("content"))),
        "Edit" => {
            let change = change(field("old_string"), field("new_string"));
            (path(), Some(diff(change)))
        }
        "MultiEdit" => {
            let edits = array(input, "edits").iter().map(|edit| {
                let part = |name| text(edit, name).unwrap_or_default();
                change(part("old_string"), part("new_string"))
            });
            (path(), Some(diff(edits.collect())))
        }
        "NotebookEdit" => (path(), code("cell.py", field("new_source"))),
        "Bash" => match text(input, "description") {
            Some(description) => (description.to_owned(), block("sh", field("command"))),
            None => (field("command").to_owned(), long_shell(field("command"))),
        },
        "Glob" | "Grep" => {
            let place = text(input, "path").map(|path| format!(" in {path}"));
            let target = field("pattern").to_owned() + &place.unwrap_or_default();
            (target, None)
        }
        "Task" | "Agent" => (
            field("description").to_owned(),
            block("text", field("prompt")),
        ),
        "WebFetch" => (field("url").to_owned(), block("text", field("prompt"))),
        "WebSearch" => (field("query").to_owned(), None),
        "ExitPlanMode" => (String::new(), block("text", field("plan"))),
        "Skill" | "SlashCommand" => {
            let fields = ["skill", "command"];
            let target = fields.into_iter().find_map(|name| text(input, name));
            (target.unwrap_or_default().to_owned(), None)
        }
        "TodoWrite" => {
            let list: Vec<Todo> = array(input, "todos").iter().map(todo).collect();
            let target = progress(&list);
            todos = Some(list);
            (target, None)
        }
        _ => (summary(input), json(input)),
    };
    [part(id, name_of(name), &target, block)]
        .into_iter()
        .chain(todos.map(Part::Todo))
        .collect()
}

/// A tool call with the target of its headline.
pub(super) fn part(id: Option<String>, name: String, target: &str, input: Option<Block>) -> Part {
    Part::Call(Call {
        id,
        name,
        target: media::line(target, TARGET),
        input,
    })
}

/// A tool's name as people say it: `github create_issue` for an MCP server's.
fn name_of(name: &str) -> String {
    let mcp = name.strip_prefix("mcp__");
    let mcp = mcp.and_then(|name| name.split_once("__"));
    let mcp = mcp.map(|(server, tool)| format!("{server} {tool}"));
    match one_line(mcp.as_deref().unwrap_or(name), 100) {
        name if name.is_empty() => "a tool".to_owned(),
        name => name,
    }
}

fn todo(item: &Value) -> Todo {
    Todo {
        state: TodoState::of(text(item, "status").unwrap_or_default()),
        text: one_line(text(item, "content").unwrap_or_default(), TARGET),
    }
}

/// How many tasks of a list are done: `2 of 5 done`.
pub(super) fn progress(list: &[Todo]) -> String {
    let done = list.iter().filter(|todo| todo.state == TodoState::Done);
    format!("{} of {} done", done.count(), list.len())
}

/// The fields of an input on one line.
pub(super) fn summary(input: &Value) -> String {
    let Some(fields) = input.as_object() else {
        return json_line(input);
    };
    let mut out = String::new();
    for (name, value) in fields {
        if out.chars().count() > TARGET {
            break;
        }
        let separator = if out.is_empty() { "" } else { ", " };
        out += &format!("{separator}{}: {}", one_line(name, 60), json_line(value));
    }
    out
}

/// A command as a block where it is too long for its headline.
pub(super) fn long_shell(command: &str) -> Option<Block> {
    block("sh", command)
        .filter(|_| command.trim().contains('\n') || command.chars().count() > TARGET)
}

/// A value as indented JSON, unless it is empty.
pub(super) fn json(value: &Value) -> Option<Block> {
    match value {
        Value::Null => None,
        Value::Object(fields) if fields.is_empty() => None,
        Value::Array(elements) if elements.is_empty() => None,
        value => block("json", &format!("{value:#}")),
    }
}

/// A text as a block, unless it is empty.
fn block(language: &str, text: &str) -> Option<Block> {
    let text = media::without_base64(text).into_owned();
    (!text.trim().is_empty()).then(|| Block {
        language: language.to_owned(),
        text,
    })
}

/// The content of a file: its extension is what most highlighters go by.
fn code(path: &str, content: &str) -> Option<Block> {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let is_word = |word: &&str| {
        word.len() <= 12
            && !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    block(extension.filter(is_word).unwrap_or("text"), content)
}

/// A change of a text as a diff, without the lines that both have at their ends.
fn change(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - before;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let after = pairs.take(rest).take_while(|(a, b)| a == b).count();
    let mut out = String::new();
    let mut add = |sign: &str, lines: &[&str]| {
        for line in lines {
            out += &format!("{sign}{line}\n");
        }
    };
    // One line of context on each side tells the place.
    add(" ", &old[before.saturating_sub(1)..before]);
    add("-", &old[before..old.len() - after]);
    add("+", &new[before..new.len() - after]);
    add(" ", &old[old.len() - after..][..after.min(1)]);
    out
}

fn diff(text: String) -> Block {
    Block {
        language: "diff".to_owned(),
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn headline(name: &str, input: &Value) -> String {
        match &call(None, name, input)[0] {
            Part::Call(call) => format!("{} {}", call.name, call.target).trim().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_headline_names_the_tool_and_what_it_is_used_on() {
        for (name, input, expected) in [
            (
                "Read",
                json!({"file_path": "/w/a.rs", "limit": 9}),
                "Read /w/a.rs",
            ),
            ("Edit", json!({"file_path": "a"}), "Edit a"),
            (
                "NotebookEdit",
                json!({"notebook_path": "a.ipynb"}),
                "NotebookEdit a.ipynb",
            ),
            (
                "Bash",
                json!({"command": "ls -l", "description": "List"}),
                "Bash List",
            ),
            ("Bash", json!({"command": "ls\n-l"}), "Bash ls -l"),
            (
                "Grep",
                json!({"pattern": "fn main", "path": "src"}),
                "Grep fn main in src",
            ),
            ("Glob", json!({"pattern": "**/*.rs"}), "Glob **/*.rs"),
            (
                "Task",
                json!({"description": "Compare", "prompt": "…"}),
                "Task Compare",
            ),
            (
                "WebSearch",
                json!({"query": "rust fuse"}),
                "WebSearch rust fuse",
            ),
            (
                "mcp__github__create_issue",
                json!({"repo": "a/b", "labels": ["x"], "n": 12345678901234567890_u64}),
                "github create_issue repo: a/b, labels: [\"x\"], n: 12345678901234567890",
            ),
            ("Odd", json!({}), "Odd"),
            ("Odd", json!(null), "Odd"),
            ("Odd", json!("text"), "Odd text"),
            ("", json!({"a": 1}), "a tool a: 1"),
            (
                "TodoWrite",
                json!({"todos": [{"content": "a", "status": "completed"}, {}]}),
                "TodoWrite 1 of 2 done",
            ),
        ] {
            assert_eq!(headline(name, &input), expected);
        }
    }

    #[test]
    fn a_change_is_shown_as_a_diff_of_what_differs() {
        assert_eq!(
            change("a\nb\nc\nd", "a\nb\nx\ny\nd"),
            " b\n-c\n+x\n+y\n d\n"
        );
        assert_eq!(change("", "new\n"), "+new\n");
        assert_eq!(change("a\na", "a"), " a\n-a\n");
        assert_eq!(change("same", "same"), " same\n");
    }

    #[test]
    fn base64_in_an_input_is_named() {
        let input = json!({"file": "x.png", "data": "QUJD".repeat(450)});
        let parts = call(None, "mcp__files__put", &input);
        let Part::Call(call) = &parts[0] else {
            panic!()
        };
        assert_eq!(call.target, "file: x.png, data: [base64, 1 kB]");
        assert!(call.input.as_ref().unwrap().text.len() < 100);
    }
}
