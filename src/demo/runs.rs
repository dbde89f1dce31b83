//! The endpoints of runs: list, get, start, cancel, logs, metrics.

use super::{
    live,
    reply::{self, Failure, Query, Reply, json_response, ok},
    state::ServerState,
    world::{LogRow, Run, World, iso, uuid},
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{StatusCode, Uri},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

type App = State<Arc<ServerState>>;

const STATUSES: [&str; 6] = [
    "pending",
    "running",
    "completed",
    "failed",
    "timeout",
    "cancelled",
];

fn summary(run: &Run) -> Value {
    json!({
        "id": run.id,
        "agent_id": run.agent_id,
        "agent_name": run.agent_name,
        "status": run.status,
        "prompt": run.prompt,
        "created_at": iso(run.created_at),
        "started_at": run.started_at.map(iso),
        "completed_at": run.completed_at.map(iso),
    })
}

fn detail(run: &Run) -> Value {
    let mut value = summary(run);
    value["error"] = run.error.clone().into();
    value["execution_time_ms"] = duration_ms(run).into();
    value["checkpoint_id"] = run.checkpoint_id.clone().into();
    value["session_id"] = run.session_id.clone().into();
    value["artifact_name"] = run.artifact_name.clone().into();
    value["artifact_version"] = run.artifact_version.clone().into();
    if !run.volumes.is_empty() {
        value["volumes"] = json!(run.volumes);
    }
    value
}

fn duration_ms(run: &Run) -> Option<i64> {
    let (started, ended) = (run.started_at?, run.completed_at?);
    Some(ended.as_millisecond() - started.as_millisecond())
}

fn find<'a>(world: &'a World, id: &str) -> Result<&'a Run, Failure> {
    world.run(id).ok_or_else(|| Failure::not_found("run", id))
}

pub(crate) async fn list(State(state): App, uri: Uri) -> Reply {
    let query = Query::of(&uri);
    let status = query.get("status");
    if status.is_some_and(|status| !STATUSES.contains(&status)) {
        return Err(Failure::invalid("status", "Invalid status"));
    }
    let since = query.time("since")?;
    let world = state.world();
    let filter = !world.quirks.ignore_run_filters;
    let agent = query.get("agent_id").filter(|_| filter);
    let since = since.filter(|_| filter);
    let rows = world
        .runs
        .iter()
        .filter(|run| {
            status.is_none_or(|status| run.status == status)
                && agent.is_none_or(|agent| run.agent_id == agent)
                && since.is_none_or(|since| run.created_at >= since)
        })
        .collect();
    let by_id = world.quirks.cursor_by_id;
    reply::list(rows, &query, by_id, |r| (r.created_at, &r.id), summary)
}

pub(crate) async fn get(State(state): App, Path(id): Path<String>) -> Reply {
    let world = state.world();
    ok(&detail(find(&world, &id)?))
}

/// The body of `POST /v1/runs`.
#[derive(Deserialize)]
struct Request {
    prompt: Option<String>,
    agent: Option<String>,
    agent_id: Option<String>,
    session_id: Option<String>,
    checkpoint_id: Option<String>,
    agent_version: Option<String>,
    artifact_name: Option<String>,
    artifact_version: Option<String>,
    volumes: Option<BTreeMap<String, String>>,
    #[serde(rename = "variables")]
    _variables: Option<BTreeMap<String, String>>,
    #[serde(rename = "secrets")]
    _secrets: Option<BTreeMap<String, String>>,
}

pub(crate) async fn create(State(state): App, body: Bytes) -> Reply {
    let request: Request = serde_json::from_slice(&body).map_err(|error| {
        Failure::bad_request(
            "invalid_parameter",
            format!("Invalid request body: {error}"),
        )
    })?;
    let value = {
        let mut world = state.world();
        let run = prepare(&world, request)?;
        let value = detail(&run);
        let id = world.add_run(run);
        let pace = world.pace;
        drop(world);
        if let Some(pace) = pace {
            tokio::spawn(live::progress(Arc::clone(&state), id, pace));
        }
        value
    };
    Ok(json_response(StatusCode::ACCEPTED, &value))
}

fn prepare(world: &World, request: Request) -> Result<Run, Failure> {
    let prompt = request.prompt.filter(|prompt| !prompt.is_empty());
    let prompt = prompt.ok_or_else(|| Failure::missing("prompt", "prompt is required"))?;
    let (by_name, by_id) = (request.agent.as_deref(), request.agent_id.as_deref());
    let session = request.session_id.as_deref();
    let checkpoint = request.checkpoint_id.as_deref();
    let given = [by_name, by_id, session, checkpoint];
    if given.iter().flatten().count() != 1 {
        return Err(Failure::missing(
            "agent",
            "Exactly one of agent, agent_id, session_id, checkpoint_id is required",
        ));
    }
    let name = if let Some(name) = by_name {
        world.agent(name).map(|agent| agent.name.clone())
    } else if let Some(id) = by_id {
        let agent = world.agents.iter().find(|agent| agent.id == id);
        agent.map(|agent| agent.name.clone())
    } else {
        let earlier = world.runs.iter().find(|run| {
            session.is_some() && run.session_id.as_deref() == session
                || checkpoint.is_some() && run.checkpoint_id.as_deref() == checkpoint
        });
        earlier.map(|run| run.agent_name.clone())
    };
    let wanted = given.into_iter().flatten().next().unwrap_or_default();
    let what = match (session, checkpoint) {
        (Some(_), _) => "session",
        (_, Some(_)) => "checkpoint",
        _ => "agent",
    };
    let name = name.ok_or_else(|| Failure::not_found(what, wanted))?;
    if let (Some(version), Some(agent)) = (&request.agent_version, world.agent(&name)) {
        let numbered = (1..=agent.versions.len()).any(|number| number.to_string() == *version);
        let known = agent.versions.iter().any(|other| other.id == *version);
        if !(known || numbered || version == "latest") {
            return Err(Failure::not_found("agent version", version));
        }
    }
    let number = world.runs.len();
    let mut run = Run::new(name, Timestamp::now())
        .id(uuid(&format!("started-run:{number}")))
        .prompt(prompt)
        .status("pending");
    run.session_id = Some(
        request
            .session_id
            .unwrap_or_else(|| uuid(&format!("session:{number}"))),
    );
    run.artifact_name = request.artifact_name;
    run.artifact_version = request.artifact_version;
    run.volumes = request.volumes.unwrap_or_default();
    Ok(run)
}

pub(crate) async fn cancel(State(state): App, Path(id): Path<String>) -> Reply {
    let mut world = state.world();
    let run = world
        .run_mut(&id)
        .ok_or_else(|| Failure::not_found("run", &id))?;
    if !matches!(run.status.as_str(), "pending" | "running") {
        let message = format!("Run cannot be cancelled: it is {}", run.status);
        return Err(Failure::bad_request("invalid_state", message));
    }
    run.finish(Timestamp::now(), "cancelled", None);
    ok(&detail(run))
}

pub(crate) async fn logs(State(state): App, Path(id): Path<String>, uri: Uri) -> Reply {
    let query = Query::of(&uri);
    let limit = query.limit()?;
    let descending = match query.get("order").unwrap_or("asc") {
        "asc" => false,
        "desc" => true,
        _ => return Err(Failure::invalid("order", "order must be asc or desc")),
    };
    let kind = query.get("type").unwrap_or("all");
    if !["all", "agent", "system", "network"].contains(&kind) {
        return Err(Failure::invalid("type", "Invalid type"));
    }
    let world = state.world();
    let run = find(&world, &id)?;
    let by_time = world.quirks.log_cursor_by_time;
    let cursor = query.get("cursor");
    // The running service cuts times to milliseconds.
    let time = |name| -> Result<Option<Timestamp>, Failure> {
        let time = query.time(name)?;
        Ok(match by_time {
            true => time.map(whole_milliseconds),
            false => time,
        })
    };
    let (since, until) = (time("since")?, time("until")?);
    let passed = match by_time {
        true => time("cursor")?,
        false => None,
    };
    // The log is sorted by time, so times select a range of it.
    let before =
        |time: Option<Timestamp>| time.map(|time| run.logs.partition_point(|row| row.at < time));
    let through =
        |time: Option<Timestamp>| time.map(|time| run.logs.partition_point(|row| row.at <= time));
    let mut start = before(since).unwrap_or(0);
    let mut end = through(until).unwrap_or(run.logs.len());
    match descending {
        false => start = start.max(through(passed).unwrap_or(0)),
        true => end = end.min(before(passed).unwrap_or(end)),
    }
    let range = run.logs.get(start..end).unwrap_or_default();
    let wanted = |row: &&LogRow| kind == "all" || row.kind == kind;
    let (rows, next) = match (by_time, descending) {
        (true, false) => page_by_time(range.iter().filter(wanted), limit),
        (true, true) => page_by_time(range.iter().rev().filter(wanted), limit),
        (false, false) => page_by_position(range.iter().filter(wanted), limit, cursor)?,
        (false, true) => page_by_position(range.iter().rev().filter(wanted), limit, cursor)?,
    };
    reply::page(rows.into_iter().map(row_json).collect(), next)
}

/// A time cut to whole milliseconds.
fn whole_milliseconds(time: Timestamp) -> Timestamp {
    let nanoseconds = time.as_nanosecond();
    let begin = nanoseconds - nanoseconds.rem_euclid(1_000_000);
    Timestamp::from_nanosecond(begin).unwrap_or(time)
}

/// Rows of one page, and the cursor where there are more.
type Page<'a> = (Vec<&'a LogRow>, Option<String>);

/// A page as the running service makes it: it takes up to `limit` rows of each type,
/// merges them, and reports more only if the merged rows exceed `limit`.
fn page_by_time<'a>(selected: impl Iterator<Item = &'a LogRow>, limit: usize) -> Page<'a> {
    let mut taken: Vec<(&str, usize)> = Vec::new();
    let mut rows = Vec::new();
    for row in selected {
        let index = taken.iter().position(|(kind, _)| *kind == row.kind);
        let index = index.unwrap_or_else(|| {
            taken.push((&row.kind, 0));
            taken.len() - 1
        });
        if taken[index].1 < limit {
            taken[index].1 += 1;
            rows.push(row);
        }
        if rows.len() > limit {
            break;
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more);
    let next = next.map(|row| row.timestamp.clone());
    (rows, next)
}

/// A page as the documentation has it: no row is lost or repeated.
fn page_by_position<'a>(
    selected: impl Iterator<Item = &'a LogRow>,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page<'a>, Failure> {
    let start: usize = cursor
        .map_or(Ok(0), str::parse)
        .map_err(|_| Failure::invalid("cursor", "Invalid cursor"))?;
    let mut rows: Vec<&LogRow> = selected.skip(start).take(limit + 1).collect();
    let next = (rows.len() > limit).then(|| (start + limit).to_string());
    rows.truncate(limit);
    Ok((rows, next))
}

fn row_json(row: &LogRow) -> Value {
    let mut value = json!({
        "timestamp": row.timestamp,
        "type": row.kind,
        "level": row.level,
        "message": row.message,
    });
    if let Some(metadata) = &row.metadata {
        value["metadata"] = metadata.clone();
    }
    value
}

pub(crate) async fn metrics(State(state): App, Path(id): Path<String>) -> Reply {
    let world = state.world();
    let run = find(&world, &id)?;
    let samples = &run.metrics;
    let total: f64 = samples.iter().map(|sample| sample.cpu_percent).sum();
    // The service gives 0 as the mean of no samples.
    let average = total / samples.len().max(1) as f64;
    let peak = samples.iter().map(|sample| sample.memory_used_mb).max();
    let data: Vec<Value> = samples
        .iter()
        .map(|sample| {
            json!({
                "timestamp": iso(sample.at),
                "cpu_percent": sample.cpu_percent,
                "memory_used_mb": sample.memory_used_mb,
                "memory_total_mb": sample.memory_total_mb,
                "disk_used_mb": sample.disk_used_mb,
                "disk_total_mb": sample.disk_total_mb,
            })
        })
        .collect();
    ok(&json!({
        "data": data,
        "summary": {
            "avg_cpu_percent": (average * 100.0).round() / 100.0,
            "max_memory_used_mb": peak.unwrap_or(0),
            "total_duration_ms": duration_ms(run),
        },
    }))
}
