use std::path::Path;

use crate::client::text::TextClient;
use crate::client::text::relay::{Event, Relay, Request};
use crate::text::Text;

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
        println!("{transformed}");
        assert!(transformed > 100, "the relay transforms");
    }
}
