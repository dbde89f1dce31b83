//! Lists in pages, of a service whose pages overlap, repeat and skip rows.
//!
//! The service orders rows by time but continues by id, so a row can come twice or
//! never, and a cursor can repeat. Here each row comes once, every list ends, and
//! [`Listing::gaps`] tells if rows may be missing.

use super::{
    body::{Body, MAX_BODY, Within, too_large},
    call::Call,
    request::Request,
    transport::Transport,
    types::Row,
};
use crate::{
    error::{Error, Result},
    http::bad_answer,
    json,
    progress::Progress,
    text::one_line,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Rows of a page: the service's maximum.
pub(super) const PAGE: usize = 100;

/// Maximum pages of one list: a fifth of the 5,000 reads that an account has an
/// hour, and far more rows than a directory is usable with.
pub(super) const MAX_PAGES: usize = 1000;

/// Maximum bytes of rows that one list or log may hold in memory.
pub(super) const MAX_ROWS_BYTES: usize = 256 << 20;

/// One page as the service sends it.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    /// The rows as sent.
    #[serde(borrow)]
    pub(super) data: Vec<&'a RawValue>,
    /// Absent where a deployment does not page this list.
    pub(super) pagination: Option<Pagination>,
}

/// How a list goes on.
#[derive(Default, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) has_more: bool,
    pub(super) next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

/// A list, or its first pages.
#[derive(Debug)]
pub(super) struct Listing<T> {
    pub(super) rows: Vec<Row<T>>,
    /// Whether the service may have skipped rows.
    pub(super) gaps: bool,
    /// Whether the caller ended the reading before the list's end.
    pub(super) more: bool,
}

/// A page that has arrived.
pub(super) struct Came {
    pub(super) request: Request,
    pub(super) body: Body,
    /// The number of rows that the request asked for.
    pub(super) size: usize,
}

/// Where the pages of a list or log come from.
pub(super) struct Source<'a> {
    transport: &'a Transport,
    segments: &'a [&'a str],
    progress: &'a Progress,
    /// Rows of the next page: the service's maximum, or less while such a page would be
    /// larger than [`MAX_BODY`].
    size: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        transport: &'a Transport,
        segments: &'a [&'a str],
        progress: &'a Progress,
    ) -> Self {
        Self {
            transport,
            segments,
            progress,
            size: PAGE,
        }
    }

    fn call<'b>(&'b self, request: &'b Request) -> Call<'b> {
        Call {
            transport: self.transport,
            request,
            progress: self.progress,
        }
    }

    /// Asks for a page, with fewer rows each time that it is too large.
    pub(super) fn ask(&mut self, query: &[(&str, &str)]) -> Result<Came> {
        let mut declared = None;
        loop {
            let size = self.size;
            let limit = size.to_string();
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            let request = Request::read(&self.transport.config.base, self.segments, &query)?;
            let larger = match self.call(&request).get_within()? {
                Within::Body(body) => {
                    // The rows that follow may be small again.
                    if body.bytes.len() < MAX_BODY / 4 {
                        self.size = PAGE.min(2 * size);
                    }
                    return Ok(Came {
                        request,
                        body,
                        size,
                    });
                }
                Within::Larger(bytes) => bytes,
            };
            if size == 1 {
                return Err(too_large(&request.label));
            }
            // A page as large as the one before holds the whole list, or is as large
            // for any number of rows. Larger steps find that out with few calls.
            let is_constant = larger.is_some() && larger == declared;
            declared = larger;
            self.size = match is_constant {
                true => (size / 8).max(1),
                false => size / 2,
            };
            tracing::debug!(
                request = request.label,
                rows = size,
                "the page is too large, and asked for in smaller ones"
            );
        }
    }
}

/// Asks for one row of a list, to see whether the service answers.
pub(super) fn probe<T: DeserializeOwned>(mut source: Source<'_>) -> Result<()> {
    source.size = 1;
    let came = source.ask(&[])?;
    first(&source, &came, &mut Pages::<T>::new(), |_| true).map(|_| ())
}

/// Adds the first page of a list, which shows whether the server speaks v1.
fn first<T: DeserializeOwned>(
    source: &Source<'_>,
    came: &Came,
    pages: &mut Pages<T>,
    is_last: impl Fn(&[Row<T>]) -> bool,
) -> Result<Option<String>> {
    let next = pages.add(&came.request.label, &came.body.bytes, is_last);
    let (is_top, rows) = (source.segments.len() == 1, pages.listing.rows.len());
    let call = source.call(&came.request);
    call.check_list(&came.body, is_top, rows)?;
    next
}

/// Decodes a page.
pub(super) fn page<'a>(label: &str, body: &'a [u8]) -> Result<Page<'a>> {
    serde_json::from_slice(body).map_err(|error| not_documented(label, &error))
}

/// Decodes an answer that is one object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<Row<T>> {
    let raw: Box<RawValue> = serde_json::from_slice(body)?;
    let value = json::parse(raw.get())?;
    Ok(Row { value, raw })
}

/// The error for an answer that is not the documented JSON.
pub(super) fn not_documented(label: &str, error: &serde_json::Error) -> Error {
    bad_answer(label, format!("not the documented JSON: {}", why(error)))
}

/// What is wrong with an answer, without its content: a server can send back the
/// token, which no message may show.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The decoder's message repeats an unexpected value; field names are vm0fs's own.
    if error.is_data() && !text.starts_with("missing field") {
        let (line, column) = (error.line(), error.column());
        return format!("a value of another kind at line {line} column {column}");
    }
    one_line(&text, 200)
}

/// The part of a row that vm0fs understands. A bad row gives `None` and a warning,
/// since it must not cost the list.
pub(super) fn understand<T: DeserializeOwned>(label: &str, raw: &RawValue) -> Option<T> {
    match json::parse(raw.get()) {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(
                request = label,
                error = why(&error),
                "a row is left out: not as documented"
            );
            None
        }
    }
}

/// The rows of a list, each once, in the service's order, up to the first page for
/// which `is_last` is true. It gets the rows that are new with that page.
pub(super) fn list<T: DeserializeOwned>(
    mut source: Source<'_>,
    query: &[(&str, &str)],
    is_last: impl Fn(&[Row<T>]) -> bool,
) -> Result<Listing<T>> {
    let mut pages = Pages::new();
    let mut cursor: Option<String> = None;
    for number in 0..MAX_PAGES {
        let mut query = query.to_vec();
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let came = source.ask(&query)?;
        cursor = match number {
            0 => first(&source, &came, &mut pages, &is_last)?,
            _ => pages.add(&came.request.label, &came.body.bytes, &is_last)?,
        };
        if cursor.is_none() {
            return Ok(pages.listing);
        }
    }
    tracing::warn!(
        list = source.segments.join("/"),
        pages = MAX_PAGES,
        "the list is longer than is read; what it does not show can be reached by its id"
    );
    // Reading it again would not find more rows.
    pages.listing.gaps = false;
    Ok(pages.listing)
}

/// A list whose pages are being read.
pub(super) struct Pages<T> {
    pub(super) listing: Listing<T>,
    ids: HashSet<String>,
    cursors: HashSet<String>,
    /// Bytes of the rows so far.
    bytes: usize,
    /// The greatest id of the previous page, if the next page continues from it.
    passed: Option<String>,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new() -> Self {
        Self {
            listing: Listing {
                rows: Vec::new(),
                gaps: false,
                more: false,
            },
            ids: HashSet::new(),
            cursors: HashSet::new(),
            bytes: 0,
            passed: None,
        }
    }

    /// Adds a page, and returns the cursor of the next one, if it is to be read.
    pub(super) fn add(
        &mut self,
        label: &str,
        body: &[u8],
        is_last: impl Fn(&[Row<T>]) -> bool,
    ) -> Result<Option<String>> {
        let page = page(label, body)?;
        let (mut new, mut last, mut here) = (0, None, Vec::new());
        let earlier = self.listing.rows.len();
        for raw in &page.data {
            let Some(Identified { id }) = understand(label, raw) else {
                continue;
            };
            here.push(id.clone());
            last = Some(id.clone());
            if !self.ids.insert(id) {
                self.listing.gaps = true;
                continue;
            }
            new += 1;
            self.bytes += raw.get().len();
            if self.bytes > MAX_ROWS_BYTES {
                return Err(too_much(label));
            }
            if let Some(value) = understand(label, raw) {
                self.listing.rows.push(Row {
                    value,
                    raw: (*raw).to_owned(),
                });
            }
        }
        if let Some(greatest) = self.passed.take() {
            // By chance, the last id of a page can be its greatest; then the next
            // page has smaller ids too.
            self.listing.gaps |= here.iter().all(|id| *id > greatest);
        }
        let pagination = page.pagination.unwrap_or_default();
        if !pagination.has_more {
            return Ok(None);
        }
        if is_last(&self.listing.rows[earlier..]) {
            self.listing.more = true;
            return Ok(None);
        }
        let next = pagination.next_cursor.filter(|next| !next.is_empty());
        // A service that continues by id from the greatest of a page skips rows
        // without showing one twice.
        self.passed = here
            .into_iter()
            .max()
            .filter(|greatest| next.as_ref() == last.as_ref() && last.as_ref() == Some(greatest));
        let next = next.filter(|next| new > 0 && self.cursors.insert(next.clone()));
        self.listing.gaps |= next.is_none();
        Ok(next)
    }
}

/// The error for rows beyond [`MAX_ROWS_BYTES`].
pub(super) fn too_much(label: &str) -> Error {
    let most = MAX_ROWS_BYTES >> 20;
    bad_answer(
        label,
        format!("more than {most} MiB of rows, which is more than is kept in memory"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Run;

    #[test]
    fn a_bad_answer_does_not_say_what_it_holds() {
        for body in [
            r#"{"id":"r","status":"running","created_at":"a secret"}"#,
            r#"{"id":{"a secret":1},"status":"running","created_at":"2026-01-02T03:04:05Z"}"#,
            r#""a secret""#,
            r#"{"id":"a secret"}"#,
            r#"{"id":"r"} a secret"#,
        ] {
            let error =
                object::<Run>(body.as_bytes()).map_err(|error| not_documented("GET", &error));
            let text = error.map_or_else(|error| error.to_string(), |_| String::new());
            assert!(
                text.contains("line 1") && !text.contains("secret"),
                "{text:?}"
            );
        }
        let error = object::<Run>(br#"{"status":"running"}"#).map_err(|error| why(&error));
        assert!(error.is_err_and(|why| why.starts_with("missing field `id`")));
    }
}
