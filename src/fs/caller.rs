//! Which process makes a request. The kernel gives the number of the thread; `/proc`
//! tells the rest.

use crate::{proc::Process, tree::Caller};
use std::path::Path;

/// The process that thread `tid` belongs to.
pub(super) fn process_of(tid: u32) -> u32 {
    Process::new(tid).status().group.unwrap_or(tid)
}

/// What is known of the process that thread `tid` belongs to. Threads have
/// names of their own, so that of the process is looked up. A thread that has
/// ended, or is out of sight of this process (0), has no name.
pub(super) fn caller(tid: u32) -> Caller {
    let pid = process_of(tid);
    let process = Process::new(pid);
    let program = process.program();
    let program = program.as_deref().and_then(Path::file_name);
    Caller {
        pid,
        comm: process.name(),
        program: program.map(|name| name.to_string_lossy().into_owned()),
    }
}

/// How many descriptors of a process are checked: a program opens its ring early.
const MOST_LOOKED_AT: usize = 256;

/// Whether the process of thread `tid` reads by io_uring, as far as its descriptors
/// tell. Of a file that is opened with `FOPEN_DIRECT_IO` the kernel gives such a
/// process the same bytes again and again: an asynchronous direct read does not
/// move the file's position (`fuse_direct_IO` of Linux 6.18, which reads from a
/// copy of it), and Node.js reads streams by position.
pub(super) fn uses_io_uring(tid: u32) -> bool {
    let process = Process::new(tid);
    let descriptors = process.descriptors().into_iter().flatten();
    let mut descriptors = descriptors.take(MOST_LOOKED_AT);
    descriptors.any(|descriptor| descriptor.target() == Path::new("anon_inode:[io_uring]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn a_thread_goes_by_its_process() {
        let (told, tid) = mpsc::channel();
        let (_end, ended) = mpsc::channel::<()>();
        let named = thread::Builder::new().name("pool-other".into());
        named
            .spawn(move || {
                told.send(nix::unistd::gettid().as_raw() as u32).unwrap();
                let _ = ended.recv();
            })
            .unwrap();
        let tid = tid.recv().unwrap();
        let found = caller(tid);
        assert_eq!(found.pid, std::process::id());
        assert_ne!(found.pid, tid);
        let own = std::env::current_exe().unwrap();
        assert_eq!(found.program.as_deref(), own.file_name().unwrap().to_str());
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(found.comm.as_deref(), Some(comm.trim_end()));
    }

    #[test]
    fn a_process_with_a_ring_reads_by_it() {
        let tid = nix::unistd::gettid().as_raw() as u32;
        let ring = io_uring::IoUring::new(2).unwrap();
        assert!(uses_io_uring(tid));
        drop(ring);
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        assert!(!uses_io_uring(other.id()) && !uses_io_uring(0));
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_process_out_of_sight_has_no_name() {
        let hidden = caller(0);
        assert_eq!((hidden.comm, hidden.program), (None, None));
    }
}
