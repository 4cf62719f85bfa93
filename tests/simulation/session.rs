//! One connection of a client: what has been asked on it and what of that was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corelay::codec::wire::{self, request::Body};
use corelay::engine::shard::Transport;
use corelay::text::Operation;

use super::client::Surroundings;
use super::connection::Connection;
use super::content::Content;
use super::directory::Directory;
use super::document::Document;
use super::grants::Grants;
use super::json::Names;
use super::judge::broken;
use super::past::Past;
use super::random::Random;
use super::replica::{Replica, SentBatch};
use super::rights::Right;
use super::scenario::Flaw;
use super::wants::Wants;

/// A text with so much room is never full.
const TEXT_BYTES_FREE: usize = 64 * 1024;

/// How a client makes a connection.
#[derive(Debug, Clone)]
pub struct Manner {
    pub transport: Transport,
    /// The document of the URL.
    pub document: Option<Arc<str>>,
    pub is_json: bool,
    /// The highest version of the protocol that the client says it speaks.
    pub version: u32,
    /// Hello comes with the handshake.
    pub is_introduced: bool,
    /// The token comes with the handshake.
    pub shows_token_early: bool,
}

impl Manner {
    pub fn any(
        documents: &[Document],
        must_be_new: bool,
        has_token: bool,
        random: &mut Random,
    ) -> Self {
        let transport = random.pick(&[
            Transport::Tcp,
            Transport::WebSocket,
            Transport::WebSocket,
            Transport::EventStream,
        ]);
        let is_json = match transport {
            Transport::Tcp => false,
            Transport::WebSocket => random.happens(5000),
            Transport::EventStream => true,
        };
        let names_document = transport != Transport::Tcp && random.happens(5000);
        Self {
            transport,
            document: names_document.then(|| random.pick(documents).id),
            is_json,
            version: match must_be_new {
                true => 3,
                false if is_json => random.pick(&[1, 2, 3, 3, 4]),
                false => random.pick(&[2, 3, 3, 4]),
            },
            is_introduced: transport != Transport::Tcp && random.happens(5000),
            shows_token_early: has_token && transport != Transport::Tcp && random.happens(5000),
        }
    }

    fn names(&self, documents: &[Document]) -> Option<Names> {
        let documents = documents.iter();
        self.is_json.then(|| Names {
            documents: documents
                .map(|document| (document.id.clone(), document.kind))
                .collect(),
            of_url: self.document.clone(),
        })
    }
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    pub link: u64,
    pub connection: Connection,
    pub manner: Manner,
    pub grants: Grants,
    /// When it was told to wait.
    pub hello_again_at_us: u64,
    /// Requests that its tokens do not permit: their ids, and batches by their numbers.
    pub trespasses: BTreeSet<String>,
    pub has_said_hello: bool,
    pub is_connected: bool,
    pub is_closing: bool,
    /// It needs a newer version of the protocol.
    pub is_outdated: bool,
    /// Which replica a handle names.
    pub handles: BTreeMap<u64, usize>,
    /// Handles that were left; what was on its way for them may still come.
    pub left: BTreeSet<u64>,
    /// Open requests that were not answered: of which replica, and what it wants.
    pub opening: BTreeMap<u64, (usize, Wants)>,
    /// The same of requests to be brought up to date, by their ids.
    pub syncing: BTreeMap<String, (usize, Wants)>,
    /// The ids of those that named a document which was closed before they were answered: they open it anew.
    pub reopening: BTreeMap<String, usize>,
    /// Snapshots that were offered, by the ids of their last pieces.
    pub offered: BTreeMap<String, (usize, u64)>,
    pub directory: Directory,
    pub past: Past,
    /// Deletions that were asked for: of which replica, and whether one is to be taken back.
    pub deleting: BTreeMap<u64, (usize, bool)>,
    pub sent: BTreeMap<u64, (usize, SentBatch)>,
    pub last_operations: Option<wire::Operations>,
    pub asked_to_sync: BTreeSet<usize>,
    pub stalled_until_us: u64,
    /// It was made when nothing went wrong any more: the relay has no reason to end it.
    pub is_of_calm: bool,
}

impl Session {
    pub fn new(link: u64, manner: Manner, documents: &[Document], is_of_calm: bool) -> Self {
        Self {
            link,
            connection: Connection::new(manner.transport, manner.names(documents)),
            has_said_hello: manner.is_introduced,
            manner,
            grants: Grants::default(),
            hello_again_at_us: 0,
            trespasses: BTreeSet::new(),
            is_connected: false,
            is_closing: false,
            is_outdated: false,
            handles: BTreeMap::new(),
            left: BTreeSet::new(),
            opening: BTreeMap::new(),
            syncing: BTreeMap::new(),
            reopening: BTreeMap::new(),
            offered: BTreeMap::new(),
            directory: Directory::default(),
            past: Past::default(),
            deleting: BTreeMap::new(),
            sent: BTreeMap::new(),
            last_operations: None,
            asked_to_sync: BTreeSet::new(),
            stalled_until_us: 0,
            is_of_calm,
        }
    }

    /// Nothing that was asked waits on this side.
    pub fn sent_all(&self) -> bool {
        self.asked_to_sync.is_empty() && self.is_connected && !self.is_closing
    }

    /// Asks for a document. True: it is to be made if it does not exist.
    pub fn open(
        &mut self,
        index: usize,
        document: &Document,
        wants: Wants,
        is_revived: bool,
        random: &mut Random,
    ) -> bool {
        let request_id = 1 + random.number() / 2;
        let is_of_url = self.manner.document.as_ref() == Some(&document.id);
        let id = if is_of_url && random.happens(5000) {
            String::new()
        } else {
            document.id.as_ref().to_owned()
        };
        let create = !random.happens(1000);
        let mut open = wire::Open {
            request_id,
            document: id,
            kind: document.kind.to_owned(),
            create,
            ..wants.open()
        };
        if is_revived && wants.vector.is_some() && wants.is_void() {
            open.have = Some(wire::Position {
                epoch: wants.have.map_or(1, |have| have.epoch),
                revision: wants.floor + 1,
            });
        }
        self.connection.send(Body::Open(open));
        self.opening.insert(request_id, (index, wants));
        create
    }

    /// Whether everything that was shown here grants it, for all of them.
    pub fn always_allows(&self, right: Right, documents: &[Document]) -> bool {
        let mut documents = documents.iter();
        documents.all(|document| self.grants.always_allow(right, document))
    }

    /// What is listed is among what its tokens name.
    pub fn check_entries<'a>(
        &self,
        client: &str,
        ids: impl Iterator<Item = &'a String>,
        documents: &[Document],
    ) {
        for id in ids {
            let document = documents.iter().find(|document| *document.id == **id);
            if !document.is_some_and(|document| self.grants.allow(Right::Read, document)) {
                broken!("S8", "{client} is told of {id:?}, with {:?}", self.grants);
            }
        }
    }

    /// Whether a document can be asked for by its name alone: in JSON, and if nothing of it can be on its way.
    pub fn may_ask_by_name(&self, index: usize) -> bool {
        let handle = index as u64 + 1;
        let is_known = self.handles.contains_key(&handle) || self.left.contains(&handle);
        self.manner.is_json && !is_known
    }

    /// Asks to be brought up to date with a document that is not open. Event streams begin so.
    pub fn ask_by_name(
        &mut self,
        index: usize,
        document: &Document,
        replica: &mut Replica,
        wants: Wants,
        around: &mut Surroundings<'_>,
    ) {
        let id = format!("sync-{}", around.random.number());
        let mut request = wants.sync_request();
        if *around.flaw == Some(Flaw::SkippingEventId)
            && let Some(have) = request.have.as_mut().filter(|have| have.revision > 0)
        {
            have.revision += 1;
        }
        let request = wire::SyncRequest {
            document_id: document.id.as_ref().to_owned(),
            kind: document.kind.to_owned(),
            create: true,
            ..request
        };
        self.connection.ask(id.clone(), Body::SyncRequest(request));
        let handle = index as u64 + 1;
        self.handles.insert(handle, index);
        self.syncing.insert(id, (index, wants.clone()));
        replica.asked_by_name(handle, around.judge.epoch(), wants);
    }

    /// Asks that a document be deleted, or brought back.
    pub fn delete(&mut self, index: usize, document: &Document, random: &mut Random) {
        let request_id = 1 + random.number() / 2;
        let undo = random.happens(5000);
        self.connection.send(Body::Delete(wire::Delete {
            request_id,
            document_id: document.id.as_ref().to_owned(),
            undo,
            expected_revision: None,
        }));
        self.deleting.insert(request_id, (index, undo));
    }

    /// Asks for a Resync.
    pub fn sync(&mut self, index: usize, replica: &Replica, wants: Wants, random: &mut Random) {
        let Some(subscription) = &replica.subscription else {
            return;
        };
        self.asked_to_sync.insert(index);
        let id = format!("sync-{}", random.number());
        let request = wire::SyncRequest {
            document: subscription.handle,
            ..wants.sync_request()
        };
        self.connection.ask(id.clone(), Body::SyncRequest(request));
        self.syncing.insert(id, (index, wants));
    }

    /// Offers what stands for all of a log up to now.
    pub fn offer(&mut self, index: usize, replica: &Replica, random: &mut Random) {
        let (Some(subscription), Some(summary)) = (&replica.subscription, &replica.summary) else {
            return;
        };
        let data = summary.encode(random.pick(&[0, 0, 500, 1500]));
        let id = format!("offer-{}", random.number());
        let mut offset = 0;
        while offset < data.len() {
            let end = data.len().min(offset + random.within(10..=1000) as usize);
            let piece = wire::SnapshotOffer {
                document: subscription.handle,
                revision: summary.revision,
                bytes_total: data.len() as u64,
                offset: offset as u64,
                data: data[offset..end].to_vec().into(),
            };
            self.connection.ask(id.clone(), Body::SnapshotOffer(piece));
            offset = end;
        }
        self.offered.insert(id, (index, summary.revision));
    }

    /// Sends a batch that its token does not permit.
    pub fn forge(&mut self, replica: &Replica, what: &str, random: &mut Random) {
        let Some(subscription) = &replica.subscription else {
            return;
        };
        let operation = match replica.content {
            Content::Log(_) => what.to_owned().into(),
            Content::Text(_) => Operation::splice(0, 0, what).encode().into(),
        };
        let client_seq = random.number();
        self.trespasses.insert(client_seq.to_string());
        self.connection.send(Body::Operations(wire::Operations {
            document: subscription.handle,
            client_seq,
            operations: vec![operation],
            ..Default::default()
        }));
    }

    pub fn send_operations(
        &mut self,
        index: usize,
        replica: &mut Replica,
        around: &mut Surroundings<'_>,
    ) {
        let Some(subscription) = &replica.subscription else {
            return;
        };
        let handle = subscription.handle;
        let random = &mut *around.random;
        // A text may have room for the second copy of what it refused, when the client has given it up.
        let may_be_refused = matches!(replica.content, Content::Text(_))
            && around.scenario.limits().document.bytes_max < TEXT_BYTES_FREE;
        if !may_be_refused
            && random.happens(around.rates.resend)
            && let Some(last) = self.last_operations.clone()
            && last.document == handle
        {
            self.connection.send(Body::Operations(last));
        }
        let operations_max = around.scenario.limits().connection.batch_operations_max;
        let count_max = 1 + random.below(operations_max.min(6));
        if !around.is_calm && random.happens(5000) {
            return;
        }
        let Some(batch) = replica.content.take_batch(count_max) else {
            return;
        };
        replica.edits = 0;
        for (clock, operation) in (batch.first_clock..).zip(&batch.operations) {
            let (document, client_id) = (&replica.document, replica.client_id);
            match replica.content {
                Content::Log(_) => around.judge.sent_payload(document, client_id, operation),
                Content::Text(_) => around
                    .judge
                    .sent_edit(document, client_id, clock, operation),
            }
        }
        let expects = matches!(replica.content, Content::Log(_))
            && !replica.is_conflicted
            && replica.is_caught_up()
            && random.happens(around.rates.expect);
        let expected = expects.then(|| replica.known.clone());
        let client_seq = random.number();
        let request = wire::Operations {
            document: handle,
            client_seq,
            first_clock: batch.first_clock,
            base_revision: batch.base_revision,
            operations: batch.operations.clone(),
            expected_server_vector: expected
                .clone()
                .filter(|_| *around.flaw != Some(Flaw::OverlookedExpectation))
                .unwrap_or_default(),
            expected_revision: None,
        };
        let sent = SentBatch {
            first_clock: batch.first_clock,
            operations: batch.operations,
            is_refused: false,
            expected: expected.filter(|expected| !expected.is_empty()),
        };
        around
            .trace
            .note(format_args!("client {} > {request:?}", replica.client_id));
        self.sent.insert(client_seq, (index, sent));
        self.last_operations = Some(request.clone());
        self.connection.send(Body::Operations(request));
    }
}
