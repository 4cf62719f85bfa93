//! A relay with a healthy client in a document, which must notice nothing of what others do wrong.

use corelay::codec::wire::{self, ErrorCode};

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::requests::log_batch;

/// A relay with a healthy client in a document, to be there before and after.
pub struct Scene {
    pub relay: Relay,
    healthy: Client,
    notes: u64,
    clock: u64,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut corelay::engine::shard::Settings)) -> Self {
        let mut relay = Relay::with(1, change);
        let (healthy, notes) = relay.joined("healthy", "notes", "log");
        Self {
            relay,
            healthy,
            notes,
            clock: 0,
        }
    }

    /// The healthy client's next operation goes through.
    #[track_caller]
    pub fn check(&mut self) {
        self.relay.drain(self.healthy);
        let batch = log_batch(self.notes, self.clock, ["still here"]);
        self.relay.send(self.healthy, batch);
        self.clock += 1;
        assert_eq!(
            expect!(self.relay, self.healthy, Ack).first_revision,
            self.clock
        );
        assert!(!self.relay.is_closed(self.healthy));
    }

    /// The connection was refused: the reason as Error and as Close, then the end.
    #[track_caller]
    pub fn refused(&mut self, client: Client, code: ErrorCode, what: &str) -> wire::Error {
        let error = expect!(self.relay, client, Error);
        assert_eq!(error.code(), code, "{what}");
        let close = expect!(self.relay, client, Close);
        assert_eq!((close.document, close.code()), (0, code), "{what}");
        assert_eq!(close.retryable, error.retryable);
        assert!(!error.message.is_empty());
        assert!(self.relay.is_closed(client), "{what}");
        if let Some(close_code) = self.relay.close_code(client) {
            assert_eq!(i32::from(close_code), code as i32, "{what}");
        }
        self.check();
        error
    }
}
