//! An event to its JSON text.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::codec::wire::{self, Event, event};

use super::value::{self, BASE64_URL};
use super::write::{Array, Members};
use super::{Context, Payload};

/// Appends the JSON text of the whole message.
pub fn encode(event: &Event, context: &Context<'_>, out: &mut Vec<u8>) {
    let body = event.body.as_ref().expect("every event says something");
    let mut message = Members::open(out);
    message.value("type", type_of(body));
    if !event.reply_to.is_empty() {
        message.value("id", &event.reply_to);
    }
    message.value("timestamp", context.timestamp_ms);
    let mut payload = Members::open(message.member("payload"));
    write_body(body, context, &mut payload);
    payload.close();
    if let Some(debug) = &event.debug {
        let mut members = Members::open(message.member("debug"));
        write_debug(debug, &mut members);
        members.close();
    }
    message.close();
}

fn type_of(body: &event::Body) -> &'static str {
    match body {
        event::Body::Connected(_) => "connected",
        event::Body::Opened(_) => "opened",
        event::Body::RemoteOps(_) => "remote_ops",
        event::Body::Ack(_) => "ack",
        event::Body::Nack(_) => "nack",
        event::Body::SyncResponse(_) => "sync_response",
        event::Body::PresenceUpdate(_) => "presence_update",
        event::Body::Warning(_) => "warning",
        event::Body::Resync(_) => "resync",
        event::Body::Error(_) => "error",
        event::Body::Ping(_) => "ping",
        event::Body::Pong(_) => "pong",
        event::Body::Goaway(_) => "goaway",
        event::Body::Close(wire::Close { document: 0, .. }) => "disconnect",
        event::Body::Close(_) => "close",
        event::Body::SyncRequest(_) => "sync_request",
        event::Body::SnapshotAccepted(_) => "snapshot_accepted",
        event::Body::Deleted(_) => "deleted",
        event::Body::Directory(_) => "directory",
        event::Body::DirectoryUpdate(_) => "directory_update",
        event::Body::HistoryPage(_) => "history_page",
        event::Body::VersionSaved(_) => "version_saved",
        event::Body::Versions(_) => "versions",
        event::Body::VersionDeleted(_) => "version_deleted",
    }
}

fn write_body(body: &event::Body, context: &Context<'_>, out: &mut Members<'_>) {
    match body {
        event::Body::Connected(connected) => write_connected(connected, out),
        event::Body::Opened(opened) => write_opened(opened, context, out),
        event::Body::RemoteOps(remote) => write_remote_ops(remote, context, out),
        event::Body::Ack(ack) => write_ack(ack, context, out),
        event::Body::Nack(nack) => {
            write_document(context, out);
            out.value("clientSeq", nack.client_seq);
            let after = nack.retry_after_ms;
            write_refusal(nack.code, &nack.message, nack.retryable, after, out);
            out.value("nextClock", nack.next_clock);
            out.value("revision", nack.revision);
        }
        event::Body::SyncResponse(page) => write_sync_response(page, context, out),
        event::Body::PresenceUpdate(update) => {
            write_document(context, out);
            write_presences(&update.presences, out);
            out.value("full", update.full);
        }
        event::Body::Warning(warning) => {
            write_document(context, out);
            out.value("pendingOperations", warning.pending_operations);
            out.value("pendingBytes", warning.pending_bytes);
        }
        event::Body::Resync(resync) => {
            write_document(context, out);
            out.word("reason", resync.reason().as_str_name());
            write_position("from", resync.from.as_ref(), out);
            out.word("sync", resync.sync().as_str_name());
            out.value("nextClock", resync.next_clock);
        }
        event::Body::Error(error) => write_error(error, context, out),
        event::Body::Ping(ping) => out.value("nonce", ping.nonce),
        event::Body::Pong(pong) => {
            out.value("nonce", pong.nonce);
            out.value("serverTime", pong.server_time_ms);
        }
        event::Body::Goaway(goaway) => {
            out.value("reason", &goaway.reason);
            out.value("reconnectAfterMs", goaway.reconnect_after_ms);
            out.value("jitterMs", goaway.jitter_ms);
        }
        event::Body::Close(close) => {
            if close.document > 0 {
                write_document(context, out);
            }
            let after = close.retry_after_ms;
            write_refusal(close.code, &close.message, close.retryable, after, out);
        }
        event::Body::SyncRequest(request) => {
            write_document(context, out);
            let own = Some(context.client_id);
            write_vector("stateVector", &request.state_vector, own, out);
            out.value("nextClock", request.next_clock);
        }
        event::Body::SnapshotAccepted(accepted) => {
            write_document(context, out);
            out.value("revision", accepted.revision);
        }
        event::Body::Deleted(deleted) => {
            write_request_id(deleted.request_id, out);
            out.value("documentId", &deleted.document_id);
            out.value("undone", deleted.undone);
        }
        event::Body::Directory(directory) => {
            write_request_id(directory.request_id, out);
            write_entries("documents", &directory.documents, out);
            out.value("hasMore", directory.has_more);
        }
        event::Body::DirectoryUpdate(update) => {
            write_entries("created", &update.created, out);
            out.value("deleted", &update.deleted);
            out.value("isIncomplete", update.is_incomplete);
        }
        event::Body::HistoryPage(page) => write_history(page, out),
        event::Body::VersionSaved(saved) => {
            write_request_id(saved.request_id, out);
            out.value("documentId", &saved.document_id);
            if let Some(version) = &saved.version {
                write_version(version, out.member("version"));
            }
        }
        event::Body::Versions(list) => {
            write_request_id(list.request_id, out);
            out.value("documentId", &list.document_id);
            let mut versions = Array::open(out.member("versions"));
            for version in &list.versions {
                write_version(version, versions.element());
            }
            versions.close();
        }
        event::Body::VersionDeleted(deleted) => {
            write_request_id(deleted.request_id, out);
            out.value("documentId", &deleted.document_id);
            out.value("name", &deleted.name);
        }
    }
}

fn write_debug(debug: &wire::Debug, out: &mut Members<'_>) {
    out.value("messageId", &debug.message_id);
    out.thousandths("serverProcessing", debug.processing_us);
    out.value("queueDepth", debug.queue_depth);
    write_vector("stateVectorDelta", &debug.vector_delta, None, out);
}

fn write_connected(connected: &wire::Connected, out: &mut Members<'_>) {
    out.value("clientId", connected.client_id);
    out.value("serverTime", connected.server_time_ms);
    out.value("protocolVersion", connected.protocol_version);
    out.value("features", &connected.features);
    out.value("messageBytesMax", connected.message_bytes_max);
    out.value("batchOperationsMax", connected.batch_operations_max);
    out.value("pingPeriodMs", connected.ping_period_ms);
    out.value("presenceTtlMs", connected.presence_ttl_ms);
}

fn write_opened(opened: &wire::Opened, context: &Context<'_>, out: &mut Members<'_>) {
    write_request_id(opened.request_id, out);
    write_document(context, out);
    out.value("kind", &opened.kind);
    write_position("position", opened.position.as_ref(), out);
    out.word("sync", opened.sync().as_str_name());
    out.value("fromRevision", opened.from_revision);
    out.value("nextClock", opened.next_clock);
    if let Some(permissions) = &opened.permissions {
        let mut members = Members::open(out.member("permissions"));
        members.value("read", permissions.read);
        members.value("write", permissions.write);
        members.close();
    }
    write_presences(&opened.presences, out);
    out.value("color", &opened.color);
    out.value("shard", opened.shard);
    out.value("contentBytes", opened.content_bytes);
    out.value("unwritten", opened.unwritten);
}

fn write_remote_ops(remote: &wire::RemoteOps, context: &Context<'_>, out: &mut Members<'_>) {
    write_document(context, out);
    out.value("origin", remote.origin);
    out.value("revision", remote.revision);
    out.value("firstClock", remote.first_clock);
    write_operations(&remote.operations, context.payload, out);
    let further = (remote.operations.len() as u64).saturating_sub(1);
    let clock = remote.first_clock.saturating_add(further);
    let changed = BTreeMap::from([(remote.origin, clock)]);
    write_vector("serverVector", &changed, None, out);
}

fn write_ack(ack: &wire::Ack, context: &Context<'_>, out: &mut Members<'_>) {
    write_document(context, out);
    out.value("clientSeq", ack.client_seq);
    out.value("firstRevision", ack.first_revision);
    out.value("count", ack.count);
    out.value("clock", ack.clock);
    let changed = BTreeMap::from([(context.client_id, ack.clock)]);
    write_vector("serverVector", &changed, None, out);
    out.value("persistedAt", ack.persisted_at_ms);
    out.word("durability", ack.durability().as_str_name());
    out.value("duplicate", ack.duplicate);
}

fn write_sync_response(page: &wire::SyncResponse, context: &Context<'_>, out: &mut Members<'_>) {
    write_document(context, out);
    if let Some(chunk) = &page.snapshot {
        let mut members = Members::open(out.member("snapshot"));
        write_chunk(chunk, context.payload, &mut members);
        members.close();
    }
    let operations = page.operations.iter().flat_map(|batch| &batch.operations);
    write_operations(operations, context.payload, out);
    let mut batches = Array::open(out.member("batches"));
    for batch in &page.operations {
        let mut members = Members::open(batches.element());
        members.value("origin", batch.origin);
        members.value("revision", batch.revision);
        members.value("firstClock", batch.first_clock);
        members.value("count", batch.operations.len());
        members.close();
    }
    batches.close();
    // Only the last page has a vector.
    let own = (!page.has_more).then_some(context.client_id);
    write_vector("serverVector", &page.server_vector, own, out);
    out.value("hasMore", page.has_more);
    if !page.resume_token.is_empty() {
        out.base64("resumeToken", &BASE64_URL, &page.resume_token);
    }
    write_position("position", page.position.as_ref(), out);
    out.word("sync", page.sync().as_str_name());
}

fn write_history(page: &wire::HistoryPage, out: &mut Members<'_>) {
    write_request_id(page.request_id, out);
    out.value("documentId", &page.document_id);
    out.value("kind", &page.kind);
    let payload = Payload::of_kind(&page.kind);
    let mut entries = Array::open(out.member("entries"));
    for entry in &page.entries {
        let mut members = Members::open(entries.element());
        members.value("revision", entry.revision);
        members.value("count", entry.count);
        members.value("origin", entry.origin);
        members.value("author", &entry.author);
        members.value("time", entry.time_ms);
        members.value("bytes", entry.bytes);
        if !entry.operations.is_empty() {
            write_operations(&entry.operations, payload, &mut members);
        }
        members.close();
    }
    entries.close();
    out.value("nextRevision", page.next_revision);
    write_position("position", page.position.as_ref(), out);
    out.value("firstRevision", page.first_revision);
    out.value("oldestRevision", page.oldest_revision);
}

fn write_version(version: &wire::Version, out: &mut Vec<u8>) {
    let mut members = Members::open(out);
    members.value("name", &version.name);
    members.value("revision", version.revision);
    members.value("author", &version.author);
    members.value("time", version.time_ms);
    members.close();
}

fn write_chunk(chunk: &wire::SnapshotChunk, payload: Payload, out: &mut Members<'_>) {
    out.value("revision", chunk.revision);
    out.value("bytesTotal", chunk.bytes_total);
    out.value("offset", chunk.offset);
    match (payload, std::str::from_utf8(&chunk.data)) {
        (Payload::TextComponents, Ok(text)) => out.value("data", text),
        (Payload::TextComponents, Err(_)) | (Payload::Json, _) => {
            value::write_base64(&chunk.data, out.member("data"));
        }
    }
    out.value("nextClock", chunk.next_clock);
}

fn write_error(error: &wire::Error, context: &Context<'_>, out: &mut Members<'_>) {
    let after = error.retry_after_ms;
    write_refusal(error.code, &error.message, error.retryable, after, out);
    let mut details = Members::open(out.member("details"));
    write_request_id(error.request_id, &mut details);
    write_document(context, &mut details);
    if !error.supported_versions.is_empty() {
        details.value("supportedVersions", &error.supported_versions);
    }
    details.close();
}

/// What every refusal says.
fn write_refusal(
    code: i32,
    message: &str,
    retryable: bool,
    retry_after_ms: u32,
    out: &mut Members<'_>,
) {
    out.value("code", code);
    out.value("message", message);
    out.value("retryable", retryable);
    if retry_after_ms > 0 {
        out.thousandths("retryAfter", retry_after_ms.into());
    }
}

fn write_presences(presences: &[wire::UserPresence], out: &mut Members<'_>) {
    let mut array = Array::open(out.member("presences"));
    for presence in presences {
        let mut members = Members::open(array.element());
        write_presence(presence, &mut members);
        members.close();
    }
    array.close();
}

fn write_presence(presence: &wire::UserPresence, out: &mut Members<'_>) {
    out.value("clientId", presence.client_id);
    out.value("userId", &presence.user_id);
    out.value("name", &presence.name);
    out.value("color", &presence.color);
    write_cursor("cursor", presence.cursor.as_ref(), out);
    if let Some(selection) = &presence.selection {
        let mut members = Members::open(out.member("selection"));
        write_cursor("anchor", selection.anchor.as_ref(), &mut members);
        write_cursor("focus", selection.focus.as_ref(), &mut members);
        members.close();
    }
    out.value("isTyping", presence.is_typing);
    if !presence.fields.is_empty() {
        let mut fields = Members::open(out.member("fields"));
        for (name, value) in &presence.fields {
            value::write(value, fields.member(name));
        }
        fields.close();
    }
    out.value("lastSeen", presence.last_seen_ms);
    out.value("left", presence.left);
}

fn write_cursor(name: &str, cursor: Option<&wire::Cursor>, out: &mut Members<'_>) {
    if let Some(cursor) = cursor {
        let mut members = Members::open(out.member(name));
        members.value("blockId", &cursor.block_id);
        members.value("offset", cursor.offset);
        members.close();
    }
}

fn write_entries(name: &str, entries: &[wire::DocumentEntry], out: &mut Members<'_>) {
    let mut array = Array::open(out.member(name));
    for entry in entries {
        let mut members = Members::open(array.element());
        members.value("documentId", &entry.document_id);
        members.value("kind", &entry.kind);
        members.close();
    }
    array.close();
}

fn write_document(context: &Context<'_>, out: &mut Members<'_>) {
    if let Some(id) = context.document_id {
        out.value("documentId", id);
    }
}

fn write_request_id(request_id: u64, out: &mut Members<'_>) {
    if request_id > 0 {
        out.value("requestId", request_id);
    }
}

fn write_position(name: &str, position: Option<&wire::Position>, out: &mut Members<'_>) {
    if let Some(position) = position {
        let mut members = Members::open(out.member(name));
        members.value("epoch", position.epoch);
        members.value("revision", position.revision);
        members.close();
    }
}

fn write_operations<'a>(
    operations: impl IntoIterator<Item = &'a Bytes>,
    payload: Payload,
    out: &mut Members<'_>,
) {
    let mut array = Array::open(out.member("operations"));
    for operation in operations {
        payload.write(operation, array.element());
    }
    array.close();
}

/// A state vector. `own`: a client that has an entry in any case, -1 where it has no operation.
fn write_vector(name: &str, vector: &BTreeMap<u64, u64>, own: Option<u64>, out: &mut Members<'_>) {
    let mut members = Members::open(out.member(name));
    for (client, clock) in vector {
        members.numbered(*client, clock);
    }
    if let Some(own) = own
        && !vector.contains_key(&own)
    {
        members.numbered(own, -1);
    }
    members.close();
}
