//! One client of a run: its session and socket, what it writes, and what it makes of what it is told.

use std::io;
use std::time::Duration;

use crate::client::{Event, OpenOptions, Session, SubmitError, TextDocument};
use crate::codec::wire::{self, Durability};
use crate::engine::Instant;
use crate::text::Operation;

use super::Kind;
use super::payload::Stamp;
use super::plan::{ClientPlan, Pace, Plan};
use super::socket::Socket;
use super::stage::Phase;
use super::tally::Tally;
use super::verify::{DOCUMENT, Ledgers, Witness};

/// A text is kept at about this length: what is inserted pushes something else out.
const TEXT_LENGTH_MAX: usize = 64 * 1024;

/// When what is counted counts: operations by when they were due, deliveries by when they came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub start: Instant,
    pub end: Instant,
}

impl Window {
    pub fn contains(&self, at: Instant) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// The part of the window that `at`, which is in it, belongs to.
    fn slice(&self, at: Instant, slice: Duration) -> usize {
        (at.since(self.start).as_nanos() / slice.as_nanos()) as usize
    }
}

/// What a thread's clients share while they handle events.
pub(super) struct Context<'a> {
    pub plan: &'a Plan,
    pub ledgers: Option<&'a Ledgers>,
    pub tally: &'a mut Tally,
    pub totals: &'a mut Totals,
    pub window: Window,
    pub now: Instant,
}

/// Over the whole run, for the line that is printed every second.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub sent: u64,
    pub acknowledged: u64,
    pub delivered: u64,
    pub errors: u64,
}

pub(super) struct LoadClient {
    pub plan: ClientPlan,
    pub session: Session,
    pub socket: Option<Socket>,
    /// Reads of a slow client that are still allowed.
    pub allowance_bytes: f64,
    /// The next of the writer's operations.
    pub sequence: u64,
    text: Option<TextDocument>,
    witness: Option<Witness>,
    has_opened: bool,
    is_synced: bool,
    was_connected: bool,
    is_connected: bool,
    furthest_revision: u64,
    /// It is not coming back.
    is_lost: bool,
    random: u64,
}

impl LoadClient {
    pub fn new(plan: &Plan, client: ClientPlan, now: Instant) -> Self {
        let mut session = Session::new(plan.settings_of(&client), now);
        let document = &plan.documents[client.document];
        let needs_text = client.writer.is_some() || plan.verify;
        let text = (plan.kind == Kind::Text && needs_text)
            .then(|| TextDocument::open(&mut session, document, true));
        if text.is_none() {
            session.open(OpenOptions {
                document: document.clone(),
                kind: plan.kind.name().to_owned(),
                create: true,
                have: None,
            });
        }
        Self {
            plan: client,
            session,
            socket: None,
            allowance_bytes: 0.0,
            sequence: 0,
            text,
            witness: plan
                .verify
                .then(|| Witness::new(client.document, client.index)),
            has_opened: false,
            is_synced: false,
            was_connected: false,
            is_connected: false,
            furthest_revision: 0,
            is_lost: false,
            random: plan.seed ^ client.index as u64,
        }
    }

    /// Open and caught up at least once.
    pub fn has_opened(&self) -> bool {
        self.has_opened
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether the phase has to wait for it. `last`: the newest epoch and revision that anybody has seen of its
    /// document, where that is known.
    pub fn remains(&self, phase: Phase, last: Option<(u64, u64)>) -> bool {
        if self.is_lost {
            return false;
        }
        match phase {
            Phase::Opening => !self.has_opened && !self.plan.joins_late,
            Phase::Running => self.plan.writer.is_some(),
            Phase::Settling => !self.is_settled(),
            Phase::Converging => last.is_some_and(|last| {
                let have = self.session.position(DOCUMENT).unwrap_or_default();
                !self.is_synced || (have.epoch, have.revision) < last
            }),
            Phase::Done => false,
        }
    }

    /// Everything that it wrote is in the history.
    fn is_settled(&self) -> bool {
        let text = self
            .text
            .as_ref()
            .map_or(0, TextDocument::pending_operations);
        self.session.pending_operations(DOCUMENT) == 0 && text == 0
    }

    /// The text that it ends with.
    pub fn final_text(&self) -> Option<String> {
        Some(self.text.as_ref()?.text()?.to_string())
    }

    /// Writes the operation that was due at `due`.
    pub fn write(&mut self, context: &mut Context<'_>, due: Instant) {
        let Some(writer) = self.plan.writer else {
            return;
        };
        let stamp = Stamp {
            writer: u32::try_from(writer).expect("clients have ports, of which there are fewer"),
            sequence: self.sequence,
            due_us: due.as_micros(),
        };
        self.sequence += 1;
        let is_measured = context.window.contains(due);
        let written = match &self.text {
            Some(_) => self.write_text(stamp, context),
            None => {
                let payload = stamp.log_payload(context.plan.payload_bytes);
                self.session.submit(DOCUMENT, payload, context.now)
            }
        };
        if let Err(error) = written {
            context.tally.overflowed += u64::from(is_measured);
            context.totals.errors += 1;
            context.tally.error(format!("not submitted: {error}"));
        } else {
            context.tally.sent += u64::from(is_measured);
            context.totals.sent += 1;
        }
    }

    fn write_text(&mut self, stamp: Stamp, context: &mut Context<'_>) -> Result<(), SubmitError> {
        let length = self.text.as_ref().and_then(TextDocument::text);
        let length = length.map_or(0, crate::text::Text::len_utf16);
        let inserted = stamp.text_payload(context.plan.payload_bytes);
        let position = self.random_below(length + 1);
        let deleted = if length > TEXT_LENGTH_MAX {
            inserted.len().min(length - position)
        } else {
            0
        };
        let edit = Operation::splice(position, deleted, &inserted);
        let text = self.text.as_mut().ok_or(SubmitError::NotReady)?;
        text.edit(edit, context.now)
            .map_err(|_| SubmitError::NotReady)?;
        text.poll(&mut self.session, context.now);
        Ok(())
    }

    fn random_below(&mut self, end: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.random >> 33) as usize) % end
    }

    /// The cursor is where it says when the update was due.
    pub fn announce(&mut self, context: &mut Context<'_>, due: Instant) {
        if context.window.contains(context.now) {
            context.tally.presence_sent += 1;
        }
        let cursor = wire::Cursor {
            block_id: String::new(),
            offset: due.as_micros(),
        };
        let presence = wire::Presence {
            cursor: Some(cursor),
            ..wire::Presence::default()
        };
        self.session.announce(DOCUMENT, presence);
    }

    /// The connection is gone or could not be made.
    pub fn disconnected(&mut self, now: Instant) {
        self.socket = None;
        self.is_synced = false;
        self.session.handle_disconnected(now);
    }

    /// Takes in what the session tells, and gives the session what follows from it.
    pub fn handle_events(&mut self, context: &mut Context<'_>) {
        while let Some(event) = self.session.poll_event() {
            self.handle_event(&event, context);
            if let Some(ledgers) = context.ledgers
                && let Some(witness) = &mut self.witness
            {
                witness.see(ledgers, self.session.client_id(), &event);
            }
            if let Some(text) = &mut self.text
                && let Err(error) = text.handle_event(&event, &mut self.session)
            {
                context.totals.errors += 1;
                context.tally.error(format!("text: {error}"));
                if let Some(ledgers) = context.ledgers {
                    ledgers.report("S2 agreement", error.to_string());
                }
            }
        }
        if let Some(text) = &mut self.text {
            text.poll(&mut self.session, context.now);
        }
    }

    fn handle_event(&mut self, event: &Event, context: &mut Context<'_>) {
        let Context {
            tally,
            totals,
            window,
            now,
            plan,
            ..
        } = context;
        let mut errors: Vec<String> = Vec::new();
        match event {
            Event::Connected { .. } => {
                tally.reconnects += u64::from(self.was_connected);
                self.was_connected = true;
                self.is_connected = true;
            }
            Event::Disconnected { .. } => {
                self.is_synced = false;
                if std::mem::take(&mut self.is_connected) {
                    tally.connections_lost += 1;
                    if !plan.reconnect {
                        errors.push("connection lost".to_owned());
                        self.is_lost = true;
                        self.session.stop();
                    }
                }
            }
            Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                errors.push(refusal.code_name());
                self.is_lost = true;
            }
            Event::Error { refusal, .. } => errors.push(refusal.code_name()),
            Event::Refused {
                refusal,
                operations,
                ..
            } => {
                errors.extend(operations.iter().map(|_| refusal.code_name()));
            }
            Event::Violation(violation) => errors.push(format!("protocol violation: {violation}")),
            Event::Goaway { .. } => tally.goaways += 1,
            Event::Warning { .. } => tally.warnings += 1,
            Event::Resync { .. } => {
                self.is_synced = false;
                tally.resyncs += 1;
            }
            Event::Synced { .. } => {
                if self.plan.joins_late && !self.has_opened {
                    record(&mut tally.join, now.since(window.start));
                }
                self.has_opened = true;
                self.is_synced = true;
            }
            // After a new epoch, what was there before comes again.
            Event::Remote { revision, .. } if *revision <= self.furthest_revision => {}
            Event::Remote {
                revision,
                operations,
                ..
            } => {
                self.furthest_revision = *revision;
                totals.delivered += operations.len() as u64;
                let pace = self.plan.pace as usize;
                if window.contains(*now) {
                    tally.delivered[pace] += operations.len() as u64;
                    let slice = window.slice(*now, plan.slice());
                    tally.timeline.at(slice).delivered += operations.len() as u64;
                }
                for operation in operations {
                    if let Some(stamp) = Stamp::read(plan.kind, operation) {
                        let due = Instant::from_micros(stamp.due_us);
                        if window.contains(due) {
                            record(&mut tally.delivery[pace], now.since(due));
                            if self.plan.pace == Pace::Healthy {
                                let slice = tally.timeline.at(window.slice(due, plan.slice()));
                                record(&mut slice.delivery, now.since(due));
                            }
                        }
                    }
                }
            }
            Event::Acknowledged {
                operations,
                durability,
                ..
            } => {
                totals.acknowledged += operations.len() as u64;
                for operation in operations {
                    if let Some(stamp) = Stamp::read(plan.kind, operation) {
                        let due = Instant::from_micros(stamp.due_us);
                        if window.contains(due) {
                            tally.acknowledged += 1;
                            tally.durability = durability.or(tally.durability);
                            record(&mut tally.ack, now.since(due));
                        }
                    }
                }
                if durability.is_some_and(|durability| durability != Durability::Always) {
                    tally.weaker_acknowledgements += operations.len() as u64;
                }
            }
            Event::Presence {
                presences, full, ..
            } => {
                if window.contains(*now) {
                    tally.presence_received += presences.len() as u64;
                }
                // Whoever joins is told what was known long before.
                for cursor in presences.iter().filter_map(|one| one.cursor.as_ref()) {
                    let due = Instant::from_micros(cursor.offset);
                    if !full && window.contains(due) && self.plan.pace == Pace::Healthy {
                        record(&mut tally.presence, now.since(due));
                    }
                }
            }
            Event::Opened { .. }
            | Event::Reset { .. }
            | Event::Snapshot { .. }
            | Event::Rebase { .. }
            | Event::SnapshotAccepted { .. }
            | Event::SnapshotRefused { .. }
            | Event::Directory { .. }
            | Event::DirectoryUpdate { .. }
            | Event::Deleted { .. }
            | Event::History { .. }
            | Event::VersionSaved { .. }
            | Event::Versions { .. }
            | Event::VersionDeleted { .. }
            | Event::RequestRefused { .. } => {}
        }
        for what in errors {
            totals.errors += 1;
            tally.error(what);
        }
    }

    /// Puts what the session has to say on the socket.
    pub fn transmit(&mut self, frames: &mut Vec<u8>, context: &mut Context<'_>) -> io::Result<()> {
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        if !socket.is_open() {
            return Ok(());
        }
        loop {
            frames.clear();
            self.session.poll_transmit(frames, context.now);
            if frames.is_empty() {
                return Ok(());
            }
            let bytes = socket.send(frames)?;
            if context.window.contains(context.now) {
                context.tally.bytes_sent += bytes as u64;
            }
        }
    }

    /// Whether it is to be read at all at this time of the run.
    pub fn pace_in(&self, phase: Phase) -> Pace {
        if phase == Phase::Running {
            self.plan.pace
        } else {
            Pace::Healthy
        }
    }
}

fn record(histogram: &mut hdrhistogram::Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(micros.max(1));
}
