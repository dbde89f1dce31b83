//! Two processes of a mount: a supervisor that holds the connection to the kernel, and a
//! worker that serves it. A worker that dies, hangs, or is out of date is replaced, and
//! the kernel sends the requests again that it has not answered: programs that use the
//! mount see a delay.
//!
//! ```text
//! vm0fs mount → supervisor (device, memory of what workers leave, secrets; one thread)
//!                   │ starts, tells, watches          ▲ Mounted, Serving, Away, Ended
//!                   ▼                                 │
//!               worker (everything else) ── killed → the next worker, FUSE_NOTIFY_RESEND
//! ```
//!
//! `message` is what they say to each other, `link` the worker's side, `launch` how the
//! program becomes either.

mod deaths;
mod gap;
mod happening;
mod held;
mod inherit;
mod launch;
mod link;
mod log;
mod message;
mod program;
mod supervise;
mod worker;

pub(crate) use self::{launch::become_supervisor, message::Connection};
pub use self::{
    launch::obstacle,
    link::{Hooks, Link, Told, Voice},
    supervise::supervise,
};
