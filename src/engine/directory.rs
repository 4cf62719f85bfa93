//! Lists of documents, and who is told when they come and go.
//!
//! The store has the list. What changes is announced by the document's shard to all others, and kept on each in a small
//! ring of its tenant, while somebody of that watches; who does has a place in it, and lists again when it is overtaken.

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
/// Announcements that a shard keeps of one tenant.
const ANNOUNCEMENTS_MAX: usize = 256;
/// Lists that one connection may wait for on each shard.
const LISTS_MAX: u32 = 4;

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
    tenant: Arc<str>,
    prefix: String,
    /// How many announcements there had been when it was last told.
    seen: u64,
    /// The list is being read: what has changed since is told after it.
    is_listing: bool,
}

/// What has lately been announced, of each tenant that somebody watches.
pub type Announcements = BTreeMap<Arc<str>, Tidings>;

/// A tenant's documents that have come and gone, and who is told.
#[derive(Debug, Default)]
pub struct Tidings {
    newest: VecDeque<Announcement>,
    count: u64,
    /// Shared with whoever is telling them.
    watchers: Arc<Vec<SessionKey>>,
}

impl Shard {
    /// A client lists documents.
    pub(super) fn list(&mut self, key: SessionKey, request: wire::List) {
        if let Err(refusal) = self.may_list(key, &request) {
            return self.reply(key, refusal.error(request.request_id, 0));
        }
        match request.watch {
            true => self.watch(key, &request.prefix),
            false => self.forget_watcher(key),
        }
        let listing = Listing {
            session: key,
            asked: self.sessions[key].asked.clone(),
            request,
        };
        let after = (!listing.request.after.is_empty()).then(|| listing.request.after.clone());
        let tenant = self.tenant_of(key);
        let after = after.map(|after| global_id(&tenant, &after).into());
        self.sessions[key].lists += 1;
        self.ask_for_list(listing, after);
    }

    /// The session is told from here on what comes and goes, after the list that it has asked for.
    fn watch(&mut self, key: SessionKey, prefix: &str) {
        let tenant = self.tenant_of(key);
        let tidings = self.announcements.entry(Arc::clone(&tenant)).or_default();
        if !tidings.watchers.contains(&key) {
            Arc::make_mut(&mut tidings.watchers).push(key);
        }
        let watch = &mut self.sessions[key].watch;
        // Who lists page by page is told what changes meanwhile.
        let before = watch.take().filter(|watch| watch.prefix == prefix);
        *watch = Some(Box::new(Watch {
            tenant,
            prefix: prefix.to_owned(),
            seen: before.map_or(tidings.count, |watch| watch.seen),
            is_listing: true,
        }));
    }

    /// A prefix is kept for as long as it is watched, and the store looks for what stands after it.
    fn may_list(&self, key: SessionKey, request: &wire::List) -> Result<(), Refusal> {
        if request.prefix.len().max(request.after.len()) > DOCUMENT_ID_BYTES_MAX {
            return Err(Refusal::DocumentIdInvalid);
        }
        if self.sessions[key].lists >= LISTS_MAX {
            let reason = format!("{LISTS_MAX} lists of this connection are being read");
            return Err(Refusal::Unavailable(reason));
        }
        Ok(())
    }

    fn tenant_of(&self, key: SessionKey) -> Arc<str> {
        let identity = self.sessions[key].identity();
        identity.map_or("", |identity| identity.tenant()).into()
    }

    /// Asks the store for a list, after document `after`; if too many ask, it waits for its turn.
    fn ask_for_list(&mut self, listing: Listing, after: Option<Arc<str>>) {
        if self.listings.len() >= self.settings.memory.catch_up_reads_max {
            self.queued_listings.push_back((listing, after));
            return;
        }
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
        self.answer_list(listing, result);
        self.admit_listings();
    }

    /// Asks for the lists that wait for their turn, as many as there is room for.
    pub(super) fn admit_listings(&mut self) {
        while self.listings.len() < self.settings.memory.catch_up_reads_max
            && let Some((listing, after)) = self.queued_listings.pop_front()
        {
            if self.sessions.contains_key(listing.session) {
                self.ask_for_list(listing, after);
            }
        }
    }

    fn answer_list(&mut self, listing: Listing, result: Result<DocumentList, ReadError>) {
        let key = listing.session;
        let session = self.sessions.get(key);
        let Some(identity) = session.and_then(|session| session.identity()).cloned() else {
            return;
        };
        let list = match result {
            Ok(list) => list,
            Err(error) => {
                let tenants = global_id(identity.tenant(), "").into();
                self.metrics.load_failures += 1;
                self.note_unreadable(&tenants, &error.into());
                let refusal = Refusal::Unavailable("the list of documents cannot be read".into());
                let error = refusal.error(listing.request.request_id, 0);
                return self.end_list(&listing, error);
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
        self.end_list(&listing, directory);
    }

    /// The list is answered; after its last one, whoever watches is told what has changed meanwhile.
    fn end_list(&mut self, listing: &Listing, answer: event::Body) {
        self.answer(listing.session, &listing.asked, answer);
        let session = &mut self.sessions[listing.session];
        session.lists -= 1;
        if session.lists == 0
            && let Some(watch) = &mut session.watch
        {
            watch.is_listing = false;
            self.mark_writable(listing.session);
        }
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
        let (tenant, _) = split_global_id(&announcement.name);
        let Some(tidings) = self.announcements.get_mut(tenant) else {
            return;
        };
        tidings.count += 1;
        tidings.newest.push_back(announcement);
        if tidings.newest.len() > ANNOUNCEMENTS_MAX {
            tidings.newest.pop_front();
        }
        for watcher in Arc::clone(&tidings.watchers).iter() {
            self.mark_writable(*watcher);
        }
    }

    /// What a session that watches has not been told.
    pub(super) fn directory_update(&mut self, key: SessionKey) -> Option<event::Body> {
        let session = &mut self.sessions[key];
        let identity = session.identity().cloned()?;
        let watch = session.watch.as_mut().filter(|watch| !watch.is_listing)?;
        let announcements = &self.announcements[&watch.tenant];
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
        let session = self.sessions.get_mut(key);
        let Some(watch) = session.and_then(|session| session.watch.take()) else {
            return;
        };
        let tidings = self.announcements.get_mut(&watch.tenant);
        let tidings = tidings.expect("it is kept while somebody watches");
        Arc::make_mut(&mut tidings.watchers).retain(|watcher| *watcher != key);
        if tidings.watchers.is_empty() {
            self.announcements.remove(&watch.tenant);
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
