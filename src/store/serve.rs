//! Requests that are served at once, by whoever has the store in hand.

use super::backend::{Backend, Reader, Write};
use super::{StoreError, StoreReply, StoreRequest};

/// Serves any request; a write is a commit of its own. The reply to a write may go out when the durability mode allows
/// it: with `Always` after the next [`Backend::sync`].
///
/// # Errors
///
/// As [`Backend::commit`].
pub fn serve(
    store: &mut impl Backend,
    request: StoreRequest,
    now_ms: u64,
) -> Result<StoreReply, StoreError> {
    Ok(match request {
        StoreRequest::Append {
            document,
            kind,
            first_revision,
            count,
            record,
        } => {
            store.commit(&[Write::Append {
                document: document.name,
                kind,
                first_revision,
                count,
                record,
            }])?;
            StoreReply::Appended {
                token: document.token,
                revision: (first_revision + u64::from(count)).saturating_sub(1),
                persisted_at_ms: now_ms,
            }
        }
        StoreRequest::PutSnapshot {
            document,
            revision,
            snapshot,
            compact_to_revision,
        } => {
            let mut committed = store.commit(&[Write::Snapshot {
                document: document.name,
                revision,
                snapshot,
                compact_to_revision,
            }])?;
            // A large one takes several commits.
            while committed.snapshots.is_empty() {
                committed = store.commit(&[])?;
            }
            StoreReply::SnapshotStored {
                token: document.token,
                revision,
                stored_bytes: committed.snapshots[0],
            }
        }
        StoreRequest::Delete { document, at_ms } => StoreReply::Deleted {
            token: document.token,
            stored_bytes: store
                .commit(&[Write::Delete {
                    document: document.name,
                    at_ms,
                }])?
                .changed[0],
        },
        StoreRequest::Restore { document, at_ms } => StoreReply::Restored {
            token: document.token,
            stored_bytes: store
                .commit(&[Write::Restore {
                    document: document.name,
                    at_ms,
                }])?
                .changed[0],
        },
        StoreRequest::Sweep {
            ticket,
            deleted_before_ms,
        } => StoreReply::Swept {
            ticket,
            swept: store.commit(&[Write::Sweep { deleted_before_ms }])?.sweeps[0],
        },
        StoreRequest::SaveVersion {
            document,
            ticket,
            version,
            versions_max,
        } => StoreReply::VersionChanged {
            ticket,
            result: store
                .commit(&[Write::SaveVersion {
                    document,
                    version,
                    versions_max,
                }])?
                .versions[0],
        },
        StoreRequest::DeleteVersion {
            document,
            ticket,
            name,
        } => StoreReply::VersionChanged {
            ticket,
            result: store
                .commit(&[Write::DeleteVersion { document, name }])?
                .versions[0],
        },
        read @ (StoreRequest::Load { .. }
        | StoreRequest::Read { .. }
        | StoreRequest::History { .. }
        | StoreRequest::ListVersions { .. }
        | StoreRequest::List { .. }) => serve_read(store, read),
    })
}

/// Serves a request that changes nothing.
///
/// # Panics
///
/// If it is one that does.
pub fn serve_read(reader: &(impl Reader + ?Sized), request: StoreRequest) -> StoreReply {
    match request {
        StoreRequest::Load { document } => StoreReply::Loaded {
            token: document.token,
            result: reader.load(&document.name),
        },
        StoreRequest::Read {
            document,
            ticket,
            from_revision,
            to_revision,
            bytes_max,
        } => StoreReply::Page {
            token: document.token,
            ticket,
            result: reader.read(&document.name, from_revision, to_revision, bytes_max),
        },
        StoreRequest::History {
            document,
            ticket,
            range,
        } => StoreReply::History {
            ticket,
            result: reader.history(&document, &range),
        },
        StoreRequest::ListVersions { document, ticket } => StoreReply::Versions {
            ticket,
            result: reader.versions(&document),
        },
        StoreRequest::List {
            ticket,
            tenant,
            prefix,
            after,
            documents_max,
            bytes_max,
        } => StoreReply::Listed {
            ticket,
            result: reader.list(&tenant, &prefix, after.as_deref(), documents_max, bytes_max),
        },
        StoreRequest::Append { .. }
        | StoreRequest::PutSnapshot { .. }
        | StoreRequest::Delete { .. }
        | StoreRequest::Restore { .. }
        | StoreRequest::Sweep { .. }
        | StoreRequest::SaveVersion { .. }
        | StoreRequest::DeleteVersion { .. } => unreachable!("a write is no read"),
    }
}
