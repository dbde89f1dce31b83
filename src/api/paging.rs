//! Lists in pages, with a service whose pages overlap, repeat and skip.
//!
//! The running service orders rows by time but continues by id, so a row can
//! come twice, some never come, and a cursor can repeat. What holds whatever
//! it does: each row once, an end, and a sign where rows may be missing.

use super::{
    body::{Body, MAX_BODY, Within, too_large},
    request::Request,
    transport::Transport,
    types::Row,
};
use crate::{
    error::{Error, Result},
    json,
    progress::Progress,
    text::one_line,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::collections::HashSet;

/// Rows a page: the most that the service gives.
pub(super) const PAGE: usize = 100;

/// Pages that one list or log may have: a fifth of an hour's allowance of
/// 5,000 reads, and far more rows than a directory is usable with.
pub(super) const MAX_PAGES: usize = 1000;

/// Bytes of rows that one list or log may hold in memory.
pub(super) const MAX_ROWS_BYTES: usize = 256 << 20;

/// One page as it travels.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    /// The rows, uninterpreted.
    #[serde(borrow)]
    pub(super) data: Vec<&'a RawValue>,
    /// Absent where a deployment does not page this list.
    #[serde(default)]
    pub(super) pagination: Option<Pagination>,
}

/// How a list goes on.
#[derive(Default, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) has_more: bool,
    #[serde(default)]
    pub(super) next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Identified {
    id: String,
}

/// A list, or the part of it that was wanted.
#[derive(Debug)]
pub(super) struct Listing<T> {
    pub(super) rows: Vec<Row<T>>,
    /// Whether the service showed that it may have skipped rows.
    pub(super) gaps: bool,
    /// Whether reading ended where it was to end, with more to come.
    pub(super) more: bool,
}

/// A page that has come.
pub(super) struct Came {
    pub(super) request: Request,
    pub(super) body: Body,
    /// The rows that were asked for.
    pub(super) size: usize,
}

/// How many rows of a list are asked for at a time: as many as the service gives,
/// unless that makes an answer too large to take.
pub(super) struct Size(usize);

impl Size {
    pub(super) fn new() -> Self {
        Self(PAGE)
    }

    /// Asks for a page, again with fewer rows as long as it is too large.
    pub(super) fn ask(
        &mut self,
        transport: &Transport,
        segments: &[&str],
        query: &[(&str, &str)],
        progress: &Progress,
    ) -> Result<Came> {
        let mut declared = None;
        loop {
            let size = self.0;
            let limit = size.to_string();
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            let request = Request::read(&transport.base, segments, &query)?;
            let larger = match transport.get_within(&request, progress)? {
                Within::Body(body) => {
                    // What is ahead may be of the usual size again.
                    if body.bytes.len() < MAX_BODY / 4 {
                        self.0 = PAGE.min(2 * size);
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
            // One as large as the last holds all there is, of which half that many rows
            // may be just as much; or it is as large for any number of rows, which a few
            // calls find out.
            let is_constant = larger.is_some() && larger == declared;
            declared = larger;
            self.0 = match is_constant {
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

/// Asks for one row of a list: whether it can be had.
pub(super) fn probe<T: DeserializeOwned>(
    transport: &Transport,
    segments: &[&str],
    progress: &Progress,
) -> Result<()> {
    let came = Size(1).ask(transport, segments, &[], progress)?;
    let mut pages = Pages::<T>::new();
    first(transport, segments, &came, &mut pages, |_| true).map(|_| ())
}

/// Takes in the first page of a list, which shows whether it is one of v1's.
fn first<T: DeserializeOwned>(
    transport: &Transport,
    segments: &[&str],
    came: &Came,
    pages: &mut Pages<T>,
    is_last: impl Fn(&[Row<T>]) -> bool,
) -> Result<Option<String>> {
    let next = pages.add(&came.request.label, &came.body.bytes, is_last);
    let (is_top, rows) = (segments.len() == 1, pages.listing.rows.len());
    transport.check_list(&came.request, &came.body, is_top, rows)?;
    next
}

/// Takes a page apart.
pub(super) fn page<'a>(label: &str, body: &'a [u8]) -> Result<Page<'a>> {
    serde_json::from_slice(body).map_err(|error| bad_answer(label, &error))
}

/// An answer that is one object.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> serde_json::Result<Row<T>> {
    let raw: Box<RawValue> = serde_json::from_slice(body)?;
    let value = json::parse(raw.get())?;
    Ok(Row { value, raw })
}

/// An answer that is not the documented JSON.
pub(super) fn bad_answer(label: &str, error: &serde_json::Error) -> Error {
    Error::BadAnswer {
        what: label.to_owned(),
        detail: format!("not the documented JSON: {}", why(error)),
    }
}

/// What is wrong with an answer, without what it holds: a service can send back
/// what it was sent, and the token is in no message.
fn why(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The decoder repeats values that it did not expect; names of fields are ours.
    if error.is_data() && !text.starts_with("missing field") {
        let (line, column) = (error.line(), error.column());
        return format!("a value of another kind at line {line} column {column}");
    }
    one_line(&text, 200)
}

/// The part of a row that vm0fs understands; `None` with a warning where it
/// understands nothing, for one bad row must not cost the list.
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

/// Every row of a list that its pages show, each once, in the order they came.
pub(super) fn list<T: DeserializeOwned>(
    transport: &Transport,
    segments: &[&str],
    query: &[(&str, &str)],
    progress: &Progress,
) -> Result<Listing<T>> {
    list_until(transport, segments, query, progress, |_| false)
}

/// The same up to the first page whose rows `is_last` says it of. It is given
/// the rows that are new with the page.
pub(super) fn list_until<T: DeserializeOwned>(
    transport: &Transport,
    segments: &[&str],
    query: &[(&str, &str)],
    progress: &Progress,
    is_last: impl Fn(&[Row<T>]) -> bool,
) -> Result<Listing<T>> {
    let mut pages = Pages::new();
    let mut size = Size::new();
    let mut cursor: Option<String> = None;
    for number in 0..MAX_PAGES {
        let mut query = query.to_vec();
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let came = size.ask(transport, segments, &query, progress)?;
        cursor = match number {
            0 => first(transport, segments, &came, &mut pages, &is_last)?,
            _ => pages.add(&came.request.label, &came.body.bytes, &is_last)?,
        };
        if cursor.is_none() {
            return Ok(pages.listing);
        }
    }
    tracing::warn!(
        list = segments.join("/"),
        pages = MAX_PAGES,
        "the list is longer than is read; what it does not show can be reached by its id"
    );
    // More calls would not mend that.
    pages.listing.gaps = false;
    Ok(pages.listing)
}

/// A list while its pages come.
pub(super) struct Pages<T> {
    pub(super) listing: Listing<T>,
    ids: HashSet<String>,
    cursors: HashSet<String>,
    /// Bytes of the rows so far.
    bytes: usize,
    /// The greatest id of the last page, where the next went on from it.
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

    /// Takes in a page; gives the cursor of the next one, where there is to be one.
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
            // By chance, the last id of a page can be its greatest; but then the
            // next page has smaller ones as well.
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
        // Going on from the greatest id of a page, even the service that
        // skips rows shows none twice.
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
    Error::BadAnswer {
        what: label.to_owned(),
        detail: format!(
            "more than {} MiB of rows, which is more than is kept in memory",
            MAX_ROWS_BYTES >> 20
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Run;

    #[test]
    fn a_bad_answer_does_not_say_what_it_holds() {
        for body in [
            r#"{"id":"r","status":"running","created_at":"a secret"}"#,
            r#"{"id":"r","status":"running","created_at":"2026-01-02T03:04:05Z","prompt":{"a secret":1}}"#,
            r#""a secret""#,
            r#"{"id":"a secret"}"#,
            r#"{"id":"r"} a secret"#,
        ] {
            let error = object::<Run>(body.as_bytes()).map_err(|error| bad_answer("GET", &error));
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
