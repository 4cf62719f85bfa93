//! kill -9 of a process that appends, compacts, saves versions, deletes and sweeps through the real committer: every
//! acknowledged append and version is there after it, or has gone with its document, and no revision is used again.
//!
//! The test starts itself again as the child, and the child tells what was acknowledged through its standard
//! output. CORELAY_TEST_ROUNDS says how many children die.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use corelay::config::Durability;
use corelay::store::{
    Backend, DocumentRef, FjallStore, HistoryRange, HistoryStart, Loaded, Reader, StoreQueue,
    StoreReply, StoreRequest, StoredVersion,
};
use crossbeam_channel::Receiver;

use crate::support::{Seed, config, name, open_as, read, record, restore, rounds, start};

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
    // Documents and revisions.
    let mut saved: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut seed = Seed(durability_name.len() as u64);
    for round in 1..=rounds(4) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::every_acknowledged_append_survives_a_kill"])
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
            // A last line may be cut short; whole lines end in a full stop.
            let Some(answer) = line.strip_suffix('.') else {
                continue;
            };
            let words: Vec<_> = answer.split(' ').collect();
            let [what @ ("acknowledged" | "saved"), document, revision] = words[..] else {
                continue;
            };
            let (document, revision) = (document.parse().unwrap(), revision.parse().unwrap());
            match what {
                "saved" => drop(saved.insert((document, revision))),
                _acknowledged => drop(acknowledged.insert(document, revision)),
            }
            answers += 1;
            if answers == dies_at {
                child.kill().unwrap();
            }
        }
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child has ended by itself");
        assert!(answers >= dies_at);

        let mut open = open_as(directory.path(), durability);
        // The parent's own runs end without a word too.
        let epoch = match durability {
            Durability::Always => 1,
            Durability::Interval | Durability::Never => 2 * round,
        };
        assert_eq!(open.epoch, epoch);
        for document in 0..DOCUMENTS {
            let least = acknowledged.get(&document).copied().unwrap_or(0);
            let found = stored(&mut open.store, document);
            assert!(
                found >= least,
                "{document} is at {found}, and {least} was acknowledged"
            );
            acknowledged.insert(document, found);
            let name = name(document);
            let (Ok(Loaded::Live(loaded)), Ok(versions)) =
                (open.store.load(&name), open.store.versions(&name))
            else {
                continue;
            };
            for (_, revision) in saved.range((document, loaded.first_revision)..(document + 1, 0)) {
                let is_it = |version: &StoredVersion| *version == version_at(*revision);
                assert!(
                    versions.iter().any(is_it),
                    "{document}: version {revision} is lost"
                );
            }
        }
    }
    assert!(!saved.is_empty());
    assert!(acknowledged.values().sum::<u64>() > 0);
}

/// Checks all of a document, which is restored if it is deleted, and returns its newest revision.
fn stored(store: &mut FjallStore, document: u64) -> u64 {
    let name = name(document);
    store.commit(&[restore(&name)]).unwrap();
    store.sync().unwrap();
    let loaded = match store.load(&name).unwrap() {
        Loaded::Live(loaded) => loaded,
        Loaded::Unknown => return 0,
        Loaded::Gone { revision } => return revision,
        Loaded::Deleted { .. } => panic!("it was restored"),
    };
    let mut revision = loaded.first_revision - 1;
    let mut stored_bytes = 0;
    if let Some((at, state)) = loaded.snapshot {
        assert!(state == snapshot_at(document, at));
        revision = at;
        stored_bytes += state.len();
    }
    for record in loaded.records {
        revision += 1;
        assert!(record == record_at(document, revision));
    }
    let kept = read(store, &name, loaded.history_from_revision, u64::MAX);
    for (revision, record) in (loaded.history_from_revision..).zip(&kept) {
        assert!(*record == record_at(document, revision));
        stored_bytes += record.len();
    }
    assert_eq!(
        loaded.history_from_revision + kept.len() as u64,
        revision + 1
    );
    let range = HistoryRange {
        start: HistoryStart::Revision(0),
        newest_first: true,
        until_revision: u64::MAX,
        records_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let history = store.history(&name, &range).unwrap();
    assert!(history.records.iter().rev().eq(&kept));
    assert_eq!(loaded.stored_bytes, stored_bytes as u64);
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

fn version_at(revision: u64) -> StoredVersion {
    StoredVersion {
        name: format!("version {revision}").into(),
        revision,
        time_ms: revision,
        author: "ada".into(),
    }
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
    let mut store = open_as(directory, durability).store;
    let newest = (0..DOCUMENTS).map(|document| stored(&mut store, document));
    let newest: Vec<u64> = newest.collect();
    let (handle, replies) = start(store, &config, SHARDS as usize);
    let shards: Vec<_> = (0..SHARDS)
        .zip(replies)
        .map(|(shard, replies)| {
            let queue = handle.queue(shard as usize);
            let documents = newest.iter().map(|newest| Document::at(*newest));
            let documents = documents.collect();
            std::thread::spawn(move || drive_shard(shard, &queue, &replies, documents))
        })
        .collect();
    let ended = shards.into_iter().any(|shard| shard.join().is_err());
    assert!(!ended, "a shard has failed");
}

/// A document as its shard knows it.
struct Document {
    newest: u64,
    answered: u64,
    life: Life,
}

#[derive(Clone, Copy, PartialEq)]
enum Life {
    /// Nobody knows whether it goes on or begins again; both begin with an append of the next revision.
    Unknown,
    Live,
    /// Nothing is asked of it until there is an answer.
    Waiting,
    /// Or swept, by anybody.
    Deleted,
}

impl Document {
    fn at(newest: u64) -> Self {
        Self {
            newest,
            answered: newest,
            life: Life::Unknown,
        }
    }
}

/// Lets documents grow, shrink, go and come again, and tells what is acknowledged.
fn drive_shard(
    shard: u64,
    queue: &StoreQueue,
    replies: &Receiver<Vec<StoreReply>>,
    mut documents: Vec<Document>,
) {
    // What is asked and not an append.
    let mut others = 0;
    let mut seed = Seed(documents.iter().map(|document| document.newest).sum());
    loop {
        let unanswered = documents.iter().map(|d| d.newest - d.answered);
        for _ in others + unanswered.sum::<u64>()..16 {
            let number = shard + SHARDS * seed.below(DOCUMENTS_PER_SHARD);
            if let Some(request) = next_request(&mut documents[number as usize], number, &mut seed)
            {
                others += u64::from(!matches!(request, StoreRequest::Append { .. }));
                let mut request = Some(request);
                assert_eq!(queue.send(Instant::now(), || request.take()), 1);
            }
        }
        if others == 0 && documents.iter().all(|d| d.newest == d.answered) {
            continue;
        }
        let mut said = String::new();
        for reply in replies.recv().unwrap() {
            match reply {
                StoreReply::Appended {
                    token, revision, ..
                } => {
                    documents[token as usize].answered = revision;
                    said += &format!("acknowledged {token} {revision}.\n");
                    continue;
                }
                StoreReply::Deleted { token, .. } => documents[token as usize].life = Life::Deleted,
                StoreReply::Restored { token, .. } => {
                    documents[token as usize].life = Life::Unknown;
                }
                StoreReply::VersionChanged { ticket, result } => {
                    if let Ok(revision) = result {
                        said += &format!("saved {ticket} {revision}.\n");
                    }
                }
                StoreReply::SnapshotStored { .. } | StoreReply::Swept { .. } => {}
                other => panic!("{other:?}"),
            }
            others -= 1;
        }
        std::io::stdout().write_all(said.as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
    }
}

fn next_request(state: &mut Document, number: u64, seed: &mut Seed) -> Option<StoreRequest> {
    let document = DocumentRef {
        name: name(number),
        token: number,
    };
    let chance = seed.below(100);
    Some(match state.life {
        Life::Waiting => return None,
        Life::Deleted if chance < 50 => StoreRequest::Sweep {
            ticket: 0,
            deleted_before_ms: 2,
        },
        Life::Deleted => {
            state.life = Life::Waiting;
            StoreRequest::Restore { document, at_ms: 3 }
        }
        Life::Live if chance < 2 => StoreRequest::PutSnapshot {
            document,
            revision: state.newest,
            snapshot: snapshot_at(number, state.newest),
            compact_to_revision: [None, Some(state.newest.saturating_sub(seed.below(20)))]
                [seed.below(2) as usize],
        },
        Life::Live if chance < 4 => {
            state.life = Life::Waiting;
            StoreRequest::Delete { document, at_ms: 1 }
        }
        Life::Live if chance < 10 => StoreRequest::SaveVersion {
            document: document.name,
            ticket: number,
            version: version_at(state.newest),
            versions_max: usize::MAX,
        },
        Life::Live | Life::Unknown => {
            state.life = Life::Live;
            state.newest += 1;
            StoreRequest::Append {
                document,
                kind: "log".into(),
                first_revision: state.newest,
                count: 1,
                record: record_at(number, state.newest),
            }
        }
    })
}
