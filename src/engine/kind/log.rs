//! `log`: operations that the relay cannot read. It orders them and keeps them all.

use bytes::Bytes;

use crate::codec::record::OperationsRecord;

use super::{Batch, Kind, Refusal, Snapshot, StateError};

pub const NAME: &str = "log";

#[derive(Debug)]
pub struct Log;

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

    fn replay(&mut self, _record: &OperationsRecord) -> Result<(), StateError> {
        Ok(())
    }

    fn operations_stand_alone(&self) -> bool {
        true
    }

    fn state(&self) -> Bytes {
        Bytes::new()
    }

    fn state_bytes(&self) -> usize {
        0
    }

    fn snapshot(&self) -> Option<Snapshot> {
        None
    }

    fn footprint_bytes(&self) -> usize {
        0
    }
}
