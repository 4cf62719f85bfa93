//! Where shards note which documents have peers, for whoever tells of it: of each document what was noted last, so that
//! the documents in memory bound it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::engine::shard::Occupancy;

pub struct Board {
    noted: Mutex<FxHashMap<Arc<str>, Occupancy>>,
    /// Calls whoever takes it down.
    call: Box<dyn Fn() + Send + Sync>,
}

impl Board {
    /// `call` is called when there is something on it again.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            noted: Mutex::default(),
            call: Box::new(call),
        }
    }

    pub fn note(&self, occupancy: Occupancy) {
        let mut noted = self.lock();
        noted.insert(Arc::clone(&occupancy.document), occupancy);
        if noted.len() == 1 {
            (self.call)();
        }
    }

    pub fn take(&self) -> impl Iterator<Item = Occupancy> + use<> {
        std::mem::take(&mut *self.lock()).into_values()
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<Arc<str>, Occupancy>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
