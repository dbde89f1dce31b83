//! The end of a mount, whatever hangs.

use crate::support::fake::{Action, Fault, Recorded};
use crate::{
    faults::{Deed, Scene},
    support::{SOON, is_mounted},
};
use nix::sys::signal::Signal::SIGTERM;
use std::time::{Duration, Instant};

/// Two seconds, and what a busy machine adds.
const AT_ONCE: Duration = Duration::from_secs(6);

#[test]
fn comes_at_once_while_everything_hangs() {
    for action in [Action::Stall, Action::StallBody { after: 3 }] {
        let mut scene = Scene::with(&["--timeout", "5m"]);
        scene.mount.run("ls artifacts/report");
        let deeds = Deed::ALL.into_iter().filter(|deed| *deed != Deed::List);
        for deed in deeds.clone() {
            let (method, path, _) = scene.request(deed);
            let fault = Fault::api_exact(&path, action.clone()).method(method);
            scene.bench.server.fault(fault);
        }
        scene.bench.server.fault(Fault::store(action));
        scene.bench.server.clear_requests();
        let mut hanging: Vec<_> = deeds
            .map(|deed| scene.mount.start(&scene.script(deed)))
            .collect();
        hanging.push(scene.mount.start("cat artifacts/report/latest/f"));
        // What the log and the cancelling ask for first is well.
        let asked = |requests: &[Recorded]| {
            let stuck = requests.iter().filter(|request| !request.finished);
            stuck.count() >= hanging.len()
        };
        assert!(
            scene.bench.server.wait_for(SOON, asked),
            "{:?}",
            scene.bench.server.requests()
        );
        let began = Instant::now();
        scene.mount.signal(SIGTERM);
        let status = scene.mount.wait();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
        assert!(!is_mounted(scene.mount.path()));
        for each in hanging {
            assert!(!each.output().status.success());
        }
    }
}
