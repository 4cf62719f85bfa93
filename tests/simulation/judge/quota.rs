//! What a tenant may have in the store.

use std::sync::Arc;

use super::super::document::tenant_of;
use super::{Judge, broken};

impl Judge {
    /// A document's first operation is about to be written.
    pub(super) fn may_be_born(&self, document: &Arc<str>) {
        let tenant = tenant_of(document);
        let others = self.current().filter(|other| {
            // What is brought back counts, and is not refused.
            let counts = tenant_of(other) == tenant && !self.is_restored(other);
            *other != document && counts && self.is_live(other)
        });
        let count = others.count() as u64;
        if self.quota.documents_max.is_some_and(|max| count >= max) {
            broken!(
                "S7",
                "{document} is made, and its tenant has {count} documents"
            );
        }
    }

    /// A document is about to have so many bytes more. The batch that reaches the limit is taken, and another shard's may
    /// be written before it. `bytes_of`: how much the operations of a document take.
    pub fn may_grow(&mut self, document: &Arc<str>, bytes: usize, bytes_of: impl Fn(&str) -> u64) {
        let Some(max) = self.quota.stored_bytes_max else {
            return;
        };
        let tenant = tenant_of(document);
        let counted = self
            .current()
            .filter(|other| tenant_of(other) == tenant && !self.is_restored(other));
        let stored_bytes: u64 = counted.map(|other| bytes_of(other)).sum();
        if stored_bytes >= max + self.batch_bytes_max {
            broken!(
                "S7",
                "{document} is written to, and its tenant stores {stored_bytes} bytes of {max}"
            );
        }
        self.batch_bytes_max = self.batch_bytes_max.max(bytes as u64);
    }

    fn is_restored(&self, document: &Arc<str>) -> bool {
        let history = self.histories.get(&(document.clone(), self.epoch));
        history.is_some_and(|history| history.is_restored)
    }
}
