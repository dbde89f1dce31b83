//! The API's routes, and the endpoints of agents, volumes and artifacts.

use super::{
    events, objects,
    reply::{self, Failure, Query, Reply},
    runs,
    state::ServerState,
    world::{Agent, Kind, Storage, Version, iso},
};
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, Uri, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Value, json};
use std::sync::Arc;

type App = State<Arc<ServerState>>;

/// The API's port.
pub(crate) fn router(state: Arc<ServerState>) -> Router {
    let mut router = Router::new()
        .route("/v1/agents", get(agents))
        .route("/v1/agents/{id}", get(agent))
        .route("/v1/agents/{id}/versions", get(agent_versions))
        .route("/v1/runs", get(runs::list).post(runs::create))
        .route("/v1/runs/{id}", get(runs::get))
        .route("/v1/runs/{id}/cancel", post(runs::cancel))
        .route("/v1/runs/{id}/logs", get(runs::logs))
        .route("/v1/runs/{id}/metrics", get(runs::metrics))
        .route("/v1/runs/{id}/events", get(events::stream));
    for kind in [Kind::Volume, Kind::Artifact] {
        let base = format!("/v1/{}s", kind.word());
        router = router
            .route(
                &base,
                get(move |app, uri| async move { storages(app, uri, kind) }),
            )
            .route(
                &format!("{base}/{{id}}"),
                get(move |app, id| async move { storage(app, id, kind) }),
            )
            .route(
                &format!("{base}/{{id}}/versions"),
                get(move |app, id, uri| async move { versions(app, id, uri, kind) }),
            )
            .route(
                &format!("{base}/{{id}}/download"),
                get(move |app, id, uri| async move { download(app, id, uri, kind) }),
            );
    }
    router
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&state),
            reply::frame,
        ))
        .fallback(reply::nowhere)
        .with_state(state)
}

/// The object store's port.
pub(crate) fn store_router(state: Arc<ServerState>) -> Router {
    Router::new().fallback(objects::serve).with_state(state)
}

fn agent_json(agent: &Agent) -> Value {
    json!({
        "id": agent.id,
        "name": agent.name,
        "current_version_id": agent.versions.last().map(|version| &version.id),
        "created_at": iso(agent.created_at),
        "updated_at": iso(agent.updated_at),
    })
}

async fn agents(State(state): App, uri: Uri) -> Reply {
    let query = Query::of(&uri);
    let world = state.world();
    let rows = world
        .agents
        .iter()
        .filter(|agent| query.get("name").is_none_or(|name| agent.name == name))
        .collect();
    let by_id = world.quirks.cursor_by_id;
    reply::list(rows, &query, by_id, |a| (a.created_at, &a.id), agent_json)
}

async fn agent(State(state): App, Path(id): Path<String>) -> Reply {
    let world = state.world();
    let agent = find_agent(&world.agents, &id)?;
    let mut value = agent_json(agent);
    let config = agent.versions.last().and_then(|v| v.config.as_ref());
    if let (Some(config), false) = (config, world.quirks.hide_agent_config) {
        value["config"] = config.clone();
    }
    reply::ok(&value)
}

fn find_agent<'a>(agents: &'a [Agent], id: &str) -> Result<&'a Agent, Failure> {
    agents
        .iter()
        .find(|agent| agent.id == id)
        .ok_or_else(|| Failure::not_found("agent", id))
}

async fn agent_versions(State(state): App, Path(id): Path<String>, uri: Uri) -> Reply {
    let world = state.world();
    let agent = find_agent(&world.agents, &id)?;
    let hide = world.quirks.hide_agent_config;
    // Newest first, also among versions with the same time.
    let rows: Vec<_> = agent.versions.iter().enumerate().rev().collect();
    reply::list(
        rows.iter().collect(),
        &Query::of(&uri),
        world.quirks.cursor_by_id,
        |(_, version)| (version.created_at, &version.id),
        |(index, version)| {
            let mut value = json!({
                "id": version.id,
                "agent_id": agent.id,
                "version_number": index + 1,
                "created_at": iso(version.created_at),
            });
            if let (Some(config), false) = (&version.config, hide) {
                value["config"] = config.clone();
            }
            value
        },
    )
}

fn storage_json(storage: &Storage) -> Value {
    let current = storage.current();
    json!({
        "id": storage.id,
        "name": storage.name,
        "current_version_id": current.map(|version| &version.id),
        "size": current.map_or(0, |version| version.size),
        "file_count": current.map_or(0, |version| version.file_count),
        "created_at": iso(storage.created_at),
        "updated_at": iso(storage.updated_at),
    })
}

fn version_json(storage: &Storage, version: &Version) -> Value {
    let mut value = json!({"id": version.id});
    value[format!("{}_id", storage.kind.word())] = storage.id.clone().into();
    value["size"] = version.size.into();
    value["file_count"] = version.file_count.into();
    value["message"] = version.message.clone().into();
    value["created_by"] = version.created_by.clone().into();
    value["created_at"] = iso(version.created_at).into();
    value
}

fn find_storage<'a>(all: &'a [Storage], kind: Kind, id: &str) -> Result<&'a Storage, Failure> {
    all.iter()
        .find(|storage| storage.kind == kind && storage.id == id)
        .ok_or_else(|| Failure::not_found(kind.word(), id))
}

fn storages(State(state): App, uri: Uri, kind: Kind) -> Reply {
    let world = state.world();
    let rows = world.storages.iter().filter(|s| s.kind == kind).collect();
    let by_id = world.quirks.cursor_by_id;
    let query = Query::of(&uri);
    reply::list(rows, &query, by_id, |s| (s.created_at, &s.id), storage_json)
}

fn storage(State(state): App, Path(id): Path<String>, kind: Kind) -> Reply {
    let world = state.world();
    let storage = find_storage(&world.storages, kind, &id)?;
    let mut value = storage_json(storage);
    value["current_version"] = storage
        .current()
        .map(|version| version_json(storage, version))
        .into();
    reply::ok(&value)
}

fn versions(State(state): App, Path(id): Path<String>, uri: Uri, kind: Kind) -> Reply {
    let world = state.world();
    let storage = find_storage(&world.storages, kind, &id)?;
    reply::list(
        storage.versions.iter().rev().collect(),
        &Query::of(&uri),
        world.quirks.cursor_by_id,
        |version| (version.created_at, &version.id),
        |version| version_json(storage, version),
    )
}

/// The shortest prefix of a version's id that stands for it.
const SHORTEST_PREFIX: usize = 8;

fn download(State(state): App, Path(id): Path<String>, uri: Uri, kind: Kind) -> Reply {
    let (path, lifetime) = {
        let world = state.world();
        let storage = find_storage(&world.storages, kind, &id)?;
        let version = match Query::of(&uri).get("version_id") {
            None => storage
                .current()
                .ok_or_else(|| Failure::not_found("version of", &storage.name))?,
            Some(wanted) => find_version(storage, wanted)?,
        };
        if version.file_count == 0 {
            return Err(Failure::not_found("archive of version", &version.id));
        }
        (
            objects::object_path(kind.word(), &storage.id, &version.id),
            world.url_lifetime.as_secs(),
        )
    };
    let location = objects::presign(&state, &path, lifetime);
    Ok((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

fn find_version<'a>(storage: &'a Storage, wanted: &str) -> Result<&'a Version, Failure> {
    let missing = || Failure::not_found("version", wanted);
    if let Some(version) = storage.versions.iter().find(|v| v.id == wanted) {
        return Ok(version);
    }
    let is_prefix =
        wanted.len() >= SHORTEST_PREFIX && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut matches = storage
        .versions
        .iter()
        .filter(|version| is_prefix && version.id.starts_with(wanted));
    match (matches.next(), matches.next()) {
        (Some(version), None) => Ok(version),
        (Some(_), Some(_)) => Err(Failure::invalid(
            "version_id",
            format!("Version prefix '{wanted}' is ambiguous"),
        )),
        _ => Err(missing()),
    }
}
