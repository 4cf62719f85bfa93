//! What a client makes of what the relay sends it: the part of the judging that is about a connection.

use corelay::codec::wire::{self, ErrorCode, event, request::Body};
use corelay::config::Durability;

use super::client::{Client, Surroundings};
use super::connection::Incoming;
use super::content::Content;
use super::document::Document;
use super::judge::{Reader, broken};
use super::past::Asked;
use super::replica::Replica;
use super::rights::{Right, Rights};
use super::scenario::Flaw;

impl Client {
    pub(super) fn receive(&mut self, incoming: Incoming, around: &mut Surroundings<'_>) {
        around
            .trace
            .note(format_args!("{} < {incoming:?}", self.name));
        let session = self.session.as_mut().expect("the caller has it");
        around.judge.listens(Reader {
            tenant: self.bearer.tenant,
            until_us: session.grants.count_until_us(around.issuer),
        });
        let (reply_to, body) = match incoming {
            Incoming::Event(event) => (event.reply_to, event.body.expect("it was checked")),
            Incoming::Ping(payload) => {
                return session.connection.pong(&payload, around.random);
            }
            Incoming::Pong | Incoming::Close(_) => return,
            Incoming::Text(message) => {
                broken!("S8", "JSON for who speaks protobuf: {message}");
            }
        };
        if session.is_closing {
            broken!("S8", "{}: {body:?} after Close", self.name);
        }
        for body in spoiled(body, around.flaw) {
            self.handle(&reply_to, body, around);
        }
    }

    fn handle(&mut self, reply_to: &str, body: event::Body, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        match body {
            event::Body::Connected(connected) => self.greeted(&connected, around),
            event::Body::Opened(opened) => {
                let Some((index, wants)) = session.opening.remove(&opened.request_id) else {
                    broken!("S8", "{}: {opened:?} was not asked for", self.name);
                };
                let document = &self.documents[index];
                let permissions = opened.permissions.unwrap_or_default();
                let grants = &session.grants;
                if !grants.allow(Right::Read, document)
                    || (permissions.write && !grants.allow(Right::Write, document))
                {
                    broken!("S8", "{}: {opened:?} with {grants:?}", self.name);
                }
                around.judge.may_be_there(&document.name);
                let replica = &mut self.replicas[index];
                session.handles.retain(|_, of| *of != index);
                session.handles.insert(opened.document, index);
                session.left.remove(&opened.document);
                session.asked_to_sync.remove(&index);
                let is_always = around.scenario.durability == Durability::Always;
                replica.opened(&opened, wants, is_always, around.judge);
            }
            event::Body::RemoteOps(remote) => {
                if let Some(replica) = self.replica(remote.document) {
                    replica.arrived(None);
                    replica.remote(&remote, around.judge);
                }
            }
            event::Body::SyncResponse(page) => {
                if let Some((index, _)) = session.syncing.remove(reply_to) {
                    session.asked_to_sync.remove(&index);
                }
                let reopened = session.reopening.get(reply_to).copied();
                if let Some(index) = reopened {
                    let (document, grants) = (&self.documents[index], &session.grants);
                    if !grants.allow(Right::Read, document) {
                        broken!("S8", "{}: {page:?} with {grants:?}", self.name);
                    }
                    if !session.handles.contains_key(&page.document) {
                        session.left.insert(page.document);
                    }
                }
                if let Some(replica) = self.replica(page.document) {
                    if reopened.is_some() && replica.is_up_to_date(&page) {
                        // It had opened it before that was answered.
                        return;
                    }
                    replica.arrived(page.snapshot.as_ref().map(|chunk| chunk.revision));
                    let before = replica.resume.as_ref().map(|resume| resume.next_revision);
                    replica.page(&page, around.judge);
                    if *around.flaw == Some(Flaw::SkippingToken)
                        && let (Some(resume), Some(before)) = (&mut replica.resume, before)
                    {
                        resume.next_revision = before;
                    }
                    if !page.has_more && !replica.is_member() {
                        // It has read everything.
                        replica.closed();
                        replica.retry_at_us = around.retry_at_us();
                        let session = self.session.as_mut().expect("as before");
                        session.handles.remove(&page.document);
                        session.left.insert(page.document);
                    }
                }
            }
            event::Body::Resync(resync) => {
                let asked = session.syncing.remove(reply_to);
                if let Some((index, _)) = &asked {
                    session.asked_to_sync.remove(index);
                }
                let wants = asked.map(|(_, wants)| wants);
                if let Some(replica) = self.replica(resync.document) {
                    replica.resync(&resync, wants, around.judge);
                    let index = self.index(resync.document);
                    let session = self.session.as_mut().expect("as before");
                    session.asked_to_sync.remove(&index);
                }
            }
            event::Body::PresenceUpdate(update) => {
                if let Some(replica) = self.replica(update.document) {
                    replica.presence_update(&update, around.judge);
                }
            }
            event::Body::Warning(warning) => {
                self.replica(warning.document);
            }
            event::Body::Ack(ack) if session.trespasses.contains(&ack.client_seq.to_string()) => {
                broken!("S8", "{} may not write: {ack:?}", self.name);
            }
            event::Body::Ack(ack) => {
                let Some((index, batch)) = session.sent.get(&ack.client_seq).cloned() else {
                    broken!("S4", "{}: {ack:?} for nothing", self.name);
                };
                if self.replica(ack.document).is_some() {
                    assert_eq!(
                        index,
                        self.index(ack.document),
                        "a batch is of one document"
                    );
                    self.replicas[index].acknowledged(&ack, &batch, around.judge);
                }
            }
            event::Body::Nack(nack) => self.refused(&nack, around),
            event::Body::Error(error) => self.failed(reply_to, &error, around),
            event::Body::Close(close) if close.document == 0 => session.is_closing = true,
            event::Body::Close(close) => {
                if self.replica(close.document).is_some() {
                    let index = self.index(close.document);
                    let session = self.session.as_mut().expect("as before");
                    session.handles.remove(&close.document);
                    session.asked_to_sync.remove(&index);
                    let synced = session.syncing.extract_if(.., |_, (of, _)| *of == index);
                    let synced: Vec<_> = synced.map(|(id, (index, _))| (id, index)).collect();
                    if !synced.is_empty() && session.manner.is_json {
                        // By its name, the request opens the document again, maybe under another handle.
                        session.left.insert(close.document);
                        session.reopening.extend(synced);
                    }
                    let replica = &mut self.replicas[index];
                    let subscription = replica.subscription.as_ref();
                    let refused_snapshots =
                        subscription.is_some_and(|it| it.wants.refuses_snapshots);
                    replica.needs_snapshot |= refused_snapshots;
                    replica.closed();
                    replica.retry_at_us = around.retry_at_us();
                    if close.code() == ErrorCode::SnapshotRequired && !refused_snapshots {
                        self.outdated();
                    }
                }
            }
            event::Body::Ping(ping) => session.connection.send(Body::Pong(wire::Pong {
                nonce: ping.nonce,
                server_time_ms: 0,
            })),
            event::Body::Pong(pong) => assert_eq!(pong.nonce, 5, "the nonce is repeated"),
            event::Body::Goaway(_) => (),
            event::Body::SyncRequest(request) => {
                if let Some(replica) = self.replica(request.document) {
                    replica.asked_in_return(&request);
                }
            }
            event::Body::SnapshotAccepted(accepted) => {
                let offered = session.offered.remove(reply_to);
                let Some((index, _)) =
                    offered.filter(|(_, revision)| *revision == accepted.revision)
                else {
                    broken!("S4", "{}: {accepted:?} for nothing", self.name);
                };
                if session
                    .grants
                    .never_allow(Right::Write, &self.documents[index])
                {
                    broken!("S8", "{} may not write: {accepted:?}", self.name);
                }
            }
            event::Body::Deleted(deleted) => {
                let asked = session.deleting.remove(&deleted.request_id);
                let Some((index, _)) = asked.filter(|(_, undo)| *undo == deleted.undone) else {
                    broken!("S4", "{}: {deleted:?} for nothing", self.name);
                };
                let document = &self.documents[index];
                if *document.id != *deleted.document_id {
                    broken!("S4", "{}: {deleted:?} for {document:?}", self.name);
                }
                if session.grants.never_allow(Right::Delete, document) {
                    broken!("S8", "{} may not delete: {deleted:?}", self.name);
                }
                if !deleted.undone {
                    around.judge.told_deletion(&document.name);
                }
            }
            event::Body::Directory(list) => {
                let ids = list.documents.iter().map(|entry| &entry.document_id);
                let documents = around.scenario.documents_of(self.bearer.tenant);
                session.check_entries(&self.name, ids, documents);
                let connection = &mut session.connection;
                if !session.directory.answered(list, connection, around.random) {
                    broken!("S4", "{}: a list for nothing", self.name);
                }
            }
            event::Body::HistoryPage(page) => {
                let asked = session.past.answered(page.request_id);
                let Some((index, Asked::History(request))) = asked else {
                    broken!("S4", "{}: {page:?} for nothing", self.name);
                };
                let document = &self.documents[index];
                let is_allowed = session.grants.allow(Right::Read, document);
                if !is_allowed || *document.id != *page.document_id {
                    broken!("S8", "{}: {page:?} of {document:?}", self.name);
                }
                around.judge.told_past(&document.name, &request, &page);
                let connection = &mut session.connection;
                (session.past).go_on(index, request, &page, connection, around.random);
            }
            event::Body::Versions(list) => {
                let asked = session.past.answered(list.request_id);
                let Some((index, Asked::Versions)) = asked else {
                    broken!("S4", "{}: {list:?} for nothing", self.name);
                };
                let document = &self.documents[index];
                let is_allowed = session.grants.allow(Right::Read, document);
                if !is_allowed || *document.id != *list.document_id {
                    broken!("S8", "{}: {list:?} of {document:?}", self.name);
                }
                if !list.versions.is_sorted_by_key(|version| version.revision) {
                    broken!("S1", "{}: {list:?}", self.name);
                }
                for version in &list.versions {
                    around.judge.is_version(&document.name, version);
                }
            }
            event::Body::VersionSaved(saved) => {
                let version = saved.version.clone().unwrap_or_default();
                let asked = session.past.answered(saved.request_id);
                let document = match &asked {
                    Some((index, Asked::Save(name))) if *name == version.name => {
                        &self.documents[*index]
                    }
                    _other => broken!("S4", "{}: {saved:?} for {asked:?}", self.name),
                };
                if *document.id != *saved.document_id || *version.author != *self.bearer.user {
                    broken!("S4", "{}: {saved:?} of {document:?}", self.name);
                }
                around.judge.told_version(&document.name, &version);
            }
            event::Body::VersionDeleted(deleted) => {
                let asked = session.past.answered(deleted.request_id);
                let document = match &asked {
                    Some((index, Asked::Delete(name))) if *name == deleted.name => {
                        &self.documents[*index]
                    }
                    _other => broken!("S4", "{}: {deleted:?} for {asked:?}", self.name),
                };
                if *document.id != *deleted.document_id {
                    broken!("S4", "{}: {deleted:?} of {document:?}", self.name);
                }
                (around.judge).told_version_deleted(&document.name, &deleted.name);
            }
            event::Body::DirectoryUpdate(update) => {
                let created = update.created.iter().map(|entry| &entry.document_id);
                let ids = created.chain(&update.deleted);
                let documents = around.scenario.documents_of(self.bearer.tenant);
                session.check_entries(&self.name, ids, documents);
                session.directory.updated(update);
            }
        }
    }

    fn greeted(&mut self, connected: &wire::Connected, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        let accepted = session.grants.accept(around.issuer, around.shards == 1);
        if let Err(why) = accepted {
            broken!("S8", "{}: {connected:?}, and {why}", self.name);
        }
        if session.is_connected {
            // The list is of what the token before granted.
            session.directory.begin_again();
        }
        session.is_connected = true;
        let client_id = connected.client_id;
        around
            .judge
            .greeted(client_id, &self.name, self.bearer.tenant, &self.bearer.user);
        match self.client_id {
            Some(before) if before != client_id => {
                broken!("S5", "{} was {before} and is {client_id}", self.name);
            }
            Some(_) => (),
            None => {
                self.client_id = Some(client_id);
                let replicas = self.documents.iter().map(|document| {
                    let Document { name, kind, .. } = document;
                    let content = Content::new(kind, client_id, around.random);
                    Replica::new(name.clone(), kind, client_id, content)
                });
                self.replicas = replicas.collect();
            }
        }
    }

    /// The replica that a handle names. `None`: the client has left it.
    fn replica(&mut self, handle: u64) -> Option<&mut Replica> {
        let session = self.session.as_ref().expect("the caller has it");
        if session.left.contains(&handle) {
            return None;
        }
        match session.handles.get(&handle) {
            Some(index) => Some(&mut self.replicas[*index]),
            None => broken!("S8", "{} has no document {handle} open", self.name),
        }
    }

    fn index(&self, handle: u64) -> usize {
        let session = self.session.as_ref().expect("the caller has it");
        session.handles[&handle]
    }

    /// A snapshot does not fit into one message, and goes in pages.
    fn outdated(&mut self) {
        let session = self.session.as_mut().expect("the caller has it");
        if session.manner.version >= 3 {
            broken!("L1", "{}: no snapshot in pages", self.name);
        }
        session.is_outdated = true;
        self.must_be_new = true;
    }

    fn refused(&mut self, nack: &wire::Nack, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        if session.trespasses.contains(&nack.client_seq.to_string()) {
            match nack.code() {
                ErrorCode::Forbidden | ErrorCode::DocumentNotOpen => return,
                // A relay that stops takes nothing from anybody.
                ErrorCode::ServiceUnavailable if nack.retryable => return,
                _wrong => broken!("S8", "{} may not write: {nack:?}", self.name),
            }
        }
        let Some((index, batch)) = session.sent.get_mut(&nack.client_seq) else {
            broken!("S4", "{}: {nack:?} for nothing", self.name);
        };
        if std::mem::replace(&mut batch.is_refused, true) {
            return;
        }
        let replica = &mut self.replicas[*index];
        replica.retry_at_us = around.retry_at_us();
        match nack.code() {
            // A Close is on its way, or the client has left.
            ErrorCode::DocumentNotOpen => replica.content.refused(batch.first_clock),
            ErrorCode::ServiceUnavailable => replica.content.refused(batch.first_clock),
            ErrorCode::RateLimited => {
                replica.content.refused(batch.first_clock);
                replica.retry_at_us = around.now_us + u64::from(nack.retry_after_ms) * 1000;
            }
            ErrorCode::ClockGap | ErrorCode::SyncConflict => {
                replica.content.refused(batch.first_clock);
                replica.is_conflicted |= nack.code() == ErrorCode::SyncConflict;
                if let Some(subscription) = &mut replica.subscription
                    && matches!(replica.content, Content::Text(_))
                {
                    subscription.is_lost = true;
                }
            }
            ErrorCode::DocumentDeleted if around.scenario.is_deleting => {
                replica.content.refused(batch.first_clock);
            }
            ErrorCode::DocumentTooLarge => replica.content.abandon(),
            // One of its tokens does not permit it.
            ErrorCode::Forbidden
                if !session
                    .grants
                    .always_allow(Right::Write, &self.documents[*index]) =>
            {
                replica.content.refused(batch.first_clock);
            }
            ErrorCode::TenantQuotaExceeded if around.has_quota => {
                replica.content.refused(batch.first_clock);
            }
            _wrong => broken!("L1", "{}: {nack:?} for {batch:?}", self.name),
        }
    }

    fn failed(&mut self, reply_to: &str, error: &wire::Error, around: &mut Surroundings<'_>) {
        let session = self.session.as_mut().expect("the caller has it");
        let offered = session.offered.remove(reply_to);
        let deleting = session.deleting.remove(&error.request_id);
        let synced = session.syncing.remove(reply_to);
        if let Some((index, _)) = synced {
            session.asked_to_sync.remove(&index);
            let replica = &mut self.replicas[index];
            if replica
                .subscription
                .as_ref()
                .is_some_and(|it| it.is_awaited)
            {
                session.handles.retain(|_, of| *of != index);
                replica.closed();
            }
        }
        let asked = session.opening.remove(&error.request_id).or(synced);
        let retry_at_us = match error.retry_after_ms {
            0 => around.retry_at_us(),
            after_ms => around.now_us + u64::from(after_ms) * 1000,
        };
        session.directory.refused(error.request_id, retry_at_us);
        let past = session.past.refused(error.request_id, retry_at_us);
        if let Some((index, wants)) = &asked {
            let replica = &mut self.replicas[*index];
            replica.retry_at_us = retry_at_us;
            if wants.resume.is_some() {
                replica.resume = None;
            }
            replica.needs_snapshot |= wants.refuses_snapshots;
        }
        let about = asked
            .as_ref()
            .map(|(index, _)| *index)
            .or(offered.map(|(index, _)| index))
            .or(deleting.map(|(index, _)| index))
            .or(past.as_ref().map(|(index, _)| *index));
        match error.code() {
            ErrorCode::DocumentNotFound | ErrorCode::DocumentDeleted
                if about.is_some_and(|index| {
                    let denies = |right| session.grants.never_allow(right, &self.documents[index]);
                    Rights::ALL.into_iter().all(denies)
                }) =>
            {
                broken!("S8", "{} is told what is there: {error:?}", self.name)
            }
            ErrorCode::RateLimited if error.retry_after_ms > 0 => {
                session.grants.refused(reply_to);
                session.has_said_hello = session.is_connected;
                session.hello_again_at_us = retry_at_us;
            }
            ErrorCode::Unauthorized
                if session.grants.may_be_refused(around.issuer, around.now_us) => {}
            // Each piece is refused.
            ErrorCode::Forbidden
                if reply_to.starts_with("offer-")
                    && !session.always_allows(Right::Write, &self.documents) => {}
            // By its name, it asked for a document that was closed meanwhile.
            ErrorCode::Forbidden
                if reply_to.starts_with("sync-")
                    && !session.always_allows(Right::Read, &self.documents) => {}
            ErrorCode::Forbidden
                if about.is_some_and(|index| {
                    let allows = |right| session.grants.always_allow(right, &self.documents[index]);
                    !Rights::ALL.into_iter().all(allows)
                }) => {}
            ErrorCode::VersionExists | ErrorCode::TooManyVersions | ErrorCode::RevisionUnknown
                if matches!(past, Some((_, Asked::Save(_)))) => {}
            ErrorCode::VersionNotFound if matches!(past, Some((_, Asked::Delete(_)))) => (),
            ErrorCode::TenantQuotaExceeded if around.has_quota => (),
            ErrorCode::SnapshotInvalid if reply_to.starts_with("offer-") => (),
            ErrorCode::SnapshotRequired
                if asked.is_some_and(|(_, wants)| {
                    wants.refuses_snapshots || wants.resume.is_some()
                }) => {}
            // It is of an earlier life.
            ErrorCode::ResumeTokenInvalid if around.scenario.is_deleting => (),
            ErrorCode::DocumentDeleted if around.scenario.is_deleting => (),
            ErrorCode::ServiceUnavailable
            | ErrorCode::DocumentNotOpen
            | ErrorCode::DocumentNotFound => (),
            ErrorCode::SnapshotRequired => self.outdated(),
            ErrorCode::HandshakeTimeout | ErrorCode::PongTimeout | ErrorCode::Backpressure
                if !session.is_of_calm => {}
            // What is there is somebody else's.
            ErrorCode::KindMismatch => broken!("S8", "{}: {error:?}", self.name),
            _wrong => broken!("L1", "{}: {error:?}", self.name),
        }
    }
}

/// What arrives in place of an event, where the rig has a flaw.
fn spoiled(mut body: event::Body, flaw: &mut Option<Flaw>) -> Vec<event::Body> {
    match (*flaw, &mut body) {
        (Some(Flaw::LostDelivery), event::Body::RemoteOps(_)) => {
            *flaw = None;
            vec![]
        }
        (Some(Flaw::ChangedOperation), event::Body::RemoteOps(remote)) => {
            *flaw = None;
            let mut changed = remote.operations[0].to_vec();
            changed.push(0);
            remote.operations[0] = changed.into();
            vec![body]
        }
        (Some(Flaw::RepeatedAcknowledgement), event::Body::Ack(ack)) if !ack.duplicate => {
            *flaw = None;
            vec![body.clone(), body]
        }
        (Some(Flaw::LostFromPage), event::Body::SyncResponse(page))
            if !page.operations.is_empty() =>
        {
            *flaw = None;
            let last = page.operations.last_mut().expect("just seen");
            last.operations.pop();
            page.operations.retain(|batch| !batch.operations.is_empty());
            vec![body]
        }
        (Some(Flaw::ChangedSnapshot), event::Body::SyncResponse(page)) => {
            if let Some(chunk) = page
                .snapshot
                .as_mut()
                .filter(|chunk| !chunk.data.is_empty())
            {
                *flaw = None;
                chunk.data = vec![b'~'; chunk.data.len()].into();
            }
            vec![body]
        }
        (Some(Flaw::ForeignEntry), event::Body::Directory(list)) => {
            *flaw = None;
            list.documents.push(wire::DocumentEntry {
                document_id: "somebody's".to_owned(),
                kind: "log".to_owned(),
            });
            vec![body]
        }
        (Some(Flaw::ChangedPast), event::Body::HistoryPage(page)) => {
            if let Some(entry) = page.entries.last_mut() {
                *flaw = None;
                entry.time_ms += 1;
            }
            vec![body]
        }
        (Some(Flaw::LostLeave), event::Body::PresenceUpdate(update)) => {
            update.presences.retain(|presence| !presence.left);
            vec![body]
        }
        _sound => vec![body],
    }
}
