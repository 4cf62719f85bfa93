//! Stores with real content, and `corelay store` as people run it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bytes::Bytes;
use corelay::codec::record::{
    self, ClientRecord, OfferRecord, OperationsRecord, RunRecord, SnapshotRecord,
};
use corelay::store::{Backend, FjallStore, StoredVersion, Write};
use corelay::text::{Operation, Text};

/// What a run of `corelay store` ended with.
#[derive(Debug)]
pub struct Ended {
    /// `None`: it was ended by a signal, as a panic does.
    pub code: Option<i32>,
    pub out: String,
    pub error: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            error: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// What it printed, if all went well.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// `corelay store VERB --path PATH …`.
pub fn tool(verb: &str, path: &Path, arguments: &[&str]) -> Ended {
    tool_with(verb, path, arguments, Stdio::null())
}

pub fn tool_with(verb: &str, path: &Path, arguments: &[&str], input: Stdio) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_corelay"))
        .args(["store", verb, "--path"])
        .arg(path)
        .args(arguments)
        .stdin(input)
        .output();
    Ended::new(output.expect("the binary runs"))
}

/// `corelay store verify`, whose verdict is that all is well, or not.
pub fn verify(path: &Path) -> (bool, String) {
    let ended = tool("verify", path, &[]);
    match ended.code {
        Some(0) => (true, ended.out),
        Some(1) => (false, ended.out + &ended.error),
        _ => panic!("{ended:?}"),
    }
}

/// A document as its writers know it.
#[derive(Debug, Clone)]
pub struct Document {
    pub name: String,
    pub kind: &'static str,
    pub first_revision: u64,
    pub next_revision: u64,
    pub text: Text,
    pub clients: BTreeMap<u64, ClientRecord>,
    operation_bytes: u64,
    time_ms: u64,
    /// What a client has offered.
    offer: Option<OfferRecord>,
}

impl Document {
    /// Nothing of it is stored yet.
    pub fn new(name: &str, kind: &'static str, first_revision: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            first_revision,
            next_revision: first_revision,
            text: Text::default(),
            clients: BTreeMap::new(),
            operation_bytes: 0,
            time_ms: 0,
            offer: None,
        }
    }

    pub fn newest(&self) -> u64 {
        self.next_revision - 1
    }

    /// A batch of a client's, which says what happens at that time.
    pub fn append(&mut self, client: u64, words: &[&[u8]], author: &str, time_ms: u64) -> Write {
        let mut operations = Vec::new();
        for word in words {
            let bytes = match self.kind {
                "text" => {
                    let words = String::from_utf8_lossy(word);
                    let length = self.text.len_utf16();
                    let operation = match word.len() % 3 {
                        0 if length > 0 && self.text.to_string().is_ascii() => {
                            Operation::splice(word.len() % length, 1, &words)
                        }
                        _ => Operation::splice(length, 0, &format!("{words}.")),
                    };
                    self.text.apply(&operation).expect("it fits");
                    Bytes::from(operation.encode())
                }
                _log => Bytes::copy_from_slice(word),
            };
            self.operation_bytes += bytes.len() as u64;
            operations.push(bytes);
        }
        let count = operations.len() as u64;
        let (first_revision, next) = (self.next_revision, self.next_revision + count);
        let known = self.clients.entry(client).or_insert(ClientRecord {
            client_id: client,
            next_clock: 0,
            runs: Vec::new(),
        });
        let first_clock = known.next_clock;
        known.next_clock += count;
        known.runs = vec![RunRecord {
            first_clock,
            first_revision,
            count,
        }];
        self.next_revision = next;
        self.time_ms = time_ms;
        Write::Append {
            document: self.name.as_str().into(),
            kind: self.kind.into(),
            first_revision,
            count: count as u32,
            record: record::encode_operations(&OperationsRecord {
                revision: first_revision,
                origin: client,
                first_clock,
                operations,
                time_ms,
                author: author.into(),
            }),
        }
    }

    /// A snapshot as it is now. With an offer, of a log, all before it goes.
    pub fn snapshot(&mut self, offer: Option<&[u8]>) -> Write {
        let revision = self.newest();
        if let Some(data) = offer.filter(|_| self.kind == "log") {
            let clients = self.clients.values();
            self.offer = Some(OfferRecord {
                revision,
                data: Bytes::copy_from_slice(data),
                next_clocks: clients
                    .map(|client| (client.client_id, client.next_clock))
                    .collect(),
            });
        }
        let state = match (self.kind, &self.offer) {
            ("text", _) => self.text.to_string().into(),
            (_, Some(offer)) => record::encode_offer(offer),
            (_, None) => Bytes::new(),
        };
        let compacts = offer.is_some() && self.kind == "log";
        Write::Snapshot {
            document: self.name.as_str().into(),
            revision,
            snapshot: record::encode_snapshot(&SnapshotRecord {
                revision,
                state,
                operation_bytes_total: self.operation_bytes,
                clients: self.clients.values().cloned().collect(),
                time_ms: self.time_ms,
            }),
            compact_to_revision: compacts.then_some(revision),
        }
    }

    pub fn version(&self, name: &str, revision: u64) -> Write {
        Write::SaveVersion {
            document: self.name.as_str().into(),
            version: StoredVersion {
                name: name.into(),
                revision,
                time_ms: 1_700_000_000_000 + revision,
                author: "ada".into(),
            },
            versions_max: usize::MAX,
        }
    }
}

/// Commits, and goes on until nothing is unfinished.
pub fn commit(store: &mut FjallStore, writes: &[Write]) {
    store.commit(writes).expect("there is room");
    while store.is_unfinished() {
        store.commit(&[]).expect("there is room");
    }
    store.sync().expect("there is room");
}
