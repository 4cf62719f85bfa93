//! Who is in a document: the newest state of each present client, never stored.
//!
//! Here is who may change what, and when; what has been published is in the [`Roster`], from which subscribers are told.

use std::collections::{BTreeMap, BTreeSet};
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
use super::roster::{Change, Roster};
use super::time::Instant;
use super::voice::broadcast_context;

const COLORS: [&str; 16] = [
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000",
    "#808000", "#000075", "#f032e6", "#469990", "#bf5b17", "#386cb0", "#d95f02", "#1b9e77",
];

#[derive(Debug)]
struct Entry {
    session: SessionKey,
    /// Where it is published, the roster's.
    state: Arc<wire::UserPresence>,
    last_seen: Instant,
    published_at: Instant,
    /// Came too soon after the last one.
    waiting: Option<wire::Presence>,
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
pub struct Presence {
    /// The global id of the document, and its handle.
    name: Arc<str>,
    document: u64,
    /// Some of its subscribers speak JSON.
    pub is_json_spoken: bool,
    limits: config::Presence,
    started_at_ms: u64,
    entries: BTreeMap<u64, Entry>,
    /// Clients whose waiting state may be published, and when.
    due: BTreeSet<(Instant, u64)>,
    /// What the others have been told.
    pub roster: Roster,
    colors: BTreeMap<u64, &'static str>,
    /// When a subscriber that is no longer present was last published.
    left: BTreeMap<u64, Instant>,
    /// The bytes of all states, published and waiting.
    state_bytes: usize,
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
            started_at_ms,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            roster: Roster::new(document, slots_max),
            colors: BTreeMap::new(),
            left: BTreeMap::new(),
            state_bytes: 0,
        }
    }

    pub fn set_limits(&mut self, limits: &config::Presence, slots_max: usize) {
        self.limits = limits.clone();
        self.roster.set_slots_max(slots_max);
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
                state: Arc::new(state),
                last_seen: now,
                published_at: published_at.unwrap_or(now),
                waiting: None,
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
        let before = self.roster.head();
        let present = self
            .entries
            .get(&client_id)
            .is_some_and(|entry| entry.session == session);
        if present {
            self.remove(client_id, now);
        }
        self.roster.head() != before
    }

    /// The session no longer subscribes, and no other session of its client does.
    pub fn release_color(&mut self, client_id: u64) {
        self.colors.remove(&client_id);
        self.left.remove(&client_id);
    }

    /// Publishes what has waited long enough and removes who has been silent for too long. True: the others have
    /// something to be told.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let before = self.roster.head();
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
        self.roster.head() != before
    }

    /// When `handle_timeout` has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        let oldest = self.entries.values().map(|entry| entry.last_seen).min();
        let silent = oldest.map(|last_seen| last_seen + self.limits.ttl);
        due.into_iter().chain(silent).min()
    }

    /// Lets go of all changes: whoever has not had them gets the full set.
    pub fn rest(&mut self) {
        self.roster.rest();
    }

    /// How many are there.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    pub fn footprint_bytes(&self) -> usize {
        self.state_bytes + self.roster.ring_bytes()
    }

    fn publish(&mut self, client_id: u64, presence: wire::Presence, now: Instant) {
        let entry = self.entries.get_mut(&client_id).expect("the caller has it");
        self.state_bytes -= held_bytes(&*entry.state, &entry.state.fields);
        let known = &entry.state;
        let state = wire::UserPresence {
            client_id,
            user_id: known.user_id.clone(),
            name: known.name.clone(),
            color: known.color.clone(),
            cursor: presence.cursor,
            selection: presence.selection,
            is_typing: presence.is_typing,
            fields: presence.fields,
            last_seen_ms: self.started_at_ms + entry.last_seen.as_millis(),
            left: false,
        };
        entry.state = Arc::new(state);
        entry.published_at = now;
        entry.is_told = true;
        self.state_bytes += held_bytes(&*entry.state, &entry.state.fields);
        let state = Arc::clone(&entry.state);
        self.tell(client_id, Some(state), now);
    }

    fn remove(&mut self, client_id: u64, now: Instant) {
        let Some(entry) = self.entries.remove(&client_id) else {
            return;
        };
        self.state_bytes -= held_bytes(&*entry.state, &entry.state.fields);
        if let Some(waiting) = entry.waiting {
            self.state_bytes -= held_bytes(&waiting, &waiting.fields);
        }
        self.left.insert(client_id, entry.published_at);
        if entry.is_told {
            self.tell(client_id, None, now);
        }
    }

    /// The others are told of a client's state, or that it has left.
    fn tell(&mut self, client_id: u64, state: Option<Arc<wire::UserPresence>>, now: Instant) {
        let gone = || wire::UserPresence {
            client_id,
            left: true,
            ..Default::default()
        };
        let update = event::Body::PresenceUpdate(wire::PresenceUpdate {
            document: self.document,
            presences: vec![state.as_deref().cloned().unwrap_or_else(gone)],
            full: false,
        });
        let json = self.is_json_spoken.then(|| {
            let (_, document_id) = split_global_id(&self.name);
            broadcast_context(document_id, "", self.started_at_ms + now.as_millis())
        });
        self.roster.push(Change {
            client_id,
            state,
            broadcast: Broadcast::new(&Event::from(update), json.as_ref()),
        });
    }
}

/// What a presence takes in memory: each of its fields is far more than its few bytes on the wire.
pub(super) fn held_bytes(presence: &impl Message, fields: &BTreeMap<String, Bytes>) -> usize {
    const FIELD_OVERHEAD_BYTES: usize = 2 * size_of::<(String, Bytes)>();
    presence.encoded_len() + fields.len() * FIELD_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prost::Message;
    use slotmap::SlotMap;

    use crate::codec::frame;
    use crate::engine::voice::Voice;

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
                .roster
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
        let [mut one, mut two] = [room.presence.roster.head(); 2];
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
        assert!(
            room.presence.roster.ring_bytes() < 4 * 100,
            "four small ones"
        );
        for client in 1..4 {
            assert!(
                room.presence
                    .leave(room.sessions[client], client as u64, at(0))
            );
        }
        let roster = &room.presence.roster;
        assert_eq!(room.presence.footprint_bytes(), roster.ring_bytes());
        assert_eq!(
            roster.footprint_bytes(),
            roster.ring_bytes(),
            "nobody is there"
        );
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
