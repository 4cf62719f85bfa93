//! When somebody is told what: the notices of each document in order, one at a time, again until they are taken.
//!
//! Nothing here asks for the time, sends or stores: it is told what has happened (`handle_…`), and asked what there is to
//! do (`poll`) and when there will be something (`next_timeout`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::config::Notify;
use crate::engine::shard::Occupancy;
use crate::store::{News, Notice, NoticeChange, NoticeWrite, Unsent};

const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Of the store; what comes of it is a [`NoticeChange`].
    Ask(NoticeWrite),
    /// Every one of them is answered once with [`Desk::handle_answer`].
    Send(Arc<Notice>),
}

/// What became of a notice that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Taken,
    /// This notice was not taken.
    Refused,
    /// The receiver takes none at present: it is not there, or says that it is busy.
    Away,
    /// The receiver wants no more.
    Gone,
}

/// What has been counted since the start, and what waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    /// Attempts.
    pub failed: u64,
    /// Attempts that were not the first.
    pub retried: u64,
    /// Notices that were given up, and changes that found no room.
    pub lost: u64,
    pub queued: u64,
    /// Documents that have changed, of which there is no notice yet.
    pub changed: u64,
    /// Unix time in milliseconds of the oldest that is queued; 0: there is none.
    pub oldest_ms: u64,
    pub is_gone: bool,
}

pub struct Desk {
    limits: Notify,
    cases: FxHashMap<Arc<str>, Case>,
    /// When documents have been quiet for long enough, or have had peers or none for so long.
    looks: BTreeSet<(Instant, Arc<str>, Look)>,
    /// From when on the first notice of a document, by its number, may be sent.
    sends: BTreeSet<(Instant, u64, Arc<str>)>,
    asks: VecDeque<NoticeWrite>,
    /// The times of all notices that are queued.
    queued: BTreeMap<u64, u64>,
    /// How many are being sent.
    sending: usize,
    outage: Option<Outage>,
    seed: u64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    Change,
    Peers,
}

/// The receiver is away: one notice at a time finds out whether it is back.
struct Outage {
    failures: u32,
    until: Instant,
}

/// What is to be told of a document.
#[derive(Default)]
struct Case {
    queue: VecDeque<Arc<Notice>>,
    /// How often the first has failed.
    failures: u32,
    /// Its place in `sends`.
    send_at: Option<Instant>,
    change: Option<Change>,
    peers: Peers,
}

/// It has changed, and there is no notice of that.
struct Change {
    since: Instant,
    /// The newest revision that is known.
    revision: u64,
    /// `None`: when the store has answered, or the queue is empty.
    look_at: Option<Instant>,
    is_asked: bool,
}

#[derive(Default)]
struct Peers {
    are_there: bool,
    /// What the last notice said.
    are_told: bool,
    kind: Option<Arc<str>>,
    look_at: Option<Instant>,
    is_asked: bool,
}

impl Desk {
    /// With what an earlier run has left. `seed`: of the jitter.
    pub fn new(limits: Notify, unsent: Unsent, seed: u64, now: Instant) -> Self {
        let mut desk = Self {
            limits,
            cases: FxHashMap::default(),
            looks: BTreeSet::new(),
            sends: BTreeSet::new(),
            asks: VecDeque::new(),
            queued: BTreeMap::new(),
            sending: 0,
            outage: None,
            seed,
            counts: Counts::default(),
        };
        for notice in unsent.notices {
            desk.add(notice, now);
        }
        for (document, standing) in unsent.standings {
            if let Some(revision) = standing.changed_after {
                desk.mark(&document, revision, now);
            }
            if standing.has_peers {
                let case = desk.cases.entry(Arc::clone(&document)).or_default();
                case.peers.are_told = true;
                desk.consider_peers(&document, now);
            }
        }
        desk
    }

    /// From here on these hold, also for what waits: nothing waits for longer than it would if it began to now. What could
    /// not be sent is tried again at once, also where the receiver was gone.
    pub fn set_limits(&mut self, limits: Notify, now: Instant) {
        self.limits = limits;
        self.counts.is_gone = false;
        self.outage = None;
        self.hurry(now);
        let limits = &self.limits;
        for (at, document, look) in std::mem::take(&mut self.looks) {
            let Some(case) = self.cases.get_mut(&document) else {
                continue;
            };
            let (look_at, latest) = match (look, &mut case.change) {
                (Look::Peers, _) => (&mut case.peers.look_at, now + limits.peers_debounce),
                (Look::Change, Some(change)) => {
                    let latest = (now + limits.debounce).min(change.since + limits.debounce_max);
                    (&mut change.look_at, latest)
                }
                (Look::Change, None) => continue,
            };
            let at = at.min(latest);
            *look_at = Some(at);
            self.looks.insert((at, document, look));
        }
    }

    // ---- in

    pub fn handle_store(&mut self, change: NoticeChange, now: Instant) {
        match change {
            NoticeChange::Added(notice) => self.add(notice, now),
            NoticeChange::Changed { document, revision } => self.mark(&document, revision, now),
            NoticeChange::Unchanged { document } => {
                self.forget_change(&document);
                self.tidy(&document);
            }
            NoticeChange::Full { document } => {
                if let Some(case) = self.cases.get_mut(&document) {
                    case.peers.is_asked = false;
                    self.consider_peers(&document, now);
                }
            }
            NoticeChange::Removed { sequence, document } => self.remove(sequence, &document, now),
            NoticeChange::Lost { .. } => self.counts.lost += 1,
        }
    }

    pub fn handle_occupancy(&mut self, occupancy: Occupancy, now: Instant) {
        let document = occupancy.document;
        let case = self.cases.entry(Arc::clone(&document)).or_default();
        case.peers.are_there = occupancy.is_occupied;
        case.peers.kind = Some(occupancy.kind);
        self.consider_peers(&document, now);
        self.tidy(&document);
    }

    /// `now_ms`: in Unix time.
    pub fn handle_answer(&mut self, notice: &Notice, answer: Answer, now: Instant, now_ms: u64) {
        self.sending -= 1;
        let sequence = notice.sequence;
        let case = self.cases.get_mut(&notice.document);
        let case = case.expect("a document stays as long as it has notices");
        match answer {
            Answer::Taken => {
                self.counts.sent += 1;
                self.asks.push_back(NoticeWrite::Remove { sequence });
                if self.outage.take().is_some() {
                    self.hurry(now);
                }
            }
            Answer::Refused | Answer::Away => {
                self.counts.failed += 1;
                case.failures += 1;
                let failures = case.failures;
                let retry_for_ms = u64::try_from(self.limits.retry_for.as_millis());
                let retry_for_ms = retry_for_ms.expect("at most 30 days");
                if notice.time_ms.saturating_add(retry_for_ms) < now_ms {
                    self.counts.lost += 1;
                    self.asks.push_back(NoticeWrite::Remove { sequence });
                } else {
                    let at = now + self.pause(failures);
                    self.set_send(&notice.document, at);
                }
                if answer == Answer::Away {
                    self.note_outage(now);
                }
            }
            Answer::Gone => {
                self.counts.failed += 1;
                self.counts.is_gone = true;
                self.set_send(&notice.document, now);
            }
        }
    }

    // ---- out

    /// `now_ms`: in Unix time.
    pub fn poll(&mut self, now: Instant, now_ms: u64) -> Option<Action> {
        while let Some((at, ..)) = self.looks.first()
            && *at <= now
        {
            let (_, document, look) = self.looks.pop_first().expect("there is one");
            match look {
                Look::Change => self.look_at_change(&document, now, now_ms),
                Look::Peers => self.look_at_peers(&document, now_ms),
            }
        }
        if let Some(ask) = self.asks.pop_front() {
            return Some(Action::Ask(ask));
        }
        let (at, ..) = self.sends.first()?;
        if *at > now || self.sending >= self.sending_max(now) {
            return None;
        }
        let (_, _, document) = self.sends.pop_first().expect("there is one");
        let case = self.cases.get_mut(&document);
        let case = case.expect("a document stays as long as it has notices");
        case.send_at = None;
        self.counts.retried += u64::from(case.failures > 0);
        self.sending += 1;
        Some(Action::Send(Arc::clone(&case.queue[0])))
    }

    /// When `poll` has something, if nothing happens before. `None`: never.
    pub fn next_timeout(&self) -> Option<Instant> {
        let look_at = self.looks.first().map(|(at, ..)| *at);
        let send_at = self.sends.first().map(|(at, ..)| *at);
        let send_at = match &self.outage {
            Some(outage) => send_at.map(|at| at.max(outage.until)),
            None => send_at,
        };
        // Otherwise an answer comes first.
        let may_send = send_at.is_some_and(|at| self.sending < self.sending_max(at));
        [look_at, send_at.filter(|_| may_send)]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            queued: self.queued.len() as u64,
            oldest_ms: self.queued.values().next().copied().unwrap_or(0),
            ..self.counts
        }
    }

    // ---- the queue

    fn add(&mut self, notice: Arc<Notice>, now: Instant) {
        let document = Arc::clone(&notice.document);
        self.queued.insert(notice.sequence, notice.time_ms);
        if notice.news == News::Changed {
            self.forget_change(&document);
        }
        let case = self.cases.entry(Arc::clone(&document)).or_default();
        let is_told = match notice.news {
            News::PeersJoined => Some(true),
            News::PeersLeft => Some(false),
            News::Created | News::Changed | News::Deleted | News::Restored => None,
        };
        case.queue.push_back(notice);
        let is_first = case.queue.len() == 1;
        if is_first {
            self.set_send(&document, now);
        }
        if let Some(is_told) = is_told {
            let case = self.cases.get_mut(&document).expect("it was made above");
            case.peers.are_told = is_told;
            case.peers.is_asked = false;
            self.consider_peers(&document, now);
        }
    }

    fn remove(&mut self, sequence: u64, document: &Arc<str>, now: Instant) {
        self.queued.remove(&sequence);
        let case = self.cases.get_mut(document);
        let case = case.expect("a document stays as long as it has notices");
        let first = case.queue.pop_front();
        assert!(
            first.is_some_and(|first| first.sequence == sequence),
            "only the first is sent"
        );
        case.failures = 0;
        if !case.queue.is_empty() {
            self.set_send(document, now);
        } else if let Some(change) = &case.change
            && !change.is_asked
        {
            let at = change.since + self.limits.debounce;
            self.set_look_at_change(document, at.max(now));
        }
        self.tidy(document);
    }

    fn set_send(&mut self, document: &Arc<str>, at: Instant) {
        let case = self.cases.get_mut(document).expect("it has a notice");
        let sequence = case.queue[0].sequence;
        if let Some(at) = case.send_at.replace(at) {
            self.sends.remove(&(at, sequence, Arc::clone(document)));
        }
        self.sends.insert((at, sequence, Arc::clone(document)));
    }

    /// The receiver is back: nothing waits for its own next time.
    fn hurry(&mut self, now: Instant) {
        for (_, sequence, document) in std::mem::take(&mut self.sends) {
            let case = self.cases.get_mut(&document).expect("it has a notice");
            case.send_at = Some(now);
            self.sends.insert((now, sequence, document));
        }
    }

    fn note_outage(&mut self, now: Instant) {
        let failures = match &self.outage {
            // One that was sent before.
            Some(outage) if now < outage.until => return,
            Some(outage) => outage.failures + 1,
            None => 1,
        };
        let until = now + self.pause(failures);
        self.outage = Some(Outage { failures, until });
    }

    fn sending_max(&self, now: Instant) -> usize {
        match &self.outage {
            _ if self.counts.is_gone => 0,
            Some(outage) if now < outage.until => 0,
            Some(_) => 1,
            None => self.limits.requests_max,
        }
    }

    /// After so many failures in a row: twice as long each time, and up to a quarter shorter by chance.
    fn pause(&mut self, failures: u32) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(20));
        let pause = doubled.min(self.limits.retry_pause_max);
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let part = u32::try_from(self.seed % 256).expect("a small number");
        pause - pause / 4 * part / 256
    }

    // ---- changes

    fn mark(&mut self, document: &Arc<str>, revision: u64, now: Instant) {
        let (debounce, debounce_max) = (self.limits.debounce, self.limits.debounce_max);
        let case = self.cases.entry(Arc::clone(document)).or_default();
        let change = case.change.get_or_insert_with(|| {
            self.counts.changed += 1;
            Change {
                since: now,
                revision,
                look_at: None,
                is_asked: false,
            }
        });
        change.revision = revision;
        change.is_asked = false;
        let at = (now + debounce).min(change.since + debounce_max);
        self.set_look_at_change(document, at);
    }

    fn set_look_at_change(&mut self, document: &Arc<str>, at: Instant) {
        let case = self.cases.get_mut(document);
        let change = case.and_then(|case| case.change.as_mut());
        let change = change.expect("the caller has looked");
        if let Some(at) = change.look_at.replace(at) {
            self.looks.remove(&(at, Arc::clone(document), Look::Change));
        }
        self.looks.insert((at, Arc::clone(document), Look::Change));
    }

    fn look_at_change(&mut self, document: &Arc<str>, now: Instant, now_ms: u64) {
        let Some(case) = self.cases.get_mut(document) else {
            return;
        };
        let Some(change) = &mut case.change else {
            return;
        };
        change.look_at = None;
        if !case.queue.is_empty() {
            // It changes on meanwhile, and all of that is one notice.
            return;
        }
        let is_time = now >= change.since + self.limits.debounce_max;
        change.is_asked = true;
        self.asks.push_back(NoticeWrite::Changed {
            document: Arc::clone(document),
            if_revision: (!is_time).then_some(change.revision),
            at_ms: now_ms,
        });
    }

    fn forget_change(&mut self, document: &Arc<str>) {
        let case = self.cases.get_mut(document);
        let Some(change) = case.and_then(|case| case.change.take()) else {
            return;
        };
        self.counts.changed -= 1;
        if let Some(at) = change.look_at {
            self.looks.remove(&(at, Arc::clone(document), Look::Change));
        }
    }

    // ---- peers

    /// Sees to it that what is told of the document's peers becomes what is true, in a while.
    fn consider_peers(&mut self, document: &Arc<str>, now: Instant) {
        let case = self.cases.get_mut(document).expect("the caller has looked");
        let peers = &mut case.peers;
        let is_due = peers.are_there != peers.are_told && !peers.is_asked;
        let look_at = is_due.then(|| now + self.limits.peers_debounce);
        if let Some(at) = std::mem::replace(&mut peers.look_at, look_at) {
            self.looks.remove(&(at, Arc::clone(document), Look::Peers));
        }
        if let Some(at) = look_at {
            self.looks.insert((at, Arc::clone(document), Look::Peers));
        }
    }

    fn look_at_peers(&mut self, document: &Arc<str>, now_ms: u64) {
        let Some(case) = self.cases.get_mut(document) else {
            return;
        };
        let peers = &mut case.peers;
        peers.look_at = None;
        peers.is_asked = true;
        self.asks.push_back(NoticeWrite::Peers {
            document: Arc::clone(document),
            // After a restart nobody knows but the document's row.
            kind: peers.kind.clone().unwrap_or_default(),
            are_there: peers.are_there,
            at_ms: now_ms,
        });
    }

    /// Forgets a document of which there is nothing to tell.
    fn tidy(&mut self, document: &Arc<str>) {
        let is_over = |case: &Case| {
            let peers = &case.peers;
            let is_quiet = !peers.are_there && !peers.are_told && !peers.is_asked;
            case.queue.is_empty() && case.change.is_none() && is_quiet
        };
        if self.cases.get(document).is_some_and(is_over) {
            self.cases.remove(document);
        }
    }
}

#[cfg(test)]
mod tests;
