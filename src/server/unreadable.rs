//! Documents that cannot be read, in the log: which, why, and what is to be done next.

use std::time::{Duration, Instant};

use super::log::Throttle;
use crate::auth::split_global_id;
use crate::engine::shard::Unreadable;

const LINES_MAX: u64 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Each document is told of once by its shard; this is for a store where there are many.
#[derive(Debug)]
pub struct UnreadableLog(Throttle);

impl Default for UnreadableLog {
    fn default() -> Self {
        Self(Throttle::new(LINES_MAX, PERIOD))
    }
}

impl UnreadableLog {
    pub fn tell(&mut self, unreadable: &Unreadable) {
        let Some(left_out) = self.0.admit(Instant::now()) else {
            return;
        };
        let left_out = Some(left_out).filter(|lines| *lines > 0);
        let (tenant, document) = split_global_id(&unreadable.document);
        let reason = &*unreadable.reason;
        if document.is_empty() {
            tracing::error!(
                tenant,
                reason,
                left_out,
                "the list of documents cannot be read"
            );
        } else if unreadable.is_damaged {
            tracing::error!(
                document,
                tenant,
                reason,
                left_out,
                "what is stored of a document cannot be read, and its clients are refused. See what else is damaged with \
                 `corelay store verify`, and what to do in docs/store.md, \"When a document cannot be read\""
            );
        } else {
            tracing::error!(
                document,
                tenant,
                reason,
                left_out,
                "a document could not be read; who wants it tries again"
            );
        }
    }
}
