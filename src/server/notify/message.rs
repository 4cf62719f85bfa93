//! A notice as the receiver gets it.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::auth::split_global_id;
use crate::codec::calendar::DateTime;
use crate::codec::record;
use crate::store::{FjallReader, HistoryRange, HistoryStart, News, Notice, Reader};

/// Who made a change is looked up in so much of it at most.
const AUTHORS_RECORDS_MAX: usize = 1000;
const AUTHORS_BYTES_MAX: usize = 256 * 1024;

/// The form that the Standard Webhooks specification recommends.
#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    id: &'a str,
    sequence: u64,
    tenant: &'a str,
    document: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authors: Option<BTreeSet<String>>,
}

/// The id of a notice: of all that it says, so that it is the same whenever it is sent, and another one's in a store that
/// was put back and has gone another way.
pub fn id(id_key: &[u8; 32], notice: &Notice) -> String {
    let mut hasher = blake3::Hasher::new_keyed(id_key);
    hasher.update(&notice.sequence.to_be_bytes());
    hasher.update(&notice.encode());
    let hash = hasher.finalize().to_hex();
    format!("msg_{}", &hash[..32])
}

/// What ids are made with.
pub fn id_key(identity_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("corelay 2026 ids of notices", identity_key)
}

pub fn body(notice: &Notice, id: &str, authors: Option<BTreeSet<String>>) -> Vec<u8> {
    let (tenant, document) = split_global_id(&notice.document);
    let (from_revision, revision) = match notice.news {
        News::Created | News::Changed => (Some(notice.from_revision), Some(notice.revision)),
        News::Deleted | News::Restored => (None, Some(notice.revision)),
        News::PeersJoined | News::PeersLeft => (None, None),
    };
    let message = Message {
        r#type: type_of(notice.news),
        timestamp: iso_8601(notice.time_ms),
        data: Data {
            id,
            sequence: notice.sequence,
            tenant,
            document,
            kind: &notice.kind,
            from_revision,
            revision,
            authors,
        },
    };
    serde_json::to_vec(&message).expect("it has text and numbers only")
}

fn type_of(news: News) -> &'static str {
    match news {
        News::Created => "document.created",
        News::Changed => "document.changed",
        News::Deleted => "document.deleted",
        News::Restored => "document.restored",
        News::PeersJoined => "peers.joined",
        News::PeersLeft => "peers.left",
    }
}

/// Who made a change, by their user ids. `None`: it is none, it is too large to look at, or its history has gone.
pub fn authors(reader: &FjallReader, notice: &Notice) -> Option<BTreeSet<String>> {
    match notice.news {
        News::Created | News::Changed => {}
        News::Deleted | News::Restored | News::PeersJoined | News::PeersLeft => return None,
    }
    let first = notice.from_revision + 1;
    let range = HistoryRange {
        start: HistoryStart::Revision(first),
        newest_first: false,
        until_revision: notice.revision,
        records_max: AUTHORS_RECORDS_MAX,
        bytes_max: AUTHORS_BYTES_MAX,
    };
    let history = reader.history(&notice.document, &range).ok()?;
    let mut next = first;
    let mut authors = BTreeSet::new();
    for bytes in &history.records {
        let record = record::decode_operations(bytes).ok()?;
        if record.revision > next {
            return None;
        }
        next = record.revision + record.operations.len() as u64;
        if !record.author.is_empty() {
            authors.insert(record.author.into_owned());
        }
    }
    (next > notice.revision).then_some(authors)
}

/// As in "2026-01-31T12:00:00.000Z".
fn iso_8601(unix_ms: u64) -> String {
    DateTime::of_unix_ms(unix_ms).text("T", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_others_write_them() {
        let table = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_798_761_600_000, "2027-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (unix_ms, expected) in table {
            assert_eq!(iso_8601(unix_ms), expected);
        }
    }

    #[test]
    fn an_id_is_that_of_all_that_is_said() {
        let notice = Notice {
            sequence: 1,
            news: News::Changed,
            document: "acme::notes".into(),
            kind: "text".into(),
            time_ms: 1_798_761_600_000,
            from_revision: 2,
            revision: 3,
        };
        let key = id_key(&[7; 32]);
        let first = id(&key, &notice);
        assert_eq!(first, id(&key, &notice.clone()));
        let others = [
            Notice {
                sequence: 2,
                ..notice.clone()
            },
            Notice {
                time_ms: 1,
                ..notice.clone()
            },
            Notice {
                revision: 4,
                ..notice.clone()
            },
        ];
        for other in others {
            assert_ne!(first, id(&key, &other));
        }
        let text = String::from_utf8(body(&notice, "msg_1", None)).unwrap();
        let expected = r#"{"type":"document.changed","timestamp":"2027-01-01T00:00:00.000Z","data":{"id":"msg_1","sequence":1,"tenant":"acme","document":"notes","kind":"text","fromRevision":2,"revision":3}}"#;
        assert_eq!(text, expected);
    }
}
