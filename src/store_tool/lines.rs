//! Documents as lines of JSON: what `export` writes and `import` reads. `docs/store.md` describes it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::codec::json::{Payload, read_base64, write_base64};
use crate::codec::record::{
    self, ClientRecord, OfferRecord, OperationsRecord, RunRecord, SnapshotRecord,
};
use crate::store::StoredVersion;

/// Of what is written. A file of a later one is not read.
pub const VERSION: u32 = 1;
/// The largest that every reader of JSON knows exactly.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// The first.
    CorelayExport(Head),
    /// What follows is this document's.
    Document(Document),
    /// What its operations up to a revision come to. Before them.
    Snapshot(Box<Snapshot>),
    /// Operations that were made at once.
    Operations(Box<Operations>),
    Version(Version),
    /// That was all of the document.
    End(End),
    /// A document of which nothing is left.
    Gone(Gone),
    /// The last line.
    Exported(Exported),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    pub version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    pub name: String,
    pub kind: String,
    /// Of this life: earlier ones have ended one before.
    #[serde(deserialize_with = "number")]
    pub first_revision: u64,
    /// That is kept.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_number"
    )]
    pub history_from_revision: Option<u64>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_number"
    )]
    pub snapshot_revision: Option<u64>,
    /// It is deleted, and can be restored.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_number"
    )]
    pub deleted_at_ms: Option<u64>,
}

/// Of the state one of the three, as the kind is; of a log without a client's snapshot none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "number")]
    pub time_ms: u64,
    #[serde(deserialize_with = "number")]
    pub operation_bytes_total: u64,
    pub clients: Vec<Client>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<RawValue>>,
}

/// Who has written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Client {
    pub id: u64,
    /// How many operations.
    #[serde(deserialize_with = "number")]
    pub next_clock: u64,
    /// Where the newest of them stand: (first clock, first revision, how many).
    pub runs: Vec<(u64, u64, u64)>,
}

/// What a client has offered in place of a log's operations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offer {
    #[serde(deserialize_with = "number")]
    pub revision: u64,
    /// As an operation of a log.
    pub data: Box<RawValue>,
    /// (client, next clock).
    pub next_clocks: Vec<(u64, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Operations {
    /// Of the first; the others follow by one.
    #[serde(deserialize_with = "number")]
    pub revision: u64,
    /// The client's id.
    pub origin: u64,
    /// Of the first; the others follow by one.
    #[serde(deserialize_with = "number")]
    pub first_clock: u64,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "number")]
    pub time_ms: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Of a text its components, of a log the JSON value that it is; anything else as `{"base64": …}`.
    pub operations: Vec<Box<RawValue>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    pub name: String,
    #[serde(deserialize_with = "number")]
    pub revision: u64,
    #[serde(deserialize_with = "number")]
    pub time_ms: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct End {
    /// The newest.
    #[serde(deserialize_with = "number")]
    pub revision: u64,
    /// What a text is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gone {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
    pub name: String,
    /// Its newest. A document that is made under its name begins one later.
    #[serde(deserialize_with = "number")]
    pub revision: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exported {
    /// How many there are above.
    pub documents: u64,
}

/// A revision, a clock, a time or a sum of bytes: after one that is larger another could not be counted.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    match number <= NUMBER_MAX {
        true => Ok(number),
        false => Err(D::Error::custom(format!(
            "{number} is larger than anything that is counted"
        ))),
    }
}

fn some_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    number(deserializer).map(Some)
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A line does not say what it should. Its words are for whoever has the file.
pub type LineError = String;

impl Line {
    /// Without the end of the line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("everything in it has a form in JSON")
    }
}

impl Operations {
    pub fn new(kind: &str, record: &OperationsRecord<'_>) -> Self {
        let operations = record.operations.iter();
        Self {
            revision: record.revision,
            origin: record.origin,
            first_clock: record.first_clock,
            time_ms: record.time_ms,
            author: record.author.clone().into_owned(),
            operations: operations.map(|bytes| value(kind, bytes)).collect(),
        }
    }

    pub fn record(&self, kind: &str) -> Result<OperationsRecord<'_>, LineError> {
        let operations = self.operations.iter();
        let operations: Result<Vec<Bytes>, _> =
            operations.map(|value| bytes_of(kind, value)).collect();
        let count = self.operations.len() as u64;
        let ends = [self.revision, self.first_clock];
        if count == 0 || self.revision == 0 || ends.iter().any(|at| at.checked_add(count).is_none())
        {
            return Err("these are no operations".to_owned());
        }
        Ok(OperationsRecord {
            revision: self.revision,
            origin: self.origin,
            first_clock: self.first_clock,
            operations: operations?,
            time_ms: self.time_ms,
            author: Cow::Borrowed(&self.author),
        })
    }
}

impl Snapshot {
    pub fn new(kind: &str, record: &SnapshotRecord) -> Snapshot {
        let client = |client: &ClientRecord| Client {
            id: client.client_id,
            next_clock: client.next_clock,
            runs: (client.runs.iter())
                .map(|run| (run.first_clock, run.first_revision, run.count))
                .collect(),
        };
        let mut snapshot = Snapshot {
            time_ms: record.time_ms,
            operation_bytes_total: record.operation_bytes_total,
            clients: record.clients.iter().map(client).collect(),
            text: None,
            offer: None,
            state: None,
        };
        let state = &record.state;
        match (kind, str::from_utf8(state), record::decode_offer(state)) {
            ("text", Ok(text), _) => snapshot.text = Some(text.to_owned()),
            ("log", _, _) if state.is_empty() => {}
            ("log", _, Ok(offer)) => {
                snapshot.offer = Some(Offer {
                    revision: offer.revision,
                    data: value(kind, &offer.data),
                    next_clocks: offer.next_clocks,
                });
            }
            _ => snapshot.state = Some(in_base64(state)),
        }
        snapshot
    }

    pub fn record(&self, kind: &str, revision: u64) -> Result<SnapshotRecord, LineError> {
        let client = |client: &Client| ClientRecord {
            client_id: client.id,
            next_clock: client.next_clock,
            runs: (client.runs.iter())
                .map(|(first_clock, first_revision, count)| RunRecord {
                    first_clock: *first_clock,
                    first_revision: *first_revision,
                    count: *count,
                })
                .collect(),
        };
        let state = match (kind, &self.text, &self.offer, &self.state) {
            ("text", Some(text), None, None) => Bytes::copy_from_slice(text.as_bytes()),
            ("log", None, None, None) => Bytes::new(),
            ("log", None, Some(offer), None) => record::encode_offer(&OfferRecord {
                revision: offer.revision,
                data: bytes_of(kind, &offer.data)?,
                next_clocks: offer.next_clocks.clone(),
            }),
            (_, None, None, Some(state)) => {
                read_base64(state).map_err(|error| error.to_string())?
            }
            _ => return Err(format!("this is no snapshot of a {kind}")),
        };
        Ok(SnapshotRecord {
            revision,
            state,
            operation_bytes_total: self.operation_bytes_total,
            clients: self.clients.iter().map(client).collect(),
            time_ms: self.time_ms,
        })
    }
}

impl From<StoredVersion> for Version {
    fn from(version: StoredVersion) -> Self {
        Self {
            name: version.name.to_string(),
            revision: version.revision,
            time_ms: version.time_ms,
            author: version.author.to_string(),
        }
    }
}

impl From<Version> for StoredVersion {
    fn from(version: Version) -> Self {
        Self {
            name: version.name.into(),
            revision: version.revision,
            time_ms: version.time_ms,
            author: version.author.into(),
        }
    }
}

/// An operation as it can be read, if nothing is lost by it.
fn value(kind: &str, bytes: &Bytes) -> Box<RawValue> {
    let payload = Payload::of_kind(kind);
    let mut json = Vec::new();
    payload.write(bytes, &mut json);
    let is_line = !json.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let value = String::from_utf8(json).ok().filter(|_| is_line);
    let value = value.and_then(|json| RawValue::from_string(json).ok());
    // A text's operation may have been encoded in another way than we would.
    match value {
        Some(value) if bytes_of(kind, &value).as_ref() == Ok(bytes) => value,
        _other => in_base64(bytes),
    }
}

fn bytes_of(kind: &str, value: &RawValue) -> Result<Bytes, LineError> {
    let payload = Payload::of_kind(kind);
    let read = match payload {
        Payload::TextComponents if value.get().starts_with('{') => read_base64(value),
        Payload::TextComponents | Payload::Json => payload.read(value),
    };
    read.map_err(|error| error.to_string())
}

fn in_base64(bytes: &[u8]) -> Box<RawValue> {
    let mut json = Vec::new();
    write_base64(bytes, &mut json);
    let json = String::from_utf8(json).expect("base64 is text");
    RawValue::from_string(json).expect("an object is JSON")
}
