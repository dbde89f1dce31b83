//! Who makes a request. The kernel gives the number of the thread; the rest is
//! in `/proc`.

use crate::tree::Asker;
use std::{fs, path::Path};

/// What is known of the process that thread `tid` belongs to. Threads have
/// names of their own, so that of the process is looked up. A thread that has
/// ended, or is out of sight of this process (0), has no name.
pub(super) fn asker(tid: u32) -> Asker {
    let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let pid = group.and_then(|pid| pid.trim().parse().ok()).unwrap_or(tid);
    let comm = fs::read(format!("/proc/{pid}/comm")).ok().map(|comm| {
        let comm = comm.strip_suffix(b"\n").unwrap_or(&comm);
        String::from_utf8_lossy(comm).into_owned()
    });
    // Of another user's process only root may know it.
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let program = program.as_deref().and_then(Path::file_name);
    let program = program.map(|name| name.to_string_lossy().into_owned());
    Asker { pid, comm, program }
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
        let found = asker(tid);
        assert_eq!(found.pid, std::process::id());
        assert_ne!(found.pid, tid);
        let own = std::env::current_exe().unwrap();
        assert_eq!(found.program.as_deref(), own.file_name().unwrap().to_str());
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        assert_eq!(found.comm.as_deref(), Some(comm.trim_end()));
    }

    #[test]
    fn nobody_has_no_name() {
        let nobody = asker(0);
        assert_eq!((nobody.comm, nobody.program), (None, None));
    }
}
