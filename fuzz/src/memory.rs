//! How much memory a run takes: an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with the live bytes and their peak counted. Targets run on one thread.
#[derive(Debug)]
pub struct Counting;

fn grown(by: usize) {
    let live = LIVE.fetch_add(by, Relaxed) + by;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory that it hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises about `layout` are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller got `memory` from this allocator, and so from the system's, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Relaxed);
        grown(size);
        // SAFETY: as in `dealloc`; `size` is as the caller promised.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Measures from its making on.
#[derive(Debug)]
pub struct Meter {
    start: usize,
}

impl Meter {
    /// Starts to measure; only one meter at a time makes sense.
    pub fn start() -> Meter {
        let start = LIVE.load(Relaxed);
        PEAK.store(start, Relaxed);
        Meter { start }
    }

    /// The most bytes that were live at once since the start, less those that were live then.
    pub fn peak(&self) -> usize {
        PEAK.load(Relaxed).saturating_sub(self.start)
    }
}
