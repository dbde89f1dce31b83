//! Plays a story: its steps become an agent program's events, and the rows of
//! the sandbox and the network beside them.

use super::{
    super::{
        archive::File,
        session::{Claude, Codex, lifecycle},
        world::{Kind, Run, World, after},
    },
    Line, Step, steps,
};
use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Where a run finds the volume that its agent reads, and where it writes.
const INPUT: &str = "/home/user/input";
const WORKSPACE: &str = "/home/user/workspace";

/// The surroundings of a story: the run, the files it reads and writes, and the
/// words that fill the story.
pub(crate) struct Scene<'a> {
    pub(crate) run: &'a Run,
    /// Files of the run's volumes.
    pub(crate) input: Vec<File>,
    /// Files of the artifact version that the run stores.
    pub(crate) output: Vec<File>,
    pub(crate) words: Vec<(&'a str, String)>,
}

impl<'a> Scene<'a> {
    /// The scene of a run as the world has it.
    pub(crate) fn of(world: &World, run: &'a Run) -> Self {
        let files = |kind, name: &str, id: &str| {
            let storage = world.storage(kind, name);
            let version = match id {
                "latest" => storage.and_then(|storage| storage.current()),
                id => world.version(kind, name, id),
            };
            version.map_or_else(Vec::new, |version| version.files().to_vec())
        };
        let volumes = run.volumes.iter();
        let input = volumes.flat_map(|(name, id)| files(Kind::Volume, name, id));
        let made = run
            .artifact_name
            .as_ref()
            .zip(run.artifact_version.as_ref());
        Self {
            run,
            input: input.collect(),
            output: made.map_or_else(Vec::new, |(name, id)| files(Kind::Artifact, name, id)),
            words: vec![
                ("prompt", run.prompt.clone()),
                ("artifact", run.artifact_name.clone().unwrap_or_default()),
                ("version", run.artifact_version.clone().unwrap_or_default()),
                ("error", run.error.clone().unwrap_or_default()),
            ],
        }
    }

    /// The same with one more word.
    pub(crate) fn word(mut self, name: &'a str, word: impl Into<String>) -> Self {
        self.words.push((name, word.into()));
        self
    }

    fn content(&self, path: &str) -> Option<Bytes> {
        let (files, path) = match path.strip_prefix("input/") {
            Some(path) => (&self.input, path),
            None => (&self.output, path),
        };
        let file = files.iter().find(|file| file.path == path)?;
        file.parts().next().cloned()
    }
}

impl Scene<'_> {
    /// The text with each line `<head COUNT PATH>` replaced by the first lines of a file.
    fn quoted(&self, text: &str) -> String {
        let quote = |line: &str| {
            let asked = line.strip_prefix("<head ")?.strip_suffix('>')?;
            let (count, path) = asked.split_once(' ')?;
            let content = self.content(path)?;
            let content = String::from_utf8_lossy(&content);
            let lines: Vec<&str> = content.lines().take(count.parse().ok()?).collect();
            Some(lines.join("\n"))
        };
        let lines: Vec<String> = text
            .lines()
            .map(|line| quote(line).unwrap_or_else(|| line.to_owned()))
            .collect();
        lines.join("\n")
    }
}

fn absolute(path: &str) -> String {
    match path.strip_prefix("input/") {
        Some(path) => format!("{INPUT}/{path}"),
        None if path.starts_with('/') => path.into(),
        None => format!("{WORKSPACE}/{path}"),
    }
}

/// Lines as the tool `Read` numbers them.
fn numbered(text: &str) -> String {
    let lines = text.lines().enumerate();
    let lines: Vec<String> = lines
        .map(|(number, line)| format!("{:6}→{line}", number + 1))
        .collect();
    lines.join("\n")
}

/// The agent program that acts in a story.
enum Speaker {
    Claude(Claude),
    Codex(Codex),
}

/// The rows of a story that begins at `start`, with their times. `length` is in
/// milliseconds: all waits are scaled so that the story takes as long.
pub(crate) fn play(
    story: &str,
    scene: &Scene<'_>,
    start: Timestamp,
    length: Option<i64>,
) -> Vec<(Timestamp, Line)> {
    play_as(&scene.run.id, story, scene, start, length)
}

/// Plays a story with ids that follow from `seed`, for one part of a run.
pub(crate) fn play_as(
    seed: &str,
    story: &str,
    scene: &Scene<'_>,
    start: Timestamp,
    length: Option<i64>,
) -> Vec<(Timestamp, Line)> {
    let steps = steps(story, &scene.words);
    let total: f64 = steps.iter().map(|step| step.wait + step.took).sum();
    let scale = match length {
        Some(length) if total > 0.0 => length as f64 / total,
        _ => 1_000.0,
    };
    let mut player = Player {
        scene,
        speaker: match story.starts_with("%codex") {
            true => Speaker::Codex(Codex::new(seed, start)),
            false => {
                let mut claude = Claude::new(seed, start);
                if let Some(session) = &scene.run.session_id {
                    claude.session(session);
                }
                Speaker::Claude(claude)
            }
        },
        lines: Vec::new(),
    };
    let mut passed = 0.0;
    for step in &steps {
        passed += step.wait;
        let at = after(start, (passed * scale) as i64);
        passed += step.took;
        player.step(step, at, after(start, (passed * scale) as i64));
    }
    player.lines
}

struct Player<'a> {
    scene: &'a Scene<'a>,
    speaker: Speaker,
    lines: Vec<(Timestamp, Line)>,
}

impl Player<'_> {
    fn step(&mut self, step: &Step, at: Timestamp, end: Timestamp) {
        let run = self.scene.run;
        let step = &Step {
            body: self.scene.quoted(&step.body),
            ..step.clone()
        };
        let line = match step.verb.as_str() {
            "system" => Some(Line::System(step.body.clone())),
            "net" => network(&step.rest),
            "vm0_start" => Some(Line::Event(lifecycle::start(run))),
            "vm0_result" => Some(Line::Event(lifecycle::result(run))),
            "vm0_error" => Some(Line::Event(lifecycle::error(&step.body))),
            "raw" => serde_json::from_str(&step.body).ok().map(Line::Event),
            _ => None,
        };
        if let Some(line) = line {
            return self.lines.push((at, line));
        }
        let events = match &mut self.speaker {
            Speaker::Claude(claude) => {
                claude_step(claude.at(at), self.scene, step, end);
                claude.take()
            }
            Speaker::Codex(codex) => {
                codex_step(codex.at(at), step, end);
                codex.take()
            }
        };
        let events = events.into_iter();
        self.lines
            .extend(events.map(|(at, event)| (at, Line::Event(event))));
    }
}

/// `METHOD URL STATUS MILLISECONDS`
fn network(rest: &str) -> Option<Line> {
    let mut words = rest.split(' ');
    Some(Line::Network {
        method: words.next()?.into(),
        url: words.next()?.into(),
        status: words.next()?.parse().ok()?,
        duration: words.next()?.parse().ok()?,
    })
}

/// `[x] done`, `[>] being done`, `[ ] to do`.
fn list(body: &str) -> Vec<(&str, &str)> {
    let lines = body.lines().filter_map(|line| line.split_once("] "));
    lines
        .map(|(state, what)| {
            let state = match state {
                "[x" => "completed",
                "[>" => "in_progress",
                _ => "pending",
            };
            (what, state)
        })
        .collect()
}

/// Plays a step that is no tool call; false if it is one.
fn claude_speaks(claude: &mut Claude, step: &Step) -> bool {
    let (first, second) = step.parts();
    let body = step.body.as_str();
    match step.verb.as_str() {
        "init" => {
            for server in step.rest.split_whitespace() {
                let name = server.trim_end_matches('!');
                claude.server(name, name == server);
            }
            claude.init()
        }
        "text" => claude.text(body),
        "thinking" => claude.thinking(body),
        "redacted" => claude.redacted_thinking(),
        "asked" => claude.asked(body),
        "partial" => claude.partial(body),
        "ratelimit" => claude.rate_limit(),
        "compacted" => claude.compacted(),
        "result" if step.failed && first.is_empty() => claude.fail(body),
        "result" if step.failed => claude.abort(first, &[body]),
        "result" => claude.finish(body),
        "task" => claude.subagent(first, second.unwrap_or(first), body),
        "return" => claude.returned(body),
        "TodoWrite" => claude.todo(&list(body)),
        _ => return false,
    };
    true
}

fn claude_step(claude: &mut Claude, scene: &Scene<'_>, step: &Step, end: Timestamp) {
    if claude_speaks(claude, step) {
        return;
    }
    let (first, second) = step.parts();
    let body = step.body.as_str();
    let input = match step.verb.as_str() {
        "Read" => json!({"file_path": absolute(first)}),
        "Write" => {
            let content = scene.content(first);
            let content = content.as_ref().map(|bytes| String::from_utf8_lossy(bytes));
            json!({"file_path": absolute(first), "content": content.as_deref().unwrap_or(body)})
        }
        "Edit" => {
            let (old, new) = body.split_once("\n=======\n").unwrap_or((body, ""));
            json!({"file_path": absolute(first), "old_string": old, "new_string": new})
        }
        "Bash" => match second {
            Some(command) => json!({"command": command, "description": first}),
            None => json!({ "command": first }),
        },
        "Glob" => json!({ "pattern": first }),
        "Grep" => json!({
            "pattern": first,
            "path": absolute(second.unwrap_or("input/")),
            "output_mode": "content",
        }),
        "WebFetch" => json!({"url": first, "prompt": second.unwrap_or("Summarise the page")}),
        "WebSearch" => json!({ "query": first }),
        _ => serde_json::from_str(&step.rest).unwrap_or(Value::Null),
    };
    claude.tool(&step.verb, input).at(end);
    let content = scene.content(first);
    match (step.verb.as_str(), content) {
        _ if step.failed => claude.failed(body),
        ("Read", Some(bytes)) if body.is_empty() => match first.ends_with(".png") {
            true => claude.image("image/png", &bytes),
            false => claude.result(&numbered(&String::from_utf8_lossy(&bytes))),
        },
        ("Write", _) => claude.result(&format!(
            "File created successfully at: {}",
            absolute(first)
        )),
        ("Edit", _) => {
            let new = body.split_once("\n=======\n").map_or("", |(_, new)| new);
            claude.result(&format!(
                "The file {} has been updated. Here's the result of running `cat -n` on a snippet \
                 of the edited file:\n{}",
                absolute(first),
                numbered(new)
            ))
        }
        (verb, _) if verb.starts_with("mcp__") => match body.strip_prefix("image ") {
            Some(path) => {
                let bytes = scene.content(path).unwrap_or_default();
                claude.image("image/png", &bytes)
            }
            None => claude.blocks(json!([{"type": "text", "text": body}])),
        },
        _ => claude.result(body),
    };
}

fn codex_step(codex: &mut Codex, step: &Step, end: Timestamp) {
    let (first, second) = step.parts();
    let body = step.body.as_str();
    match step.verb.as_str() {
        "init" => codex.begin(),
        "text" => codex.message(body),
        "thinking" => codex.reasoning(body),
        "warning" => codex.warning(body),
        "Bash" => {
            codex.command(second.unwrap_or(first));
            codex.at(end).output(body, i32::from(step.failed))
        }
        "long" => {
            // A command that prints half of its output, goes on, and ends.
            codex.command(second.unwrap_or(first));
            let half = body.lines().take(body.lines().count() / 2);
            codex.printed(&half.map(|line| format!("{line}\n")).collect::<String>());
            codex.at(end).output(body, i32::from(step.failed) * KILLED)
        }
        "Write" => codex.changes(&[(&absolute(first), "add")]),
        "Edit" => codex.changes(&[(&absolute(first), "modify")]),
        "WebSearch" => codex.search(first),
        "TodoWrite" => {
            let list = list(body).into_iter();
            let list: Vec<(&str, bool)> = list
                .map(|(what, state)| (what, state == "completed"))
                .collect();
            codex.todo(&list)
        }
        "mcp" => {
            let (server, tool) = first.split_once('.').unwrap_or((first, ""));
            let arguments = second.and_then(|text| serde_json::from_str(text).ok());
            let answer = if step.failed { Err(body) } else { Ok(body) };
            codex.mcp(server, tool, arguments.unwrap_or_default(), answer)
        }
        "result" if step.failed => codex.fail(body),
        "result" => codex.message(body).finish(),
        _ => return,
    };
}

/// The exit code of a command that was killed for its memory.
const KILLED: i32 = 137;
