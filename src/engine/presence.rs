//! Who is in a document: the newest state of each present client, never stored.
//!
//! A change is encoded once, into a small ring; subscribers have a place in it, as in the ring of operations. Of
//! one client only the newest change counts, so older ones are passed over, and whoever is overtaken gets the
//! full set, which is all that it missed. Nobody is sent its own state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::auth::split_global_id;
use crate::codec::dialect::Broadcast;
use crate::codec::wire::{self, Event, event};
use crate::config;

use super::identity::Identity;
use super::key::SessionKey;
use super::refusal::Refusal;
use super::request::Asked;
use super::time::Instant;
use super::voice::{Voice, broadcast_context};

const COLORS: [&str; 16] = [
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000",
    "#808000", "#000075", "#f032e6", "#469990", "#bf5b17", "#386cb0", "#d95f02", "#1b9e77",
];

#[derive(Debug)]
struct Entry {
    session: SessionKey,
    state: wire::UserPresence,
    last_seen: Instant,
    published_at: Instant,
    /// Came too soon after the last one.
    waiting: Option<wire::Presence>,
    /// Which change is its newest.
    sequence: u64,
    /// The others have been told. Not so of one that came back too soon after it had left.
    is_told: bool,
}

/// What became of a client's new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The others have something to be told.
    Published,
    /// It came too soon after the one before.
    WaitsUntil(Instant),
}

#[derive(Debug)]
struct Change {
    client_id: u64,
    broadcast: Broadcast,
}

impl Change {
    fn bytes(&self) -> usize {
        self.broadcast.frame_bytes() + self.broadcast.other_bytes()
    }
}

#[derive(Debug)]
pub struct Presence {
    /// The global id of the document, and its handle.
    name: Arc<str>,
    document: u64,
    /// Some of its subscribers speak JSON.
    pub is_json_spoken: bool,
    limits: config::Presence,
    slots_max: usize,
    started_at_ms: u64,
    entries: BTreeMap<u64, Entry>,
    /// Clients whose waiting state may be published, and when.
    due: BTreeSet<(Instant, u64)>,
    changes: VecDeque<Change>,
    /// How many changes there have been.
    sequence: u64,
    colors: BTreeMap<u64, &'static str>,
    /// When a subscriber that is no longer present was last published.
    left: BTreeMap<u64, Instant>,
    /// The bytes of all states, published and waiting.
    state_bytes: usize,
    change_bytes: usize,
}

impl Presence {
    /// `name` is the document's global id, `document` its handle; `started_at_ms` the Unix time at the engine's time zero.
    pub fn new(
        name: Arc<str>,
        document: u64,
        limits: config::Presence,
        slots_max: usize,
        started_at_ms: u64,
    ) -> Self {
        Self {
            name,
            document,
            is_json_spoken: false,
            limits,
            slots_max,
            started_at_ms,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            changes: VecDeque::new(),
            sequence: 0,
            colors: BTreeMap::new(),
            left: BTreeMap::new(),
            state_bytes: 0,
            change_bytes: 0,
        }
    }

    /// The place after the newest change.
    pub fn head(&self) -> u64 {
        self.sequence
    }

    /// Gives the client a colour that no other subscriber has, as long as there are any.
    pub fn assign_color(&mut self, client_id: u64) -> &'static str {
        if let Some(color) = self.colors.get(&client_id) {
            return color;
        }
        let start = usize::try_from(client_id % COLORS.len() as u64).expect("below 16");
        let color = (0..COLORS.len())
            .map(|offset| COLORS[(start + offset) % COLORS.len()])
            .find(|color| self.colors.values().all(|used| used != color))
            .unwrap_or(COLORS[start]);
        self.colors.insert(client_id, color);
        color
    }

    /// Takes a client's state, and tells what became of it.
    ///
    /// # Errors
    ///
    /// [`Refusal::PresenceTooLarge`]; [`Refusal::Unavailable`] if all presences together would be.
    pub fn update(
        &mut self,
        session: SessionKey,
        identity: &Identity,
        presence: wire::Presence,
        now: Instant,
    ) -> Result<Update, Refusal> {
        let bytes = presence.encoded_len();
        let bytes_max = self.limits.bytes_max;
        if bytes > bytes_max {
            return Err(Refusal::PresenceTooLarge { bytes, bytes_max });
        }
        let bytes = held_bytes(&presence, &presence.fields);
        if self.state_bytes + bytes > self.limits.document_bytes_max {
            let reason = "the document has as much presence as it may";
            return Err(Refusal::Unavailable(reason.to_owned()));
        }
        let client_id = identity.client_id;
        let Some(entry) = self.entries.get_mut(&client_id) else {
            let state = wire::UserPresence {
                client_id,
                user_id: identity.user_id.clone(),
                name: identity.user_name.clone(),
                color: self.assign_color(client_id).to_owned(),
                ..Default::default()
            };
            self.state_bytes += held_bytes(&state, &state.fields);
            let published_at = self.left.get(&client_id).copied();
            let allowed_at = published_at.map(|at| at + self.limits.update_interval());
            let mut entry = Entry {
                session,
                state,
                last_seen: now,
                published_at: published_at.unwrap_or(now),
                waiting: None,
                sequence: 0,
                is_told: false,
            };
            if let Some(allowed_at) = allowed_at.filter(|at| now < *at) {
                self.state_bytes += bytes;
                entry.waiting = Some(presence);
                self.entries.insert(client_id, entry);
                self.due.insert((allowed_at, client_id));
                return Ok(Update::WaitsUntil(allowed_at));
            }
            self.entries.insert(client_id, entry);
            self.publish(client_id, presence, now);
            return Ok(Update::Published);
        };
        entry.session = session;
        entry.last_seen = now;
        let allowed_at = entry.published_at + self.limits.update_interval();
        if now >= allowed_at && entry.waiting.is_none() {
            self.publish(client_id, presence, now);
            return Ok(Update::Published);
        }
        self.state_bytes += bytes;
        if let Some(replaced) = entry.waiting.replace(presence) {
            self.state_bytes -= held_bytes(&replaced, &replaced.fields);
        }
        self.due.insert((allowed_at, client_id));
        Ok(Update::WaitsUntil(allowed_at))
    }

    /// The client lives.
    pub fn heartbeat(&mut self, session: SessionKey, client_id: u64, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&client_id)
            && entry.session == session
        {
            entry.last_seen = now;
        }
    }

    /// The session's client is no longer present. True: the others have something to be told.
    pub fn leave(&mut self, session: SessionKey, client_id: u64, now: Instant) -> bool {
        let before = self.sequence;
        let present = self
            .entries
            .get(&client_id)
            .is_some_and(|entry| entry.session == session);
        if present {
            self.remove(client_id, now);
        }
        self.sequence != before
    }

    /// The session no longer subscribes, and no other session of its client does.
    pub fn release_color(&mut self, client_id: u64) {
        self.colors.remove(&client_id);
        self.left.remove(&client_id);
    }

    /// Publishes what has waited long enough and removes who has been silent for too long. True: the others have
    /// something to be told.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.sequence;
        while let Some((at, client_id)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let waiting = self
                .entries
                .get_mut(&client_id)
                .and_then(|entry| entry.waiting.take());
            if let Some(presence) = waiting {
                self.state_bytes -= held_bytes(&presence, &presence.fields);
                self.publish(client_id, presence, now);
            }
        }
        let silent: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.last_seen + self.limits.ttl <= now)
            .map(|(client_id, _)| *client_id)
            .collect();
        for client_id in silent {
            self.remove(client_id, now);
        }
        self.sequence != before
    }

    /// When `handle_timeout` has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let oldest = self.entries.values().map(|entry| entry.last_seen).min();
        let silent = oldest.map(|last_seen| last_seen + self.limits.ttl);
        due.into_iter().chain(silent).min()
    }

    /// Everybody but `client_id`.
    pub fn full_set(&self, client_id: u64) -> Vec<wire::UserPresence> {
        self.entries
            .iter()
            .filter(|(present, entry)| **present != client_id && entry.is_told)
            .map(|(_, entry)| entry.state.clone())
            .collect()
    }

    /// Appends what a subscriber at `cursor` has missed, as frames, and moves the cursor.
    /// A subscriber that has seen nobody gets everybody, if there is anybody.
    pub fn gather(&self, cursor: &mut Option<u64>, voice: &Voice<'_>, out: &mut Vec<u8>) {
        let client_id = voice.client_id();
        let oldest = self.sequence - self.changes.len() as u64;
        let seen = cursor.filter(|seen| *seen >= oldest);
        if let Some(seen) = seen {
            let skipped = usize::try_from(seen - oldest).expect("within the ring");
            for (sequence, change) in (seen..).zip(self.changes.range(skipped..)) {
                let newest = self.entries.get(&change.client_id);
                let superseded =
                    newest.is_some_and(|entry| entry.is_told && entry.sequence != sequence);
                if change.client_id != client_id && !superseded {
                    voice.append_broadcast(&change.broadcast, None, out);
                }
            }
        } else {
            let presences = self.full_set(client_id);
            if cursor.is_some() || !presences.is_empty() {
                let update = event::Body::PresenceUpdate(wire::PresenceUpdate {
                    document: self.document,
                    presences,
                    full: true,
                });
                voice.append(&Asked::default(), update, out);
            }
        }
        *cursor = Some(self.sequence);
    }

    /// Lets go of all changes: whoever has not had them gets the full set.
    pub fn rest(&mut self) {
        self.changes = VecDeque::new();
        self.change_bytes = 0;
    }

    pub fn footprint_bytes(&self) -> usize {
        self.state_bytes + self.change_bytes
    }

    fn publish(&mut self, client_id: u64, presence: wire::Presence, now: Instant) {
        let entry = self.entries.get_mut(&client_id).expect("the caller has it");
        self.state_bytes -= held_bytes(&entry.state, &entry.state.fields);
        entry.state.cursor = presence.cursor;
        entry.state.selection = presence.selection;
        entry.state.is_typing = presence.is_typing;
        entry.state.fields = presence.fields;
        entry.state.last_seen_ms = self.started_at_ms + entry.last_seen.as_millis();
        entry.published_at = now;
        entry.is_told = true;
        entry.sequence = self.sequence;
        self.state_bytes += held_bytes(&entry.state, &entry.state.fields);
        let state = entry.state.clone();
        self.change(client_id, state, now);
    }

    fn remove(&mut self, client_id: u64, now: Instant) {
        let Some(entry) = self.entries.remove(&client_id) else {
            return;
        };
        self.state_bytes -= held_bytes(&entry.state, &entry.state.fields);
        if let Some(waiting) = entry.waiting {
            self.state_bytes -= held_bytes(&waiting, &waiting.fields);
        }
        self.left.insert(client_id, entry.published_at);
        if entry.is_told {
            let gone = wire::UserPresence {
                client_id,
                left: true,
                ..Default::default()
            };
            self.change(client_id, gone, now);
        }
    }

    fn change(&mut self, client_id: u64, state: wire::UserPresence, now: Instant) {
        let update = event::Body::PresenceUpdate(wire::PresenceUpdate {
            document: self.document,
            presences: vec![state],
            full: false,
        });
        let json = self.is_json_spoken.then(|| {
            let (_, document_id) = split_global_id(&self.name);
            broadcast_context(document_id, "", self.started_at_ms + now.as_millis())
        });
        let broadcast = Broadcast::new(&Event::from(update), json.as_ref());
        let change = Change {
            client_id,
            broadcast,
        };
        self.change_bytes += change.bytes();
        self.changes.push_back(change);
        self.sequence += 1;
        if self.changes.len() > self.slots_max {
            let oldest = self.changes.pop_front().expect("longer than its limit");
            self.change_bytes -= oldest.bytes();
        }
    }
}

/// What a presence takes in memory: each of its fields is far more than its few bytes on the wire.
fn held_bytes(presence: &impl Message, fields: &BTreeMap<String, Bytes>) -> usize {
    const FIELD_OVERHEAD_BYTES: usize = 2 * size_of::<(String, Bytes)>();
    presence.encoded_len() + fields.len() * FIELD_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prost::Message;
    use slotmap::SlotMap;

    use crate::codec::frame;

    use super::*;

    struct Room {
        presence: Presence,
        sessions: Vec<SessionKey>,
    }

    impl Room {
        fn new() -> Self {
            let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
            Self {
                presence: Presence::new("d".into(), 9, config::Presence::default(), 4, 1_000_000),
                sessions: (0..4).map(|_| keys.insert(())).collect(),
            }
        }

        fn typing(&mut self, client: u64, is_typing: bool, now_ms: u64) -> Result<Update, Refusal> {
            let identity = Identity {
                client_id: client,
                user: None,
                user_id: format!("user-{client}"),
                user_name: String::new(),
                grant: None,
                expires_at: None,
            };
            let presence = wire::Presence {
                is_typing,
                ..Default::default()
            };
            let session = self.sessions[client as usize];
            self.presence
                .update(session, &identity, presence, at(now_ms))
        }

        /// (client, typing, left) of each presence, after "full" if it is the full set.
        fn gather(&self, cursor: &mut u64, client: u64) -> Vec<String> {
            let mut out = Vec::new();
            let mut seen_up_to = Some(*cursor);
            self.presence
                .gather(&mut seen_up_to, &Voice::of_client(client), &mut out);
            *cursor = seen_up_to.expect("it has seen what there is");
            let mut rest = &out[..];
            let mut seen = Vec::new();
            while let Some(message) = frame::split(&mut rest, 1000).expect("frames") {
                let event = Event::decode(message).expect("an event");
                let Some(event::Body::PresenceUpdate(update)) = event.body else {
                    panic!("not a presence update");
                };
                if update.full {
                    seen.push("full".to_owned());
                }
                for user in update.presences {
                    let state = if user.left {
                        "left"
                    } else if user.is_typing {
                        "typing"
                    } else {
                        "still"
                    };
                    seen.push(format!("{} {state}", user.client_id));
                }
            }
            seen
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn everybody_but_the_sender_gets_the_newest_state_once() {
        let mut room = Room::new();
        let [mut one, mut two] = [room.presence.head(); 2];
        assert_eq!(room.typing(1, true, 0), Ok(Update::Published));
        assert_eq!(room.typing(1, false, 100), Ok(Update::Published));
        assert_eq!(room.gather(&mut one, 1), [""; 0]);
        assert_eq!(room.gather(&mut two, 2), ["1 still"]);
        assert_eq!(room.gather(&mut two, 2), [""; 0]);
    }

    #[test]
    fn of_too_many_updates_the_newest_wins() {
        let mut room = Room::new();
        let mut cursor = 0;
        assert_eq!(room.typing(1, true, 0), Ok(Update::Published));
        assert_eq!(room.gather(&mut cursor, 2), ["1 typing"]);
        assert_eq!(room.typing(1, true, 50), Ok(Update::WaitsUntil(at(100))));
        assert_eq!(room.typing(1, false, 60), Ok(Update::WaitsUntil(at(100))));
        assert_eq!(room.presence.next_timeout(), Some(at(100)));
        assert!(!room.presence.handle_timeout(at(99)));
        assert!(room.presence.handle_timeout(at(100)));
        assert_eq!(room.gather(&mut cursor, 2), ["1 still"]);
        assert_eq!(
            room.typing(1, true, 150),
            Ok(Update::WaitsUntil(at(200))),
            "counted from the last"
        );
    }

    #[test]
    fn the_silent_and_the_leaving_are_gone_and_the_living_stay() {
        let mut room = Room::new();
        let mut cursor = 0;
        for client in 1..4 {
            assert_eq!(room.typing(client, true, 0), Ok(Update::Published));
        }
        room.presence.heartbeat(room.sessions[1], 1, at(20_000));
        assert!(room.presence.leave(room.sessions[3], 3, at(0)));
        assert!(
            !room.presence.leave(room.sessions[1], 3, at(0)),
            "not its session"
        );
        assert_eq!(room.presence.next_timeout(), Some(at(30_000)));
        assert!(room.presence.handle_timeout(at(30_000)));
        assert_eq!(room.gather(&mut cursor, 0), ["full", "1 typing"]);
        assert_eq!(room.presence.next_timeout(), Some(at(50_000)));
        assert!(room.presence.handle_timeout(at(50_000)));
        assert_eq!(room.gather(&mut cursor, 0), ["1 left"]);
        assert_eq!(room.presence.next_timeout(), None);
    }

    #[test]
    fn what_is_held_is_counted_and_bounded() {
        let mut room = Room::new();
        for round in 0..100 {
            for client in 1..4 {
                room.typing(client, true, round * 1000).expect("small");
                room.typing(client, true, round * 1000 + 1).expect("small");
            }
            room.presence.handle_timeout(at(round * 1000 + 200));
        }
        assert_eq!(room.presence.changes.len(), 4);
        for client in 1..4 {
            assert!(
                room.presence
                    .leave(room.sessions[client], client as u64, at(0))
            );
        }
        let rings: usize = room.presence.changes.iter().map(Change::bytes).sum();
        assert_eq!(room.presence.footprint_bytes(), rings);
    }

    #[test]
    fn a_large_presence_is_refused() {
        let mut room = Room::new();
        let identity = Identity {
            client_id: 1,
            user: None,
            user_id: String::new(),
            user_name: String::new(),
            grant: None,
            expires_at: None,
        };
        let presence = wire::Presence {
            fields: [("x".to_owned(), vec![0; 65_536].into())].into(),
            ..Default::default()
        };
        let refused = room
            .presence
            .update(room.sessions[1], &identity, presence, at(0));
        assert!(matches!(refused, Err(Refusal::PresenceTooLarge { .. })));
    }

    #[test]
    fn colors_differ_while_there_are_enough() {
        let mut room = Room::new();
        let colors: BTreeSet<_> = (0..16)
            .map(|client| room.presence.assign_color(client * 16))
            .collect();
        assert_eq!(colors.len(), 16);
        assert_eq!(
            room.presence.assign_color(16),
            room.presence.assign_color(16)
        );
        room.presence.assign_color(999);
    }
}
