//! The demo world: a small company's agents, what they read, what they wrote,
//! and how their runs went. Everything follows from the time of the start.

mod agents;
mod artifacts;
mod make;
mod plans;
mod runs;
mod volumes;

use super::world::{Pace, World};
use std::time::Duration;

/// Seconds in an hour and in a day.
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

impl World {
    /// A plausible world to explore: agents, 30 and more runs in all states,
    /// volumes and artifacts of all shapes, and a run that goes on logging.
    pub fn demo() -> Self {
        let mut world = Self::empty();
        world.pace = Some(Pace::WATCHABLE);
        world.look = Duration::from_secs(1);
        agents::add(&mut world);
        volumes::add(&mut world);
        artifacts::add(&mut world);
        runs::add(&mut world);
        world
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::demo::{Kind, Server, is_terminal};
    use std::{collections::BTreeSet, thread, time::Instant};

    #[test]
    fn the_demo_world_has_what_it_promises() {
        let world = World::demo();
        assert!(world.agents.len() >= 5 && world.runs.len() >= 30);
        assert!(world.agents.iter().any(|agent| agent.versions.len() > 3));
        let statuses: BTreeSet<&str> = world.runs.iter().map(|run| &*run.status).collect();
        assert_eq!(statuses.len(), 6);
        assert!(world.runs.iter().any(|run| run.logs.len() > 1_000));
        assert!(world.runs.iter().any(|run| run.metrics.len() > 300));
        assert!(world.runs.iter().any(|run| run.metrics.is_empty()));
        let sizes = || world.storages.iter().flat_map(|s| &s.versions);
        assert!(sizes().any(|version| version.size > 100 << 20));
        assert!(sizes().any(|version| version.file_count > 300));
        assert!(sizes().any(|version| version.file_count == 0));
        assert!(world.storages.iter().any(|s| s.versions.is_empty()));
        let ids: BTreeSet<&str> = world.runs.iter().map(|run| &*run.id).collect();
        assert_eq!(ids.len(), world.runs.len());
    }

    #[test]
    fn the_demo_world_hangs_together() {
        let world = World::demo();
        for run in &world.runs {
            assert!(world.agent(&run.agent_name).is_some(), "{}", run.agent_name);
            assert_eq!(run.completed_at.is_some(), is_terminal(&run.status));
            if let (Some(name), Some(version)) = (&run.artifact_name, &run.artifact_version) {
                let version = world.version(Kind::Artifact, name, version).unwrap();
                assert!(version.created_at > run.started_at.unwrap(), "{name}");
                assert!(version.created_at < run.completed_at.unwrap(), "{name}");
            }
            for (name, version) in &run.volumes {
                let known = world.version(Kind::Volume, name, version).is_some();
                assert!(known || version == "latest", "{name} {version}");
            }
            assert!(run.logs.is_sorted_by_key(|row| row.at), "{}", run.prompt);
            assert!(run.created_at <= world.born);
            assert!(
                run.logs.iter().all(|row| row.at <= world.born),
                "{}",
                run.prompt
            );
        }
        for storage in &world.storages {
            assert!(
                storage
                    .versions
                    .is_sorted_by_key(|version| version.created_at)
            );
            let ids: BTreeSet<&str> = storage.versions.iter().map(|v| &*v.id).collect();
            assert_eq!(ids.len(), storage.versions.len(), "{}", storage.name);
        }
    }

    #[test]
    fn the_demo_starts_at_once_and_its_live_run_goes_on() {
        let start = Instant::now();
        let server = Server::start(World::demo()).unwrap();
        // Under a second with room for a loaded machine: no 100 MB is hashed.
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        let id = server.world().live[0].clone();
        let rows = || server.world().run(&id).unwrap().logs.len();
        let before = rows();
        while rows() < before + 2 {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(server.world().run(&id).unwrap().status, "running");
    }
}
