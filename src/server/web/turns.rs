//! Writers of one identity take turns in a document: a second connection of the same client would take the document away
//! from the first.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::OwnedMutexGuard;

/// A client and a document.
type Key = (u64, String);
type Lock = Arc<tokio::sync::Mutex<()>>;

/// There is an entry for each client that writes to a document or waits to, so that the requests bound it.
#[derive(Debug, Default)]
pub struct Turns {
    locks: Mutex<FxHashMap<Key, Lock>>,
}

/// Nobody else of the same identity writes to the document until this is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    key: Key,
    /// `None`: it is over.
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub async fn take(self: &Arc<Self>, client_id: u64, document: &str) -> Turn {
        let key = (client_id, document.to_owned());
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(key.clone()).or_default())
        };
        let mut turn = Turn {
            turns: Arc::clone(self),
            key,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut locks = self
            .turns
            .locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        if locks
            .get(&self.key)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other_and_nothing_is_left() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(take_turns());
    }

    async fn take_turns() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(1, "a").await;
        let other_document = turns.take(1, "b").await;
        let other_client = turns.take(2, "a").await;
        let waiting = turns.take(1, "a");
        tokio::pin!(waiting);
        let soon = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, &mut waiting).await.is_err());
        drop(first);
        drop(waiting.await);
        drop((other_document, other_client));
        assert!(turns.locks.lock().expect("nobody panics").is_empty());
        // Who gives up waiting leaves nothing behind either.
        let first = turns.take(1, "a").await;
        let waiting = tokio::time::timeout(soon, turns.take(1, "a")).await;
        assert!(waiting.is_err());
        drop(first);
        assert!(turns.locks.lock().expect("nobody panics").is_empty());
    }
}
