//! One agent with its configuration: `GET /v1/agents/:id`.

use super::prelude::*;

/// The resource.
pub(crate) struct Agent;

impl Resource for Agent {
    type Key = Arc<str>;
    type Value = Row<types::Agent>;

    const FOLDER: Option<Node> = Some(Node::Agents);

    fn title(id: &Arc<str>) -> String {
        format!("agent {id}")
    }

    fn fetch(id: &Arc<str>, ask: &Ask<'_, Self>) -> Outcome<Self> {
        ask.listed(ask.api().agent(id, ask.progress)?)
    }
}
