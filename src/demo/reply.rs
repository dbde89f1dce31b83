//! How the API speaks: JSON answers, the documented errors, queries, pages.

use super::{state::ServerState, world::uuid};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc};
use url::form_urlencoded;

/// An answer, or the documented error.
pub(crate) type Reply = Result<Response, Failure>;

/// An error as the API documents it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
    param: Option<&'static str>,
}

impl Failure {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        Self {
            status,
            kind,
            code,
            message,
            param: None,
        }
    }

    /// 400 for a parameter.
    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::bad_request("invalid_parameter", message)
        }
    }

    /// 400 for a missing parameter.
    pub(crate) fn missing(param: &'static str, message: impl Into<String>) -> Self {
        Self {
            param: Some(param),
            ..Self::bad_request("missing_parameter", message)
        }
    }

    /// 400 with another code.
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::BAD_REQUEST, kind, code, message.into())
    }

    /// 404 for an object.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found_error",
            "resource_not_found",
            format!("No such {what}: '{id}'"),
        )
    }

    /// 500, which the service answers for every failure that it does not expect.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "api_error",
            "internal_error",
            "Internal server error".into(),
        )
    }

    fn unauthorized(code: &'static str, message: &str) -> Self {
        let kind = "authentication_error";
        Self::new(StatusCode::UNAUTHORIZED, kind, code, message.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut error = json!({
            "type": self.kind, "code": self.code, "message": self.message,
        });
        if let Some(param) = self.param {
            error["param"] = param.into();
        }
        json_response(self.status, &json!({"error": error}))
    }
}

/// A JSON answer.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, value.to_string()).into_response()
}

/// A JSON answer with status 200.
pub(crate) fn ok(value: &Value) -> Reply {
    Ok(json_response(StatusCode::OK, value))
}

/// The query of a request.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// Reads each value as JSON where it parses as such, except for downloads and streams.
    pub(crate) fn of(uri: &Uri) -> Self {
        let is_plain = takes_values_as_they_are(uri.path());
        let text = |value: String| match serde_json::from_str::<Value>(&value) {
            Ok(Value::String(text)) if !is_plain => text,
            _ => value,
        };
        Self(
            pairs(uri)
                .map(|(name, value)| (name, text(value)))
                .collect(),
        )
    }

    /// Refuses values that are JSON of another type than the parameter has: a number
    /// for `limit`, strings for the rest.
    fn check(uri: &Uri) -> Result<(), Failure> {
        let wrong = pairs(uri).find(|(name, value)| {
            let value = serde_json::from_str::<Value>(value);
            name != "limit" && value.is_ok_and(|value| !value.is_string())
        });
        match wrong {
            Some((name, _)) if !takes_values_as_they_are(uri.path()) => Err(Failure::bad_request(
                "invalid_parameter",
                format!("{name}: Expected string"),
            )),
            _ => Ok(()),
        }
    }

    /// A parameter; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// `limit`, 1 to 100, 20 where absent.
    pub(crate) fn limit(&self) -> Result<usize, Failure> {
        match self.get("limit").map(str::parse) {
            None => Ok(20),
            Some(Ok(limit @ 1..=100)) => Ok(limit),
            Some(_) => Err(Failure::invalid("limit", "limit must be between 1 and 100")),
        }
    }

    /// A time, ISO 8601. The service does not validate it: a bad one is a 500.
    pub(crate) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Failure> {
        let time = self.get(name).map(str::parse).transpose();
        time.map_err(|_| Failure::internal())
    }
}

/// The parameters of a query, as sent.
fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned()
}

/// Whether a path is a download's, which another handler answers than the rest.
fn is_download(path: &str) -> bool {
    path.ends_with("/download")
}

/// Whether a path's handler reads the query by itself, and so nothing of it as JSON: those
/// of downloads and of streams of events.
fn takes_values_as_they_are(path: &str) -> bool {
    is_download(path) || path.ends_with("/events")
}

/// Whether the database accepts an id for a column of UUIDs.
fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(is_hex)
}

/// One page: its rows, and the cursor where there are more.
pub(crate) fn page(data: Vec<Value>, next_cursor: Option<String>) -> Reply {
    ok(&json!({
        "data": data,
        "pagination": {"has_more": next_cursor.is_some(), "next_cursor": next_cursor},
    }))
}

/// Cuts a page out of `rows`, which are all that pass the filters.
///
/// Newest first; with the quirk, the page after a cursor is the newest rows
/// whose id is greater than it.
pub(crate) fn list<T>(
    mut rows: Vec<&T>,
    query: &Query,
    cursor_by_id: bool,
    key: impl Fn(&T) -> (Timestamp, &str),
    render: impl Fn(&T) -> Value,
) -> Reply {
    let limit = query.limit()?;
    rows.sort_by_key(|row| std::cmp::Reverse(key(row).0));
    if let Some(cursor) = query.get("cursor") {
        if cursor_by_id {
            rows.retain(|row| key(row).1 > cursor);
        } else {
            let at = rows.iter().position(|row| key(row).1 == cursor);
            let at = at.ok_or_else(|| Failure::invalid("cursor", "Invalid cursor"))?;
            rows.drain(..=at);
        }
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| key(row).1.into());
    page(rows.into_iter().map(render).collect(), next)
}

/// The answer for paths that do not exist: HTML, not the API's JSON.
pub(crate) async fn nowhere() -> Response {
    html(StatusCode::NOT_FOUND, "This page could not be found.")
}

/// An error page of the framework that the service is built with.
fn html(status: StatusCode, title: &str) -> Response {
    let code = status.as_u16();
    let page = format!(
        "<!DOCTYPE html><html><head><title>{code}: {title}</title></head>\
         <body><h1>{code}</h1></body></html>"
    );
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (status, headers, page).into_response()
}

/// Checks the token and the rate limit, and puts the API's headers on the answer.
pub(crate) async fn frame(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let writes = request.method() != Method::GET && request.method() != Method::HEAD;
    let endpoint = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(String::new, |path| path.as_str().to_owned());
    let quirks = state.world().quirks.clone();
    let limit = if writes {
        quirks.write_limit
    } else {
        quirks.read_limit
    };
    let path = request.uri().path().to_owned();
    let number = state.limits().number();
    let mut response = match authorize(&state, &request) {
        Err(failure) => failure.into_response(),
        Ok(()) => {
            let (count, reset) = state.limits().count(endpoint, writes);
            let mut response = if quirks.enforce_limits && count > limit {
                let mut response = Failure::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limit_error",
                    "rate_limit_exceeded",
                    "Too many requests".into(),
                )
                .into_response();
                let wait = (reset - Timestamp::now().as_second()).max(1);
                insert(&mut response, "retry-after", &wait.to_string());
                response
            } else if let Err(failure) = Query::check(request.uri()) {
                failure.into_response()
            } else {
                next.run(request).await
            };
            let id = path.split('/').nth(3).unwrap_or_default();
            let is_looked_for = quirks.uuid_columns && !id.is_empty();
            if is_looked_for && response.status() == StatusCode::NOT_FOUND && !is_uuid(id) {
                response = Failure::internal().into_response();
            }
            let remaining = limit.saturating_sub(count).to_string();
            insert(&mut response, "x-ratelimit-limit", &limit.to_string());
            insert(&mut response, "x-ratelimit-remaining", &remaining);
            insert(&mut response, "x-ratelimit-reset", &reset.to_string());
            response
        }
    };
    if is_download(&path) {
        // Another handler than that of the other endpoints answers this.
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            response = html(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        }
        return response;
    }
    let id = uuid(&format!("request:{}:{number}", state.key()));
    insert(&mut response, "x-request-id", &id);
    insert(&mut response, "x-api-version", "v1");
    response
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}

fn authorize(state: &ServerState, request: &Request) -> Result<(), Failure> {
    let Some(given) = request.headers().get(header::AUTHORIZATION) else {
        return Err(Failure::unauthorized(
            "missing_api_key",
            "No API key provided. Use the Authorization header: Bearer YOUR_API_KEY",
        ));
    };
    let token = given.to_str().ok().and_then(|v| v.strip_prefix("Bearer "));
    let world = state.world();
    if token.is_none() || token != world.token.as_deref() {
        return Err(Failure::unauthorized(
            "invalid_api_key",
            "Invalid API key provided",
        ));
    }
    Ok(())
}
