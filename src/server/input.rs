//! The driver's input: sockets are accepted, their requests read, their bytes given to the engine.

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::connections::{Key, Stage};
use super::crowd::ClientSocket;
use super::driver::Driver;
use super::http::{
    self, Answer, Caller, Exchange, Head, Opening, Rules, SessionName, Upgrade, forwarded_for,
    read_head,
};
use super::lifecycle::Phase;
use super::mailbox::{Errand, Handoff};
use super::refusals::Refused;
use super::web::Asked;
use crate::auth::TokenError;
use crate::codec::frame;
use crate::codec::wire::ErrorCode;
use crate::config::REQUESTS_MAX;
use crate::engine::shard::{Arrival, Transport};
use crate::engine::{Instant, Refusal};

/// After so many bytes a turn sees to the others; what was not read comes first in the next.
const READ_BYTES_PER_TURN_MAX: u64 = 1024 * 1024;

impl Driver {
    /// Takes note of what has happened to the sockets.
    pub(super) fn look(&mut self, now: Instant) -> usize {
        let mut count = 0;
        for index in 0..self.poller.look() {
            let Some(readiness) = self.poller.event(index) else {
                continue;
            };
            count += 1;
            if self.listeners.note(readiness.token) {
                continue;
            }
            let Some(key) = self.connections.note(readiness) else {
                continue;
            };
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            let Stage::Open(id) = connection.stage else {
                continue;
            };
            if readiness.broken && !self.engine.wants_bytes(id) {
                // Otherwise reading comes to the break, after what arrived before it.
                self.lose(key, now);
            } else if readiness.writable && connection.full {
                connection.full = false;
                self.engine.handle_writable(id);
            }
        }
        while let Some(id) = self.engine.poll_wants_bytes() {
            if self.streams.contains(id) {
                self.take_posts(id, now);
            }
            if let Some((key, _)) = self.connections.find(id) {
                self.connections.queue(key);
            }
        }
        count
    }

    pub(super) fn accept(&mut self, now: Instant) -> usize {
        let mut accepted = Vec::new();
        let (crowd, counters, refusals) = (&self.crowd, &mut self.counters, &self.refusals);
        let count = self.listeners.accept(now, |transport, socket, address| {
            counters.accepted += 1;
            match crowd.enter() {
                Some(seat) => accepted.push((transport, ClientSocket::new(socket, seat), address)),
                // To say anything would take a descriptor for longer, of which there are none to spare.
                None => {
                    counters.refused += 1;
                    refusals.count(Refused {
                        code: ErrorCode::ServiceUnavailable,
                        reason: "clients have as many descriptors as they may (LimitNOFILE)",
                        address,
                        origin: None,
                    });
                }
            }
        });
        for (transport, mut socket, address) in accepted {
            // A proxy counts among nobody's: its clients do.
            let address = address.filter(|address| !self.proxies.trust(*address));
            let settled = address.map_or(Ok(()), |address| socket.settle(address));
            if let Err(refusal) = settled {
                self.refuse_socket(transport, socket, &refusal, now);
                continue;
            }
            // Frames are gathered here; waiting for more in the kernel would only make them late.
            let _ = rustix::net::sockopt::set_tcp_nodelay(&socket, true);
            match transport {
                Transport::WebSocket => self.begin_handshake(socket, now),
                Transport::Tcp => self.open_tcp(socket, now),
                Transport::EventStream => unreachable!("nobody listens for them"),
            }
        }
        count
    }

    /// Says why a socket is refused of which nothing has been read.
    fn refuse_socket(
        &mut self,
        transport: Transport,
        socket: ClientSocket,
        refusal: &Refusal,
        now: Instant,
    ) {
        if self.connections.lingering_count() >= REQUESTS_MAX {
            // So many have been told of late that the rest is only closed.
            self.counters.refused += 1;
            return;
        }
        let key = self.connections.insert_handshake(socket, now);
        self.watch(key, now);
        match transport {
            Transport::WebSocket | Transport::EventStream => {
                self.answer(key, &Answer::too_many(refusal), now);
            }
            Transport::Tcp => self.refuse(key, refusal, None, now),
        }
    }

    fn open_tcp(&mut self, socket: ClientSocket, now: Instant) {
        match self.engine.connect(Arrival::new(Transport::Tcp), now) {
            Some(id) => {
                let key = self.connections.insert_open(socket, id);
                self.watch(key, now);
            }
            // There is no word for it before Hello: the connection is closed.
            None => {
                self.counters.refused += 1;
                self.refusals.count(Refused {
                    code: ErrorCode::ServiceUnavailable,
                    reason: "the shard has as many connections as it may, or is stopping",
                    address: socket.client(),
                    origin: None,
                });
            }
        }
    }

    fn begin_handshake(&mut self, socket: ClientSocket, now: Instant) {
        self.make_way(now);
        let deadline = now + self.limits.handshake_timeout;
        let key = self.connections.insert_handshake(socket, deadline);
        self.watch(key, now);
    }

    /// Gives requests up as long as there are too many for another one.
    fn make_way(&mut self, now: Instant) {
        while self.connections.requests_count() >= REQUESTS_MAX
            && let Some(last) = self.connections.next_request()
        {
            self.counters.refused += 1;
            self.lose(last, now);
        }
    }

    fn watch(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.connections.get(key) else {
            return;
        };
        if let Err(error) = self.poller.add(&connection.socket, key.token()) {
            tracing::warn!(%error, "cannot watch a socket");
            self.lose(key, now);
        }
    }

    /// Reads every connection that is in the queue once, or as many as a turn may take.
    pub(super) fn read(&mut self, now: Instant) -> usize {
        let mut scratch = std::mem::take(&mut self.scratch);
        let count = self.connections.queued_count();
        let end = self.counters.bytes_in + READ_BYTES_PER_TURN_MAX;
        for _ in 0..count {
            if self.counters.bytes_in >= end {
                break;
            }
            let Some(key) = self.connections.next_queued() else {
                break;
            };
            self.read_one(key, &mut scratch, now);
            self.connections.queue_again(key, &mut self.engine);
        }
        self.scratch = scratch;
        count
    }

    fn read_one(&mut self, key: Key, scratch: &mut [u8], now: Instant) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        let is_wanted = match &connection.stage {
            Stage::Open(id) => self.engine.wants_bytes(*id),
            Stage::Posting(_) => false,
            Stage::Handshake { .. } | Stage::Kept | Stage::Arriving(_) | Stage::Lingering => true,
        };
        if !is_wanted {
            return;
        }
        let length = match recv(&connection.socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN) => {
                connection.readable = false;
                return;
            }
            Err(Errno::INTR) => return,
            Err(_) => return self.lose(key, now),
        };
        if length == 0 {
            return self.lose(key, now);
        }
        // A read that did not fill the buffer has emptied the socket: what comes later is another event, but for
        // the end, if it was already announced.
        if length < scratch.len() && !connection.hung_up {
            connection.readable = false;
        }
        self.counters.bytes_in += length as u64;
        let bytes = &mut scratch[..length];
        match &mut connection.stage {
            // After its request a stream has nothing to say there.
            Stage::Open(id) if self.streams.contains(*id) => {}
            Stage::Open(id) => self.engine.handle_bytes(*id, bytes, now),
            Stage::Lingering | Stage::Posting(_) => {}
            Stage::Kept => {
                let stage = Stage::Handshake { head: Vec::new() };
                let deadline = now + self.limits.handshake_timeout;
                self.connections.wait(key, stage, deadline);
                self.handshake(key, bytes, now);
            }
            Stage::Arriving(_) => self.continue_body(key, bytes, now),
            Stage::Handshake { head } => {
                let mut head = std::mem::take(head);
                if head.is_empty() {
                    self.handshake(key, bytes, now);
                } else {
                    head.extend_from_slice(bytes);
                    self.handshake(key, &mut head, now);
                }
            }
        }
    }

    /// Goes on with a request of whose head these bytes have arrived.
    fn handshake(&mut self, key: Key, bytes: &mut [u8], now: Instant) {
        let rules = Rules {
            head_bytes_max: self.limits.handshake_bytes_max,
            body_bytes_max: self.limits.message_bytes_max,
            origins: &self.origins,
        };
        match read_head(bytes, &rules) {
            Ok(Some((head, length))) => match self.find_client(key, &bytes[..length]) {
                Ok(()) => self.follow(key, head, &mut bytes[length..], now),
                Err(answer) => self.answer(key, &head.refused(answer), now),
            },
            Ok(None) => {
                if let Some(connection) = self.connections.get_mut(key)
                    && let Stage::Handshake { head } = &mut connection.stage
                {
                    *head = bytes.to_vec();
                }
            }
            Err(answer) => self.answer(key, &answer, now),
        }
    }

    /// Finds whose request it is, if it comes from a proxy, and whether one more of that client's may be open.
    fn find_client(&mut self, key: Key, head: &[u8]) -> Result<(), Answer> {
        let Some(connection) = self.connections.get_mut(key) else {
            return Ok(());
        };
        let socket = &mut connection.socket;
        let Some(peer) = socket.peer().map(|peer| peer.ip()) else {
            return Ok(());
        };
        let client = match self.proxies.trust(peer) {
            true => forwarded_for(head, &self.proxies)?.unwrap_or(peer),
            false if socket.is_counted() => return Ok(()),
            // It was a proxy when it was accepted.
            false => peer,
        };
        let entered = socket.ask_for(client);
        entered.map_err(|refusal| Answer::too_many(&refusal))
    }

    /// Sees to a request where it belongs, here or on another shard.
    fn follow(&mut self, key: Key, mut head: Head, unread: &mut [u8], now: Instant) {
        let home = match &mut head {
            Head::Exchange(_) => return self.begin_body(key, head, unread, now),
            Head::Upgrade(upgrade) => self.home_of(&mut upgrade.caller, now),
            Head::Stream(opening) => {
                let caller = &mut opening.caller;
                if caller.introduction.hello.is_some() {
                    // No other token can come before it is needed.
                    caller.token.get_or_insert_default();
                }
                self.home_of(caller, now)
            }
            Head::Post(post) => Ok(usize::from(post.session.shard)),
            Head::Answered(answer) => {
                return self.conclude(key, answer, unread.is_empty(), now);
            }
        };
        match home {
            Ok(home) if home == self.index => self.fulfil(key, head, unread, now),
            Ok(home) if home < self.mailboxes.len() => {
                let errand = Errand::Request(Box::new(head));
                self.hand_off(key, home, errand, unread, now);
            }
            Ok(_nowhere) => self.answer(key, &head.refused(http::no_session()), now),
            Err(error) => {
                self.answer(key, &head.refused(Answer::unauthorized(error)), now);
            }
        }
    }

    /// The shard where somebody is to be connected. Looks at the token, if there is one or has to be.
    fn home_of(&mut self, caller: &mut Caller, now: Instant) -> Result<usize, TokenError> {
        // A backend is asked when the client says Hello.
        let token = caller.token.take_if(|_| !self.engine.asks_backend());
        if let Some(token) = token {
            caller.grant = self.engine.authenticate(&token, now)?;
        }
        Ok(caller.document.as_deref().map_or(self.index, |document| {
            self.engine.home_of(document, caller.grant.as_deref())
        }))
    }

    fn hand_off(&mut self, key: Key, home: usize, errand: Errand, unread: &[u8], now: Instant) {
        let Some(socket) = self.release(key) else {
            return;
        };
        let handoff = Handoff {
            socket,
            errand,
            unread: unread.to_vec(),
        };
        match self.mailboxes[home].hand_off(handoff) {
            Ok(()) => self.counters.handed_off += 1,
            Err(handoff) => {
                let key = self.connections.insert_handshake(handoff.socket, now);
                match handoff.errand {
                    Errand::Request(head) => {
                        let answer = head.refused(Answer::too_many_connections());
                        self.answer(key, &answer, now);
                    }
                    Errand::Call(caller) => {
                        let refusal = Refusal::Unavailable("the document's shard is busy".into());
                        self.refuse(key, &refusal, caller.address, now);
                    }
                    Errand::Answered { .. } => unreachable!("it goes to where it came from"),
                }
                self.watch(key, now);
            }
        }
    }

    /// Lets a socket go to another thread.
    fn release(&mut self, key: Key) -> Option<ClientSocket> {
        let connection = self.connections.get(key)?;
        self.poller.remove(&connection.socket);
        self.connections.remove(key)
    }

    /// Gives a request to the control thread, which gives the connection back when it has answered.
    pub(super) fn ask_control(
        &mut self,
        key: Key,
        exchange: Exchange,
        body: Vec<u8>,
        now: Instant,
    ) {
        let refused = match self.phase {
            Phase::Serving | Phase::Announced => match self.web.admit(&exchange) {
                Some(admission) => {
                    let Some(socket) = self.release(key) else {
                        return;
                    };
                    self.counters.requests += 1;
                    self.web.ask(Asked {
                        socket,
                        exchange,
                        body,
                        shard: self.index,
                        admission,
                    });
                    return;
                }
                None => Answer::busy(),
            },
            Phase::Draining | Phase::Closing | Phase::Leaving => Answer::stopping(),
        };
        self.answer(key, &exchange.refused(refused), now);
    }

    /// A connection comes from another thread.
    pub(super) fn take_over(&mut self, mut handoff: Handoff, now: Instant) {
        self.make_way(now);
        let key = self.connections.insert_handshake(handoff.socket, now);
        self.watch(key, now);
        match handoff.errand {
            Errand::Request(head) => self.fulfil(key, *head, &mut handoff.unread, now),
            Errand::Call(caller) => self.take_call(key, *caller, now),
            Errand::Answered { keeps } => self.await_next(key, keeps, now),
        }
    }

    /// The control thread speaks the protocol there, as a client does over TCP.
    fn take_call(&mut self, key: Key, mut caller: Caller, now: Instant) {
        let home = match self.home_of(&mut caller, now) {
            Ok(home) => home,
            Err(error) => {
                return self.refuse(key, &error.into(), caller.address, now);
            }
        };
        if home != self.index {
            let errand = Errand::Call(Box::new(caller));
            return self.hand_off(key, home, errand, &[], now);
        }
        let Some(id) = self.engine.connect(arrival(Transport::Tcp, &caller), now) else {
            let reason = "the relay has as many connections as it may, or is stopping".to_owned();
            let refusal = Refusal::Unavailable(reason);
            return self.refuse(key, &refusal, caller.address, now);
        };
        self.askers
            .extend(caller.address.map(|address| (id, address)));
        self.connections.open(key, id);
        self.connections.queue(key);
    }

    /// Does what was asked for, on the shard where it belongs.
    fn fulfil(&mut self, key: Key, head: Head, unread: &mut [u8], now: Instant) {
        if self.connections.get(key).is_none() {
            return;
        }
        if self.phase != Phase::Serving {
            return self.answer(key, &head.refused(Answer::stopping()), now);
        }
        match head {
            Head::Upgrade(upgrade) => self.open_websocket(key, &upgrade, unread, now),
            Head::Stream(opening) => self.open_stream(key, &opening, now),
            Head::Post(_) => self.begin_body(key, head, unread, now),
            Head::Exchange(_) | Head::Answered(_) => {
                unreachable!("that was done with its head")
            }
        }
    }

    fn open_websocket(&mut self, key: Key, upgrade: &Upgrade, unread: &mut [u8], now: Instant) {
        let arrival = arrival(Transport::WebSocket, &upgrade.caller);
        let Some(id) = self.engine.connect(arrival, now) else {
            return self.answer(key, &Answer::too_many_connections(), now);
        };
        self.connections.open(key, id);
        if !self.send_all(key, upgrade.response().as_bytes()) {
            return self.lose(key, now);
        }
        self.counters.upgraded += 1;
        if !unread.is_empty() {
            self.engine.handle_bytes(id, unread, now);
        }
    }

    fn open_stream(&mut self, key: Key, opening: &Opening, now: Instant) {
        let arrival = arrival(Transport::EventStream, &opening.caller);
        let Some(id) = self.engine.connect(arrival, now) else {
            let answer = opening.cors.on(Answer::too_many_connections());
            return self.answer(key, &answer, now);
        };
        self.connections.open(key, id);
        let session = SessionName {
            shard: u16::try_from(self.index).expect("no machine has so many cores"),
            secret: self.streams.insert(id),
        };
        if !self.send_all(key, opening.response(session).as_bytes()) {
            return self.lose(key, now);
        }
        self.counters.streams += 1;
        if let Some(message) = opening.sync_request() {
            let mut bytes = Vec::new();
            frame::append_with(&mut bytes, |bytes| {
                bytes.extend_from_slice(message.as_bytes())
            });
            self.engine.handle_bytes(id, &mut bytes, now);
        }
    }
}

fn arrival(transport: Transport, caller: &Caller) -> Arrival {
    Arrival {
        transport,
        document: caller.document.clone(),
        grant: caller.grant.clone(),
        token: caller.token.clone(),
        dialect: caller.introduction.dialect,
        hello: caller.introduction.hello.clone(),
    }
}
