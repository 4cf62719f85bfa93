//! The driver's side of what clients post to event streams.
//!
//! The connection of a POST is on the shard of its stream, wherever it was accepted. When its body has arrived (`bodies`) it
//! is given to the engine as if the stream's client had sent it, and is answered then. While the engine does not want the
//! client's bytes, its posts wait in the order in which they arrived.

use super::connections::{Key, Posting, Stage};
use super::driver::Driver;
use super::http::{self, Answer, Post};
use crate::codec::json;
use crate::engine::Instant;
use crate::engine::shard::ConnectionId;

impl Driver {
    /// What a client posts has arrived whole.
    pub(super) fn begin_post(&mut self, key: Key, post: Post, body: &[u8], now: Instant) {
        let Some(stream) = self.streams.find(post.session.secret) else {
            return self.answer(key, &post.cors.on(http::no_session()), now);
        };
        match json::frames(body) {
            Ok(frames) => {
                let posting = Posting {
                    post,
                    stream,
                    frames,
                };
                // What has to wait is given its time from here on.
                let deadline = now + self.limits.handshake_timeout;
                let stage = Stage::Posting(Box::new(posting));
                self.connections.wait(key, stage, deadline);
                self.streams.push_post(stream, key);
                self.take_posts(stream, now);
            }
            Err(error) => {
                let words = format!("The body is no JSON message, and no array of them: {error}.");
                let answer = post.cors.on(Answer::bad(words));
                self.conclude(key, &answer, post.keeps_alive, now);
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
            let mut frames = std::mem::take(&mut posting.frames);
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
            Stage::Handshake { .. }
            | Stage::Kept
            | Stage::Arriving(_)
            | Stage::Open(_)
            | Stage::Lingering => None,
        }
    }
}
