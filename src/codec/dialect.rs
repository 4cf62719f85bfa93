//! The languages that a client can speak: one meaning, three forms.

use std::io::Write;

use bytes::Bytes;
use prost::Message;

use super::frame;
use super::json;
use super::wire::{Event, RemoteOps, event};

/// How a connection's messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    #[default]
    Protobuf,
    Json,
    /// JSON, where each message is one server-sent event.
    EventStream,
}

/// What a message says beside its event, in the dialects that say more than protobuf.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    pub context: json::Context<'a>,
    /// The epoch of positions in the document that the connection's URL names, if this is about that one: they are
    /// the ids of server-sent events.
    pub epoch: Option<u64>,
}

impl Dialect {
    /// Appends the event as one message with its length in front.
    pub fn append(self, event: &Event, about: &About<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Protobuf => frame::append(event, out),
            Self::Json => frame::append_with(out, |out| json::encode(event, &about.context, out)),
            Self::EventStream => {
                let mut text = Vec::new();
                json::encode(event, &about.context, &mut text);
                append_event(&text, event_id(event, about.epoch), out);
            }
        }
    }
}

/// An event that many get, encoded once for each dialect that is spoken.
#[derive(Debug, Clone)]
pub struct Broadcast {
    /// The protobuf form, its length in front.
    frame: Bytes,
    /// The JSON form, if somebody spoke JSON when it was made.
    json: Option<Bytes>,
}

impl Broadcast {
    /// `json`: what JSON says beside the event, if somebody speaks it.
    pub fn new(event: &Event, json: Option<&json::Context<'_>>) -> Self {
        Self {
            frame: frame::encode(event),
            json: json.map(|context| json_text(event, context)),
        }
    }

    /// The size of the protobuf form.
    pub fn frame_bytes(&self) -> usize {
        self.frame.len()
    }

    /// The size of the other forms.
    pub fn other_bytes(&self) -> usize {
        self.json.as_ref().map_or(0, Bytes::len)
    }

    /// One whose frame has that size, and no meaning.
    #[cfg(test)]
    pub fn of_bytes(bytes: usize) -> Self {
        Self {
            frame: vec![0; bytes].into(),
            json: None,
        }
    }

    /// Appends it as one message with its length in front. `revision`: the newest that a client has with it.
    pub fn append<'a>(
        &self,
        dialect: Dialect,
        about: impl FnOnce() -> About<'a>,
        revision: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        match dialect {
            Dialect::Protobuf => out.extend_from_slice(&self.frame),
            Dialect::Json => frame::append_with(out, |out| {
                out.extend_from_slice(&self.json(&about().context));
            }),
            Dialect::EventStream => {
                let about = about();
                let text = self.json(&about.context);
                append_event(&text, about.epoch.zip(revision), out);
            }
        }
    }

    fn json(&self, context: &json::Context<'_>) -> Bytes {
        self.json.clone().unwrap_or_else(|| {
            let event = Event::decode(&self.frame[frame::PREFIX_BYTES..])
                .expect("it was encoded from an event");
            json_text(&event, context)
        })
    }
}

/// A comment, which keeps proxies from giving up a quiet stream.
pub const EVENT_STREAM_HEARTBEAT: &[u8] = b":\n\n";

fn json_text(event: &Event, context: &json::Context<'_>) -> Bytes {
    let mut text = Vec::new();
    json::encode(event, context, &mut text);
    text.into()
}

/// One server-sent event, its length in front. Where the text has several lines, so has the event.
fn append_event(text: &[u8], id: Option<(u64, u64)>, out: &mut Vec<u8>) {
    frame::append_with(out, |out| {
        if let Some((epoch, revision)) = id {
            writeln!(out, "id: {epoch}.{revision}").expect("memory takes it");
        }
        for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        out.push(b'\n');
    });
}

/// The position in the document that a client has with this event. What says something of the past alone has none: a
/// client would go back to it.
fn event_id(event: &Event, epoch: Option<u64>) -> Option<(u64, u64)> {
    let last_of = |remote: &RemoteOps| remote.revision + remote.operations.len() as u64 - 1;
    let revision = match event.body.as_ref()? {
        event::Body::RemoteOps(remote) => last_of(remote),
        event::Body::Ack(ack) if ack.first_revision > 0 && !ack.duplicate => {
            ack.first_revision + u64::from(ack.count) - 1
        }
        event::Body::SyncResponse(page) => match &page.position {
            Some(position) => position.revision,
            None => last_of(page.operations.last()?),
        },
        _says_nothing_of_it => return None,
    };
    Some((epoch?, revision))
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Ack, Position, SyncResponse};
    use super::*;

    #[test]
    fn an_event_has_the_position_that_a_client_has_with_it() {
        let remote = |revision, count| RemoteOps {
            revision,
            operations: vec![Bytes::new(); count],
            ..RemoteOps::default()
        };
        let ack = |first_revision, duplicate| {
            event::Body::Ack(Ack {
                first_revision,
                count: 3,
                duplicate,
                ..Ack::default()
            })
        };
        let page = |operations, position: Option<u64>| {
            event::Body::SyncResponse(SyncResponse {
                operations,
                position: position.map(|revision| Position { epoch: 2, revision }),
                ..SyncResponse::default()
            })
        };
        let table = [
            (event::Body::RemoteOps(remote(5, 2)), Some(6)),
            (ack(5, false), Some(7)),
            (ack(5, true), None),
            (ack(0, false), None),
            (page(vec![], None), None),
            (page(vec![remote(1, 2), remote(3, 1)], None), Some(3)),
            (page(vec![remote(1, 2)], Some(9)), Some(9)),
            (event::Body::Pong(Default::default()), None),
        ];
        for (body, expected) in table {
            let event = Event {
                body: Some(body),
                ..Event::default()
            };
            let expected = expected.map(|revision| (2, revision));
            assert_eq!(event_id(&event, Some(2)), expected, "{event:?}");
            assert_eq!(event_id(&event, None), None);
        }
    }
}
