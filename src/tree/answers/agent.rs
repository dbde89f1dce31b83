//! One agent with its configuration: `GET /v1/agents/:id`.

use super::{
    encoding,
    resource::{Ask, Fetched, Resource},
};
use crate::{
    api::types::{self, Row},
    error::Result,
    tree::node::Node,
};
use std::{sync::Arc, time::Instant};

/// The resource.
pub(crate) struct Agent;

impl Resource for Agent {
    type Key = Arc<str>;
    type Value = Row<types::Agent>;

    fn title(id: &Arc<str>) -> String {
        format!("agent {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("agent {id}")
    }

    fn folder(_: &Arc<str>) -> Option<Node> {
        Some(Node::Agents)
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let row = ask.service.api().agent(id, ask.progress)?;
        Ok(Fetched::new(row, ask.service.list_ttl()))
    }

    fn weight(row: &Self::Value) -> usize {
        encoding::weight(row)
    }

    fn encode(row: &Self::Value) -> Option<Vec<u8>> {
        Some(row.raw.get().into())
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self::Value> {
        encoding::row(content)
    }
}
