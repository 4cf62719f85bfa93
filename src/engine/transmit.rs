//! What goes out: for each client, everything from where it is to the newest, in one send.

use crate::codec::dialect::Dialect;
use crate::codec::frame;
use crate::codec::websocket;
use crate::codec::wire::event;

use super::document::Document;
use super::gather::{Gather, Gathered};
use super::key::DocumentKey;
use super::key::SessionKey;
use super::liveness::next_look;
use super::request::Asked;
use super::session::Carrier;
use super::session::Transport;
use super::shard::Shard;
use super::time::Instant;
use super::timer::Owner;
use super::voice::Voice;

/// Output of this size is never the reason that its connection is closed.
const OUTPUT_BYTES_FREE: usize = 4096;

impl Shard {
    /// Queues something for one client: an answer, if a request of it is being handled.
    pub(super) fn reply(&mut self, key: SessionKey, body: event::Body) {
        if let Some(session) = self.sessions.get(key) {
            let asked = session.asked.clone();
            self.answer(key, &asked, body);
        }
    }

    /// Queues an answer to a request for one client.
    pub(super) fn answer(&mut self, key: SessionKey, asked: &Asked, body: event::Body) {
        if !self.sessions.contains_key(key) {
            return;
        }
        self.note_refusal(key, &body);
        let session = &self.sessions[key];
        let document = self.handles.get(&body.document());
        let document = document.and_then(|document| self.documents.get(*document));
        let topic = document.map(Document::topic);
        let voice = Voice::new(session, topic, &self.settings, self.now);
        voice.append(asked, body, &mut self.sessions[key].replies);
        self.mark_writable(key);
        self.count_output(key);
    }

    /// The session has something to send.
    pub(super) fn mark_writable(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.is_queued || session.is_blocked() {
            return;
        }
        session.is_queued = true;
        match &session.carrier {
            Carrier::Socket(_) => self.flush.push(key, self.now),
            Carrier::Link(link) => self.outboxes[link.shard].writable.push_back(key),
        }
    }

    pub(super) fn mark_subscribers(&mut self, document: DocumentKey) {
        let open = self.documents[document].open().expect("it has subscribers");
        for index in 0..open.subscribers.len() {
            let open = self.documents[document].open().expect("as before");
            self.mark_writable(open.subscribers[index]);
        }
        self.mark_branches(document);
    }

    pub(super) fn transmit(&mut self, key: SessionKey, out: &mut Vec<u8>) {
        self.sending_since = None;
        let Some(socket) = self.socket_of(key) else {
            return;
        };
        let transport = socket.transport;
        if !socket.unsent.is_empty() {
            *out = std::mem::take(&mut socket.unsent);
            self.mark_writable(key);
            return self.count_output(key);
        }
        out.append(&mut socket.control);
        let dialect = self.sessions[key].manner.dialect();
        let mut has_more = false;
        match transport {
            Transport::Tcp => has_more = self.gather(key, out),
            Transport::WebSocket if dialect == Dialect::Protobuf => {
                websocket::append_binary(out, |out| has_more = self.gather(key, out));
            }
            Transport::WebSocket => {
                has_more = self.gather_messages(key, |text| websocket::append_text(out, text));
            }
            Transport::EventStream => {
                has_more = self.gather_messages(key, |event| out.extend_from_slice(event));
            }
        }
        if has_more {
            self.mark_writable(key);
        } else if transport == Transport::WebSocket
            && let Some(close) = self.socket_of(key).and_then(|socket| socket.close.take())
        {
            let (code, reason) = *close;
            websocket::append_close(out, code, &reason);
        }
        self.count_output(key);
        self.resume_paused();
    }

    /// Appends frames for the session, up to about `flush_bytes_max`. True: there are more.
    pub(super) fn gather(&mut self, key: SessionKey, out: &mut Vec<u8>) -> bool {
        let end = out.len() + self.settings.fanout.flush_bytes_max;
        let session = &mut self.sessions[key];
        out.extend_from_slice(&session.replies);
        session.replies = Vec::new();
        let was_blocked = std::mem::take(&mut session.was_blocked);
        let first = session.served_first;
        session.served_first = first.wrapping_add(1);
        let subscriptions = session.subscriptions.len();
        let is_tied = session
            .socket()
            .is_some_and(|socket| !socket.forwards.is_empty());

        let (mut lapped, mut done) = (Vec::new(), Vec::new());
        if self.sessions[key].watch.is_some()
            && let Some(update) = self.directory_update(key)
        {
            let session = &self.sessions[key];
            let voice = Voice::new(session, None, &self.settings, self.now);
            voice.append(&Asked::default(), update, out);
        }
        let mut has_more = false;
        if is_tied {
            has_more |= self.gather_forwarded(key, out, end);
            has_more |= self.gather_edges(key, first, was_blocked, out, end);
        }
        for offset in 0..subscriptions {
            let index = first.wrapping_add(offset) % subscriptions;
            let document = self.sessions[key].subscriptions[index].document;
            match self.gather_subscription(key, index, was_blocked, out, end) {
                Gathered::All => (),
                Gathered::More => has_more = true,
                Gathered::NeedsPage => self.request_page(key, document),
                Gathered::Lapped { revision } => {
                    lapped.push((document, revision));
                    has_more = true;
                }
                Gathered::Done => done.push(document),
            }
        }
        for (document, revision) in lapped {
            self.catch_up_again(key, document, revision, self.now);
        }
        for document in done {
            self.unsubscribe(key, document, self.now);
        }
        has_more
    }

    /// The same without their lengths, one by one.
    fn gather_messages(&mut self, key: SessionKey, append: impl FnMut(&[u8])) -> bool {
        let mut frames = std::mem::take(&mut self.scratch);
        let has_more = self.gather(key, &mut frames);
        frame::messages(&frames).for_each(append);
        frames.clear();
        frames.shrink_to(self.settings.fanout.flush_bytes_max);
        self.scratch = frames;
        has_more
    }

    /// Puts what a subscription that is about to end has not been sent among the session's replies, if its client
    /// takes what it is sent.
    pub(super) fn gather_last(&mut self, key: SessionKey, document: DocumentKey) {
        self.recall(key, document, true);
        let session = &mut self.sessions[key];
        let mut subscriptions = session.subscriptions.iter();
        let index = subscriptions.position(|subscription| subscription.document == document);
        if session.is_blocked() {
            return;
        }
        if let Some(index) = index {
            let mut replies = std::mem::take(&mut session.replies);
            let end = replies.len() + self.settings.fanout.flush_bytes_max;
            self.gather_subscription(key, index, false, &mut replies, end);
            self.sessions[key].replies = replies;
            self.count_output(key);
        }
    }

    fn gather_subscription(
        &mut self,
        key: SessionKey,
        index: usize,
        was_blocked: bool,
        out: &mut Vec<u8>,
        end: usize,
    ) -> Gathered {
        let session = &mut self.sessions[key];
        let document = &self.documents[session.subscriptions[index].document];
        let voice = Voice::new(session, Some(document.topic()), &self.settings, self.now);
        let takes_snapshot_pages = session.manner.takes_snapshot_pages();
        let subscription = &mut session.subscriptions[index];
        Gather {
            session: key,
            voice,
            handle: document.handle,
            settings: &self.settings,
            metrics: &mut self.metrics,
            sending_since: &mut self.sending_since,
            out,
            end,
        }
        .subscription(document, subscription, takes_snapshot_pages, was_blocked)
    }

    /// The socket took the first `taken` bytes of `out`.
    pub(super) fn sent(&mut self, key: SessionKey, out: &[u8], taken: usize, now: Instant) {
        self.count_fanout(now);
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let is_done = session.is_closing() && session.replies.is_empty() && !session.is_queued;
        let Carrier::Socket(socket) = &mut session.carrier else {
            return;
        };
        socket.sent_bytes += taken as u64;
        let rest = &out[taken..];
        if rest.is_empty() {
            if is_done {
                self.drop_connection(key, now);
            }
            return;
        }
        if taken > 0 || !session.was_blocked {
            socket.moved_at = now;
        }
        socket.unsent = rest.to_vec();
        socket.is_full = true;
        session.was_blocked = true;
        self.blocked.insert(key);
        let look_at = next_look(&self.settings.connection, now);
        self.timers
            .set(Owner::Session(key), &mut session.alarm, look_at);
        self.count_output(key);
        self.check_output(key, now);
    }

    /// What was gathered is on its way.
    pub(super) fn count_fanout(&mut self, now: Instant) {
        if let Some(since) = self.sending_since.take() {
            self.metrics.fanout_micros.add(now.micros_since(since));
        }
    }

    /// Drops a client that takes nothing and for which much is held, when the budget is used up.
    pub(super) fn check_output(&mut self, key: SessionKey, now: Instant) {
        let is_over = self.ledger.output_total_bytes() > self.settings.memory.output_bytes_max;
        let holds_much = self.sessions.get(key).is_some_and(|session| {
            session.is_blocked() && session.counted_output_bytes > OUTPUT_BYTES_FREE
        });
        if is_over && holds_much {
            self.metrics.backpressure_closes += 1;
            self.drop_connection(key, now);
        }
    }

    /// Brings the budget up to date with what the session holds.
    pub(super) fn count_output(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            let held = session.output_bytes();
            self.ledger.output_bytes += held;
            self.ledger.output_bytes -= session.counted_output_bytes;
            session.counted_output_bytes = held;
        }
    }
}
