//! Documents that are deleted, deletions that are taken back, and what was deleted for long enough.
//!
//! From the request on nothing more is written to the document, so that the store's deletion is the last that it is
//! asked for. Subscribers are told when the deletion is durable; then the document leaves memory.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::split_global_id;
use crate::codec::wire::{self, event};
use crate::store::{StoreRequest, Swept};

use super::document::{Joiner, State};
use super::key::{DocumentKey, SessionKey};
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Owner;
use super::waiting::Waiting;

/// A client's Delete request.
#[derive(Debug)]
pub struct Deletion {
    session: SessionKey,
    asked: Asked,
    request_id: u64,
    /// Take it back.
    undo: bool,
    /// The revision that the document must be at.
    expected_revision: Option<u64>,
}

/// Deletions that wait for one document to be loaded.
const DELETIONS_MAX: usize = 16;
/// How often documents that were deleted are looked at.
const SWEEP_PERIOD: Duration = Duration::from_secs(60);

impl Shard {
    /// A client asks that a document of this shard be deleted, or brought back.
    pub(super) fn delete(&mut self, key: SessionKey, request: &wire::Delete, now: Instant) {
        let deletion = Deletion {
            session: key,
            asked: self.sessions[key].asked.clone(),
            request_id: request.request_id,
            undo: request.undo,
            expected_revision: request.expected_revision,
        };
        let name = match self.may_delete(key, &request.document_id) {
            Ok(name) => name,
            Err(refusal) => return self.refuse_deletion(&deletion, &refusal),
        };
        let document_key = match self.names.get(&name).copied() {
            Some(document_key) => document_key,
            None => match self.load(name) {
                Ok(document_key) => document_key,
                Err(refusal) => return self.refuse_deletion(&deletion, &refusal),
            },
        };
        match &mut self.documents[document_key].state {
            State::Loading { waiting, .. } if waiting.deletions.len() < DELETIONS_MAX => {
                waiting.deletions.push(deletion);
                self.count_document(document_key);
            }
            State::Loading { .. } => {
                let refusal = Refusal::Unavailable("too many want to delete it".to_owned());
                self.refuse_deletion(&deletion, &refusal);
            }
            State::Open(_) => self.begin_deletion(document_key, deletion, now),
            State::Restoring { .. } => {
                let refusal = Refusal::Unavailable("the document is being restored".to_owned());
                self.refuse_deletion(&deletion, &refusal);
            }
        }
    }

    fn may_delete(&self, key: SessionKey, document_id: &str) -> Result<Arc<str>, Refusal> {
        let name = self.document_name(key, document_id)?;
        if self.is_stopping || self.is_failed {
            return Err(Refusal::Unavailable("the relay is stopping".to_owned()));
        }
        let identity = self.sessions[key].identity();
        let identity = identity.ok_or(Refusal::HelloRequired)?;
        match identity.permissions_for(&name).delete {
            true => Ok(name),
            false => Err(Refusal::Forbidden("deleting the document")),
        }
    }

    /// Those of the deletions that whoever asked for them may still do; the others are refused.
    pub(super) fn recheck_deletions(
        &mut self,
        name: &str,
        mut deletions: Vec<Deletion>,
    ) -> Vec<Deletion> {
        let forbidden = deletions.extract_if(.., |deletion| {
            let session = self.sessions.get(deletion.session);
            let identity = session.and_then(|session| session.identity());
            identity.is_none_or(|identity| !identity.permissions_for(name).delete)
        });
        for deletion in forbidden.collect::<Vec<_>>() {
            let refusal = Refusal::Forbidden("deleting the document");
            self.refuse_deletion(&deletion, &refusal);
        }
        deletions
    }

    /// What waited for the document to be loaded.
    pub(super) fn begin_deletions(
        &mut self,
        document_key: DocumentKey,
        deletions: Vec<Deletion>,
        now: Instant,
    ) {
        for deletion in deletions {
            match self.documents.contains_key(document_key) {
                true => self.begin_deletion(document_key, deletion, now),
                // Nobody has joined it, nothing was in it, and the one before has let it go.
                false => self.refuse_deletion(&deletion, &Refusal::DocumentNotFound),
            }
        }
    }

    fn begin_deletion(&mut self, document_key: DocumentKey, deletion: Deletion, now: Instant) {
        let document = &mut self.documents[document_key];
        let reference = document.reference(document_key);
        let open = document.open_mut().expect("its caller knows");
        if open.is_deleting {
            let refusal = match deletion.undo {
                true => Refusal::Unavailable("the document is being deleted".to_owned()),
                false => Refusal::DocumentDeleted,
            };
            return self.refuse_deletion(&deletion, &refusal);
        }
        if open.is_unwritten() {
            self.refuse_deletion(&deletion, &Refusal::DocumentNotFound);
        } else if deletion.undo {
            // It is there.
            self.confirm_deletion(document_key, &deletion);
        } else if let Some(expected) = deletion.expected_revision
            && expected != open.head_revision
        {
            let is = open.head_revision;
            self.refuse_deletion(&deletion, &Refusal::RevisionConflict { expected, is });
        } else {
            open.is_deleting = true;
            open.deletion = Some(deletion);
            let at_ms = self.unix_ms(now);
            self.store.push_back(StoreRequest::Delete {
                document: reference,
                at_ms,
            });
        }
        self.check_idle(document_key, now);
    }

    /// The store has deleted it.
    pub(super) fn finish_deletion(&mut self, document_key: DocumentKey, now: Instant) {
        let Some(document) = self.documents.get_mut(document_key) else {
            return;
        };
        let (name, handle) = (document.name.clone(), document.handle);
        let open = document.open_mut().expect("it is being deleted");
        let deletion = open.deletion.take();
        let (kind, counted_bytes) = (open.kind_name.clone(), open.stored_bytes);
        let mut subscribers = open.subscribers.clone();
        for branch in &open.branches {
            subscribers.extend_from_slice(&branch.subscribers);
        }
        for session in subscribers {
            self.gather_last(session, document_key);
            self.reply(session, Refusal::DocumentDeleted.close(handle));
            self.unsubscribe(session, document_key, now);
        }
        if let Some(tenant) = self.settings.census.tenant(split_global_id(&name).0) {
            tenant.remove_document();
            tenant.remove_bytes(counted_bytes);
        }
        self.announce(name, kind, true);
        if let Some(deletion) = deletion {
            self.confirm_deletion(document_key, &deletion);
        }
        let open = self.documents[document_key].open_mut();
        open.expect("as before").is_deleted = true;
        self.check_idle(document_key, now);
    }

    /// The store says that the document is deleted: whoever wants it back gets it back.
    pub(super) fn restore_or_refuse(
        &mut self,
        document_key: DocumentKey,
        waiting: Vec<Joiner>,
        deletions: Vec<Deletion>,
    ) {
        let (mut undoing, deleting): (Vec<_>, Vec<_>) =
            deletions.into_iter().partition(|deletion| deletion.undo);
        for deletion in deleting {
            self.refuse_deletion(&deletion, &Refusal::DocumentDeleted);
        }
        let Some(deletion) = undoing.pop() else {
            self.forget_document(document_key);
            for joiner in waiting {
                self.refuse_joiner(&joiner, &Refusal::DocumentDeleted);
            }
            return;
        };
        for second in undoing {
            let refusal = Refusal::Unavailable("the document is being restored".to_owned());
            self.refuse_deletion(&second, &refusal);
        }
        let document = &mut self.documents[document_key];
        for joiner in &waiting {
            self.sessions[joiner.session].joining += 1;
        }
        let reference = document.reference(document_key);
        let mut restored = Waiting::default();
        waiting.into_iter().for_each(|joiner| restored.join(joiner));
        document.state = State::Restoring {
            waiting: restored,
            deletion,
        };
        let at_ms = self.unix_ms(self.now);
        self.store.push_back(StoreRequest::Restore {
            document: reference,
            at_ms,
        });
        self.count_document(document_key);
    }

    /// The store has taken the deletion back; `None`: there was none.
    pub(super) fn finish_restoring(
        &mut self,
        document_key: DocumentKey,
        stored_bytes: Option<u64>,
    ) {
        let Some(document) = self.documents.get_mut(document_key) else {
            return;
        };
        let name = document.name.clone();
        let loading = State::Loading {
            waiting: Waiting::default(),
            is_restored: false,
        };
        let State::Restoring { waiting, deletion } =
            std::mem::replace(&mut document.state, loading)
        else {
            unreachable!("only what is being restored is restored")
        };
        match stored_bytes {
            Some(stored_bytes) => {
                if let Some(tenant) = self.settings.census.tenant(split_global_id(&name).0) {
                    tenant.restore_document(stored_bytes);
                }
                self.confirm_deletion(document_key, &deletion);
            }
            None => self.refuse_deletion(&deletion, &Refusal::DocumentNotFound),
        }
        // It is loaded like any other, for those who wait and to know its kind.
        let document = &mut self.documents[document_key];
        document.state = State::Loading {
            waiting,
            is_restored: stored_bytes.is_some(),
        };
        self.ask_for_load(document_key);
    }

    fn confirm_deletion(&mut self, document_key: DocumentKey, deletion: &Deletion) {
        let name = self.documents[document_key].name.clone();
        let (_, document_id) = split_global_id(&name);
        let deleted = wire::Deleted {
            request_id: deletion.request_id,
            document_id: document_id.to_owned(),
            undone: deletion.undo,
        };
        self.answer_deletion(deletion, event::Body::Deleted(deleted));
    }

    pub(super) fn refuse_deletion(&mut self, deletion: &Deletion, refusal: &Refusal) {
        self.answer_deletion(deletion, refusal.error(deletion.request_id, 0));
    }

    /// Nothing follows a connection's Close.
    fn answer_deletion(&mut self, deletion: &Deletion, body: event::Body) {
        let session = self.sessions.get(deletion.session);
        if session.is_some_and(|session| !session.is_closing()) {
            self.answer(deletion.session, &deletion.asked, body);
        }
    }

    /// Lets go for good of what was deleted for long enough. The first shard does it for all.
    pub(super) fn ring_sweep(&mut self, at: Instant, now: Instant) {
        if self.sweep_alarm.rings(at) {
            self.sweep(now);
            self.set_sweep_alarm(now);
        }
    }

    pub(super) fn set_sweep_alarm(&mut self, now: Instant) {
        if self.settings.index == 0 {
            let at = now + SWEEP_PERIOD;
            self.timers.set(Owner::Sweep, &mut self.sweep_alarm, at);
        }
    }

    pub(super) fn continue_sweep(&mut self, swept: Swept, now: Instant) {
        if swept.has_more {
            self.sweep(now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let grace_ms = u64::try_from(self.settings.document.delete_grace.as_millis());
        let grace_ms = grace_ms.unwrap_or(u64::MAX);
        self.tickets += 1;
        self.store.push_back(StoreRequest::Sweep {
            ticket: self.tickets,
            deleted_before_ms: self.unix_ms(now).saturating_sub(grace_ms),
        });
    }
}
