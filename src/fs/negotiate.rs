//! What the mount asks of the kernel when its session begins.

use fuser::{InitFlags, KernelConfig};

/// Requests the kernel may have under way in the background (readahead). The
/// default of 16 is soon full of reads that wait for one download.
const MAX_BACKGROUND: u16 = 64;

/// Asks for what makes the mount fast, as far as this kernel offers it.
pub(super) fn negotiate(config: &mut KernelConfig) {
    // Each by itself: an older kernel may lack any of them.
    for capability in [
        // Without it one lookup that waits blocks all others in its directory.
        InitFlags::FUSE_PARALLEL_DIROPS,
        // Always, and not where the kernel thinks it worth it: `find -size` and
        // `du` read a folder to its end before they ask for attributes, which
        // then were a request for each entry but those of the first page.
        InitFlags::FUSE_DO_READDIRPLUS,
        InitFlags::FUSE_ASYNC_READ,
        InitFlags::FUSE_MAX_PAGES,
        InitFlags::FUSE_CACHE_SYMLINKS,
        InitFlags::FUSE_AUTO_INVAL_DATA,
        // Files that still change are opened with FOPEN_DIRECT_IO; without
        // this they cannot be mapped shared, as many readers map files.
        InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        // Without it, of such a file io_uring and libaio are told of more bytes
        // than there are (seen with 6.18).
        InitFlags::FUSE_ASYNC_DIO,
        // Requests that a worker had taken when it died are sent to the next one.
        InitFlags::FUSE_HAS_RESEND,
    ] {
        if config.add_capabilities(capability).is_err() {
            tracing::debug!("the kernel does not offer {capability:?}");
        }
    }
    if let Err(nearest) = config.set_max_readahead(u32::MAX) {
        // It cannot be raised over what the kernel offers.
        let _ = config.set_max_readahead(nearest);
    }
    let _ = config.set_max_background(MAX_BACKGROUND);
}
