use super::*;
use crate::client::Event;
use crate::codec::wire::Durability;

const ORIGIN: u64 = 9;

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        writer: 0,
        sequence,
        due_us: 1,
    }
}

fn remote(revision: u64, sequences: &[u64]) -> Event {
    Event::Remote {
        document: DOCUMENT,
        revision,
        origin: ORIGIN,
        first_clock: revision - 1,
        operations: sequences
            .iter()
            .map(|sequence| stamp(*sequence).log_payload(30))
            .collect(),
    }
}

fn acknowledged(first_revision: u64, sequence: u64) -> Event {
    Event::Acknowledged {
        document: DOCUMENT,
        first_revision,
        first_clock: first_revision - 1,
        count: 1,
        operations: vec![stamp(sequence).log_payload(30)],
        durability: Some(Durability::Always),
    }
}

fn ledgers() -> Ledgers {
    Ledgers::new(Kind::Log, &["paper".to_owned()])
}

fn promises(ledgers: &Ledgers) -> Vec<&'static str> {
    ledgers.verdict().into_keys().collect()
}

fn history(entries: &[(u64, u64)]) -> History {
    let mut history = History::default();
    for (clock, sequence) in entries {
        history.read(
            Kind::Log,
            ORIGIN,
            *clock,
            &[stamp(*sequence).log_payload(30)],
        );
    }
    history
}

#[test]
fn a_run_in_which_every_promise_was_kept() {
    let ledgers = ledgers();
    let (mut writer, mut reader) = (Witness::new(0, 0), Witness::new(0, 1));
    writer.see(&ledgers, ORIGIN, &acknowledged(1, 0));
    reader.see(&ledgers, 10, &remote(1, &[0, 1]));
    writer.see(&ledgers, ORIGIN, &acknowledged(2, 1));
    // A repeated answer.
    writer.see(&ledgers, ORIGIN, &acknowledged(2, 1));
    ledgers.judge_history(0, 0, &history(&[(0, 0), (1, 1)]), &[2]);
    assert_eq!(ledgers.verdict(), Verdict::default());
    assert_eq!(ledgers.last(0), (0, 2));
}

#[test]
fn every_broken_promise_is_named() {
    let ledgers_with = |events: &[Event]| {
        let ledgers = ledgers();
        for event in events {
            Witness::new(0, 0).see(&ledgers, ORIGIN, event);
        }
        ledgers
    };
    assert_eq!(promises(&ledgers_with(&[remote(2, &[0])])), ["S1 order"]);
    assert_eq!(
        promises(&ledgers_with(&[remote(1, &[0]), remote(1, &[1])])),
        ["S2 agreement"]
    );
    let phantom = Event::Remote {
        document: DOCUMENT,
        revision: 1,
        origin: ORIGIN,
        first_clock: 0,
        operations: vec![Bytes::from_static(b"who wrote this, and what for")],
    };
    assert_eq!(promises(&ledgers_with(&[phantom])), ["S4 no phantom"]);

    /// What clients saw, what a new reader gets, and what that breaks.
    type Case<'a> = (&'a [Event], &'a [(u64, u64)], &'a str);
    let table: [Case<'_>; 6] = [
        (&[acknowledged(1, 0)], &[(0, 1)], "S3 durability"),
        (&[remote(1, &[0, 1])], &[(0, 0)], "S4 no phantom"),
        (&[], &[(0, 7)], "S4 no phantom"),
        (&[], &[(0, 0), (0, 1)], "S5 once"),
        (&[], &[(0, 0), (1, 0)], "S5 once"),
        (&[], &[(0, 1), (1, 0)], "S6 FIFO"),
    ];
    for (events, entries, promise) in table {
        let ledgers = ledgers_with(events);
        ledgers.judge_history(0, 0, &history(entries), &[2]);
        assert!(
            promises(&ledgers).contains(&promise),
            "{promise}: {entries:?}"
        );
    }
}

#[test]
fn an_epoch_excuses_the_weaker_modes_only() {
    for (durability, expected) in [(Durability::Interval, 0), (Durability::Always, 1)] {
        let ledgers = ledgers();
        let mut writer = Witness::new(0, 0);
        let mut event = acknowledged(1, 0);
        if let Event::Acknowledged {
            durability: said, ..
        } = &mut event
        {
            *said = Some(durability);
        }
        writer.see(&ledgers, ORIGIN, &event);
        ledgers.judge_history(0, 5, &history(&[(0, 1)]), &[2]);
        assert_eq!(ledgers.verdict().len(), expected, "{durability:?}");
    }
}
