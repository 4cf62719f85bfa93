//! The driver's side of what clients post to event streams.
//!
//! The connection of a POST is on the shard of its stream, wherever it was accepted. Its body is gathered here, is
//! given to the engine as if the stream's client had sent it, and is answered then. While the engine does not want the
//! client's bytes, its posts wait in the order in which they arrived.

use super::connections::{Key, Posting, Stage};
use super::driver::Driver;
use super::http::{self, Answer, Post};
use crate::codec::json;
use crate::engine::Instant;
use crate::engine::shard::ConnectionId;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Driver {
    /// The head of a POST has arrived, and of what follows so much.
    pub(super) fn begin_post(&mut self, key: Key, post: &Post, unread: &[u8], now: Instant) {
        let Some(stream) = self.streams.find(post.session.secret) else {
            return self.answer(key, &post.cors.on(http::no_session()), now);
        };
        let posted_bytes_max = self.limits.posted_bytes_max;
        if !self.connections.has_room_for(post, posted_bytes_max) {
            return self.answer(key, &post.cors.on(Answer::busy()), now);
        }
        let is_awaited = post.expects_continue && unread.len() < post.body_bytes;
        if is_awaited && !self.send_all(key, CONTINUE) {
            return self.lose(key, now);
        }
        let posting = Posting::new(post.clone(), stream);
        let deadline = now + self.limits.handshake_timeout;
        let stage = Stage::Posting(Box::new(posting));
        self.connections.wait(key, stage, deadline);
        self.continue_post(key, unread, now);
    }

    /// More of a body has arrived.
    pub(super) fn continue_post(&mut self, key: Key, bytes: &[u8], now: Instant) {
        let Some(posting) = self.posting(key) else {
            return;
        };
        let Posting { post, body, .. } = posting;
        if body.is_empty() {
            body.reserve_exact(post.body_bytes);
        }
        let missing_bytes = post.body_bytes - body.len();
        let (own, rest) = bytes.split_at(missing_bytes.min(bytes.len()));
        body.extend_from_slice(own);
        // Whoever does not wait for the answer is told with it to send the rest again.
        post.keeps_alive &= rest.is_empty();
        if body.len() < post.body_bytes {
            return;
        }
        match json::frames(&std::mem::take(body)) {
            Ok(frames) => {
                let stream = posting.stream;
                posting.frames = Some(frames);
                // What has to wait is given its time from here on.
                let deadline = now + self.limits.handshake_timeout;
                self.connections.set_deadline(key, deadline);
                self.streams.push_post(stream, key);
                self.take_posts(stream, now);
            }
            Err(error) => {
                let words = format!("The body is no JSON message, and no array of them: {error}.");
                let answer = post.cors.on(Answer::bad(words));
                let keeps_alive = post.keeps_alive;
                self.conclude(key, &answer, keeps_alive, now);
            }
        }
    }

    /// Gives the engine what was posted to a stream, as long as it wants it.
    pub(super) fn take_posts(&mut self, stream: ConnectionId, now: Instant) {
        while let Some(key) = self.streams.first_post(stream)
            && self.engine.wants_bytes(stream)
        {
            self.streams.pop_post(stream);
            let Some(posting) = self.posting(key) else {
                continue;
            };
            let mut frames = posting.frames.take().unwrap_or_default();
            let answer = posting.post.cors.on(Answer::nothing());
            let keeps_alive = posting.post.keeps_alive;
            self.engine.handle_bytes(stream, &mut frames, now);
            self.counters.posts += 1;
            self.conclude(key, &answer, keeps_alive, now);
        }
    }

    fn posting(&mut self, key: Key) -> Option<&mut Posting> {
        match &mut self.connections.get_mut(key)?.stage {
            Stage::Posting(posting) => Some(posting),
            Stage::Handshake { .. } | Stage::Kept | Stage::Open(_) | Stage::Lingering => None,
        }
    }
}
