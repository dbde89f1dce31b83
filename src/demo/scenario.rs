//! The demo world: a small company's agents, what they read, what they wrote,
//! and how their runs went. All of it follows from the time of the start.

mod agents;
mod data;
mod make;
mod runs;
mod storages;

use super::world::{Pace, World};
use data::Scenario;
use std::time::Duration;

impl World {
    /// A plausible world to explore: agents, 30 and more runs in all states,
    /// volumes and artifacts of all shapes, and a run that goes on logging.
    pub fn demo() -> Self {
        let mut world = Self::empty();
        world.pace = Some(Pace::WATCHABLE);
        world.look = Duration::from_secs(1);
        let scenario = Scenario::get();
        agents::add(&mut world, scenario);
        storages::add(&mut world, scenario);
        runs::add(&mut world, scenario);
        world
    }
}

#[cfg(test)]
mod tests;
