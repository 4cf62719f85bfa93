//! kill -9 of a process that appends through the real committer: every acknowledged append is there after it.
//!
//! The test starts itself again as the child, and the child tells what was acknowledged through its standard
//! output. CORELAY_TEST_ROUNDS says how many children die.

mod store_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{DocumentRef, Loaded, Reader, StoreReply, StoreRequest};

use store_support::{Seed, config, name, open_as, read, record, rounds, start};

const DIRECTORY: &str = "CORELAY_TEST_KILL_DIRECTORY";
const DURABILITY: &str = "CORELAY_TEST_KILL_DURABILITY";
const SHARDS: u64 = 2;
const DOCUMENTS_PER_SHARD: u64 = 4;
const DOCUMENTS: u64 = SHARDS * DOCUMENTS_PER_SHARD;

#[test]
fn every_acknowledged_append_survives_a_kill() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        return child(Path::new(&directory));
    }
    for (durability, name) in [
        (Durability::Always, "always"),
        (Durability::Interval, "interval"),
        (Durability::Never, "never"),
    ] {
        kill_rounds(durability, name);
    }
}

fn kill_rounds(durability: Durability, durability_name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
    let mut seed = Seed(durability_name.len() as u64);
    for round in 1..=rounds(4) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "every_acknowledged_append_survives_a_kill"])
            .arg("--nocapture")
            .env(DIRECTORY, directory.path())
            .env(DURABILITY, durability_name)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut answers = 0;
        let dies_at = 1 + seed.below(200);
        // Everything that the child has said counts, also what is still in the pipe when it dies.
        while let Some(Ok(line)) = lines.next() {
            let Some(answer) = line.strip_prefix("acknowledged ") else {
                continue;
            };
            // A last line may be cut short; whole lines end in a full stop.
            let Some((document, revision)) = answer
                .strip_suffix('.')
                .and_then(|answer| answer.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(document.parse().unwrap(), revision.parse().unwrap());
            answers += 1;
            if answers == dies_at {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child has ended by itself");
        assert!(answers >= dies_at);

        let open = open_as(directory.path(), durability);
        // The parent's own runs end without a word too.
        let epoch = match durability {
            Durability::Always => 1,
            Durability::Interval | Durability::Never => 2 * round,
        };
        assert_eq!(open.epoch, epoch);
        for document in 0..DOCUMENTS {
            let least = acknowledged.get(&document).copied().unwrap_or(0);
            let found = stored(&open.store, document);
            assert!(
                found >= least,
                "{document} is at {found}, and {least} was acknowledged"
            );
        }
    }
    assert!(acknowledged.values().sum::<u64>() > 0);
}

/// Checks all of a document, and returns its newest revision.
fn stored(store: &impl Reader, document: u64) -> u64 {
    let loaded = match store.load(&name(document)).unwrap() {
        Loaded::Live(loaded) => loaded,
        Loaded::Unknown => return 0,
        other => panic!("{other:?}"),
    };
    let mut revision = 0;
    if let Some((at, state)) = loaded.snapshot {
        assert!(state == snapshot_at(document, at));
        revision = at;
    }
    for record in loaded.records {
        revision += 1;
        assert!(record == record_at(document, revision));
    }
    let all = read(store, &name(document), 1, u64::MAX);
    assert_eq!(all.len() as u64, revision);
    revision
}

fn record_at(document: u64, revision: u64) -> Bytes {
    let size = match revision % 20 {
        0 => 30_000,
        1..5 => 3_000,
        _ => 100,
    };
    record(document, revision, size)
}

fn snapshot_at(document: u64, revision: u64) -> Bytes {
    record(document + 1000, revision, 1_500_000)
}

/// Appends until it is killed.
fn child(directory: &Path) {
    let durability = match &*std::env::var(DURABILITY).unwrap() {
        "always" => Durability::Always,
        "interval" => Durability::Interval,
        "never" => Durability::Never,
        other => panic!("{other}"),
    };
    let mut config = config(directory, durability);
    config.sync_interval = Duration::from_millis(5);
    let store = open_as(directory, durability).store;
    let newest: Vec<u64> = (0..DOCUMENTS).map(|d| stored(&store, d)).collect();
    let (handle, replies) = start(store, &config, SHARDS as usize);
    let shards: Vec<_> = (0..SHARDS)
        .zip(replies)
        .map(|(shard, replies)| {
            let queue = handle.queue(shard as usize);
            let mut newest = newest.clone();
            std::thread::spawn(move || {
                let mut answered = newest.clone();
                let mut snapshots = 0;
                let mut seed = Seed(newest.iter().sum());
                loop {
                    let waiting = |newest: &[u64], answered: &[u64]| {
                        newest.iter().sum::<u64>() - answered.iter().sum::<u64>()
                    };
                    while snapshots + waiting(&newest, &answered) < 16 {
                        let number = shard + SHARDS * seed.below(DOCUMENTS_PER_SHARD);
                        let document = DocumentRef {
                            name: name(number),
                            token: number,
                        };
                        let revision = &mut newest[number as usize];
                        let request = if *revision > 0 && seed.below(50) == 0 {
                            snapshots += 1;
                            StoreRequest::PutSnapshot {
                                document,
                                revision: *revision,
                                snapshot: snapshot_at(number, *revision),
                                compact_to_revision: None,
                            }
                        } else {
                            *revision += 1;
                            StoreRequest::Append {
                                document,
                                kind: "log".into(),
                                first_revision: *revision,
                                count: 1,
                                record: record_at(number, *revision),
                            }
                        };
                        queue.try_send(request).unwrap();
                    }
                    let mut said = String::new();
                    for reply in replies.recv().unwrap() {
                        match reply {
                            StoreReply::Appended {
                                token, revision, ..
                            } => {
                                answered[token as usize] = revision;
                                said += &format!("acknowledged {token} {revision}.\n");
                            }
                            StoreReply::SnapshotStored { .. } => snapshots -= 1,
                            other => panic!("{other:?}"),
                        }
                    }
                    std::io::stdout().write_all(said.as_bytes()).unwrap();
                    std::io::stdout().flush().unwrap();
                }
            })
        })
        .collect();
    let ended = shards.into_iter().any(|shard| shard.join().is_err());
    assert!(!ended, "a shard has failed");
}
