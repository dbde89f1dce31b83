//! Tells the C library to keep little of the memory that is freed.
//!
//! An archive is fetched and unpacked by several threads, with buffers of their
//! own and lists that grow by the entry. Left to itself, glibc raises the size
//! from which on it maps a block by itself with each such block that is freed
//! (mallopt(3), "dynamic mmap threshold"), until buffers of megabytes come out
//! of its arenas, of which each thread may have one, and which keep them.

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
