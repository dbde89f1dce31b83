//! Faults of this machine: what runs out, what is taken away, and many at once.

mod readers;
