//! Lists of documents, and who is told when they come and go.
//!
//! The store has the list. What changes is announced by the document's shard to all others, and kept in a small
//! ring on each; who watches has a place in it, and lists again when it is overtaken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::auth::{global_id, split_global_id};
use crate::codec::wire::{self, event};
use crate::store::{DocumentList, ReadError, StoreRequest};

use super::identity::Identity;
use super::key::SessionKey;
use super::lane::MeshMessage;
use super::open::DOCUMENT_ID_BYTES_MAX;
use super::refusal::Refusal;
use super::request::Asked;
use super::shard::Shard;

/// Documents in one answer.
const DOCUMENTS_MAX: u32 = 1000;
/// Announcements that a shard keeps.
const ANNOUNCEMENTS_MAX: usize = 256;

/// A document has come or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its global id.
    pub name: Arc<str>,
    /// Empty: it could not be read. Who watches has to list again.
    pub kind: Arc<str>,
    pub is_deleted: bool,
}

/// A List request that the store has not answered.
#[derive(Debug)]
pub struct Listing {
    session: SessionKey,
    asked: Asked,
    request: wire::List,
}

/// Who wants to be told of documents that come and go.
#[derive(Debug)]
pub struct Watch {
    prefix: String,
    /// How many announcements there had been when it was last told.
    seen: u64,
    /// The list is being read: what has changed since is told after it.
    is_listing: bool,
}

/// What has lately been announced.
#[derive(Debug, Default)]
pub struct Announcements {
    newest: VecDeque<Announcement>,
    count: u64,
    watchers: Vec<SessionKey>,
}

impl Shard {
    /// A client lists documents.
    pub(super) fn list(&mut self, key: SessionKey, request: wire::List) {
        if let Err(refusal) = self.may_list(&request) {
            return self.reply(key, refusal.error(request.request_id, 0));
        }
        let session = &mut self.sessions[key];
        // Who lists page by page is told what changes meanwhile.
        let before = session.watch.take();
        let before = before.filter(|watch| watch.prefix == request.prefix);
        session.watch = request.watch.then(|| {
            Box::new(Watch {
                prefix: request.prefix.clone(),
                seen: before.map_or(self.announcements.count, |watch| watch.seen),
                is_listing: true,
            })
        });
        let watchers = &mut self.announcements.watchers;
        watchers.retain(|watcher| *watcher != key);
        if request.watch {
            watchers.push(key);
        }
        let listing = Listing {
            session: key,
            asked: session.asked.clone(),
            request,
        };
        let after = (!listing.request.after.is_empty()).then(|| listing.request.after.clone());
        let tenant = self.tenant_of(key);
        let after = after.map(|after| global_id(&tenant, &after).into());
        self.ask_for_list(listing, after);
    }

    /// A prefix is kept for as long as it is watched, and the store looks for what stands after it.
    fn may_list(&self, request: &wire::List) -> Result<(), Refusal> {
        if request.prefix.len().max(request.after.len()) > DOCUMENT_ID_BYTES_MAX {
            return Err(Refusal::DocumentIdInvalid);
        }
        if self.listings.len() >= self.settings.memory.catch_up_reads_max {
            let reason = "too many lists are being read";
            return Err(Refusal::Unavailable(reason.to_owned()));
        }
        Ok(())
    }

    fn tenant_of(&self, key: SessionKey) -> Arc<str> {
        let identity = self.sessions[key].identity();
        identity.map_or("", |identity| identity.tenant()).into()
    }

    fn ask_for_list(&mut self, listing: Listing, after: Option<Arc<str>>) {
        self.tickets += 1;
        let limit = match listing.request.limit {
            0 => DOCUMENTS_MAX,
            limit => limit.min(DOCUMENTS_MAX),
        };
        self.store.push_back(StoreRequest::List {
            ticket: self.tickets,
            tenant: self.tenant_of(listing.session),
            prefix: listing.request.prefix.as_str().into(),
            after,
            documents_max: limit as usize,
            bytes_max: self.settings.memory.catch_up_page_bytes,
        });
        self.listings.insert(self.tickets, listing);
    }

    pub(super) fn receive_list(&mut self, ticket: u64, result: Result<DocumentList, ReadError>) {
        let Some(listing) = self.listings.remove(&ticket) else {
            return;
        };
        let key = listing.session;
        self.answer_list(listing, result);
        let is_answered = !self.listings.values().any(|listing| listing.session == key);
        if is_answered
            && let Some(session) = self.sessions.get_mut(key)
            && let Some(watch) = &mut session.watch
        {
            watch.is_listing = false;
            self.mark_writable(key);
        }
    }

    fn answer_list(&mut self, listing: Listing, result: Result<DocumentList, ReadError>) {
        let session = self.sessions.get(listing.session);
        let Some(identity) = session.and_then(|session| session.identity()).cloned() else {
            return;
        };
        let list = match result {
            Ok(list) => list,
            Err(error) => {
                let refusal = Refusal::Unavailable(error.to_string());
                let error = refusal.error(listing.request.request_id, 0);
                return self.answer(listing.session, &listing.asked, error);
            }
        };
        let documents: Vec<_> = list
            .documents
            .iter()
            .filter(|document| identity.permissions_for(&document.name).read)
            .map(|document| entry(&document.name, &document.kind))
            .collect();
        if documents.is_empty() && list.more_after.is_some() {
            return self.ask_for_list(listing, list.more_after);
        }
        let directory = event::Body::Directory(wire::Directory {
            request_id: listing.request.request_id,
            documents,
            has_more: list.more_after.is_some(),
        });
        self.answer(listing.session, &listing.asked, directory);
    }

    /// A document of this shard has come or gone: everybody is told who watches, on all shards.
    pub(super) fn announce(&mut self, name: Arc<str>, kind: Arc<str>, is_deleted: bool) {
        let announcement = Announcement {
            name,
            kind,
            is_deleted,
        };
        for (index, outbox) in self.outboxes.iter_mut().enumerate() {
            if index != self.settings.index {
                let announcement = announcement.clone();
                outbox
                    .requests
                    .push_back(MeshMessage::Announce(announcement));
            }
        }
        self.hear(announcement);
    }

    pub(super) fn hear(&mut self, announcement: Announcement) {
        let announcements = &mut self.announcements;
        announcements.count += 1;
        announcements.newest.push_back(announcement);
        if announcements.newest.len() > ANNOUNCEMENTS_MAX {
            announcements.newest.pop_front();
        }
        for index in 0..self.announcements.watchers.len() {
            self.mark_writable(self.announcements.watchers[index]);
        }
    }

    /// What a session that watches has not been told.
    pub(super) fn directory_update(&mut self, key: SessionKey) -> Option<event::Body> {
        let announcements = &self.announcements;
        let session = &mut self.sessions[key];
        let identity = session.identity().cloned()?;
        let watch = session.watch.as_mut().filter(|watch| !watch.is_listing)?;
        let unseen = usize::try_from(announcements.count - watch.seen).unwrap_or(usize::MAX);
        watch.seen = announcements.count;
        let mut update = wire::DirectoryUpdate {
            is_incomplete: unseen > announcements.newest.len(),
            ..Default::default()
        };
        let kept = announcements.newest.len().saturating_sub(unseen);
        // Of one document only the newest: the two lists have no order between them.
        let unseen: BTreeMap<&str, &Announcement> = announcements
            .newest
            .range(kept..)
            .map(|announcement| (&*announcement.name, announcement))
            .collect();
        for announcement in unseen.into_values() {
            if !watch.may_see(&identity, announcement) {
                continue;
            }
            if announcement.is_deleted {
                let (_, document_id) = split_global_id(&announcement.name);
                update.deleted.push(document_id.to_owned());
            } else if announcement.kind.is_empty() {
                update.is_incomplete = true;
            } else {
                let created = entry(&announcement.name, &announcement.kind);
                update.created.push(created);
            }
        }
        let is_news =
            update.is_incomplete || !update.created.is_empty() || !update.deleted.is_empty();
        is_news.then_some(event::Body::DirectoryUpdate(update))
    }

    pub(super) fn forget_watcher(&mut self, key: SessionKey) {
        let is_watching = self
            .sessions
            .get_mut(key)
            .and_then(|session| session.watch.take());
        if is_watching.is_some() {
            self.announcements
                .watchers
                .retain(|watcher| *watcher != key);
        }
    }
}

impl Watch {
    fn may_see(&self, identity: &Identity, announcement: &Announcement) -> bool {
        let (tenant, document_id) = split_global_id(&announcement.name);
        tenant == identity.tenant()
            && document_id.starts_with(&self.prefix)
            && identity.permissions_for(&announcement.name).read
    }
}

fn entry(name: &str, kind: &str) -> wire::DocumentEntry {
    wire::DocumentEntry {
        document_id: split_global_id(name).1.to_owned(),
        kind: kind.to_owned(),
    }
}
