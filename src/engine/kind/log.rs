//! `log`: operations that the relay cannot read. It orders them, and keeps them all, or a client's summary in place of
//! the older ones.

use bytes::Bytes;

use crate::codec::record::{self, OfferRecord, OperationsRecord};
use crate::config;

use super::{Batch, Kind, Refusal, Snapshot, StateError};

pub const NAME: &str = "log";

#[derive(Debug, Default)]
pub struct Log {
    offer: Option<OfferRecord>,
}

impl Log {
    /// From what [`Kind::state`] gave.
    pub fn restore(state: &Bytes) -> Result<Self, StateError> {
        if state.is_empty() {
            return Ok(Self::default());
        }
        let offer = record::decode_offer(state).map_err(|error| StateError(error.to_string()))?;
        Ok(Self { offer: Some(offer) })
    }
}

impl Kind for Log {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, _operations: &[Bytes]) -> Result<(), Refusal> {
        Ok(())
    }

    fn admit(&mut self, batch: Batch<'_>) -> Result<Vec<Bytes>, Refusal> {
        Ok(batch.operations.to_vec())
    }

    fn replay(&mut self, _record: &OperationsRecord<'_>) -> Result<(), StateError> {
        Ok(())
    }

    fn set_limits(&mut self, _limits: &config::Document) {}

    fn rest(&mut self) {}

    fn operations_stand_alone(&self) -> bool {
        true
    }

    fn state(&self) -> Bytes {
        self.offer
            .as_ref()
            .map(record::encode_offer)
            .unwrap_or_default()
    }

    fn state_bytes(&self) -> usize {
        let clock_bytes = size_of::<(u64, u64)>();
        self.offer.as_ref().map_or(0, |offer| {
            offer.data.len() + offer.next_clocks.len() * clock_bytes
        })
    }

    fn content_bytes(&self) -> usize {
        self.offer.as_ref().map_or(0, |offer| offer.data.len())
    }

    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    fn offer(&self) -> Option<&OfferRecord> {
        self.offer.as_ref()
    }

    fn take_offer(&mut self, offer: OfferRecord) -> Result<(), Refusal> {
        self.offer = Some(offer);
        Ok(())
    }

    fn footprint_bytes(&self) -> usize {
        self.state_bytes()
    }
}
