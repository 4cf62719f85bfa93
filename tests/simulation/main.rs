//! The relay under a deterministic simulator: one seed plays clients, network, disk, clock, crash and restart, and
//! checks the promises of the relay over everything that happens.
//!
//! `CORELAY_SEEDS=1000 cargo test --test simulation` plays more seeds; `CORELAY_SEED=17 cargo test --test simulation
//! one_seed -- --nocapture` plays one and prints what happens.

mod bearer;
mod calm;
mod client;
mod connection;
mod content;
mod directory;
mod document;
mod events;
mod grants;
mod hostile;
mod issuer;
mod json;
mod judge;
mod network;
mod notices;
mod past;
mod random;
mod relay;
mod replica;
mod rights;
mod scenario;
mod session;
mod storage;
mod summary;
mod trace;
mod wants;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use scenario::Flaw;
use world::{Summary, play};

const SEEDS_DEFAULT: u64 = 500;
const THREADS: usize = 2;
/// Seeds that find what was wrong once, each with what that was.
const FOUND: [(u64, &str); 15] = [
    (5, "a quiet client was given up without having been pinged"),
    (
        8,
        "a client's own operations came without their content after a Resync",
    ),
    (
        19,
        "an idle document that waited for the store rang its alarm without end",
    ),
    (
        47,
        "a text client forgot an acknowledgement that came before the last page",
    ),
    (
        63,
        "a repeated batch was acknowledged to a session that had left the document",
    ),
    (
        441,
        "a state that waited hid from the others that its client had left",
    ),
    (
        32,
        "connections were read while the pool of what goes to the disk was full",
    ),
    (
        2224,
        "frames for a stalled client of another shard had no limit",
    ),
    (151, "a deletion was answered after the connection's Close"),
    (
        1025,
        "who watched was not told of a restored document that could not be read",
    ),
    (3615, "an Open was answered after the connection's Close"),
    (
        202,
        "a client that refused snapshots went on in a new life of a document as if it were the old one",
    ),
    (
        433,
        "what was on its way when a snapshot was stored was forgotten of a tenant's stored bytes",
    ),
    (
        1038,
        "what the store answered after a token's end was passed on before its alarm rang",
    ),
    (
        1604,
        "a second deletion waited for a document that the first had let go",
    ),
];

/// Plays a seed, and gives back what went wrong.
fn try_play(seed: u64, flaw: Option<Flaw>) -> Result<Summary, String> {
    catch_unwind(AssertUnwindSafe(|| play(seed, flaw, false))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned())
    })
}

#[test]
fn every_seed_keeps_the_promises() {
    let count = std::env::var("CORELAY_SEEDS").map_or(SEEDS_DEFAULT, |count| {
        count.parse().expect("CORELAY_SEEDS is a number")
    });
    let found = FOUND.into_iter().map(|(seed, _)| seed);
    let seeds: Vec<u64> = found.chain(0..count).collect();
    let next = AtomicU64::new(0);
    let failures: Vec<(u64, String)> = std::thread::scope(|scope| {
        let run = || {
            let mut failures = Vec::new();
            while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                if let Err(why) = try_play(*seed, None) {
                    failures.push((*seed, why));
                }
            }
            failures
        };
        let threads = [(); THREADS].map(|()| scope.spawn(run));
        let failures = threads
            .into_iter()
            .map(|thread| thread.join().expect("it catches panics"));
        failures.flatten().collect()
    });
    for (seed, why) in &failures {
        println!("seed {seed}: {why}");
        println!("  CORELAY_SEED={seed} cargo test --test simulation one_seed -- --nocapture");
    }
    assert!(
        failures.is_empty(),
        "{} of {} seeds",
        failures.len(),
        seeds.len()
    );
}

/// Prints what happens in the run of `CORELAY_SEED`, or plays seed 1 in silence.
#[test]
fn one_seed_can_be_read() {
    let chosen = std::env::var("CORELAY_SEED").ok();
    let seed = chosen
        .as_ref()
        .map_or(1, |seed| seed.parse().expect("CORELAY_SEED is a number"));
    let summary = play(seed, None, chosen.is_some());
    println!("{summary:?}");
    assert!(summary.deliveries > 0, "somebody was told something");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        assert_eq!(play(seed, None, false), play(seed, None, false), "{seed}");
    }
    assert_ne!(play(1, None, false).digest, play(2, None, false).digest);
}

/// Each flaw of the rig breaks the promise that is there to prevent it, in one seed or another.
#[test]
fn every_flaw_is_found() {
    let flaws = [
        (Flaw::EarlyConfirmation, &["S3"][..]),
        // The last of all operations is missed by nobody but who waits for it.
        (Flaw::LostDelivery, &["S1", "L1"]),
        (Flaw::RepeatedAcknowledgement, &["S1"]),
        (Flaw::ChangedOperation, &["S2"]),
        (Flaw::LostFromPage, &["S1"]),
        (Flaw::SkippingToken, &["S1"]),
        (Flaw::ChangedSnapshot, &["S2"]),
        (Flaw::OverlookedExpectation, &["S2"]),
        (Flaw::ChangedPast, &["S2"]),
        (Flaw::LostLeave, &["S9"]),
        // Whoever is not woken misses operations, or a peer's presence.
        (Flaw::LostWakeup, &["L1", "S9"]),
        (Flaw::OverlookedExpiry, &["S8"]),
        (Flaw::LostRevocation, &["S8"]),
        // What another tenant has may be nowhere in the client's own, and a token that is taken back there ends here.
        (Flaw::OneTenant, &["S8", "S4", "L1"]),
        (Flaw::EveryDocument, &["S8"]),
        (Flaw::EveryPermission, &["S8"]),
        (Flaw::ForeignEntry, &["S8"]),
        (Flaw::SkippingEventId, &["S1"]),
        (Flaw::RevivedVector, &["S1", "S2"]),
        (Flaw::OverlookedQuota, &["S7"]),
        (Flaw::LostNotice, &["notices"]),
        (Flaw::LostChange, &["notices"]),
        (Flaw::RepeatedSequence, &["notices"]),
        (Flaw::EarlyNotice, &["notices"]),
    ];
    for (flaw, promises) in flaws {
        let found = (0..60).filter(|seed| match try_play(*seed, Some(flaw)) {
            Ok(_) => false,
            Err(why) if promises.iter().any(|promise| why.starts_with(promise)) => true,
            Err(why) => panic!("{flaw:?}, seed {seed}: {why}"),
        });
        let count = found.count();
        println!("{flaw:?} breaks {promises:?} in {count} of 60 seeds");
        assert!(count > 0, "{flaw:?} is not found");
    }
}
