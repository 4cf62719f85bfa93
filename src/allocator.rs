//! The binary's allocator, and what it is told of the kernel's memory.
//!
//! To begin a page is dear: 2 to 4 µs, a fifth of a millisecond for a huge one, and on a virtual machine whose host gives
//! it memory as it goes 50 µs at times and 5 ms for a huge one. Everybody on that core waits.

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;
use rustix::thread::disable_transparent_huge_pages;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;
/// So long memory that is free stays with the process, which would soon ask for it again: one second is less than a store
/// under load takes from one full write buffer to the next.
const PURGE_DELAY_MS: core::ffi::c_long = 10_000;

/// Once, at the start. What the environment says (`MIMALLOC_PURGE_DELAY`) stays.
pub fn set_up(huge_pages: bool) {
    // SAFETY: it stores a number, for an option that takes any.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    if huge_pages {
        return;
    }
    // mimalloc asks for them wherever it can, which only the process as a whole can refuse.
    if let Err(error) = disable_transparent_huge_pages(true) {
        tracing::warn!("huge pages of memory cannot be refused: prctl: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_with_mimallocs_own_second() {
        // SAFETY: it reads a number.
        let own = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(
            own, 1000,
            "mimalloc.h has got another order, or another default"
        );
    }
}
