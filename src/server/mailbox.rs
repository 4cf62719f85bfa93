//! What other threads send to a shard, apart from the mesh: the store's replies, sockets from other shards, how tokens
//! are checked from now on, new limits, and questions of whoever looks after the relay.
//!
//! The queue of replies has no limit of its own: the engine has bounded what it asked for. The queue of sockets
//! is bounded, and a socket that finds it full is refused by the shard that has it. Whoever sends
//! a way to check tokens, or limits, waits until they are taken, so that there is one at a time.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, unbounded};

use tokio::sync::oneshot;

use super::crowd::ClientSocket;
use super::doorbell::Doorbell;
use super::driver::Driver;
use super::http::{Caller, Head};
use crate::auth::{Grant, TokenError};
use crate::config::Config;
use crate::engine;
use crate::engine::shard::{Authority, ConnectionId};
use crate::store::StoreReply;

/// Sockets that wait to be taken over by one shard.
const HANDOFFS_MAX: usize = 1024;
/// Questions that wait for one shard, which answers one in a turn.
const QUESTIONS_MAX: usize = 64;

/// A connection on its way to the shard where it belongs.
#[derive(Debug)]
pub struct Handoff {
    pub socket: ClientSocket,
    pub errand: Errand,
    /// What came after the head.
    pub unread: Vec<u8>,
}

/// What a connection is to the shard that gets it.
#[derive(Debug)]
pub enum Errand {
    /// It goes to the shard of the document or of the event stream that its URL names. Its request has not been answered.
    Request(Box<Head>),
    /// The control thread speaks the protocol on its other end, for somebody who asks over HTTP.
    Call(Box<Caller>),
    /// The control thread has answered its request. Another may follow where it `keeps`.
    Answered { keeps: bool },
}

/// What the store answers at once.
pub struct Replies {
    pub replies: Vec<StoreReply>,
    pub sent_at: Instant,
}

/// What the backend says of the token that a connection has shown.
pub type Verdict = (ConnectionId, Result<Arc<Grant>, TokenError>);

/// What the control thread wants to know of a shard, or done there: it looks at a bounded number of things, and tells by
/// itself what came of it.
pub type Question = Box<dyn FnOnce(&mut Driver, engine::Instant) + Send>;

/// How tokens are checked from now on.
pub struct NewAuthority {
    pub authority: Authority,
    /// Is told when it is in effect, and how many connections it has closed.
    pub taken: oneshot::Sender<usize>,
}

/// What holds from now on.
pub struct NewLimits {
    pub config: Arc<Config>,
    /// Is told when it is in effect.
    pub taken: oneshot::Sender<()>,
}

/// The side of the senders.
#[derive(Clone)]
pub struct Mailbox {
    replies: Sender<Replies>,
    handoffs: Sender<Handoff>,
    authorities: Sender<NewAuthority>,
    verdicts: Sender<Verdict>,
    questions: Sender<Question>,
    limits: Sender<NewLimits>,
    doorbell: Arc<Doorbell>,
}

/// The side of the shard.
pub struct Inbox {
    replies: Receiver<Replies>,
    handoffs: Receiver<Handoff>,
    authorities: Receiver<NewAuthority>,
    verdicts: Receiver<Verdict>,
    questions: Receiver<Question>,
    limits: Receiver<NewLimits>,
}

pub fn mailbox(doorbell: Arc<Doorbell>) -> (Mailbox, Inbox) {
    let (replies, replies_out) = unbounded();
    let (handoffs, handoffs_out) = bounded(HANDOFFS_MAX);
    let (authorities, authorities_out) = unbounded();
    let (verdicts, verdicts_out) = unbounded();
    let (questions, questions_out) = bounded(QUESTIONS_MAX);
    let (limits, limits_out) = unbounded();
    let mailbox = Mailbox {
        replies,
        handoffs,
        authorities,
        verdicts,
        questions,
        limits,
        doorbell,
    };
    let inbox = Inbox {
        replies: replies_out,
        handoffs: handoffs_out,
        authorities: authorities_out,
        verdicts: verdicts_out,
        questions: questions_out,
        limits: limits_out,
    };
    (mailbox, inbox)
}

impl Mailbox {
    /// The shard is woken once for all of them.
    pub fn put_replies(&self, replies: Vec<StoreReply>) {
        // A shard that has left needs no replies.
        let sent_at = Instant::now();
        let _ = self.replies.send(Replies { replies, sent_at });
        self.doorbell.ring();
    }

    /// The receiver fails if the shard has left.
    pub fn put_authority(&self, authority: Authority) -> oneshot::Receiver<usize> {
        let (taken, is_taken) = oneshot::channel();
        let _ = self.authorities.send(NewAuthority { authority, taken });
        self.doorbell.ring();
        is_taken
    }

    /// The receiver fails if the shard has left.
    pub fn put_limits(&self, config: Arc<Config>) -> oneshot::Receiver<()> {
        let (taken, is_taken) = oneshot::channel();
        let _ = self.limits.send(NewLimits { config, taken });
        self.doorbell.ring();
        is_taken
    }

    /// The answer to an inquiry of the shard.
    pub fn put_verdict(&self, connection: ConnectionId, verdict: Result<Arc<Grant>, TokenError>) {
        let _ = self.verdicts.send((connection, verdict));
        self.doorbell.ring();
    }

    /// The receiver fails if the shard has too many waiting, or has left.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Driver, engine::Instant) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (answer, is_answered) = oneshot::channel();
        let question = move |driver: &mut Driver, now| {
            // Whoever asked may have given up.
            let _ = answer.send(question(driver, now));
        };
        let _ = self.questions.try_send(Box::new(question));
        self.doorbell.ring();
        is_answered
    }

    /// Gives the handoff back if the shard has too many waiting, or has left.
    pub fn hand_off(&self, handoff: Handoff) -> Result<(), Handoff> {
        match self.handoffs.try_send(handoff) {
            Ok(()) => {
                self.doorbell.ring();
                Ok(())
            }
            Err(TrySendError::Full(handoff) | TrySendError::Disconnected(handoff)) => Err(handoff),
        }
    }
}

impl Inbox {
    pub fn next_replies(&self) -> Option<Replies> {
        self.replies.try_recv().ok()
    }

    pub fn next_handoff(&self) -> Option<Handoff> {
        self.handoffs.try_recv().ok()
    }

    pub fn next_authority(&self) -> Option<NewAuthority> {
        self.authorities.try_recv().ok()
    }

    pub fn next_verdict(&self) -> Option<Verdict> {
        self.verdicts.try_recv().ok()
    }

    pub fn next_question(&self) -> Option<Question> {
        self.questions.try_recv().ok()
    }

    pub fn next_limits(&self) -> Option<NewLimits> {
        self.limits.try_recv().ok()
    }

    pub fn is_empty(&self) -> bool {
        self.replies.is_empty()
            && self.handoffs.is_empty()
            && self.authorities.is_empty()
            && self.verdicts.is_empty()
            && self.questions.is_empty()
            && self.limits.is_empty()
    }
}
