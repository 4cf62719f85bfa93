//! The allocator of this test: the system's, which counts what each thread holds, and how often it asks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

pub struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static HELD_MAX: Cell<isize> = const { Cell::new(0) };
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        HELD_MAX.set(HELD_MAX.get().max(held.get()));
        ASKED.set(ASKED.get() + usize::from(bytes > 0));
    });
}

// SAFETY: everything is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Until it has moved, both are there.
        count(size as isize);
        // SAFETY: the caller keeps the contract.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        count(-(layout.size() as isize));
        moved
    }
}

/// Runs `work`; also how many bytes more than before it held at most, and how many its result still holds.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = HELD.get();
    HELD_MAX.set(before);
    let result = work();
    let most = usize::try_from(HELD_MAX.get() - before).expect("it is not below the start");
    let kept = usize::try_from(HELD.get() - before).unwrap_or(0);
    (result, most, kept)
}

/// Runs `work`; how often it asked for memory, or for more of it.
pub fn allocations(work: impl FnOnce()) -> usize {
    let before = ASKED.get();
    work();
    ASKED.get() - before
}

#[test]
fn what_is_held_is_counted() {
    let (kept, most, held) = measured(|| {
        let mut bytes = vec![0_u8; 10_000];
        bytes.reserve_exact(20_000);
        bytes.truncate(5_000);
        bytes.shrink_to_fit();
        bytes
    });
    assert_eq!(held, kept.capacity());
    assert!((30_000..50_000).contains(&most), "{most}");
    assert_eq!(allocations(|| drop(vec![0_u8; 10])), 1);
}
