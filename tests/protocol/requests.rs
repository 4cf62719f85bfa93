//! The requests that tests make.

use bytes::Bytes;

use corelay::codec::wire::{self, request};
use corelay::text::Operation;

pub fn hello(name: &str) -> request::Body {
    let mut uuid = [0; 16];
    uuid[..name.len()].copy_from_slice(name.as_bytes());
    request::Body::Hello(wire::Hello {
        protocol_version: 3,
        client_uuid: Bytes::copy_from_slice(&uuid),
        user_id: name.to_owned(),
        user_name: name.to_uppercase(),
        ..Default::default()
    })
}

pub fn open(document: &str, kind: &str, create: bool) -> request::Body {
    request::Body::Open(wire::Open {
        request_id: 1,
        document: document.to_owned(),
        kind: kind.to_owned(),
        have: None,
        create,
        ..Default::default()
    })
}

pub fn open_from(document: &str, epoch: u64, revision: u64) -> request::Body {
    request::Body::Open(wire::Open {
        request_id: 1,
        document: document.to_owned(),
        have: Some(wire::Position { epoch, revision }),
        ..Default::default()
    })
}

/// A batch for a log, its `client_seq` its first clock.
pub fn log_batch<T: Into<Bytes>>(
    document: u64,
    first_clock: u64,
    operations: impl IntoIterator<Item = T>,
) -> request::Body {
    request::Body::Operations(wire::Operations {
        document,
        client_seq: first_clock,
        first_clock,
        base_revision: 0,
        operations: operations.into_iter().map(Into::into).collect(),
        ..Default::default()
    })
}

/// A batch for a text, its `client_seq` its first clock.
pub fn text_batch(
    document: u64,
    first_clock: u64,
    base_revision: u64,
    operations: &[Operation],
) -> request::Body {
    request::Body::Operations(wire::Operations {
        document,
        client_seq: first_clock,
        first_clock,
        base_revision,
        operations: operations.iter().map(|o| o.encode().into()).collect(),
        ..Default::default()
    })
}

pub fn close(document: u64) -> request::Body {
    request::Body::Close(wire::Close {
        document,
        ..Default::default()
    })
}
