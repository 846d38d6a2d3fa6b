//! How the C library's allocator treats memory that comes back.

/// Freed memory at the top of an arena that is kept for the next allocation, in bytes.
#[cfg(target_env = "gnu")]
const KEEP: libc::c_int = 16 << 20;
/// Allocations below this come from the arenas, in bytes: a mapping of their own is unmapped when they are freed.
#[cfg(target_env = "gnu")]
const MAP_FROM: libc::c_int = 4 << 20;

/// Makes freed buffers stay with the process. By default 128 KiB go back to the kernel at once, so that bytes relayed
/// through fresh buffers fault their pages in again and again.
pub(crate) fn keep_buffers() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, KEEP), (libc::M_MMAP_THRESHOLD, MAP_FROM)] {
        // SAFETY: mallopt takes two integers, and both parameters may be set at any time. A refusal leaves the default.
        unsafe { libc::mallopt(parameter, value) };
    }
}
