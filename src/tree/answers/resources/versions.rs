//! The versions of a volume or artifact: `GET /v1/volumes/:id/versions`,
//! `GET /v1/artifacts/:id/versions`.

use super::prelude::*;
use crate::{text::is_digest, tree::node::names::escape};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// Rows of a full page of a list: the most that the API gives at a time.
const FULL_PAGE: usize = 100;

/// The versions of a storage, in the API's order.
#[derive(Debug)]
pub(crate) struct Versions {
    /// Each with the path component of its id.
    pub(crate) rows: Vec<(String, Row<types::StorageVersion>)>,
    by_id: HashMap<String, usize>,
    by_component: HashMap<String, usize>,
}

impl Versions {
    pub(crate) fn new(rows: Vec<Row<types::StorageVersion>>) -> Self {
        let rows = rows.into_iter().map(|row| (escape(&row.value.id), row));
        Self::named(rows.collect())
    }

    /// The same with the rows of an earlier answer that this one does not show,
    /// after the others: paging can skip rows, and versions do not vanish.
    fn with_earlier(&self, earlier: &Self) -> Self {
        let is_skipped = |(name, _): &&(String, _)| !self.by_component.contains_key(name);
        let skipped = earlier.rows.iter().filter(is_skipped);
        Self::named(self.rows.iter().chain(skipped).cloned().collect())
    }

    fn named(rows: Vec<(String, Row<types::StorageVersion>)>) -> Self {
        let numbered = || rows.iter().zip(0..);
        Self {
            by_id: numbered()
                .map(|((_, row), n)| (row.value.id.clone(), n))
                .collect(),
            by_component: numbered().map(|((name, _), n)| (name.clone(), n)).collect(),
            rows,
        }
    }

    /// Whether there may be a version of this id all the same: where the
    /// answer took more than a page, its pages can have skipped rows. Only a
    /// whole id is worth asking for.
    pub(crate) fn may_lack(&self, id: &str) -> bool {
        self.rows.len() >= FULL_PAGE && is_digest(id) && self.get(id).is_none()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&types::StorageVersion> {
        self.by_id.get(id).map(|&n| &self.rows[n].1.value)
    }

    /// The id of the version under a path component.
    pub(crate) fn component(&self, component: &str) -> Option<&str> {
        let &n = self.by_component.get(component)?;
        Some(&self.rows[n].1.value.id)
    }

    /// The component of the one version whose id begins so.
    pub(crate) fn by_prefix(&self, prefix: &str) -> Option<&str> {
        let is_match =
            |(_, row): &&(_, Row<types::StorageVersion>)| row.value.id.starts_with(prefix);
        let mut matching = self.rows.iter().filter(is_match);
        let (component, _) = matching.next()?;
        matching.next().is_none().then_some(component)
    }

    /// The rows as they were sent.
    pub(crate) fn raw(&self) -> impl Iterator<Item = &RawValue> {
        self.rows.iter().map(|(_, row)| &*row.raw)
    }
}

impl Resource for Versions {
    type Key = StorageId;
    type Value = Self;

    fn title((kind, id): &StorageId) -> String {
        format!("versions of {}/{id}", kind.plural())
    }

    fn stored_name((kind, id): &StorageId) -> String {
        format!("versions {} {id}", kind.plural())
    }

    fn folder((kind, _): &StorageId) -> Option<Node> {
        Some(Node::Storages(*kind))
    }

    fn fetch((kind, id): &StorageId, ask: &Ask<'_, Self>) -> Outcome<Self> {
        let rows = ask.api().storage_versions(*kind, id, ask.progress)?;
        ask.listed(Self::new(rows))
    }

    fn merge(new: Self, earlier: &Self) -> Self {
        let is_shown = |(name, _): &(String, _)| new.by_component.contains_key(name);
        match earlier.rows.iter().all(is_shown) {
            true => new,
            false => new.with_earlier(earlier),
        }
    }
}

impl Value for Versions {
    fn weight(&self) -> usize {
        self.raw().map(|raw| 2 * raw.get().len() + 256).sum()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        array(self.raw())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self> {
        Some(Self::new(rows(content)?))
    }
}
