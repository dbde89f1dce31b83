//! Keeps the cores from halting while requests follow one another.
//!
//! A process can ask the kernel that no core sleeps so deep that it takes longer
//! than a bound to wake up; 0 means no sleep at all. That is PM QoS, by
//! `/dev/cpu_dma_latency` (Documentation/power/pm_qos_interface.rst). Root may do
//! it, and users to whom root has given the file. The bound ends when the file is
//! closed, so with the process at the latest.

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
    /// EACCES where this user may not set a bound, ENOENT where the kernel has none.
    pub(super) fn new() -> io::Result<Self> {
        Self::at(BOUNDS.as_ref())
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        OpenOptions::new().write(true).open(path).map(Self)
    }

    /// Keeps the cores awake from now on, or lets them sleep again.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn set(&self, awake: bool) -> io::Result<()> {
        let bound = if awake { NONE } else { ANY };
        (&self.0).write_all(&bound.to_ne_bytes())
    }
}
