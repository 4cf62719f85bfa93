//! A store that says yes and keeps nothing.

use corelay::engine::{Instant, Shard};
use corelay::store::{Loaded, StoreReply, StoreRequest};

/// Answers whatever the shard asks of its store, at once.
pub fn store(shard: &mut Shard, now: Instant) {
    while let Some(request) = shard.poll_store() {
        shard.handle_store(serve(request), now);
    }
}

fn serve(request: StoreRequest) -> StoreReply {
    match request {
        StoreRequest::Append {
            document,
            first_revision,
            count,
            ..
        } => StoreReply::Appended {
            token: document.token,
            revision: first_revision + u64::from(count) - 1,
            persisted_at_ms: 0,
        },
        StoreRequest::Load { document } => StoreReply::Loaded {
            token: document.token,
            result: Ok(Loaded::Unknown),
        },
        StoreRequest::PutSnapshot {
            document, revision, ..
        } => StoreReply::SnapshotStored {
            token: document.token,
            revision,
            stored_bytes: 0,
        },
        StoreRequest::Read { .. } => unreachable!("nobody is behind the ring"),
        StoreRequest::Delete { .. }
        | StoreRequest::Restore { .. }
        | StoreRequest::Sweep { .. }
        | StoreRequest::List { .. }
        | StoreRequest::History { .. }
        | StoreRequest::SaveVersion { .. }
        | StoreRequest::DeleteVersion { .. }
        | StoreRequest::ListVersions { .. } => unreachable!("nobody asks for it"),
    }
}
