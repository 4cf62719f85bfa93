//! What is refused, as whoever runs the relay sees it: a few lines of the log in a second for each code, and how many there
//! were in all.
//!
//! What the engine refuses it counts itself; here is counted what is refused in plain HTTP, and before there is a
//! connection. One value for all threads, which is locked when somebody is refused and never otherwise.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log::Throttle;
use crate::codec::wire::ErrorCode;
use crate::engine::{RefusalCounts, RefusalNote};

/// Lines of each code.
const LINES_MAX: u64 = 5;
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counts: RefusalCounts,
    throttles: BTreeMap<ErrorCode, Throttle>,
}

/// Somebody who was refused outside the engine.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    pub code: ErrorCode,
    pub reason: &'a str,
    pub address: Option<IpAddr>,
    /// Of the page, where that is why.
    pub origin: Option<&'a str>,
}

impl Refusals {
    /// Counts a refusal, and tells of it if there is room in the log.
    pub fn count(&self, refused: Refused<'_>) {
        let Refused {
            code,
            reason,
            address,
            origin,
        } = refused;
        let mut state = self.state();
        state.counts.count(code);
        let Some(left_out) = state.admit(code, 0) else {
            return;
        };
        let line = Line {
            code,
            reason: reason.trim_end(),
            address,
            origin,
            left_out,
            ..Line::default()
        };
        line.write();
    }

    /// Tells of one that the engine has counted. What whoever runs the relay has done is always told.
    pub fn tell(&self, note: &RefusalNote, address: Option<IpAddr>) {
        let left_out = match note.is_by_operator {
            true => Some(0),
            false => self.state().admit(note.code, note.others),
        };
        let Some(left_out) = left_out else { return };
        let line = Line {
            code: note.code,
            reason: &note.reason,
            address,
            connection: Some(&note.connection_name),
            user: some(&note.user),
            tenant: some(&note.tenant),
            left_out,
            is_by_operator: note.is_by_operator,
            ..Line::default()
        };
        line.write();
    }

    /// To be called about once a second: tells how many were left out, where no other line does.
    pub fn tell_left_out(&self) {
        let now = Instant::now();
        for (code, throttle) in &mut self.state().throttles {
            let left_out = throttle.take_left_out(now);
            if left_out > 0 {
                tracing::info!(code = code.as_str_name(), left_out, "others were refused");
            }
        }
    }

    /// What was refused outside the engine.
    pub fn counts(&self) -> RefusalCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether a line may be written, after so many were left out; `others` were by whoever asks.
    fn admit(&mut self, code: ErrorCode, others: u64) -> Option<u64> {
        let throttle = self.throttles.entry(code);
        let throttle = throttle.or_insert(Throttle::new(LINES_MAX, PERIOD));
        throttle.leave_out(others);
        throttle.admit(Instant::now())
    }
}

/// What peers have written is a text among the fields, which the log puts in quotes and escapes.
#[derive(Default)]
struct Line<'a> {
    code: ErrorCode,
    reason: &'a str,
    connection: Option<&'a str>,
    user: Option<&'a str>,
    tenant: Option<&'a str>,
    address: Option<IpAddr>,
    origin: Option<&'a str>,
    left_out: u64,
    is_by_operator: bool,
}

impl Line<'_> {
    fn write(self) {
        let Self {
            code,
            reason,
            connection,
            user,
            tenant,
            address,
            origin,
            left_out,
            is_by_operator,
        } = self;
        let address = address.map(tracing::field::display);
        let left_out = Some(left_out).filter(|lines| *lines > 0);
        let (code_name, what) = match is_by_operator {
            true => (None, "closed by whoever runs the relay"),
            false => (Some(code.as_str_name()), "refused"),
        };
        if is_ordinary(code) && !is_by_operator {
            tracing::debug!(
                code = code_name,
                reason,
                connection,
                user,
                tenant,
                address,
                origin,
                left_out,
                "{what}"
            );
        } else {
            tracing::info!(
                code = code_name,
                reason,
                connection,
                user,
                tenant,
                address,
                origin,
                left_out,
                "{what}"
            );
        }
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Whether clients in order are told so every day: it is part of how they work together.
fn is_ordinary(code: ErrorCode) -> bool {
    match code {
        ErrorCode::Ok
        | ErrorCode::DocumentNotFound
        | ErrorCode::DocumentDeleted
        | ErrorCode::DocumentNotOpen
        | ErrorCode::Replaced
        | ErrorCode::PongTimeout
        | ErrorCode::ClockGap
        | ErrorCode::VersionExists
        | ErrorCode::VersionNotFound
        | ErrorCode::RevisionUnknown
        | ErrorCode::SyncConflict
        | ErrorCode::SnapshotRequired
        | ErrorCode::ResumeTokenInvalid => true,
        ErrorCode::MalformedFrame
        | ErrorCode::Unauthorized
        | ErrorCode::HelloRequired
        | ErrorCode::Forbidden
        | ErrorCode::KindUnknown
        | ErrorCode::KindMismatch
        | ErrorCode::DocumentIdInvalid
        | ErrorCode::VersionMismatch
        | ErrorCode::HelloInvalid
        | ErrorCode::MessageTooLarge
        | ErrorCode::HandshakeTimeout
        | ErrorCode::TooManyDocuments
        | ErrorCode::DialectMixed
        | ErrorCode::BatchInvalid
        | ErrorCode::OperationInvalid
        | ErrorCode::OperationOutOfBounds
        | ErrorCode::SurrogateSplit
        | ErrorCode::DocumentTooLarge
        | ErrorCode::TooManyClients
        | ErrorCode::TooManyConnections
        | ErrorCode::TenantQuotaExceeded
        | ErrorCode::RateLimited
        | ErrorCode::Backpressure
        | ErrorCode::PresenceTooLarge
        | ErrorCode::SnapshotInvalid
        | ErrorCode::VersionNameInvalid
        | ErrorCode::TooManyVersions
        | ErrorCode::ClosedByOperator
        | ErrorCode::InternalError
        | ErrorCode::ServiceUnavailable => false,
    }
}
