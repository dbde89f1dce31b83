//! Tells the C library to keep little of the memory that is freed.
//!
//! An archive is fetched and unpacked by several threads, with buffers of their
//! own and lists that grow by the entry. Left to itself, glibc raises the size
//! from which on it maps a block by itself with each such block that is freed
//! (mallopt(3), "dynamic mmap threshold"), until buffers of megabytes come out
//! of its arenas, of which each thread may have one, and which keep them.

use crate::proc;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicPtr, Ordering},
    },
    thread::{self, Thread},
};

/// What is kept back for the time when memory runs out, in bytes: as much as a fetch
/// may need to end in order.
const RESERVE: usize = 8 << 20;

/// The reserve, where it is there.
static KEPT: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());

/// Whether memory has run out since this was last asked.
static RAN_OUT: AtomicBool = AtomicBool::new(false);

/// The thread that is woken when it does.
static WATCHER: OnceLock<Thread> = OnceLock::new();

thread_local! {
    /// Whether it ran out in this thread.
    static RAN_OUT_HERE: Cell<bool> = const { Cell::new(false) };
}

/// The allocator of the standard library with a reserve. Where memory runs out (a limit
/// of the address space; a cgroup's kills instead), the reserve is given up, so that the
/// fetch that needed it can fail, caches can be emptied ([`ran_out`]), and nothing else
/// ends.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: all blocks are the system allocator's; a failed call is made once more.
#[expect(unsafe_code, reason = "an allocator cannot be had otherwise")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        once_more(|| unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        once_more(|| unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller promises; a failed call leaves the block as it is.
        once_more(|| unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

fn once_more(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    let block = allocate();
    if block.is_null() && give_up_reserve() {
        return allocate();
    }
    block
}

fn give_up_reserve() -> bool {
    let reserve = KEPT.swap(ptr::null_mut(), Ordering::AcqRel);
    RAN_OUT.store(true, Ordering::Release);
    RAN_OUT_HERE.set(true);
    if let Some(watcher) = WATCHER.get() {
        watcher.unpark();
    }
    if reserve.is_null() {
        return false;
    }
    // SAFETY: it was mapped by `keep_reserve`, and only one thread takes it.
    #[expect(unsafe_code, reason = "there is no safe way to unmap")]
    let unmapped = unsafe { libc::munmap(reserve, RESERVE) };
    unmapped == 0
}

/// Keeps memory back, unless it is there already. It costs no memory until it is used.
pub fn keep_reserve() {
    if !KEPT.load(Ordering::Acquire).is_null() {
        return;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, which nothing but this module knows.
    #[expect(unsafe_code, reason = "there is no safe way to map")]
    let reserve = unsafe { libc::mmap(ptr::null_mut(), RESERVE, protection, flags, -1, 0) };
    if reserve == libc::MAP_FAILED {
        return;
    }
    let none = ptr::null_mut();
    let kept = KEPT.compare_exchange(none, reserve, Ordering::AcqRel, Ordering::Acquire);
    if kept.is_err() {
        // SAFETY: another thread was faster, so this mapping is of no use.
        #[expect(unsafe_code, reason = "there is no safe way to unmap")]
        unsafe {
            libc::munmap(reserve, RESERVE);
        }
    }
}

/// Has this thread be unparked when memory runs out. The first call counts.
pub fn wake_here() {
    let _ = WATCHER.set(thread::current());
}

/// Whether memory has run out since this was last asked.
pub fn ran_out() -> bool {
    RAN_OUT.swap(false, Ordering::AcqRel)
}

/// Whether it has run out in this thread since this was last asked.
pub fn ran_out_here() -> bool {
    RAN_OUT_HERE.replace(false)
}

/// Blocks from this size on, in bytes, are mapped by themselves, and gone when
/// they are freed. Lower, and the buffers of a download were mapped anew for
/// each of its parts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED: libc::c_int = 1 << 20;

/// Makes the C library return large blocks to the system as soon as they are freed,
/// which takes a quarter off the peak memory of fetching 100,000 files. To be called
/// at the start of the process.
pub fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) has no preconditions but that of being called early.
    #[expect(unsafe_code, reason = "there is no safe way to ask for it")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Makes the C library return free memory to the system.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) has no preconditions and may be called from any thread.
    #[expect(unsafe_code, reason = "there is no safe way to ask for it")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives back the memory of code that has run: where it is needed again, the kernel has it
/// in the cache of its file, or reads that. For a process that is about to wait: to give it
/// back and to have it again takes a quarter of a millisecond.
pub fn forget_code() {
    for range in proc::code() {
        // SAFETY: what is mapped from a file and was never written is the same when it is
        // read again.
        #[expect(unsafe_code, reason = "there is no safe way to ask for it")]
        unsafe {
            libc::madvise(range.start as *mut _, range.len(), libc::MADV_DONTNEED);
        }
    }
}
