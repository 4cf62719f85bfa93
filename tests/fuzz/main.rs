//! Seeded fuzzing of everything that reads what a peer or a file says: no panic, and no memory past a stated limit.
//!
//! Inputs are mutations of the files in `corpus` (hexadecimal, one folder for each decoder), which are also tried as
//! they are. A run is the same every time; `CORELAY_FUZZ` says how many inputs each decoder gets, or by default what
//! takes some seconds. An input that fails is printed: put it into the corpus with the fix.
//!
//! And, because its allocator counts, what the way of an operation allocates (`steady`).

mod allocation;
mod corpus;
mod decoders;
mod json;
mod mutation;
mod protobuf;
mod random;
#[path = "../../benches/support/room.rs"]
mod room;
mod shard;
mod steady;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// How many inputs a decoder gets: all of `CORELAY_FUZZ` if it is cheap, a part of it if it is not.
pub fn inputs(part: u64) -> u64 {
    let total = std::env::var("CORELAY_FUZZ").map_or(200_000, |count| {
        count.parse().expect("CORELAY_FUZZ is a whole number")
    });
    (total / part).max(1)
}
