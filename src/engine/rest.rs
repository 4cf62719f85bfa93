//! A document that has been quiet for a while lets go of what only late operations and slow subscribers need.
//!
//! What is let go can be had from the store: whoever comes back to an earlier revision catches up from there, and an
//! operation that was made against one is refused as one that is too old to transform from.

use super::document::Open;
use super::key::DocumentKey;
use super::session::Stage;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Owner;

impl Shard {
    /// The document has changed, and is looked at again when it may be quiet.
    pub(super) fn keep_awake(&mut self, document_key: DocumentKey, now: Instant) {
        let quiet_at = now + self.settings.document.idle_timeout;
        if let Some(document) = self.documents.get_mut(document_key)
            && let Some(open) = document.open_mut()
        {
            open.awake_since = Some(now);
            let owner = Owner::Document(document_key);
            self.timers.set(owner, &mut document.alarm, quiet_at);
        }
    }

    /// Lets the document rest if it has been quiet for long enough and nobody is on the way through its ring.
    pub(super) fn check_quiet(&mut self, document_key: DocumentKey, now: Instant) {
        let quiet_for = self.settings.document.idle_timeout;
        let Some(open) = self.open_of(document_key) else {
            return;
        };
        if open.awake_since.is_none_or(|since| now < since + quiet_for) {
            return;
        }
        if open.is_at_rest() && !self.is_ring_read(document_key) {
            let open = self.open_of(document_key).expect("it was there");
            open.rest();
        } else {
            self.keep_awake(document_key, now);
        }
    }

    /// Whether a subscriber has not had all that is in the ring.
    fn is_ring_read(&self, document_key: DocumentKey) -> bool {
        let open = self.documents[document_key].open();
        let open = open.expect("the caller knows that it is open");
        let mut stages = open.subscribers.iter().filter_map(|key| {
            let mut subscriptions = self.sessions[*key].subscriptions.iter();
            subscriptions
                .find(|subscription| subscription.document == document_key)
                .map(|subscription| &subscription.stage)
        });
        stages.any(|stage| match stage {
            Stage::Live(cursor) => *cursor != open.ring.head(),
            Stage::Edge(_) | Stage::CatchUp { .. } | Stage::Snapshot { .. } => false,
        })
    }
}

impl Open {
    fn rest(&mut self) {
        self.awake_since = None;
        self.ring.rest();
        self.presence.rest();
        self.kind.rest();
    }
}
