//! Reading by the kernel's two asynchronous interfaces.

#![allow(unsafe_code)]

use super::until_end;
use crate::support::{Bench, SOON};
use io_uring::{IoUring, opcode, types};
use jiff::Timestamp;
use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};
use vm0fs::demo::LogRow;

/// By io_uring, which is told where to read from.
pub(super) fn by_uring(path: &Path, size: usize) -> Vec<u8> {
    let mut ring = IoUring::new(4).unwrap();
    let file = File::open(path).unwrap();
    until_end(size, |at, buffer| uring_read(&mut ring, &file, at, buffer))
}

/// By io_uring, which reads on from the file's own position, as `read` does.
pub(super) fn by_uring_at_position(path: &Path, size: usize) -> Vec<u8> {
    let mut ring = IoUring::new(4).unwrap();
    let file = File::open(path).unwrap();
    // `io_uring_prep_read(3)`: -1 for the position.
    until_end(size, |_, buffer| {
        uring_read(&mut ring, &file, u64::MAX, buffer)
    })
}

fn uring_read(ring: &mut IoUring, file: &File, at: u64, buffer: &mut [u8]) -> usize {
    let descriptor = types::Fd(file.as_raw_fd());
    let read = opcode::Read::new(descriptor, buffer.as_mut_ptr(), buffer.len() as u32);
    // SAFETY: file and buffer outlive the request, which is waited for.
    unsafe { ring.submission().push(&read.offset(at).build()) }.unwrap();
    // A wait that is interrupted can return before the request has completed.
    let result = loop {
        uninterrupted(|| ring.submit_and_wait(1)).unwrap();
        if let Some(entry) = ring.completion().next() {
            break entry.result();
        }
    };
    assert!(result >= 0, "{}", io::Error::from_raw_os_error(-result));
    result as usize
}

/// Calls until no signal interrupts the call. The kernel itself interrupts a
/// thread that has closed an io_uring, for work that was left (`TWA_SIGNAL`).
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// `struct iocb` of `include/uapi/linux/aio_abi.h`, on little-endian machines.
#[repr(C)]
#[derive(Default)]
struct Control {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    length: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_descriptor: u32,
}

/// `struct io_event` of the same.
#[repr(C)]
#[derive(Default)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    result2: i64,
}

/// By the older interface, which libaio wraps.
pub(super) fn by_libaio(path: &Path, size: usize) -> Vec<u8> {
    let file = File::open(path).unwrap();
    let mut context: u64 = 0;
    let made = unsafe { libc::syscall(libc::SYS_io_setup, 4, &mut context) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    let all = until_end(size, |at, buffer| {
        let mut control = Control {
            // 0 is IOCB_CMD_PREAD.
            descriptor: file.as_raw_fd() as u32,
            buffer: buffer.as_mut_ptr() as u64,
            length: buffer.len() as u64,
            offset: at as i64,
            ..Control::default()
        };
        let mut list = [&raw mut control];
        let mut event = Event::default();
        // SAFETY: all of it outlives the request, which is waited for below.
        let sent = uninterrupted(|| unsafe {
            one(libc::syscall(
                libc::SYS_io_submit,
                context,
                1,
                list.as_mut_ptr(),
            ))
        });
        sent.unwrap();
        let none = std::ptr::null::<libc::timespec>();
        // SAFETY: there is room for the one event asked for.
        let done = uninterrupted(|| unsafe {
            one(libc::syscall(
                libc::SYS_io_getevents,
                context,
                1,
                1,
                &raw mut event,
                none,
            ))
        });
        done.unwrap();
        assert!(
            event.result >= 0,
            "{}",
            io::Error::from_raw_os_error(-event.result as i32)
        );
        event.result as usize
    });
    unsafe { libc::syscall(libc::SYS_io_destroy, context) };
    all
}

/// What a call returned that treats one request.
fn one(returned: libc::c_long) -> io::Result<()> {
    match returned {
        -1 => Err(io::Error::last_os_error()),
        1 => Ok(()),
        other => Err(io::Error::other(format!("{other} requests, not one"))),
    }
}

#[test]
fn what_a_log_grows_by_is_read_on_by_io_uring() {
    let (world, _) = super::world();
    let bench = Bench::new(world);
    let mount = bench.mount().start();
    let run = {
        let mut world = bench.server.world();
        let run = world.runs.iter_mut().find(|run| run.completed_at.is_none());
        run.unwrap().id.clone()
    };
    let mut ring = IoUring::new(4).unwrap();
    let file = File::open(mount.join(&format!("runs/{run}/system.log"))).unwrap();
    let mut read_on = || {
        let mut all = until_end(5_000, |_, buffer| {
            uring_read(&mut ring, &file, u64::MAX, buffer)
        });
        assert!(!all.contains(&0), "no gap");
        all.truncate(all.len().saturating_sub(1));
        String::from_utf8(all).unwrap()
    };
    assert_eq!(read_on().lines().count(), 200);
    for n in 0..2 {
        let row = LogRow::system(Timestamp::now(), format!("new row {n}"));
        bench.server.world().add_log(&run, row);
        let end = Instant::now() + SOON;
        let more = loop {
            let more = read_on();
            if !more.is_empty() {
                break more;
            }
            assert!(Instant::now() < end, "row {n} does not come");
            thread::sleep(Duration::from_millis(50));
        };
        assert!(
            more.ends_with(&format!("new row {n}")) && more.lines().count() == 1,
            "{more}"
        );
    }
}

#[test]
fn a_handle_from_before_a_run_ended_changes_nothing_for_others() {
    for has_ring in [false, true] {
        let (world, _) = super::world();
        let bench = Bench::new(world);
        let mount = bench.mount().with(["--list-ttl", "1s"]).start();
        let run = {
            let mut world = bench.server.world();
            let run = world.runs.iter_mut().find(|run| run.completed_at.is_none());
            run.unwrap().id.clone()
        };
        let status = format!("runs/{run}/status");
        // With a ring the file is opened to be read through the page cache.
        let mut ring = has_ring.then(|| IoUring::new(4).unwrap());
        let early = File::open(mount.join(&status)).unwrap();
        let mut read = |at: u64| {
            let mut buffer = [0; 100];
            let length = match &mut ring {
                Some(ring) => uring_read(ring, &early, at, &mut buffer),
                None => early.read_at(&mut buffer, at).unwrap(),
            };
            String::from_utf8(buffer[..length].to_vec()).unwrap()
        };
        assert_eq!(read(0), "running\n");
        let mut world = bench.server.world();
        let ended = world.run_mut(&run).unwrap();
        ended.finish(Timestamp::now(), "completed", None);
        drop(world);
        let end = Instant::now() + SOON;
        while !mount
            .cat(&format!("runs/{run}/run.json"))
            .contains("\"completed\"")
        {
            assert!(Instant::now() < end, "the end is not seen");
            thread::sleep(Duration::from_millis(100));
        }
        // The kernel asks for the size of what a handle has: no other's.
        (&early).seek(SeekFrom::End(0)).unwrap();
        for _ in 0..3 {
            assert_eq!(read(0), "running\n", "what was opened");
            assert_eq!(mount.cat(&status), "completed\n");
            let size = mount.run(&format!("stat -c %s {status}"));
            assert_eq!(size, "10\n");
        }
    }
}
