//! The versions of an agent: `GET /v1/agents/:id/versions`.

use super::prelude::*;
use serde_json::value::RawValue;

/// The resource.
pub(crate) struct AgentVersions;

impl Resource for AgentVersions {
    type Key = Arc<str>;
    type Value = Vec<Box<RawValue>>;

    const FOLDER: Option<Node> = Some(Node::Agents);

    fn title(id: &Arc<str>) -> String {
        format!("versions of agent {id}")
    }

    fn stored_name(id: &Arc<str>) -> String {
        format!("agent versions {id}")
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self>) -> Outcome<Self> {
        ask.listed(ask.api().agent_versions(id, ask.progress)?)
    }
}
