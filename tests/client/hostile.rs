//! A relay that sends anything.

use corelay::codec::wire::{self, ErrorCode, event::Body as Told};

use crate::fixture::{
    CLIENT, HANDLE, OTHER, Play, ack, at, batch, delta, nack, operations, page, up_to_date,
    violation,
};

#[test]
fn whatever_the_relay_sends_there_is_an_answer_and_no_panic() {
    let mut random = 1_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random >> 33
    };
    let mut violations = 0;
    for _ in 0..2_000 {
        let (mut play, document) = Play::opened("text", up_to_date(0, 0));
        play.session
            .submit_batch(document, batch(0, 1))
            .expect("ready");
        play.batches();
        for _ in 0..6 {
            let mut small = || next() % 4;
            let body = match small() + small() {
                0 => Told::Ack(ack(small(), small(), small() as u32, small())),
                1 => Told::RemoteOps(operations(small(), CLIENT, small(), small() as usize)),
                2 => page(vec![operations(small(), OTHER, small(), 1)], small() > 1),
                3 => Told::Resync(wire::Resync {
                    document: HANDLE,
                    from: at(small()),
                    sync: small() as i32,
                    next_clock: small(),
                    ..wire::Resync::default()
                }),
                4 => Told::Nack(nack(small(), ErrorCode::SyncConflict, small())),
                5 => Told::Opened(delta(small(), u64::MAX - small())),
                _ => Told::RemoteOps(operations(u64::MAX - small(), OTHER, u64::MAX, 2)),
            };
            play.tell(body);
            play.pass(60);
            play.sent();
        }
        violations += usize::from(violation(&play.events()).is_some());
    }
    assert!(violations > 1_000, "{violations}");
}
