//! What the store keeps, as bytes: a format version, then an rkyv archive.
//!
//! Records of the format before are read, too; it knew neither times nor authors.
//!
//! The engine writes and reads records; the store moves them without looking inside. Whatever the bytes are,
//! decoding gives a value or a [`RecordError`]: the archive is checked before it is touched, and nothing is
//! allocated for a length that the bytes do not really have. Payloads are not copied: they are slices of what
//! the store gave.

use std::borrow::Cow;

use bytes::Bytes;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;
use rkyv::vec::ArchivedVec;
use rkyv::with::AsOwned;
use rkyv::{Archive, Portable, Serialize};

/// The format that is written.
pub const FORMAT_VERSION: u8 = 2;
/// The one before, which is still read.
const FORMAT_BEFORE: u8 = 1;

/// One batch of operations as it stands in a document's history.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct OperationsRecord<'a> {
    /// The revision of the first operation, at least 1; the others follow by one.
    pub revision: u64,
    /// The client id of who made them.
    pub origin: u64,
    /// The clock of the first operation; the others follow by one.
    pub first_clock: u64,
    /// At least one.
    pub operations: Vec<Bytes>,
    /// When it took its place, in Unix milliseconds: never earlier than the record before. 0: not known.
    pub time_ms: u64,
    /// The user id of who made them. Empty: not known.
    #[rkyv(with = AsOwned)]
    pub author: Cow<'a, str>,
}

/// A document at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Archive, Serialize)]
pub struct SnapshotRecord {
    pub revision: u64,
    /// What the document's kind makes of its state.
    pub state: Bytes,
    /// The bytes of all operations up to the revision.
    pub operation_bytes_total: u64,
    /// Everybody who wrote to the document up to the revision.
    pub clients: Vec<ClientRecord>,
    /// The time of the newest record up to the revision.
    pub time_ms: u64,
}

/// What is remembered of one writer, so that a resent operation is known again.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct ClientRecord {
    pub client_id: u64,
    /// The clock of the writer's next operation.
    pub next_clock: u64,
    /// Where the writer's newest operations stand in history.
    pub runs: Vec<RunRecord>,
}

/// Operations whose clocks and revisions both follow by one.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct RunRecord {
    pub first_clock: u64,
    pub first_revision: u64,
    pub count: u64,
}

/// What a client has offered in place of a log's operations up to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize)]
pub struct OfferRecord {
    pub revision: u64,
    pub data: Bytes,
    /// The client id and next clock of everybody who had written up to the revision, in the order of ids.
    pub next_clocks: Vec<(u64, u64)>,
}

/// The bytes are no record that this version can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record is empty")]
    Empty,
    #[error(
        "the record has format {found}, and this version of corelay reads formats {FORMAT_BEFORE} and {FORMAT_VERSION}"
    )]
    UnknownFormat { found: u8 },
    #[error("the record is damaged")]
    Damaged,
}

/// # Panics
///
/// If the record is longer than 2 GiB, which no limit of ours allows.
pub fn encode_operations(record: &OperationsRecord<'_>) -> Bytes {
    let payload: usize = record.operations.iter().map(Bytes::len).sum();
    let beside = 64 + record.author.len() + 8 * record.operations.len();
    let mut out = Vec::with_capacity(beside + payload);
    out.push(FORMAT_VERSION);
    rkyv::api::high::to_bytes_in::<_, Failure>(record, out)
        .expect("a Vec grows to what the record needs")
        .into()
}

pub fn decode_operations(bytes: &Bytes) -> Result<OperationsRecord<'_>, RecordError> {
    let record = access_operations(bytes)?;
    Ok(OperationsRecord {
        revision: record.revision,
        origin: record.origin,
        first_clock: record.first_clock,
        operations: record
            .operations
            .iter()
            .map(|operation| bytes.slice_ref(operation.as_slice()))
            .collect(),
        time_ms: record.time_ms,
        author: record.author.into(),
    })
}

/// The revision of a record's first operation, and how many it has.
pub fn operations_range(bytes: &[u8]) -> Result<(u64, u32), RecordError> {
    let record = access_operations(bytes)?;
    let count = u32::try_from(record.operations.len()).map_err(|_| RecordError::Damaged)?;
    Ok((record.revision, count))
}

/// When a record took its place.
pub fn operations_time_ms(bytes: &[u8]) -> Result<u64, RecordError> {
    Ok(access_operations(bytes)?.time_ms)
}

/// # Panics
///
/// If the record is longer than 2 GiB, which no limit of ours allows.
pub fn encode_snapshot(record: &SnapshotRecord) -> Bytes {
    let mut out = Vec::with_capacity(64 + record.state.len() + 64 * record.clients.len());
    out.push(FORMAT_VERSION);
    rkyv::api::high::to_bytes_in::<_, Failure>(record, out)
        .expect("a Vec grows to what the record needs")
        .into()
}

pub fn decode_snapshot(bytes: &Bytes) -> Result<SnapshotRecord, RecordError> {
    match split_format(bytes)? {
        (FORMAT_BEFORE, archive) => {
            let record = access::<before::ArchivedSnapshotRecord>(archive)?;
            Ok(SnapshotRecord {
                revision: record.revision.to_native(),
                state: bytes.slice_ref(record.state.as_slice()),
                operation_bytes_total: record.operation_bytes_total.to_native(),
                clients: record.clients.iter().map(client).collect(),
                time_ms: 0,
            })
        }
        (_newest, archive) => {
            let record = access::<ArchivedSnapshotRecord>(archive)?;
            Ok(SnapshotRecord {
                revision: record.revision.to_native(),
                state: bytes.slice_ref(record.state.as_slice()),
                operation_bytes_total: record.operation_bytes_total.to_native(),
                clients: record.clients.iter().map(client).collect(),
                time_ms: record.time_ms.to_native(),
            })
        }
    }
}

/// # Panics
///
/// If the record is longer than 2 GiB, which no limit of ours allows.
pub fn encode_offer(record: &OfferRecord) -> Bytes {
    let mut out = Vec::with_capacity(64 + record.data.len() + 16 * record.next_clocks.len());
    out.push(FORMAT_VERSION);
    rkyv::api::high::to_bytes_in::<_, Failure>(record, out)
        .expect("a Vec grows to what the record needs")
        .into()
}

pub fn decode_offer(bytes: &Bytes) -> Result<OfferRecord, RecordError> {
    // Both formats have the same.
    let (_, archive) = split_format(bytes)?;
    let record = access::<ArchivedOfferRecord>(archive)?;
    let next_clocks = record.next_clocks.iter();
    Ok(OfferRecord {
        revision: record.revision.to_native(),
        data: bytes.slice_ref(record.data.as_slice()),
        next_clocks: next_clocks
            .map(|entry| (entry.0.to_native(), entry.1.to_native()))
            .collect(),
    })
}

fn client(record: &ArchivedClientRecord) -> ClientRecord {
    ClientRecord {
        client_id: record.client_id.to_native(),
        next_clock: record.next_clock.to_native(),
        runs: record.runs.iter().map(run).collect(),
    }
}

fn run(record: &ArchivedRunRecord) -> RunRecord {
    RunRecord {
        first_clock: record.first_clock.to_native(),
        first_revision: record.first_revision.to_native(),
        count: record.count.to_native(),
    }
}

/// A record of operations of either format, where it lies.
struct Operations<'a> {
    revision: u64,
    origin: u64,
    first_clock: u64,
    operations: &'a ArchivedVec<ArchivedVec<u8>>,
    time_ms: u64,
    author: &'a str,
}

fn access_operations(bytes: &[u8]) -> Result<Operations<'_>, RecordError> {
    let record = match split_format(bytes)? {
        (FORMAT_BEFORE, archive) => {
            let record = access::<before::ArchivedOperationsRecord>(archive)?;
            Operations {
                revision: record.revision.to_native(),
                origin: record.origin.to_native(),
                first_clock: record.first_clock.to_native(),
                operations: &record.operations,
                time_ms: 0,
                author: "",
            }
        }
        (_newest, archive) => {
            let record = access::<ArchivedOperationsRecord<'_>>(archive)?;
            Operations {
                revision: record.revision.to_native(),
                origin: record.origin.to_native(),
                first_clock: record.first_clock.to_native(),
                operations: &record.operations,
                time_ms: record.time_ms.to_native(),
                author: &record.author,
            }
        }
    };
    let count = record.operations.len() as u64;
    let ends = [record.revision, record.first_clock];
    if record.revision == 0 || count == 0 || ends.iter().any(|at| at.checked_add(count).is_none()) {
        return Err(RecordError::Damaged);
    }
    Ok(record)
}

/// The format of a record, one of the two, and its archive.
fn split_format(bytes: &[u8]) -> Result<(u8, &[u8]), RecordError> {
    match bytes.split_first() {
        None => Err(RecordError::Empty),
        Some((&format @ (FORMAT_BEFORE | FORMAT_VERSION), archive)) => Ok((format, archive)),
        Some((&found, _)) => Err(RecordError::UnknownFormat { found }),
    }
}

fn access<T>(archive: &[u8]) -> Result<&T, RecordError>
where
    T: Portable + for<'a> CheckBytes<rkyv::api::high::HighValidator<'a, Failure>>,
{
    rkyv::access::<T, Failure>(archive).map_err(|_| RecordError::Damaged)
}

/// What differed in [`FORMAT_BEFORE`].
mod before {
    use bytes::Bytes;
    use rkyv::Archive;

    use super::ClientRecord;

    #[derive(Archive)]
    #[allow(dead_code, reason = "only the archived form is read")]
    pub struct OperationsRecord {
        pub revision: u64,
        pub origin: u64,
        pub first_clock: u64,
        pub operations: Vec<Bytes>,
    }

    #[derive(Archive)]
    #[allow(dead_code, reason = "only the archived form is read")]
    pub struct SnapshotRecord {
        pub revision: u64,
        pub state: Bytes,
        pub operation_bytes_total: u64,
        pub clients: Vec<ClientRecord>,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn payload() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..200).prop_map(Bytes::from)
    }

    fn operations_record() -> impl Strategy<Value = OperationsRecord<'static>> {
        let numbers = (1..u64::MAX / 2, any::<u64>(), 0..u64::MAX / 2);
        let made = (any::<u64>(), ".{0,20}");
        (numbers, vec(payload(), 1..30), made).prop_map(
            |((revision, origin, first_clock), operations, (time_ms, author))| OperationsRecord {
                revision,
                origin,
                first_clock,
                operations,
                time_ms,
                author: author.into(),
            },
        )
    }

    fn client_record() -> impl Strategy<Value = ClientRecord> {
        let run =
            any::<(u64, u64, u64)>().prop_map(|(first_clock, first_revision, count)| RunRecord {
                first_clock,
                first_revision,
                count,
            });
        (any::<(u64, u64)>(), vec(run, 0..5)).prop_map(|((client_id, next_clock), runs)| {
            ClientRecord {
                client_id,
                next_clock,
                runs,
            }
        })
    }

    fn snapshot_record() -> impl Strategy<Value = SnapshotRecord> {
        let numbers = any::<(u64, u64, u64)>();
        (numbers, payload(), vec(client_record(), 0..10)).prop_map(
            |((revision, operation_bytes_total, time_ms), state, clients)| SnapshotRecord {
                revision,
                state,
                operation_bytes_total,
                clients,
                time_ms,
            },
        )
    }

    /// What decoding may hold at most for an input: each entry of a list takes at least 8 bytes of the archive.
    fn held_bytes_max(input: &[u8]) -> usize {
        input.len() / 8 * size_of::<ClientRecord>().max(size_of::<Bytes>())
    }

    fn check_any(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        if let Ok(record) = decode_operations(&bytes) {
            assert_eq!(
                operations_range(&bytes),
                Ok((record.revision, record.operations.len() as u32))
            );
            let held = record.operations.capacity() * size_of::<Bytes>();
            assert!(held <= held_bytes_max(&bytes));
        }
        if let Ok(record) = decode_snapshot(&bytes) {
            let runs: usize = record.clients.iter().map(|c| c.runs.capacity()).sum();
            let held = record.clients.capacity() * size_of::<ClientRecord>()
                + runs * size_of::<RunRecord>();
            assert!(held <= 2 * held_bytes_max(&bytes));
        }
    }

    proptest! {
        #[test]
        fn operations_come_back(record in operations_record()) {
            let bytes = encode_operations(&record);
            prop_assert_eq!(bytes[0], FORMAT_VERSION);
            let range = (record.revision, record.operations.len() as u32);
            prop_assert_eq!(operations_range(&bytes), Ok(range));
            prop_assert_eq!(decode_operations(&bytes), Ok(record));
        }

        #[test]
        fn a_snapshot_comes_back(record in snapshot_record()) {
            prop_assert_eq!(decode_snapshot(&encode_snapshot(&record)), Ok(record));
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 1..300)) {
            for format in [FORMAT_BEFORE, FORMAT_VERSION] {
                bytes[0] = format;
                check_any(bytes.clone());
            }
        }

        #[test]
        fn mutated_records_never_panic(
            operations in operations_record(),
            snapshot in snapshot_record(),
            edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            for record in [encode_operations(&operations), encode_snapshot(&snapshot)] {
                let mut bytes = record.to_vec();
                // Lengths and pointers stand at the end, so half of the edits go there.
                for (at, (position, value)) in edits.iter().enumerate() {
                    let tail = bytes.len().min(48);
                    let position = if at % 2 == 0 {
                        bytes.len() - 1 - position.index(tail)
                    } else {
                        position.index(bytes.len())
                    };
                    bytes[position] = *value;
                }
                check_any(bytes.clone());
                bytes.truncate(cut.index(bytes.len() + 1));
                check_any(bytes);
            }
        }

        #[test]
        fn another_format_is_named(record in operations_record(), found in 3u8..) {
            let mut bytes = encode_operations(&record).to_vec();
            bytes[0] = found;
            let bytes = Bytes::from(bytes);
            prop_assert_eq!(decode_operations(&bytes), Err(RecordError::UnknownFormat { found }));
            prop_assert_eq!(decode_snapshot(&bytes), Err(RecordError::UnknownFormat { found }));
        }
    }

    #[test]
    fn records_that_mean_nothing_are_damaged() {
        let good = OperationsRecord {
            revision: 1,
            origin: 7,
            first_clock: 0,
            operations: vec![Bytes::from_static(b"x")],
            time_ms: 9,
            author: "ada".into(),
        };
        let no_revision = OperationsRecord {
            revision: 0,
            ..good.clone()
        };
        let past_the_end = OperationsRecord {
            first_clock: u64::MAX,
            ..good.clone()
        };
        let nothing = OperationsRecord {
            operations: vec![],
            ..good
        };
        for record in [no_revision, past_the_end, nothing] {
            let bytes = encode_operations(&record);
            assert_eq!(decode_operations(&bytes), Err(RecordError::Damaged));
        }
        assert_eq!(decode_operations(&Bytes::new()), Err(RecordError::Empty));
    }

    /// As the relay before wrote them.
    #[test]
    fn records_of_the_format_before_are_read() {
        let operations = Bytes::from_static(
            b"\x01onetwo, which is longer\xe9\xff\xff\xff\x03\x00\x00\x00\xe4\xff\xff\xff\x14\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\xd8\xff\xff\xff\x02\x00\x00\x00",
        );
        let expected = OperationsRecord {
            revision: 3,
            origin: 7,
            first_clock: 2,
            operations: vec!["one".into(), "two, which is longer".into()],
            time_ms: 0,
            author: "".into(),
        };
        assert_eq!(decode_operations(&operations), Ok(expected));
        assert_eq!(operations_range(&operations), Ok((3, 2)));
        assert_eq!(operations_time_ms(&operations), Ok(0));
        let snapshot = Bytes::from_static(
            b"\x01state\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xd8\xff\xff\xff\x01\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\xc3\xff\xff\xff\x05\x00\x00\x00c\x00\x00\x00\x00\x00\x00\x00\xd0\xff\xff\xff\x01\x00\x00\x00",
        );
        let run = RunRecord {
            first_clock: 0,
            first_revision: 1,
            count: 4,
        };
        let expected = SnapshotRecord {
            revision: 4,
            state: "state".into(),
            operation_bytes_total: 99,
            clients: vec![ClientRecord {
                client_id: 7,
                next_clock: 4,
                runs: vec![run],
            }],
            time_ms: 0,
        };
        assert_eq!(decode_snapshot(&snapshot), Ok(expected));
        let offer = Bytes::from_static(
            b"\x01summary\x07\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\xe1\xff\xff\xff\x07\x00\x00\x00\xe0\xff\xff\xff\x01\x00\x00\x00",
        );
        let expected = OfferRecord {
            revision: 2,
            data: "summary".into(),
            next_clocks: vec![(7, 2)],
        };
        assert_eq!(decode_offer(&offer), Ok(expected));
    }

    #[test]
    fn payloads_are_slices_of_the_record() {
        let record = OperationsRecord {
            revision: 1,
            origin: 7,
            first_clock: 0,
            operations: vec![Bytes::from(vec![1; 1000])],
            time_ms: 9,
            author: "".into(),
        };
        let bytes = encode_operations(&record);
        let decoded = decode_operations(&bytes).unwrap();
        assert!(
            bytes
                .as_ptr_range()
                .contains(&decoded.operations[0].as_ptr())
        );
    }
}
