//! Keeping the cores from halting while requests follow one another.
//!
//! The kernel lets a process ask that no core falls asleep so deep that it takes
//! longer than a bound to come back, 0 meaning not at all: PM QoS, by
//! `/dev/cpu_dma_latency` (Documentation/power/pm_qos_interface.rst). That is for
//! root, or for whom root has given the file to. The bound ends with the file, so
//! with the process at the latest.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Where PM QoS takes a bound, as microseconds in a native `i32`.
pub(super) const BOUNDS: &str = "/dev/cpu_dma_latency";
/// No sleep at all.
const NONE: i32 = 0;
/// As if there were no bound: `PM_QOS_DEFAULT_VALUE` of the kernel.
const ANY: i32 = -1;

/// A bound on how deep the cores may sleep; none at first.
#[derive(Debug)]
pub(super) struct CpuLatency(File);

impl CpuLatency {
    /// # Errors
    /// EACCES for who may not set a bound, ENOENT where the kernel knows none.
    pub(super) fn new() -> io::Result<Self> {
        Self::at(BOUNDS.as_ref())
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).open(path).map(Self)
    }

    /// Keeps the cores awake from now on, or does so no more.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub(super) fn set(&self, awake: bool) -> io::Result<()> {
        let bound = if awake { NONE } else { ANY };
        (&self.0).write_all(&bound.to_ne_bytes())
    }
}
