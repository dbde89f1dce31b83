//! What is wrong with the wire, and which errors a deed may meet for it.

use super::SOON;
use crate::support::fake::{Action, Fault, Server};
use crate::support::seeds::Random;
use libc::{EACCES, EAGAIN, EBUSY, EIO, EPROTONOSUPPORT, ESTALE, ETIMEDOUT};
use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

/// The state of the wire.
#[derive(Default)]
pub(super) struct Wire {
    /// Which faults are on.
    on: Vec<String>,
    /// The numbers that the table of errors has for them.
    errors: BTreeSet<i32>,
    /// Those of faults that are over, and since when.
    earlier: BTreeSet<i32>,
    over: Option<Instant>,
    /// Versions of which a bad archive came: they are an error for a minute.
    bad: HashSet<String>,
    /// Whether there is a large version: what fetches it in a while is faster.
    is_large: bool,
}

/// What is to be made of an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one that is promised.
    Promised,
    /// It may stand for a while yet, and must be gone then.
    Passing,
    /// There is no reason for it.
    Wrong,
}

impl Wire {
    pub(super) fn new(is_large: bool) -> Self {
        Self {
            is_large,
            ..Self::default()
        }
    }

    pub(super) fn is_faulty(&self) -> bool {
        !self.on.is_empty()
    }

    /// Whether faults have been over for so long that none can be felt.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_faulty() && self.over.is_none_or(|over| over.elapsed() > SOON)
    }

    pub(super) fn verdict(&self, error: i32, version: Option<&str>) -> Verdict {
        // What a bad archive held, the next worker does not know.
        if [EIO, ESTALE].contains(&error)
            && version.is_some_and(|version| self.bad.contains(version))
        {
            return Verdict::Promised;
        }
        let is_earlier = self.earlier.contains(&error) && !self.is_clean();
        match (self.is_faulty(), self.errors.contains(&error), is_earlier) {
            (true, true, _) | (true, _, true) => Verdict::Promised,
            (false, _, true) => Verdict::Passing,
            _ => Verdict::Wrong,
        }
    }

    /// The errors that may be met now, or could have been a moment ago.
    pub(super) fn errors(&self) -> BTreeSet<i32> {
        let earlier = self.earlier.iter().filter(|_| !self.is_clean());
        earlier.chain(&self.errors).copied().collect()
    }

    pub(super) fn clear(&mut self, server: &Server) {
        server.clear_faults();
        if self.is_faulty() {
            self.over = Some(Instant::now());
            self.on.clear();
            self.earlier.append(&mut self.errors);
        }
    }

    /// Mounts that begin anew have not met any bad archive.
    pub(super) fn forget_bad(&mut self) {
        if !self.is_faulty() {
            self.bad.clear();
        }
    }

    /// Another fault; `version` is one with its archive.
    pub(super) fn worsen(
        &mut self,
        server: &Server,
        random: &mut Random,
        version: (String, Vec<u8>),
    ) {
        let (name, fault, errors) = match random.below(3) {
            0 => self.bad_object(random, version),
            1 => store(random, self.is_large),
            _ => api(random),
        };
        server.fault(fault);
        self.on.push(name);
        self.errors.extend(errors);
    }

    fn bad_object(
        &mut self,
        random: &mut Random,
        (id, archive): (String, Vec<u8>),
    ) -> (String, Fault, Vec<i32>) {
        self.bad.insert(id.clone());
        let name = format!("a bad archive of {id}");
        let bytes = match random.below(4) {
            0 => b"<html></html>".to_vec(),
            1 => Vec::new(),
            // What of it comes is right; it ends too early.
            _ => archive[..random.below(archive.len() as u64) as usize].to_vec(),
        };
        let fault = Fault::object(&id, Action::WrongBody(bytes.into()));
        // Nothing of other versions is to fail.
        (name, fault, Vec::new())
    }
}

fn status(status: u16) -> Action {
    Action::Status {
        status,
        body: "<html></html>".into(),
        content_type: "text/html".into(),
        headers: Vec::new(),
    }
}

/// Some faults meet a few requests only; those that cost a wait each, always.
fn for_a_while(random: &mut Random, fault: Fault, errors: &[i32]) -> Fault {
    if errors == [ETIMEDOUT] || errors == [EAGAIN] {
        return fault.times(1 + random.below(3) as u32);
    }
    match random.one_in(3) {
        true => fault.times(1 + random.below(5) as u32),
        false => fault,
    }
}

fn store(random: &mut Random, is_large: bool) -> (String, Fault, Vec<i32>) {
    // Pieces much smaller take a large archive most of a minute.
    let times = if is_large { 10 } else { 1 };
    let after = times * (50_000 + random.below(200_000));
    let io = vec![EIO];
    let (action, errors) = match random.below(13) {
        0 => (status(*random.pick(&[500, 503, 404, 403])), io),
        1 => (Action::ExpireUrl, io),
        2 => (Action::CloseBeforeHeaders, io),
        3 => (Action::Reset { after }, io),
        4 => (Action::Truncate { after }, io),
        5 => (Action::Stall, vec![ETIMEDOUT]),
        6 => (Action::StallBody { after }, vec![ETIMEDOUT]),
        7 => (Action::NoRange, vec![]),
        8 => (Action::Delay(Duration::from_millis(300)), vec![]),
        9 => {
            // An object that changes while it is fetched.
            let skip = random.below(3) as u32;
            let fault = Fault::store(Action::ChangeEtag).skip(skip).times(1);
            return (format!("store: another ETag after {skip}"), fault, io);
        }
        _ => {
            let bytes_per_second = times * (200_000 + random.below(1_000_000));
            (Action::Rate { bytes_per_second }, vec![])
        }
    };
    let name = format!("store: {action:?}");
    let fault = for_a_while(random, Fault::store(action), &errors);
    (name, fault, errors)
}

fn api(random: &mut Random) -> (String, Fault, Vec<i32>) {
    let denied = Action::api_error(403, "permission_error", "forbidden", "no");
    let busy = Action::api_error(409, "conflict_error", "conflict", "no");
    let after = random.below(200);
    let (action, errors) = match random.below(15) {
        0 | 1 => (Action::internal_error(), vec![EIO]),
        2 => (Action::bad_gateway(), vec![EIO]),
        3 => (status(503), vec![EIO]),
        4 => (status(504), vec![ETIMEDOUT]),
        5 => (Action::rate_limited(1), vec![EAGAIN]),
        6 => (denied, vec![EACCES]),
        7 => (busy, vec![EBUSY]),
        // A gateway's, which says nothing of the object. A mount that the service has not
        // answered yet takes these two for those of another server.
        8 => (status(404), vec![EIO, EPROTONOSUPPORT]),
        9 => (status(200), vec![EIO, EPROTONOSUPPORT]),
        10 => (Action::CloseBeforeHeaders, vec![EIO]),
        11 => (Action::Truncate { after }, vec![EIO]),
        12 => (Action::StallBody { after }, vec![ETIMEDOUT]),
        13 => (Action::Stall, vec![ETIMEDOUT]),
        _ => (Action::Delay(Duration::from_millis(300)), vec![]),
    };
    let paths = [
        "/v1/",
        "/v1/artifacts",
        "/v1/volumes",
        "/v1/runs",
        "/v1/agents",
    ];
    let path = random.pick(&paths);
    let fault = for_a_while(random, Fault::api(path, action.clone()), &errors);
    (format!("{path}: {action:?}"), fault, errors)
}

impl std::fmt::Display for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let over = self.over.map(|over| over.elapsed());
        write!(
            f,
            "faults {:.300?}; earlier errors {:?}, over for {over:?}; bad {:?}",
            self.on, self.earlier, self.bad
        )
    }
}
