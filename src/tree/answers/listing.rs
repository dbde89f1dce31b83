//! A listing of named objects: each row under the one name it has in the mount.

use crate::{
    api::types::{Agent, Row, Run, Storage},
    tree::node::names::{NAME_MAX, escape, is_uuid, looks_like_id},
};
use jiff::Timestamp;
use serde_json::value::RawValue;
use std::{collections::HashMap, sync::Arc, time::Instant};

/// What a listing needs to know of a row.
pub(crate) trait Named {
    /// The object's id.
    fn id(&self) -> &str;
    /// The name a user gave it.
    fn name(&self) -> &str;
    /// When it was made: of several objects with one name the oldest keeps the name.
    fn created_at(&self) -> Timestamp;
}

macro_rules! named {
    ($($row:ident by $name:ident,)*) => {
        $(impl Named for $row {
            fn id(&self) -> &str {
                &self.id
            }
            fn name(&self) -> &str {
                &self.$name
            }
            fn created_at(&self) -> Timestamp {
                self.created_at
            }
        })*
    };
}

named! {
    Agent by name,
    Storage by name,
    Run by id,
}

/// One object of a listing.
#[derive(Debug)]
pub(crate) struct Item<T> {
    /// Its id, shared with the inode table.
    pub(crate) id: Arc<str>,
    /// Its path component.
    pub(crate) component: String,
    /// What the API said of it.
    pub(crate) row: Arc<Row<T>>,
    /// When the fetch that brought the row began.
    pub(crate) asked: Instant,
}

/// The objects of a list endpoint, by name and by id.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    items: Vec<Item<T>>,
    by_component: HashMap<String, usize>,
    by_id: HashMap<Arc<str>, usize>,
}

impl<T> Listing<T> {
    /// Whether an id that the listing does not show may be one of the service's,
    /// so that asking for it makes sense: a UUID, or of another form where the
    /// listing has such ids. The running service has UUIDs only, and answers others
    /// with a failure.
    pub(crate) fn may_have(&self, id: &str) -> bool {
        let has_others = || self.items.iter().any(|item| !is_uuid(&item.id));
        looks_like_id(id) && (is_uuid(id) || has_others())
    }
}

impl<T: Named> Listing<T> {
    /// Names the rows: each gets its name as a path component; of several with
    /// one name the oldest keeps it and the others become `name~<id8>`. Of several
    /// rows with one id the one that was asked for last counts.
    pub(crate) fn new(rows: Vec<Row<T>>, asked: Instant) -> Self {
        Self::named(rows.into_iter().map(|row| (Arc::new(row), asked)).collect())
    }

    /// The same with the rows of an earlier listing that this one does not
    /// show: paging can skip rows of objects that still exist.
    pub(crate) fn with_earlier(&self, earlier: &Self) -> Self {
        let all = self.items.iter().chain(&earlier.items);
        Self::named(all.map(|item| (item.row.clone(), item.asked)).collect())
    }

    fn named(mut rows: Vec<(Arc<Row<T>>, Instant)>) -> Self {
        rows.sort_by(|(a, asked_a), (b, asked_b)| {
            let (a, b) = (&a.value, &b.value);
            (a.created_at(), a.id())
                .cmp(&(b.created_at(), b.id()))
                .then(asked_b.cmp(asked_a))
        });
        let mut listing = Self {
            items: Vec::with_capacity(rows.len()),
            by_component: HashMap::with_capacity(rows.len()),
            by_id: HashMap::with_capacity(rows.len()),
        };
        for (row, asked) in rows {
            let id: Arc<str> = row.value.id().into();
            if listing.by_id.contains_key(&id) {
                continue;
            }
            let component = listing.free_component(row.value.name(), &id);
            let position = listing.items.len();
            listing.by_component.insert(component.clone(), position);
            listing.by_id.insert(id.clone(), position);
            listing.items.push(Item {
                id,
                component,
                row,
                asked,
            });
        }
        listing
    }

    fn free_component(&self, name: &str, id: &str) -> String {
        let plain = escape(name);
        if !self.by_component.contains_key(&plain) {
            return plain;
        }
        let tagged = |tag: &str| {
            let mut stem = plain.clone();
            while stem.len() + 1 + tag.len() > NAME_MAX && stem.pop().is_some() {}
            format!("{stem}~{tag}")
        };
        let id = escape(id);
        // Eight characters usually tell ids apart; where they do not, take more.
        let lengths = (8..=id.len().max(4) + 4).step_by(4);
        let mut named = lengths.map(|length| tagged(&id.chars().take(length).collect::<String>()));
        // Ids are distinct, but a name may look like one with a tag.
        named
            .find(|name| !self.by_component.contains_key(name))
            .unwrap_or_else(|| tagged(&self.items.len().to_string()))
    }

    /// Oldest first.
    pub(crate) fn items(&self) -> &[Item<T>] {
        &self.items
    }

    /// The rows as they were sent.
    pub(crate) fn raw(&self) -> impl Iterator<Item = &RawValue> {
        self.items.iter().map(|item| &*item.row.raw)
    }

    /// The object under a path component.
    pub(crate) fn component(&self, component: &str) -> Option<&Item<T>> {
        self.items.get(*self.by_component.get(component)?)
    }

    /// The object of an id.
    pub(crate) fn id(&self, id: &str) -> Option<&Item<T>> {
        self.items.get(*self.by_id.get(id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str, name: &str, second: i64) -> Row<Agent> {
        let value = Agent {
            id: id.into(),
            name: name.into(),
            current_version_id: None,
            created_at: Timestamp::from_second(second).unwrap(),
            updated_at: None,
            config: None,
        };
        Row {
            value,
            raw: RawValue::from_string("{}".into()).unwrap(),
        }
    }

    #[test]
    fn objects_of_one_name_are_all_listed() {
        let listing = Listing::new(
            vec![
                agent("bbbbbbbb-2222", "same", 20),
                agent("aaaaaaaa-1111", "same", 10),
                agent("bbbbbbbb-3333", "same", 30),
                agent("cccccccc-4444", "same~bbbbbbbb", 5),
                agent("dddddddd-5555", "a/b", 5),
            ],
            Instant::now(),
        );
        let names: Vec<(&str, &str)> = listing
            .items()
            .iter()
            .map(|item| (item.component.as_str(), &*item.id))
            .collect();
        assert_eq!(
            names,
            [
                ("same~bbbbbbbb", "cccccccc-4444"),
                ("a%2Fb", "dddddddd-5555"),
                ("same", "aaaaaaaa-1111"),
                ("same~bbbbbbbb-222", "bbbbbbbb-2222"),
                ("same~bbbbbbbb-333", "bbbbbbbb-3333"),
            ]
        );
        for (name, id) in names {
            assert_eq!(listing.component(name).map(|item| &*item.id), Some(id));
            assert_eq!(
                listing.id(id).map(|item| item.component.as_str()),
                Some(name)
            );
        }
    }

    #[test]
    fn two_objects_of_one_long_name_fit() {
        let name = "x".repeat(300);
        let listing = Listing::new(
            vec![agent("id-1-aaaa", &name, 1), agent("id-2-bbbb", &name, 2)],
            Instant::now(),
        );
        assert_eq!(listing.items().len(), 2);
        assert!(
            listing
                .items()
                .iter()
                .all(|item| item.component.len() <= NAME_MAX)
        );
        assert_ne!(listing.items()[0].component, listing.items()[1].component);
    }

    #[test]
    fn rows_with_one_id_are_one_object() {
        let now = Instant::now();
        let listing = Listing::new(vec![agent("a", "n", 1), agent("a", "n", 1)], now);
        assert_eq!(listing.items().len(), 1);
        let later = now + std::time::Duration::from_secs(1);
        let earlier = Listing::new(vec![agent("a", "n", 1), agent("c", "o", 3)], now);
        let listing = Listing::new(vec![agent("a", "n", 1), agent("b", "m", 2)], later);
        let listing = listing.with_earlier(&earlier);
        let asked: Vec<_> = listing
            .items()
            .iter()
            .map(|item| (&*item.id, item.asked))
            .collect();
        assert_eq!(asked, [("a", later), ("b", later), ("c", now)]);
    }
}
