//! Snapshots that the relay sends.

use bytes::Bytes;
use corelay::client::Event;
use corelay::codec::wire::{self, SyncMode, event::Body as Told};

use crate::fixture::{HANDLE, OTHER, Play, batch, operations, page, remote_revisions, up_to_date};

#[test]
fn a_snapshot_is_put_together_and_settles_what_it_contains() {
    let (mut play, document) = Play::opened("text", up_to_date(0, 0));
    play.session
        .submit_batch(document, batch(0, 2))
        .expect("ready");
    assert!(!play.session.is_ready(document));
    assert_eq!(play.batches(), [(1, 0, 2)]);
    play.reconnect();
    play.events();
    play.answer_open(
        "text",
        wire::Opened {
            sync: SyncMode::Snapshot as i32,
            ..up_to_date(9, 2)
        },
    );
    let chunk = |offset: u64, data: &'static [u8]| {
        Told::SyncResponse(wire::SyncResponse {
            document: HANDLE,
            snapshot: Some(wire::SnapshotChunk {
                revision: 8,
                bytes_total: 5,
                offset,
                data: Bytes::from_static(data),
                next_clock: 2,
            }),
            operations: Vec::new(),
            has_more: true,
            ..Default::default()
        })
    };
    play.tell(chunk(0, b"hel"));
    play.tell(chunk(3, b"lo"));
    play.tell(page(vec![operations(9, OTHER, 0, 1)], false));
    let events = play.events();
    assert_eq!(play.session.pending_operations(document), 0);
    assert!(events.contains(&Event::Snapshot {
        document,
        revision: 8,
        data: Bytes::from_static(b"hello"),
        next_clock: 2
    }));
    assert_eq!(remote_revisions(&events), [(9, 1)]);
    assert!(play.session.is_ready(document));
}
