//! The versions of an agent: `GET /v1/agents/:id/versions`.

use super::{
    encoding,
    resource::{Ask, Fetched, Resource},
};
use crate::{error::Result, tree::node::Node};
use serde_json::value::RawValue;
use std::{sync::Arc, time::Instant};

/// The resource.
pub(crate) struct AgentVersions;

impl Resource for AgentVersions {
    type Key = Arc<str>;
    type Value = Vec<Box<RawValue>>;

    fn title(id: &Arc<str>) -> String {
        format!("versions of agent {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("agent versions {id}")
    }

    fn folder(_: &Arc<str>) -> Option<Node> {
        Some(Node::Agents)
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self::Value>) -> Result<Fetched<Self::Value>> {
        let rows = ask.service.api().agent_versions(id, ask.progress)?;
        Ok(Fetched::new(rows, ask.service.list_ttl()))
    }

    fn weight(rows: &Self::Value) -> usize {
        rows.iter().map(|row| row.get().len()).sum()
    }

    fn encode(rows: &Self::Value) -> Option<Vec<u8>> {
        encoding::array(rows.iter().map(|row| &**row))
    }

    fn decode(content: &[u8], _: Instant) -> Option<Self::Value> {
        encoding::elements(content)
    }
}
