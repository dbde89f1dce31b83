//! The server that `scripts/bench` and `scripts/fleet` measure against, and that
//! `scripts/chaos` puts under stress: it serves archives, given as files or generated,
//! as artifacts of the demo's service, and a run that has ended; `live` adds an agent,
//! many runs, and some that go on.
//!
//! It prints one line of JSON when it listens. Then each line on standard input
//! is a command, which it answers with a line of JSON: `clear` forgets the requests
//! so far, `stats` counts them, `network LATENCY-MS BYTES-PER-SECOND` sets both for
//! all later answers (0: none). `row RUN TEXT` adds a row to a run's log, `prompts`
//! gives those of all runs that were started. `fault PORT KIND [BYTES]` has the `api` or
//! the `store` fail: by an `error`, a `gateway`'s page, a `stall`, or a `cut` or a
//! `pause` after so many bytes; `well` ends all of that. It ends when its input ends.

#[path = "../tests/support/fake/mod.rs"]
mod fake;

use fake::{Action, Agent, Fault, File, Kind, LogRow, Port, Run, Server, VersionSpec, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead, Write},
    time::Duration,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files in the artifact `million`.
const MILLION: u32 = 1_000_000;
/// Files in one directory of it.
const PER_DIRECTORY: u32 = 1_000;
/// The artifact `huge`: files, and bytes in each of them.
const HUGE_FILES: u32 = 10;
const HUGE_FILE: u64 = 1_000_000_000;
/// Bytes in a block of which those files are made, and how many distinct ones.
const BLOCK: usize = 1_000_000;
const BLOCKS: u32 = 16;
/// Characters of an id in a path.
const ID: usize = 36;
/// Rows in the log of the run, one each second.
const ROWS: i64 = 1_000;
/// With `live`: runs that have ended, runs that go on, the agent of all of them, and what
/// the prompts of those begin with that were there from the start.
const ENDED: usize = 600;
const LIVE: usize = 3;
const AGENT: &str = "writer";
const FIRST: &str = "from the start: ";

const USAGE: &str = "usage: bench-server MANIFEST.json… [million] [huge] [live]
A manifest: {\"name\", \"archive\": path, \"storage_id\", \"id\", \"size\", \"files\"}";

fn main() -> Outcome<()> {
    let mut world = World::empty();
    let mut artifacts = Vec::new();
    let mut live = Vec::new();
    for argument in std::env::args().skip(1) {
        artifacts.push(match argument.as_str() {
            "live" => {
                live = go_on(&mut world);
                continue;
            }
            "million" => made(&mut world, "million", million()),
            "huge" => made(&mut world, "huge", huge()),
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            path => given(&mut world, path)?,
        });
    }
    if artifacts.is_empty() && live.is_empty() {
        return Err(USAGE.into());
    }
    let run = ended_run(&mut world);
    let server = Server::start(world)?;
    say(&json!({
        "url": server.api_url(),
        "token": server.token(),
        "artifacts": artifacts,
        "run": run,
        "live": live,
        "agent": AGENT,
    }))?;
    for line in io::stdin().lock().lines() {
        say(&obey(&server, &line?)?)?;
    }
    Ok(())
}

fn say(value: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

fn obey(server: &Server, line: &str) -> Outcome<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words[..] {
        ["clear"] => {
            server.clear_requests();
            json!({})
        }
        ["stats"] => {
            let store = server.requests_to(Port::Store, "");
            let calls = server.requests_to(Port::Api, "");
            let mut endpoints = BTreeMap::new();
            for call in &calls {
                *endpoints.entry(endpoint(&call.path)).or_insert(0) += 1;
            }
            json!({
                "api_calls": calls.len(),
                "endpoints": endpoints,
                "downloads": store.len(),
                "bytes": store.iter().map(|request| request.bytes_sent).sum::<u64>(),
            })
        }
        ["network", latency, rate] => {
            server.clear_faults();
            let (latency, rate) = (latency.parse()?, rate.parse()?);
            if latency > 0 {
                let delay = Action::Delay(Duration::from_millis(latency));
                server.fault(Fault::everywhere(delay));
            }
            if rate > 0 {
                server.fault(Fault::store(Action::Rate {
                    bytes_per_second: rate,
                }));
            }
            json!({})
        }
        ["row", run, ..] => {
            let text = line.splitn(3, ' ').nth(2).unwrap_or_default();
            let mut world = server.world();
            let row = LogRow::system(Timestamp::now(), format!("{text}\n"));
            world.add_log(run, row);
            json!({})
        }
        ["prompts"] => {
            let world = server.world();
            let prompts = world.runs.iter().map(|run| run.prompt.as_str());
            let started = prompts.filter(|prompt| !prompt.starts_with(FIRST));
            json!({"prompts": started.collect::<Vec<_>>()})
        }
        ["fault", port, ref kind @ ..] => {
            let action = action(kind).ok_or_else(|| format!("not a fault: {line}"))?;
            server.fault(match port {
                "api" => Fault::api("/", action),
                _ => Fault::store(action),
            });
            json!({})
        }
        ["well"] => {
            server.clear_faults();
            json!({})
        }
        _ => return Err(format!("not a command: {line}").into()),
    })
}

/// What a fault does.
fn action(kind: &[&str]) -> Option<Action> {
    let after = |bytes: &str| bytes.parse().ok();
    Some(match kind {
        ["error"] => Action::internal_error(),
        ["gateway"] => Action::bad_gateway(),
        ["stall"] => Action::Stall,
        ["cut", bytes] => Action::Truncate {
            after: after(bytes)?,
        },
        ["pause", bytes] => Action::StallBody {
            after: after(bytes)?,
        },
        _ => return None,
    })
}

/// A path without its ids, for which the service's limits count.
fn endpoint(path: &str) -> String {
    let parts = path.split('/');
    let parts = parts.map(|part| if part.len() == ID { ":id" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Adds the artifact of a manifest.
fn given(world: &mut World, path: &str) -> Outcome<Value> {
    let manifest: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let text = |key: &str| {
        let value = manifest[key].as_str();
        value.ok_or_else(|| format!("{path}: no text {key:?}"))
    };
    let number = |key: &str| {
        let value = manifest[key].as_u64();
        value.ok_or_else(|| format!("{path}: no number {key:?}"))
    };
    let archive = std::fs::read(text("archive")?)?;
    let storage = world.add_storage(Kind::Artifact, text("name")?);
    if storage != text("storage_id")? {
        return Err(format!("{path}: the storage's id is {storage} by now; make it anew").into());
    }
    let spec = VersionSpec::archive(archive)
        .id(text("id")?)
        .declared_size(number("size")?)
        .declared_file_count(number("files")?);
    let version = world.add_version(&storage, spec);
    Ok(json!({"name": text("name")?, "storage_id": storage, "id": version}))
}

/// Adds an artifact of generated files.
fn made(world: &mut World, name: &str, files: Vec<File>) -> Value {
    let storage = world.add_storage(Kind::Artifact, name);
    let size: u64 = files.iter().map(File::size).sum();
    let count = files.len();
    let version = world.add_version(&storage, VersionSpec::files(files));
    json!({"name": name, "storage_id": storage, "id": version, "size": size, "files": count})
}

fn million() -> Vec<File> {
    (0..MILLION)
        .map(|n| {
            let path = format!("d{:04}/file-{n:07}.txt", n / PER_DIRECTORY);
            File::new(path, format!("This is file number {n}.\n"))
        })
        .collect()
}

fn huge() -> Vec<File> {
    let blocks: Vec<_> = (0..BLOCKS).map(|n| noise(n).into()).collect();
    (0..HUGE_FILES)
        .map(|n| {
            let order = (0..HUGE_FILE / BLOCK as u64)
                .map(|at| (at as u32).wrapping_mul(7).wrapping_add(n) % BLOCKS)
                .collect();
            File::blocks(format!("data/part-{n}.bin"), blocks.clone(), order, None)
        })
        .collect()
}

/// Adds a run that has ended; gives its id.
fn ended_run(world: &mut World) -> String {
    let start = world.ago(2 * ROWS);
    let mut run = Run::new("fleet", start).prompt(format!("{FIRST}a log"));
    for n in 0..ROWS {
        let at = start + SignedDuration::from_secs(n);
        let text = format!("Step {n} of {ROWS}: looked at {} records.\n", n * n % 977);
        run.log(LogRow::system(at, text));
    }
    run.completed_at = Some(start + SignedDuration::from_secs(ROWS));
    world.add_run(run)
}

/// Adds an agent that can be asked to run, and runs of it; gives the ids of those that go
/// on. Nothing happens in them but what is asked for, and no limit slows their reader.
fn go_on(world: &mut World) -> Vec<String> {
    world.pace = None;
    world.quirks.read_limit = 10_000_000;
    world.quirks.write_limit = 10_000_000;
    world.add_agent(Agent::new(AGENT, world.ago(20_000)));
    let runs = (0..ENDED + LIVE).map(|n| {
        let status = if n < ENDED { "completed" } else { "running" };
        let begun = world.ago(10_000 - n as i64);
        let run = Run::new(AGENT, begun).status(status);
        world.add_run(run.prompt(format!("{FIRST}number {n}")))
    });
    runs.collect::<Vec<_>>().split_off(ENDED)
}

/// A block that compresses to about half its size: random hexadecimal digits.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    (0..BLOCK)
        .map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"0123456789abcdef"[(state >> 32) as usize & 15]
        })
        .collect()
}
