//! What a shard tells whoever looks after the relay: its documents, its connections, and which of them are slow; and how
//! connections are closed by hand.
//!
//! Each question looks at a bounded number of things, and says where the next one goes on.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use slotmap::Key as _;

use crate::auth::{global_id, split_global_id};

use super::document::{Document, Open, State};
use super::key::{ConnectionId, DocumentKey, SessionKey};
use super::refusal::Refusal;
use super::ring::{Lag, Slot};
use super::session::{Carrier, Phase, Session, Stage, Transport};
use super::shard::Shard;
use super::time::Instant;

/// So many things one question looks at.
pub const LOOKED_AT_MAX: usize = 512;
/// So many of a connection's documents are named.
const DOCUMENTS_NAMED_MAX: usize = 16;
/// So many of a document's subscribers are looked at.
const SUBSCRIBERS_LOOKED_AT_MAX: usize = 4096;

/// A document in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentReport {
    pub shard: usize,
    pub tenant: String,
    /// As its clients call it.
    pub id: String,
    /// `loading` while the store is asked for it, and `restoring` while its deletion is taken back: then only its name is
    /// known. `deleted` until the last of its clients has been told.
    pub state: Cow<'static, str>,
    pub kind: String,
    pub operations_per_second: f64,
    /// The newest revision, and the newest that the store has confirmed.
    pub revision: u64,
    pub durable_revision: u64,
    pub subscribers: usize,
    /// Of them, those that other shards serve.
    pub edge_subscribers: usize,
    pub present: usize,
    pub memory_bytes: usize,
}

/// The same, looked at closely.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentDetail {
    #[serde(flatten)]
    pub document: DocumentReport,
    /// What frames call it.
    pub handle: u64,
    /// Batches that wait for the store.
    pub pending_batches: usize,
    pub pending_bytes: usize,
    /// The history up to here is gone.
    pub horizon_revision: u64,
    pub snapshot_revision: u64,
    pub ring: RingReport,
    /// Of those that this shard serves, the ones that are furthest behind, as many as were asked for.
    pub subscriptions: Vec<SubscriberReport>,
    /// The newest of what is in the ring, newest first.
    pub operations: Vec<BatchReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RingReport {
    pub batches: usize,
    pub batches_max: usize,
    pub bytes: usize,
    pub bytes_max: usize,
}

/// Operations that came together: their ids are `client_id` with the clocks from `first_clock` on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchReport {
    pub first_revision: u64,
    pub count: u32,
    pub client_id: u64,
    pub first_clock: u64,
    /// When they became durable, in milliseconds since 1970.
    pub persisted_at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SubscriberReport {
    /// The connection's id.
    pub connection: String,
    pub client_id: u64,
    pub user: String,
    /// `live`, `edge` (its own shard serves it), `catch_up` (from the store) or `snapshot`.
    pub stage: &'static str,
    /// What it has not been sent. `null`: its own shard knows.
    pub lag_operations: Option<u64>,
    /// The same where it is live.
    pub lag_bytes: Option<u64>,
    /// What it has been given and has not taken.
    pub queued_bytes: usize,
    pub is_blocked: bool,
    pub can_write: bool,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionReport {
    /// As in "0-17.3" (see [`ConnectionId::name`]). Never given twice while the relay runs.
    pub id: String,
    pub shard: usize,
    /// With its port, where the client has connected itself. `null`: it is not known, as with requests over HTTP. Whoever
    /// has the sockets says it.
    pub address: Option<String>,
    /// The proxy's end of the connection, where the address is what that says.
    pub proxy: Option<SocketAddr>,
    /// `websocket`, `tcp` or `events`.
    pub transport: Cow<'static, str>,
    /// `greeting` before Hello, `ready`, or `closing`.
    pub phase: Cow<'static, str>,
    pub client_id: u64,
    pub user: String,
    pub tenant: String,
    /// Those of its documents that are served here, as its client calls them, 16 at the most.
    pub documents: Vec<String>,
    /// How many those are.
    pub documents_count: usize,
    /// How many other shards have documents of it.
    pub other_shards: usize,
    /// The most that it has not been sent of one of those documents.
    pub lag_operations: u64,
    /// What it has been given and has not taken, and answers that wait.
    pub queued_bytes: usize,
    /// Its socket took less than it was given, and has not taken more since.
    pub is_blocked: bool,
    /// In milliseconds since 1970.
    pub connected_at_ms: u64,
}

/// Which connections are meant.
#[derive(Debug, Clone, Default)]
pub struct Sought {
    pub tenant: Option<String>,
    pub user: Option<String>,
    /// Only those whose sockets are full.
    pub is_blocked: bool,
}

impl Sought {
    fn means(&self, session: &Session) -> bool {
        let identity = session.identity();
        let is_tenant = |tenant: &String| identity.is_some_and(|it| it.tenant() == tenant);
        let is_user = |user: &String| identity.is_some_and(|it| it.user_id == *user);
        self.tenant.as_ref().is_none_or(is_tenant) && self.user.as_ref().is_none_or(is_user)
    }
}

/// Documents.
impl Shard {
    /// Documents in memory, of one tenant or of all, by their global ids, after that one. With where to go on, unless
    /// that was all.
    pub fn documents_after(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        now: Instant,
    ) -> (Vec<DocumentReport>, Option<Arc<str>>) {
        // The names of a tenant stand together, but not those of the tenant without a name.
        let prefix = tenant
            .filter(|tenant| !tenant.is_empty())
            .map(|tenant| global_id(tenant, ""));
        let start = match (after, &prefix) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(prefix)) => Bound::Included(prefix.as_str()),
            (None, None) => Bound::Unbounded,
        };
        let mut last = None;
        let mut reports = Vec::new();
        let names = self.names.range::<str, _>((start, Bound::Unbounded));
        let names = names.take_while(|(name, _)| {
            let prefix = prefix.as_deref();
            prefix.is_none_or(|prefix| name.starts_with(prefix))
        });
        for (looked_at, (name, key)) in names.enumerate() {
            if looked_at == LOOKED_AT_MAX {
                return (reports, last);
            }
            last = Some(Arc::clone(name));
            if tenant.is_none_or(|tenant| split_global_id(name).0 == tenant) {
                reports.push(self.report(*key, now));
            }
        }
        (reports, None)
    }

    /// A document in memory, by its global id, with so many of its subscribers.
    pub fn inspect(
        &self,
        name: &str,
        subscribers_max: usize,
        batches_max: usize,
        now: Instant,
    ) -> Option<DocumentDetail> {
        let key = *self.names.get(name)?;
        let document = &self.documents[key];
        let report = self.report(key, now);
        let Some(open) = document.open() else {
            return Some(DocumentDetail::unknown(report, document.handle));
        };
        let looked_at = open.subscribers.iter().take(SUBSCRIBERS_LOOKED_AT_MAX);
        let mut subscriptions: Vec<_> = looked_at
            .filter_map(|session| self.subscriber(*session, key, open))
            .collect();
        subscriptions.sort_by_key(|one| {
            std::cmp::Reverse((one.lag_operations, one.lag_bytes, one.queued_bytes))
        });
        subscriptions.truncate(subscribers_max);
        let (batches, slots_max) = open.ring.slots();
        Some(DocumentDetail {
            document: report,
            handle: document.handle,
            pending_batches: open.pending.len(),
            pending_bytes: open.pending_bytes,
            horizon_revision: open.horizon_revision,
            snapshot_revision: open.snapshot.revision,
            ring: RingReport {
                batches,
                batches_max: slots_max,
                bytes: open.ring.bytes(),
                bytes_max: open.ring.bytes_max(),
            },
            subscriptions,
            operations: open
                .ring
                .newest()
                .take(batches_max)
                .map(BatchReport::of)
                .collect(),
        })
    }

    fn report(&self, key: DocumentKey, now: Instant) -> DocumentReport {
        let document = &self.documents[key];
        let (tenant, id) = split_global_id(&document.name);
        let report = DocumentReport {
            shard: self.settings.index,
            tenant: tenant.to_owned(),
            id: id.to_owned(),
            state: state_name(document).into(),
            kind: String::new(),
            operations_per_second: 0.0,
            revision: 0,
            durable_revision: 0,
            subscribers: 0,
            edge_subscribers: 0,
            present: 0,
            memory_bytes: document.counted_bytes,
        };
        let Some(open) = document.open() else {
            return report;
        };
        let subscribers = open.subscribers_count();
        DocumentReport {
            kind: open.kind_name.as_ref().to_owned(),
            operations_per_second: open.heat.per_second(now),
            revision: open.head_revision,
            durable_revision: open.durable_revision,
            subscribers,
            edge_subscribers: subscribers - open.subscribers.len(),
            present: open.presence.count(),
            ..report
        }
    }

    fn subscriber(
        &self,
        key: SessionKey,
        document: DocumentKey,
        open: &Open,
    ) -> Option<SubscriberReport> {
        let session = self.sessions.get(key)?;
        let mut subscriptions = session.subscriptions.iter();
        let subscription = subscriptions.find(|one| one.document == document)?;
        let lag = lag(&subscription.stage, open);
        let connection = match &session.carrier {
            Carrier::Socket(_) => ConnectionId::from(key).name(self.settings.index),
            Carrier::Link(link) => link.connection.name(link.shard),
        };
        Some(SubscriberReport {
            connection,
            client_id: session.client_id(),
            user: user_of(session),
            stage: match subscription.stage {
                Stage::Live(_) => "live",
                Stage::Edge(_) => "edge",
                Stage::CatchUp { .. } => "catch_up",
                Stage::Snapshot { .. } => "snapshot",
            },
            lag_operations: lag.map(|lag| lag.operations),
            lag_bytes: lag
                .filter(|_| matches!(subscription.stage, Stage::Live(_)))
                .map(|lag| lag.bytes),
            queued_bytes: session.output_bytes(),
            is_blocked: session.is_blocked(),
            can_write: subscription.can_write,
        })
    }
}

/// Connections.
impl Shard {
    /// Connections after that one, in no order that means anything. With where to go on, unless that was all.
    pub fn connections_after(
        &self,
        sought: &Sought,
        after: Option<ConnectionId>,
    ) -> (Vec<(ConnectionId, ConnectionReport)>, Option<ConnectionId>) {
        let (keys, next) = self.sought(sought, after);
        let reports = keys.into_iter().map(|key| {
            let report = self.connection(key, &self.sessions[key]);
            (key.into(), report)
        });
        (reports.collect(), next)
    }

    /// Closes a connection, after what it was answered is sent, and says why. False: there is none.
    pub fn close_connection(
        &mut self,
        connection: ConnectionId,
        refusal: &Refusal,
        now: Instant,
    ) -> bool {
        self.now = now;
        let key = connection.into();
        let is_there = self.sessions.get(key).is_some_and(|session| {
            matches!(session.carrier, Carrier::Socket(_)) && !session.is_closing()
        });
        if is_there {
            self.refusals.is_by_operator = true;
            self.refuse_connection(key, refusal, now);
            self.refusals.is_by_operator = false;
        }
        is_there
    }

    /// Closes those of the next connections that are meant, and says why. Returns how many, and where to go on.
    pub fn close_sought(
        &mut self,
        sought: &Sought,
        after: Option<ConnectionId>,
        refusal: &Refusal,
        now: Instant,
    ) -> (usize, Option<ConnectionId>) {
        let (keys, next) = self.sought(sought, after);
        let closed = keys
            .into_iter()
            .filter(|key| self.close_connection((*key).into(), refusal, now));
        (closed.count(), next)
    }

    /// Those of the next connections that are meant, and where to go on.
    fn sought(
        &self,
        sought: &Sought,
        after: Option<ConnectionId>,
    ) -> (Vec<SessionKey>, Option<ConnectionId>) {
        let mut keys: Vec<SessionKey> = match sought.is_blocked {
            true => {
                let start = after.map(SessionKey::from);
                let start = start.map_or(Bound::Unbounded, Bound::Excluded);
                let blocked = self.blocked.range((start, Bound::Unbounded));
                blocked.take(LOOKED_AT_MAX).copied().collect()
            }
            false => {
                let seen = after.map_or(0, |after| place_of(after.into()));
                let keys = self.sessions.keys();
                let rest = keys.skip_while(|key| place_of(*key) <= seen);
                rest.take(LOOKED_AT_MAX).collect()
            }
        };
        let next = keys.last().filter(|_| keys.len() == LOOKED_AT_MAX);
        let next = next.map(|key| (*key).into());
        keys.retain(|key| {
            let session = &self.sessions[*key];
            session.socket().is_some() && sought.means(session)
        });
        (keys, next)
    }

    fn connection(&self, key: SessionKey, session: &Session) -> ConnectionReport {
        let socket = session.socket().expect("only those are looked for");
        let here = session.subscriptions.iter().map(|subscription| {
            let document = &self.documents[subscription.document];
            let open = document.open().expect("it has subscribers");
            (&document.name, lag(&subscription.stage, open))
        });
        let edges = socket.forwards.iter().flat_map(|forward| &forward.edges);
        let at_edges = edges.filter_map(|place| place.report(&self.edges));
        let mut report = ConnectionReport {
            id: ConnectionId::from(key).name(self.settings.index),
            shard: self.settings.index,
            address: None,
            proxy: None,
            transport: match socket.transport {
                Transport::WebSocket => "websocket",
                Transport::Tcp => "tcp",
                Transport::EventStream => "events",
            }
            .into(),
            phase: match session.phase {
                Phase::Greeting => "greeting",
                Phase::Ready(_) => "ready",
                Phase::Closing { .. } => "closing",
            }
            .into(),
            client_id: session.client_id(),
            user: user_of(session),
            tenant: session
                .identity()
                .map_or_else(String::new, |identity| identity.tenant().to_owned()),
            documents: Vec::new(),
            documents_count: 0,
            other_shards: socket.forwards.len(),
            lag_operations: 0,
            queued_bytes: session.output_bytes(),
            is_blocked: socket.is_full,
            connected_at_ms: self.unix_ms(session.connected_at),
        };
        for (name, lag) in here.chain(at_edges) {
            report.documents_count += 1;
            if report.documents.len() < DOCUMENTS_NAMED_MAX {
                let (_, id) = split_global_id(name);
                report.documents.push(id.to_owned());
            }
            let operations = lag.map_or(0, |lag| lag.operations);
            report.lag_operations = report.lag_operations.max(operations);
        }
        report
    }
}

impl DocumentDetail {
    /// Of one that is not in memory yet.
    fn unknown(document: DocumentReport, handle: u64) -> Self {
        Self {
            document,
            handle,
            pending_batches: 0,
            pending_bytes: 0,
            horizon_revision: 0,
            snapshot_revision: 0,
            ring: RingReport {
                batches: 0,
                batches_max: 0,
                bytes: 0,
                bytes_max: 0,
            },
            subscriptions: Vec::new(),
            operations: Vec::new(),
        }
    }
}

impl BatchReport {
    fn of(slot: &Slot) -> Self {
        Self {
            first_revision: slot.first_revision,
            count: slot.count,
            client_id: slot.origin,
            first_clock: slot.clock + 1 - u64::from(slot.count),
            persisted_at_ms: slot.persisted_at_ms,
        }
    }
}

fn state_name(document: &Document) -> &'static str {
    match &document.state {
        State::Loading { .. } => "loading",
        State::Restoring { .. } => "restoring",
        State::Open(open) if open.is_deleting => "deleted",
        State::Open(_) => "open",
    }
}

/// What a subscriber has not been sent. `None`: its own shard knows.
fn lag(stage: &Stage, open: &Open) -> Option<Lag> {
    let missing = |revision: u64| Lag {
        operations: open.durable_revision.saturating_sub(revision),
        bytes: 0,
    };
    match stage {
        Stage::Live(cursor) => Some(open.ring.lag(*cursor)),
        Stage::Edge(_) => None,
        Stage::CatchUp { next_revision, .. } => Some(missing(next_revision - 1)),
        Stage::Snapshot { version, .. } => Some(missing(version.revision)),
    }
}

fn user_of(session: &Session) -> String {
    let identity = session.identity();
    identity.map_or_else(String::new, |identity| identity.user_id.clone())
}

/// Where the table of sessions has it: the order in which they are gone through.
fn place_of(key: SessionKey) -> u32 {
    let bits = key.data().as_ffi() & u64::from(u32::MAX);
    u32::try_from(bits).expect("its lower half")
}
