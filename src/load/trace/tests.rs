use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::client::text::TextClient;
use crate::client::text::relay::{Event, Relay, Request};
use crate::text::{Operation, Text};

use super::*;

/// A small generator of numbers, the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Replays a history through a small relay with random delays, and connections that break if `breaks`. Returns how many
/// transactions the relay transformed.
fn replay(history: &History, seed: u64, breaks: bool) -> u64 {
    let mut chance = Chance(seed);
    let agents_count = history.agents.len();
    let client_ids: Vec<u64> = (1..=agents_count as u64).collect();
    let reader = agents_count;
    let mut relay = Relay::new(client_ids.iter().copied().chain([100, 101]));
    let mut agents: Vec<Agent> = (0..agents_count)
        .map(|index| Agent::new(history, index, &client_ids))
        .collect();
    let mut readers = [100, 101].map(|id| TextClient::new(id, 0));
    for connection in 0..=reader {
        relay.connect(connection, 0, None);
    }
    let mut idle = 0;
    while !agents.iter().all(Agent::is_finished) {
        idle += 1;
        assert!(idle < 100_000, "the replay goes on");
        let index = chance.below(agents_count);
        let agent = &mut agents[index];
        match chance.below(4) {
            0 => {
                if let Some(batch) = agent
                    .poll_batch(1 + chance.below(50), 1 << 20)
                    .expect("a batch")
                {
                    relay.connections[index]
                        .requests
                        .push_back(Request::Batch(batch));
                }
            }
            1 => relay.handle_request(index, breaks && chance.below(10) == 0),
            2 => relay.sync(chance.below(4)),
            _ if breaks && chance.below(100) == 0 => {
                agent.handle_disconnected();
                relay.connect(index, agent.revision(), None);
            }
            _ => {
                for _ in 0..chance.below(10) {
                    let Some(event) = relay.connections[index].events.pop_front() else {
                        break;
                    };
                    idle = 0;
                    handle(agent, event).expect("the replay goes on");
                }
            }
        }
    }
    relay.connect(reader + 1, 0, Some(7));
    for (connection, client) in (reader..).zip(&mut readers) {
        while let Some(event) = relay.connections[connection].events.pop_front() {
            read(client, event);
        }
        assert_eq!(client.revision(), history.transactions() as u64);
        assert!(
            client.text().to_string() == history.end,
            "a reader ends with the text"
        );
    }
    for agent in &agents {
        assert!(
            agent.text().to_string() == history.end,
            "an agent ends with the text"
        );
    }
    assert_eq!(relay.document, Text::from(history.end.as_str()));
    agents.iter().map(Agent::transformed_transactions).sum()
}

fn handle(agent: &mut Agent, event: Event) -> Result<(), ReplayError> {
    match event {
        Event::Operations {
            first_revision,
            origin,
            first_clock,
            operations,
        } => agent.handle_remote(first_revision, origin, first_clock, &operations),
        Event::Ack {
            first_revision,
            count,
        } => agent.handle_ack(first_revision, count),
        Event::Nack => agent.handle_nack(),
        Event::CaughtUp { next_clock } => {
            agent.handle_caught_up(next_clock);
            Ok(())
        }
        Event::Resync | Event::Snapshot { .. } => panic!("nobody asked for {event:?}"),
    }
}

fn read(client: &mut TextClient, event: Event) {
    match event {
        Event::Operations {
            first_revision,
            origin,
            first_clock,
            operations,
        } => {
            client
                .remote(first_revision, origin, first_clock, &operations)
                .expect("the next revisions");
        }
        Event::Snapshot {
            revision,
            next_clock,
            data,
        } => {
            client.snapshot(revision, next_clock, Text::from(data.as_str()));
        }
        Event::CaughtUp { next_clock } => client.caught_up(next_clock),
        Event::Resync | Event::Ack { .. } | Event::Nack => panic!("a reader got {event:?}"),
    }
}

fn read_history(path: &Path) -> History {
    let bytes = std::fs::read(path).expect("the file is there");
    History::read(&bytes).expect("it is a history")
}

#[test]
fn histories_from_elsewhere_end_with_their_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    for name in [
        "friendsforever.json.gz",
        "friendsforever_flat.json.gz",
        "sveltecomponent.json.gz",
        "automerge-paper.json.gz",
    ] {
        let path = folder.join(name);
        if !path.exists() {
            println!("skipped: {} is not there", path.display());
            continue;
        }
        let history = read_history(&path);
        let concurrent = history.agents.len() > 1;
        let seeds = if concurrent { 3 } else { 1 };
        for seed in 0..seeds {
            let transformed = replay(&history, seed, seed == 1);
            assert_eq!(transformed > 0, concurrent, "{name}: the relay transforms");
            println!(
                "{name}: {} transactions, {transformed} transformed by the relay",
                history.transactions()
            );
        }
    }
}

fn own_history() -> History {
    read_history(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/three_authors.json.gz"))
}

#[test]
fn the_own_history_ends_with_its_text_in_every_order() {
    let history = own_history();
    assert_eq!(history.agents.len(), 3);
    assert!(
        history
            .end
            .chars()
            .any(|character| character.len_utf16() == 2)
    );
    for seed in 0..30 {
        let transformed = replay(&history, seed, seed % 2 == 1);
        assert!(transformed > 100, "the relay transforms");
    }
}

fn read_json(json: &Value) -> Result<History, HistoryError> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(json.to_string().as_bytes())
        .expect("it is written to memory");
    History::read(&gzip.finish().expect("it is written to memory"))
}

/// The concurrent form: of each transaction its agent, its parents and what it inserts at the start.
fn concurrent(agents: usize, end: &str, transactions: &[(usize, &[usize], &str)]) -> Value {
    let transactions: Vec<Value> = transactions
        .iter()
        .map(|(agent, parents, text)| {
            json!({ "agent": agent, "parents": parents, "patches": [[0, 0, text]] })
        })
        .collect();
    json!({ "kind": "concurrent", "numAgents": agents, "endContent": end, "txns": transactions })
}

#[test]
fn a_sequential_history_is_one_agent_who_also_wrote_the_start() {
    let history = read_json(&json!({
        "startContent": "a👋b",
        "endContent": "👋cd",
        "txns": [
            { "time": "", "patches": [[2, 1, "c"], [0, 1, ""]] },
            { "time": "", "patches": [[2, 0, "d"]] },
        ],
    }));
    let history = history.expect("it is a history");
    let [transactions] = &history.agents[..] else {
        panic!("one agent");
    };
    let both = Operation::builder()
        .delete(1)
        .retain(2)
        .insert("c")
        .delete(1)
        .build();
    let operations: Vec<&Operation> = transactions
        .iter()
        .map(|transaction| &transaction.operation)
        .collect();
    assert_eq!(
        operations,
        [
            &Operation::splice(0, 0, "a👋b"),
            &both,
            &Operation::splice(3, 0, "d")
        ]
    );
    assert_eq!(replay(&history, 0, false), 0);
}

#[test]
fn what_is_no_history_is_refused_with_its_reason() {
    assert!(matches!(History::read(b"[]"), Err(HistoryError::Gzip(_))));
    assert!(matches!(read_json(&json!([])), Err(HistoryError::Json(_))));
    let refused = |json: Value| read_json(&json).expect_err("it is refused").to_string();
    for (json, reason) in [
        (concurrent(1001, "", &[]), "1001 agents are more than 1000"),
        (
            concurrent(1, "", &[(1, &[], "a")]),
            "transaction 0: its agent 1 is not one of 1",
        ),
        (
            concurrent(1, "", &[(0, &[0], "a")]),
            "transaction 0: its parent 0 does not come before it",
        ),
        (
            concurrent(1, "", &[(0, &[], "a"), (0, &[], "b")]),
            "transaction 1: its agent had not seen its own transaction before it",
        ),
        (
            json!({ "endContent": "", "txns": [{ "patches": [[1, 0, "a"]] }] }),
            "transaction 0: a patch does not fit the text: the operation reaches past the end of the document",
        ),
        (
            // Two saw what the other two wrote, each only one of it: no order has both as beginnings.
            concurrent(
                4,
                "",
                &[(0, &[], "a"), (1, &[], "b"), (2, &[0], "c"), (3, &[1], "d")],
            ),
            "there is no one order of the transactions in which everybody sees what they had seen",
        ),
        (
            concurrent(2, "ba", &[(0, &[], "a"), (1, &[], "b")]),
            "the transactions do not end with the file's text where the first agent's inserts stand left",
        ),
    ] {
        assert_eq!(refused(json), reason);
    }
}

#[test]
fn what_somebody_had_not_seen_comes_after_what_they_had() {
    // The file has them in another order than the third agent can have seen.
    let transactions: [(_, &[usize], _); 3] = [(1, &[], "b"), (0, &[], "a"), (2, &[1], "c")];
    let history = read_json(&concurrent(3, "cab", &transactions)).expect("it is a history");
    assert_eq!(history.agents[1][0].after[..], [1, 0, 0]);
    replay(&history, 0, false);
}

#[test]
fn what_was_not_seen_is_left_to_the_relay() {
    let transactions: [(_, &[usize], _); 2] = [(0, &[], "a"), (1, &[], "b")];
    let history = read_json(&concurrent(2, "ab", &transactions)).expect("it is a history");
    let mut agent = Agent::new(&history, 1, &[10, 20]);
    agent.handle_caught_up(0);
    // They touch, so the file's order is kept: the second waits for the first to arrive …
    assert_eq!(agent.poll_batch(50, 1000), Ok(None));
    let first = Bytes::from(Operation::splice(0, 0, "a").encode());
    agent
        .handle_remote(1, 10, 0, &[first])
        .expect("the next revision");
    // … and is sent as if it had not.
    let batch = agent
        .poll_batch(50, 1000)
        .expect("it fits")
        .expect("it is its turn");
    assert_eq!(batch.base_revision, 0);
    assert_eq!(batch.operations, [Operation::splice(0, 0, "b").encode()]);
    agent.handle_ack(2, 1).expect("the next revision");
    assert!(agent.is_finished());
    assert_eq!(agent.text().to_string(), "ab");
    assert_eq!(agent.transformed_transactions(), 1);
}

#[test]
fn an_agent_says_what_it_cannot_follow() {
    let history = read_json(&concurrent(1, "a", &[(0, &[], "a")])).expect("it is a history");
    let mut agent = Agent::new(&history, 0, &[10]);
    assert_eq!(
        agent.handle_remote(1, 11, 0, &[]),
        Err(ReplayError::Stranger { client_id: 11 })
    );
    assert_eq!(
        agent.handle_ack(2, 1),
        Err(ReplayError::Revision {
            agent: 0,
            revision: 2,
            expected: 1
        })
    );
}
