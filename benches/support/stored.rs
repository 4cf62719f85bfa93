//! A shard over the real store, without sockets and threads: what is asked of the store is done at once, and not synced.

use bytes::Bytes;
use corelay::codec::frame;
use corelay::codec::wire::{self, Request, request::Body};
use corelay::config::Config;
use corelay::engine::shard::{Arrival, Authority, ConnectionId, Settings, Transport};
use corelay::engine::{Instant, Shard};
use corelay::store::{
    Backend, FjallStore, Loaded, LoadedDocument, StoreReply, StoreRequest, serve,
};

const NOW: Instant = Instant::from_micros(0);

/// One client that writes to documents.
pub struct Stored {
    shard: Shard,
    store: FjallStore,
    client: ConnectionId,
    opened: u64,
    /// What the store gave for the document that was opened last.
    pub loaded: Option<LoadedDocument>,
}

impl Stored {
    pub fn new(store: FjallStore) -> Self {
        let mut shard = Shard::new(Settings::new(&Config::default(), Authority::Anybody));
        let client = shard.connect(Arrival::new(Transport::Tcp), NOW);
        let client = client.expect("there is room");
        let hello = Body::Hello(wire::Hello {
            protocol_version: 3,
            client_uuid: Bytes::from_static(&[1; 16]),
            ..Default::default()
        });
        say(&mut shard, client, hello);
        Self {
            shard,
            store,
            client,
            opened: 0,
            loaded: None,
        }
    }

    /// The relay ends without another word, and begins again.
    pub fn restarted(self) -> Self {
        Self::new(self.store)
    }

    /// Opens a document, which is made if there is none, and sends the client what it lacks. Returns how many bytes.
    pub fn open(&mut self, document: &str, kind: &str) -> usize {
        self.open_with(wire::Open {
            document: document.to_owned(),
            kind: kind.to_owned(),
            create: true,
            ..Default::default()
        })
    }

    /// The same for one that there is, and a client that has everything up to a revision.
    #[allow(dead_code, reason = "not everybody has something")]
    pub fn open_from(&mut self, document: &str, revision: u64) -> usize {
        self.open_with(wire::Open {
            document: document.to_owned(),
            have: Some(wire::Position { epoch: 1, revision }),
            ..Default::default()
        })
    }

    fn open_with(&mut self, open: wire::Open) -> usize {
        self.opened += 1;
        say(&mut self.shard, self.client, Body::Open(open));
        self.settle()
    }

    /// The client's next operation on the document that it opened last. `clock`: how many it has had.
    pub fn write(&mut self, clock: u64, operation: Bytes) {
        let operations = wire::Operations {
            // Handles are given in the order in which documents are opened.
            document: self.opened,
            client_seq: clock,
            first_clock: clock,
            base_revision: clock,
            operations: vec![operation],
            ..Default::default()
        };
        say(&mut self.shard, self.client, Body::Operations(operations));
        self.settle();
    }

    /// Does what there is to do. Returns how many bytes the client was sent.
    fn settle(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            while let Some(request) = self.shard.poll_store() {
                let reply = self.serve(request);
                self.shard.handle_store(reply, NOW);
            }
            let Some(client) = self.shard.poll_writable() else {
                return bytes;
            };
            let mut out = Vec::new();
            self.shard.poll_transmit(client, &mut out);
            bytes += out.len();
            self.shard.handle_sent(client, &out, out.len(), NOW);
        }
    }

    fn serve(&mut self, request: StoreRequest) -> StoreReply {
        let reply = serve(&mut self.store, request, 0).expect("the disk is well");
        if let StoreReply::Loaded { result, .. } = &reply {
            self.loaded = match result {
                Ok(Loaded::Live(loaded)) => Some(loaded.clone()),
                _nothing => None,
            };
        }
        if let StoreReply::SnapshotStored { .. } = &reply {
            while self.store.is_unfinished() {
                self.store.commit(&[]).expect("the disk is well");
            }
        }
        reply
    }
}

fn say(shard: &mut Shard, connection: ConnectionId, body: Body) {
    let mut bytes = frame::encode(&Request::from(body)).to_vec();
    shard.handle_bytes(connection, &mut bytes, NOW);
}
