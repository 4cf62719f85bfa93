//! The connection that a session has, or wants: what goes over it, and when.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::{Session, append};
use crate::client::event::{Event, Refusal, Violation};
use crate::codec::frame;
use crate::codec::wire::{self, request::Body};
use crate::engine::Instant;

/// The version of `proto/corelay.proto` that the session speaks.
pub const PROTOCOL_VERSION: u32 = 3;

/// What the session wants of its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRequest {
    /// Connect, then call `handle_connected` or `handle_disconnected`.
    Connect,
    /// Send what `poll_transmit` still has, then drop the connection. The session counts it as gone already.
    Disconnect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Waiting {
        until: Instant,
    },
    Connecting,
    /// Hello is sent.
    Greeting,
    Live,
    Stopped,
}

impl Session {
    /// What the driver has to do about the connection.
    pub fn poll_connection(&mut self, now: Instant) -> Option<ConnectionRequest> {
        if self.drop_connection {
            self.drop_connection = false;
            return Some(ConnectionRequest::Disconnect);
        }
        match self.link {
            Link::Waiting { until } if until <= now => {
                self.link = Link::Connecting;
                Some(ConnectionRequest::Connect)
            }
            Link::Waiting { .. }
            | Link::Connecting
            | Link::Greeting
            | Link::Live
            | Link::Stopped => None,
        }
    }

    /// There is a connection, as it was asked for.
    pub fn handle_connected(&mut self, now: Instant) {
        if self.link != Link::Connecting {
            return;
        }
        self.link = Link::Greeting;
        self.heard_at = now;
        self.pinged = false;
        self.input.clear();
        self.output.clear();
        self.renewals = 0;
        self.hello();
    }

    pub(super) fn hello(&mut self) {
        self.send(Body::Hello(wire::Hello {
            protocol_version: PROTOCOL_VERSION,
            client_uuid: Bytes::copy_from_slice(&self.settings.client_uuid),
            token: self.settings.token.clone(),
            user_id: self.settings.user_id.clone(),
            user_name: self.settings.user_name.clone(),
            debug: false,
        }));
    }

    /// The connection is gone, or could not be made.
    pub fn handle_disconnected(&mut self, now: Instant) {
        match self.link {
            Link::Connecting | Link::Greeting | Link::Live => self.lose_connection(now),
            Link::Waiting { .. } | Link::Stopped => {}
        }
    }

    pub(super) fn lose_connection(&mut self, now: Instant) {
        let until = match self.not_before.take() {
            Some(at) => at.max(now),
            None => now + self.backoff.delay(),
        };
        self.link = Link::Waiting { until };
        self.handles.clear();
        self.output.clear();
        self.requests.disconnect();
        for document in &mut self.documents {
            document.disconnect();
        }
        self.events.push_back(Event::Disconnected {
            retry_at: Some(until),
        });
    }

    fn fail(&mut self, violation: Violation, now: Instant) {
        self.events.push_back(Event::Violation(violation));
        self.drop_connection = true;
        self.lose_connection(now);
    }

    pub(super) fn refuse_for_ever(&mut self, refusal: Refusal) {
        self.stop();
        self.events.push_back(Event::Stopped { refusal });
    }

    /// Bytes from the relay, in any pieces.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Instant) {
        self.heard_at = now;
        self.pinged = false;
        let mut kept = std::mem::take(&mut self.input);
        let mut rest = bytes;
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
            rest = &kept;
        }
        while matches!(self.link, Link::Greeting | Link::Live) {
            let told = match frame::split(&mut rest, self.settings.frame_bytes_max) {
                Ok(None) => {
                    if rest.len() == kept.len() {
                        self.input = if kept.is_empty() { Vec::new() } else { kept };
                    } else {
                        self.input.extend_from_slice(rest);
                    }
                    return;
                }
                Ok(Some(message)) => match wire::Event::decode(Bytes::copy_from_slice(message)) {
                    Ok(wire::Event { reply_to, body, .. }) => {
                        body.map_or(Ok(()), |told| self.handle_event(told, &reply_to, now))
                    }
                    Err(error) => Err(Violation::Message(error.to_string())),
                },
                Err(error) => Err(error.into()),
            };
            if let Err(violation) = told {
                self.fail(violation, now);
            }
        }
    }

    /// Call it at `poll_timeout`, or whenever convenient.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !matches!(self.link, Link::Greeting | Link::Live) {
            return;
        }
        if self.ping_at() <= now {
            if self.pinged {
                self.fail(Violation::PongMissing, now);
                return;
            }
            self.pinged = true;
            self.send(Body::Ping(wire::Ping { nonce: 1 }));
        }
        for document in &mut self.documents {
            document.handle_timeout(now, &mut self.events);
        }
    }

    /// When the next Ping of ours is due, or its answer.
    fn ping_at(&self) -> Instant {
        let wait = if self.pinged {
            self.settings.pong_timeout
        } else {
            Duration::ZERO
        };
        self.heard_at + self.ping_period + wait
    }

    /// Appends what is to be sent now: whole frames, as many as one message may have. Call it until it gives nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>, now: Instant) {
        let bytes_max = self.message_bytes_max + frame::PREFIX_BYTES;
        if self.link == Link::Live && self.output.len() < bytes_max {
            self.gather(now);
        }
        let mut end = 0;
        for message in frame::messages(&self.output) {
            let next = end + frame::PREFIX_BYTES + message.len();
            if end > 0 && next > bytes_max {
                break;
            }
            end = next;
        }
        out.extend_from_slice(&self.output[..end]);
        self.output.drain(..end);
    }

    /// What requests and documents have to send.
    fn gather(&mut self, now: Instant) {
        let output = &mut self.output;
        if let Some(body) = self.requests.next(now) {
            append(output, &body.into());
        }
        for (index, document) in self.documents.iter_mut().enumerate() {
            let request_id = request_of_index(index);
            let bytes_max = self.message_bytes_max;
            document.transmit(&self.settings, bytes_max, request_id, now, |request| {
                append(output, &request);
            });
        }
    }

    /// When to call `poll_connection`, `handle_timeout` and `poll_transmit` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.link {
            _ if self.drop_connection => Some(Instant::default()),
            Link::Waiting { until } => Some(until),
            Link::Connecting | Link::Stopped => None,
            Link::Greeting | Link::Live if !self.output.is_empty() => Some(Instant::default()),
            Link::Greeting => Some(self.ping_at()),
            Link::Live => self
                .documents
                .iter()
                .filter_map(|document| document.timeout(&self.settings))
                .chain([self.ping_at()])
                .chain(self.requests.due())
                .min(),
        }
    }
}

/// Requests to open are numbered from 1: in an Error, 0 means that it answers none.
fn request_of_index(index: usize) -> u64 {
    index as u64 + 1
}

pub(super) fn index_of_request(request_id: u64) -> usize {
    usize::try_from(request_id.wrapping_sub(1)).unwrap_or(usize::MAX)
}
