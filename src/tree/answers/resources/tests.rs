//! What resources are called, for users and on disk.

use super::*;
use crate::api::types::StorageKind::Artifact;
use std::sync::Arc;

/// The title of an answer and its name on disk.
fn names<R: Registered>(key: R::Key) -> (String, String) {
    let stored = R::stored_name(&key);
    assert_eq!(R::key(key.clone()).to_string(), R::title(&key));
    (R::title(&key), stored)
}

#[test]
fn answers_of_earlier_versions_are_found_by_their_names_on_disk() {
    let id: Arc<str> = "x".into();
    let storage = (Artifact, id.clone());
    let all = [
        (names::<Agents>(()), ("list of agents", "agents")),
        (names::<Agent>(id.clone()), ("agent x", "agent x")),
        (
            names::<AgentVersions>(id.clone()),
            ("versions of agent x", "agent versions x"),
        ),
        (names::<Runs>(()), ("list of runs", "runs")),
        (names::<Run>(id.clone()), ("run x", "run x")),
        (names::<RunLogs>(id.clone()), ("logs of run x", "logs x")),
        (names::<RunMetrics>(id), ("metrics of run x", "metrics x")),
        (
            names::<Storages>(Artifact),
            ("list of artifacts", "artifacts"),
        ),
        (
            names::<Storage>(storage.clone()),
            ("artifacts/x", "artifacts x"),
        ),
        (
            names::<Versions>(storage),
            ("versions of artifacts/x", "versions artifacts x"),
        ),
    ];
    for ((title, stored), expected) in all {
        assert_eq!((title.as_str(), stored.as_str()), expected);
    }
}
