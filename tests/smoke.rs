//! That the test bench itself works: a mount, a server, the recorded requests.

use crate::support::{Bench, Who, is_mounted};
use vm0fs::demo::{Agent, World};

#[test]
fn a_mount_shows_the_world_and_is_gone_afterwards() {
    for who in Who::all() {
        let mut world = World::empty();
        let then = world.ago(60);
        world.add_agent(Agent::new("writer", then));
        let bench = Bench::new(world);
        let mount = bench.mount_as(who).start();
        assert_eq!(mount.list("agents"), ["writer"], "{who:?}");
        let path = mount.path().to_owned();
        mount.unmount();
        assert!(!is_mounted(&path), "{who:?}");
    }
}
