//! Keeping the list of runs up to date with few calls.

use super::*;
use crate::fake::{self, Action, Fault, Quirks, World};
use std::collections::{BTreeSet, HashMap};

/// A server with so many ended runs, a minute apart, the first the oldest.
fn server_with(runs: usize, quirks: Quirks) -> fake::Server {
    let mut world = World::empty();
    world.quirks = quirks;
    world.pace = None;
    for n in 0..runs {
        let created = world.ago(60 * (runs - n) as i64);
        world.add_run(fake::Run::new("a", created));
    }
    fake::Server::start(world).unwrap()
}

fn both() -> [Quirks; 2] {
    [Quirks::default(), Quirks::none()]
}

/// Adds so many runs that are newer than the rest.
fn add_newer(server: &fake::Server, runs: usize, status: &str) -> Vec<String> {
    let mut world = server.world();
    let add = |_| {
        let run = fake::Run::new("a", Timestamp::now()).status(status);
        world.add_run(run)
    };
    (0..runs).map(add).collect()
}

/// A caller that keeps the runs it knows.
struct Caller {
    client: Client,
    known: HashMap<String, Run>,
}

impl Caller {
    /// Knows what the world holds now.
    fn new(server: &fake::Server) -> Self {
        let run = |run: &fake::Run| Run {
            id: run.id.clone(),
            status: serde_json::from_value(run.status.as_str().into()).unwrap(),
            ..serde_json::from_str(&run_json("x", "completed", 0)).unwrap()
        };
        let world = server.world();
        Self {
            client: demo_client(server, Duration::from_secs(20)),
            known: world.runs.iter().map(|r| (r.id.clone(), run(r))).collect(),
        }
    }

    /// Refreshes; returns the number of calls and the runs that changed.
    fn refresh(&mut self) -> (u64, BTreeSet<String>) {
        let before = self.client.calls().made;
        let known = self.known.values();
        let rows = self.client.runs_since(known, &Progress::new()).unwrap();
        let ids: BTreeSet<_> = rows.iter().map(|row| &row.value.id).collect();
        assert_eq!(ids.len(), rows.len(), "each run once");
        let mut changed = BTreeSet::new();
        for row in rows {
            let (id, status) = (row.value.id.clone(), row.value.status.clone());
            let earlier = self.known.insert(id.clone(), row.value);
            if earlier.is_none_or(|earlier| earlier.status != status) {
                changed.insert(id);
            }
        }
        (self.client.calls().made - before, changed)
    }

    fn status(&self, id: &str) -> &str {
        self.known[id].status.as_str()
    }
}

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|id| id.to_string()).collect()
}

#[test]
fn a_refresh_without_changes_costs_one_call() {
    for quirks in both() {
        let server = server_with(10_000, quirks);
        let mut caller = Caller::new(&server);
        assert_eq!(caller.refresh(), (1, BTreeSet::new()));
        assert_eq!(server.requests()[0].query, "limit=100");
    }
    // Fewer than a page, and none.
    for runs in [0, 7, 100] {
        let server = server_with(runs, Quirks::default());
        assert_eq!(Caller::new(&server).refresh(), (1, BTreeSet::new()));
    }
}

#[test]
fn changes_among_the_newest_runs_cost_one_call() {
    for quirks in both() {
        let server = server_with(300, quirks);
        let live = add_newer(&server, 3, "running");
        let mut caller = Caller::new(&server);
        let new = add_newer(&server, 2, "pending");
        server.world().set_status(&live[1], "failed");
        server.world().set_status(&live[2], "completed");
        let changed = set(&[&new[0], &new[1], &live[1], &live[2]]);
        assert_eq!(caller.refresh(), (1, changed));
        assert_eq!(caller.status(&live[0]), "running");
        assert_eq!(caller.status(&live[1]), "failed");
        assert_eq!(caller.refresh(), (1, BTreeSet::new()));
    }
}

#[test]
fn older_live_runs_are_refreshed() {
    for quirks in both() {
        let server = server_with(0, quirks);
        let old = add_newer(&server, 4, "running");
        let waiting = add_newer(&server, 2, "pending");
        add_newer(&server, 250, "completed");
        let mut caller = Caller::new(&server);
        // The newest, those running, those pending.
        assert_eq!(caller.refresh(), (3, BTreeSet::new()));
        // One begins, which the list of those running shows.
        server.world().set_status(&waiting[0], "running");
        assert_eq!(caller.refresh(), (3, set(&[&waiting[0]])));
        // Two end, which only they themselves can tell.
        server.world().set_status(&old[0], "timeout");
        server.world().set_status(&waiting[1], "cancelled");
        assert_eq!(caller.refresh(), (5, set(&[&old[0], &waiting[1]])));
        // Only running ones are left.
        assert_eq!(caller.refresh(), (2, BTreeSet::new()));
        for ended in [&old[1], &old[2], &old[3]] {
            server.world().set_status(ended, "completed");
        }
        assert_eq!(caller.refresh().0, 5);
        // A single one is asked for itself.
        assert_eq!(caller.refresh(), (2, BTreeSet::new()));
        let last = server.requests().pop().unwrap();
        assert_eq!(last.path, format!("/v1/runs/{}", waiting[0]));
        server.world().set_status(&waiting[0], "completed");
        assert_eq!(caller.refresh(), (2, set(&[&waiting[0]])));
        assert_eq!(caller.refresh(), (1, BTreeSet::new()));
    }
}

#[test]
fn more_new_runs_than_a_page_holds_are_read() {
    for (quirks, calls) in [(Quirks::none(), 3), (Quirks::default(), u64::MAX)] {
        let server = server_with(120, quirks);
        let mut caller = Caller::new(&server);
        let new = add_newer(&server, 120, "completed");
        // Started from here, hence known, and newer than the others.
        let own = add_newer(&server, 40, "running");
        for id in &own {
            let run = Run {
                id: id.clone(),
                ..serde_json::from_str(&run_json("x", "pending", 0)).unwrap()
            };
            caller.known.insert(id.clone(), run);
        }
        let last = add_newer(&server, 40, "completed");
        let (made, changed) = caller.refresh();
        if calls == u64::MAX {
            // Pages that skip rows: all that a full reading shows.
            let full = caller.client.runs(&Progress::new());
            for row in full.unwrap() {
                assert!(caller.known.contains_key(&row.value.id));
            }
            assert!(made > 6, "{made}");
        } else {
            assert_eq!(made, calls);
            assert_eq!(changed.len(), new.len() + own.len() + last.len());
        }
        for id in last.iter().chain(&own) {
            assert!(changed.contains(id));
        }
    }
}

#[test]
fn without_known_runs_the_whole_list_is_read() {
    for quirks in both() {
        let server = server_with(0, quirks);
        add_newer(&server, 130, "completed");
        add_newer(&server, 130, "failed");
        let mut caller = Caller::new(&server);
        caller.known.clear();
        let (_, brought) = caller.refresh();
        let full = caller.client.runs(&Progress::new());
        let full: BTreeSet<_> = full.unwrap().into_iter().map(|r| r.value.id).collect();
        assert_eq!(brought, full);
        assert!(full.len() > 200, "{}", full.len());
    }
}

#[test]
fn many_ends_at_once_take_several_refreshes() {
    let server = server_with(0, Quirks::default());
    let old = add_newer(&server, 25, "running");
    add_newer(&server, 100, "completed");
    let mut caller = Caller::new(&server);
    for id in &old {
        server.world().set_status(id, "completed");
    }
    let mut changed = BTreeSet::new();
    for calls in [12, 12, 7, 1] {
        let (made, more) = caller.refresh();
        assert_eq!(made, calls);
        changed.extend(more);
    }
    assert_eq!(changed, set(&old.iter().collect::<Vec<_>>()));
}

#[test]
fn more_live_runs_than_a_page_holds_are_refreshed() {
    let server = server_with(0, Quirks::none());
    let old = add_newer(&server, 130, "running");
    let waiting = add_newer(&server, 2, "pending");
    add_newer(&server, 100, "completed");
    let mut caller = Caller::new(&server);
    // It is certain of the pending ones only that they stand otherwise.
    server.world().set_status(&waiting[0], "completed");
    server.world().set_status(&waiting[1], "failed");
    let (made, changed) = caller.refresh();
    assert_eq!(changed, set(&[&waiting[0], &waiting[1]]));
    assert_eq!(made, 13);
    // The thirty that no list shows have their turn; this one some time.
    server.world().set_status(&old[0], "completed");
    let found = (0..200).find(|_| !caller.refresh().1.is_empty());
    assert!(found.is_some());
    assert_eq!(caller.status(&old[0]), "completed");
}

#[test]
fn a_failure_after_the_first_page_is_left_to_the_next_refresh() {
    let server = server_with(0, Quirks::default());
    let old = add_newer(&server, 2, "running");
    add_newer(&server, 100, "completed");
    let mut caller = Caller::new(&server);
    let new = add_newer(&server, 1, "pending");
    server.world().set_status(&old[0], "failed");
    let fault = || Fault::api("/v1/runs", Action::internal_error()).times(1);
    server.fault(fault().skip(1));
    assert_eq!(caller.refresh(), (2, set(&[&new[0]])));
    server.fault(fault().skip(2));
    assert_eq!(caller.refresh(), (3, BTreeSet::new()));
    assert_eq!(caller.refresh(), (3, set(&[&old[0]])));
    // The first page itself.
    server.fault(fault());
    let known = caller.known.values();
    let error = caller.client.runs_since(known, &Progress::new());
    assert_eq!(error.unwrap_err().status(), Some(500));
}

#[test]
fn unknown_states_and_vanished_runs_are_no_error() {
    let server = server_with(0, Quirks::default());
    let old = add_newer(&server, 2, "queued");
    add_newer(&server, 100, "completed");
    let mut caller = Caller::new(&server);
    // No list can be asked for such a word.
    assert_eq!(caller.refresh(), (3, BTreeSet::new()));
    server.world().runs.retain(|run| run.id != old[0]);
    server.world().set_status(&old[1], "completed");
    assert_eq!(caller.refresh(), (3, set(&[&old[1]])));
}
