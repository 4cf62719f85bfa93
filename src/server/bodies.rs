//! The driver's side of bodies: what follows the head of a request is gathered where the head was read.
//!
//! So nobody else is held up by a client that does not send what it has announced. It is counted as it arrives, and not
//! as it was announced. Where it is too much, the request that has the least time left makes room.

use super::connections::{Arriving, Key, Stage};
use super::driver::Driver;
use super::http::{self, Answer, Head};
use crate::engine::Instant;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Driver {
    /// The head of a request has arrived, and of what follows so much.
    pub(super) fn begin_body(&mut self, key: Key, head: Head, unread: &[u8], now: Instant) {
        if let Head::Post(post) = &head
            && self.streams.find(post.session.secret).is_none()
        {
            return self.answer(key, &head.refused(http::no_session()), now);
        }
        let is_whole = unread.len() >= head.body_bytes();
        if !is_whole && head.expects_continue() && !self.send_all(key, CONTINUE) {
            return self.lose(key, now);
        }
        let body = Vec::new();
        let stage = Stage::Arriving(Box::new(Arriving { head, body }));
        let deadline = now + self.limits.handshake_timeout;
        self.connections.wait(key, stage, deadline);
        self.continue_body(key, unread, now);
    }

    /// More of a body has arrived.
    pub(super) fn continue_body(&mut self, key: Key, bytes: &[u8], now: Instant) {
        let Some(Arriving { head, body }) = self.arriving(key) else {
            return;
        };
        let missing_bytes = head.body_bytes() - body.len();
        let (own, rest) = bytes.split_at(missing_bytes.min(bytes.len()));
        if !rest.is_empty() {
            // Whoever does not wait for the answer is told with it to send the rest again.
            head.end_connection();
        }
        if !self.make_room(key, own.len(), now) {
            return self.refuse_request(key, Answer::busy(), now);
        }
        self.connections.add_to_body(key, own);
        let Some(arrived) = self.connections.take_arrived(key) else {
            return;
        };
        let Arriving { head, body } = *arrived;
        match head {
            Head::Post(post) => self.begin_post(key, post, &body, now),
            Head::Exchange(exchange) => self.ask_control(key, *exchange, body, now),
            Head::Upgrade(_) | Head::Stream(_) | Head::Answered(_) => {
                unreachable!("none of these has a body")
            }
        }
    }

    /// Sees to it that so much more of a body can be held. False: even without the others that arrive it cannot.
    fn make_room(&mut self, key: Key, body_bytes: usize, now: Instant) -> bool {
        let bytes_max = self.limits.posted_bytes_max;
        while !self.connections.has_room_for(body_bytes, bytes_max) {
            match self.connections.next_arriving(key) {
                Some(other) => self.refuse_request(other, Answer::busy(), now),
                None => return false,
            }
        }
        true
    }

    fn arriving(&mut self, key: Key) -> Option<&mut Arriving> {
        match &mut self.connections.get_mut(key)?.stage {
            Stage::Arriving(arriving) => Some(arriving),
            Stage::Handshake { .. }
            | Stage::Kept
            | Stage::Posting(_)
            | Stage::Open(_)
            | Stage::Lingering => None,
        }
    }
}
