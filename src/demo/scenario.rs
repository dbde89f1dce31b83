//! The demo world.

use super::world::World;

impl World {
    /// A plausible world to explore.
    pub fn demo() -> Self {
        Self::empty()
    }
}
