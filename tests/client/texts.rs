//! Texts on a session: what another epoch, or another life of the document, does to them.

use bytes::Bytes;
use corelay::client::TextDocument;
use corelay::codec::wire::{self, ErrorCode, Position, SyncMode, event::Body as Told};
use corelay::text::{Operation, Text};

use super::fixture::{HANDLE, OTHER, Play, delta, nack, page, up_to_date};

fn insert(place: usize, text: &str) -> Bytes {
    Operation::splice(place, 0, text).encode().into()
}

fn history(texts: &[&str]) -> Told {
    let operations = wire::RemoteOps {
        document: HANDLE,
        revision: 1,
        origin: OTHER,
        first_clock: 0,
        operations: texts.iter().map(|text| insert(0, text)).collect(),
    };
    page(vec![operations], false)
}

/// A text of three operations in the first epoch, whose connection is lost.
fn abandoned() -> (Play, TextDocument) {
    let mut play = Play::new();
    let mut text = TextDocument::open(&mut play.session, "paper", true);
    play.connect();
    play.sent();
    play.answer_open("text", delta(0, 0));
    play.tell(history(&["c", "b", "a"]));
    hear(&mut play, &mut text);
    assert_eq!(text.text(), Some(&Text::from("abc")));
    play.reconnect();
    (play, text)
}

fn hear(play: &mut Play, text: &mut TextDocument) {
    for event in play.events() {
        let told = text.handle_event(&event, &mut play.session);
        told.expect("what the relay sends fits");
    }
}

fn second_epoch(from_revision: u64, sync: SyncMode) -> wire::Opened {
    wire::Opened {
        position: Some(Position {
            epoch: 2,
            revision: 2,
        }),
        sync: sync as i32,
        ..delta(from_revision, 0)
    }
}

#[test]
fn the_history_of_another_epoch_takes_the_place_of_what_was_seen() {
    let (mut play, mut text) = abandoned();
    play.answer_open("text", second_epoch(0, SyncMode::Delta));
    play.tell(history(&["y", "x"]));
    hear(&mut play, &mut text);
    assert_eq!((text.text(), text.revision()), (Some(&Text::from("xy")), 2));
}

#[test]
fn a_snapshot_of_another_epoch_counts_though_its_revision_is_lower() {
    let (mut play, mut text) = abandoned();
    play.answer_open("text", second_epoch(2, SyncMode::Snapshot));
    play.tell(Told::SyncResponse(wire::SyncResponse {
        document: HANDLE,
        snapshot: Some(wire::SnapshotChunk {
            revision: 2,
            bytes_total: 2,
            data: Bytes::from_static(b"xy"),
            ..wire::SnapshotChunk::default()
        }),
        ..wire::SyncResponse::default()
    }));
    hear(&mut play, &mut text);
    assert_eq!((text.text(), text.revision()), (Some(&Text::from("xy")), 2));
}

#[test]
fn nothing_is_waited_for_when_all_edits_were_given_up() {
    let mut play = Play::new();
    let mut text = TextDocument::open(&mut play.session, "paper", true);
    play.connect();
    play.sent();
    play.answer_open("text", up_to_date(0, 0));
    hear(&mut play, &mut text);
    let type_letter = |play: &mut Play, text: &mut TextDocument| {
        let edited = text.edit(Operation::splice(0, 0, "a"), play.now);
        edited.expect("it fits");
        play.pass(100);
        assert_eq!(text.poll(&mut play.session, play.now), None);
    };
    type_letter(&mut play, &mut text);
    assert_eq!(play.batches(), [(1, 0, 1)]);
    type_letter(&mut play, &mut text);
    play.tell(Told::Nack(nack(1, ErrorCode::Forbidden, 0)));
    hear(&mut play, &mut text);
    assert_eq!(text.pending_operations(), 0);
    assert_eq!(text.poll(&mut play.session, play.now), None);
    assert_eq!(text.poll_timeout(&play.session), None);
}
