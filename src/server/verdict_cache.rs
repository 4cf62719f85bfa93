//! What the backend said of tokens, for a little while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::Grant;
use crate::config::VERDICT_BYTES_MAX;

/// A hash of the token and of the client that showed it.
pub type CacheKey = [u8; 32];

pub struct VerdictCache {
    entries: HashMap<CacheKey, Entry>,
    /// Of all entries.
    bytes: usize,
    keep: Duration,
}

struct Entry {
    grant: Arc<Grant>,
    until_ms: u64,
    bytes: usize,
}

impl VerdictCache {
    /// Keeps each for so long, or as long as it is good.
    pub fn new(keep: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
            keep,
        }
    }

    pub fn get(&self, key: &CacheKey, now_ms: u64) -> Option<Arc<Grant>> {
        let entry = self.entries.get(key)?;
        (now_ms < entry.until_ms).then(|| Arc::clone(&entry.grant))
    }

    /// Keeps a grant that was read from so many bytes, unless there is no room for it.
    pub fn put(&mut self, key: CacheKey, grant: Arc<Grant>, read_bytes: usize, now_ms: u64) {
        let keep_ms = u64::try_from(self.keep.as_millis()).expect("at most an hour");
        let until_ms = grant.expires_at_ms.min(now_ms + keep_ms);
        // The grant says in its own words what it was read from.
        let bytes = 2 * read_bytes + size_of::<Grant>() + size_of::<Entry>();
        if until_ms <= now_ms {
            return;
        }
        self.bytes -= self.entries.remove(&key).map_or(0, |before| before.bytes);
        if self.bytes + bytes > VERDICT_BYTES_MAX {
            self.entries.retain(|_, entry| now_ms < entry.until_ms);
            self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
        }
        if self.bytes + bytes <= VERDICT_BYTES_MAX {
            let entry = Entry {
                grant,
                until_ms,
                bytes,
            };
            self.entries.insert(key, entry);
            self.bytes += bytes;
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(expires_at_ms: u64) -> Arc<Grant> {
        let answer = format!("{{\"sub\": \"ada\", \"exp\": {}}}", expires_at_ms / 1000);
        Arc::new(Grant::from_answer(answer.as_bytes(), 0, 0).expect("it is an answer"))
    }

    #[test]
    fn an_entry_is_there_for_its_time() {
        let mut cache = VerdictCache::new(Duration::from_secs(30));
        cache.put([1; 32], grant(1_000_000), 100, 1000);
        cache.put([2; 32], grant(5000), 100, 1000);
        cache.put([3; 32], grant(1000), 100, 1000);
        let known = |cache: &VerdictCache, now_ms| {
            [1, 2, 3].map(|key| cache.get(&[key; 32], now_ms).is_some())
        };
        assert_eq!(known(&cache, 4999), [true, true, false]);
        assert_eq!(known(&cache, 5000), [true, false, false]);
        assert_eq!(known(&cache, 30_999), [true, false, false]);
        assert_eq!(known(&cache, 31_000), [false; 3]);
        cache.clear();
        assert_eq!(known(&cache, 1000), [false; 3]);
    }

    #[test]
    fn a_full_cache_lets_go_of_what_is_over_and_takes_no_more() {
        let mut cache = VerdictCache::new(Duration::from_secs(30));
        let read_bytes = VERDICT_BYTES_MAX / 8;
        for key in 0..10 {
            cache.put([key; 32], grant(1_000_000), read_bytes, 1000);
        }
        assert_eq!(cache.entries.len(), 3);
        cache.put([0; 32], grant(1_000_000), read_bytes, 2000);
        cache.put([20; 32], grant(1_000_000), read_bytes, 31_000);
        assert_eq!(cache.entries.len(), 2, "one is over, and one came");
        let bytes: usize = cache.entries.values().map(|entry| entry.bytes).sum();
        assert_eq!(cache.bytes, bytes);
    }
}
