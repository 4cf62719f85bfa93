//! Who is in which document: presence, and subscriptions that end.

use std::sync::Arc;

use crate::codec::wire;

use super::identity::Identity;
use super::session::Phase;

use super::key::DocumentKey;
use super::key::SessionKey;
use super::presence::Update;
use super::refusal::Refusal;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Owner;
use super::voice::is_json;

/// A document has its first peer, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    /// The document's global id.
    pub document: Arc<str>,
    pub kind: Arc<str>,
    pub is_occupied: bool,
}

impl Shard {
    pub(super) fn note_occupancy(&mut self, document_key: DocumentKey, is_occupied: bool) {
        if !self.settings.notes_occupancy {
            return;
        }
        let document = &self.documents[document_key];
        let open = document.open().expect("only who is in it comes and goes");
        self.occupancies.push_back(Occupancy {
            document: Arc::clone(&document.name),
            kind: Arc::clone(&open.kind_name),
            is_occupied,
        });
    }

    pub(super) fn update_presence(
        &mut self,
        key: SessionKey,
        presence: wire::Presence,
        now: Instant,
    ) {
        let handle = presence.document;
        if let Err(refusal) = self.take_presence(key, presence, now) {
            self.reply(key, refusal.error(0, handle));
        }
    }

    fn take_presence(
        &mut self,
        key: SessionKey,
        presence: wire::Presence,
        now: Instant,
    ) -> Result<(), Refusal> {
        let document_key = self.subscribed(key, presence.document)?;
        let subscription = self.sessions[key].subscription(document_key);
        if subscription.is_some_and(|subscription| subscription.is_once) {
            return Err(Refusal::Forbidden("presence to who only reads"));
        }
        let is_full = self.ledger.document_bytes >= self.settings.memory.document_bytes_max;
        if is_full && !presence.leave {
            return Err(Refusal::Unavailable(
                "no memory for more presence".to_owned(),
            ));
        }
        let identity = self.sessions[key].identity().cloned();
        let open = self.documents[document_key]
            .open_mut()
            .expect("subscribed to");
        let identity = identity.expect("only a session that said Hello has subscriptions");
        let (is_news, ring_at) = if presence.leave {
            (open.presence.leave(key, identity.client_id, now), None)
        } else {
            match open.presence.update(key, &identity, presence, now)? {
                Update::Published => (true, Some(now + self.settings.presence.ttl)),
                Update::WaitsUntil(at) => (false, Some(at)),
            }
        };
        if is_news {
            self.metrics.presence_updates += 1;
            self.mark_subscribers(document_key);
        }
        if let Some(at) = ring_at {
            let alarm = &mut self.documents[document_key].alarm;
            self.timers.set(Owner::Document(document_key), alarm, at);
        }
        self.count_document(document_key);
        Ok(())
    }

    pub(super) fn heartbeat(&mut self, key: SessionKey, handle: u64, now: Instant) {
        match self.subscribed(key, handle) {
            Ok(document) => {
                let client_id = self.sessions[key]
                    .identity()
                    .map_or(0, |identity| identity.client_id);
                let open = self.documents[document].open_mut().expect("subscribed to");
                open.presence.heartbeat(key, client_id, now);
            }
            Err(refusal) => self.reply(key, refusal.error(0, handle)),
        }
    }

    /// The session is this client's from here on. Documents that it may no longer read are closed.
    pub(super) fn identify(&mut self, key: SessionKey, identity: Arc<Identity>, now: Instant) {
        let session = &mut self.sessions[key];
        session.phase = Phase::Ready(Arc::clone(&identity));
        let mut forbidden = Vec::new();
        for subscription in &mut session.subscriptions {
            let name = &self.documents[subscription.document].name;
            let permissions = identity.permissions_for(name);
            subscription.can_write = permissions.write && !subscription.is_once;
            if !permissions.read {
                forbidden.push(subscription.document);
            }
        }
        for document in forbidden {
            let handle = self.documents[document].handle;
            let refusal = Refusal::Forbidden("reading the document");
            self.reply(key, refusal.close(handle));
            self.unsubscribe(key, document, now);
        }
        self.identify_at_edges(key, &identity);
        self.attach_again(key, &identity);
        self.enter_user(key, now);
    }

    /// A client closes one document.
    pub(super) fn leave(&mut self, key: SessionKey, handle: u64, now: Instant) {
        match self.subscribed(key, handle) {
            Ok(document) => self.unsubscribe(key, document, now),
            Err(refusal) => self.reply(key, refusal.error(0, handle)),
        }
    }

    /// Ends a subscription. What it has not been sent, it will not be.
    pub(super) fn unsubscribe(&mut self, key: SessionKey, document_key: DocumentKey, now: Instant) {
        self.recall(key, document_key, false);
        let session = &mut self.sessions[key];
        let client_id = session.client_id();
        let manner = session.manner;
        let Some(position) = session
            .subscriptions
            .iter()
            .position(|subscription| subscription.document == document_key)
        else {
            return;
        };
        let subscription = session.subscriptions.swap_remove(position);
        let upload_bytes = subscription.upload.map_or(0, |upload| upload.held_bytes());
        self.ledger.input_bytes -= upload_bytes;
        self.strike(document_key, None, subscription.index);
        self.metrics.subscribers -= 1;
        let open = self.documents[document_key]
            .open_mut()
            .expect("subscribed to");
        if is_json(manner) {
            open.json_subscribers -= 1;
            open.presence.is_json_spoken = open.json_subscribers > 0;
        }
        let is_news = open.presence.leave(key, client_id, now);
        if open.members.get(&client_id) == Some(&key) {
            open.members.remove(&client_id);
            open.presence.release_color(client_id);
            if open.members.is_empty() {
                self.note_occupancy(document_key, false);
            }
        }
        if is_news {
            self.mark_subscribers(document_key);
        }
        self.check_busy(document_key);
        self.count_document(document_key);
        self.check_idle(document_key, now);
    }
}
