//! The last step of `--verify`: a client that was not there before reads every document, and what it gets is judged
//! against what the others saw.

use std::time::Duration;

use crate::client::{Client, EndpointError, Event, OpenOptions, TextDocument};

use super::Kind;
use super::plan::Plan;
use super::stage::Outcome;
use super::verify::{DOCUMENT, History, Ledgers};

/// How long a document may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("document {document} could not be read again: {why}")]
    Unread { document: String, why: String },
}

pub(super) fn audit(plan: &Plan, ledgers: &Ledgers, outcome: &Outcome) -> Result<(), AuditError> {
    let submitted: Vec<u64> = outcome.written.values().copied().collect();
    for (document, name) in plan.documents.iter().enumerate() {
        match plan.kind {
            Kind::Log => {
                let (epoch, history) = read_log(plan, name)?;
                ledgers.judge_history(document, epoch, &history, &submitted);
            }
            Kind::Text => {
                let (epoch, revision, text) = read_text(plan, name)?;
                ledgers.judge_text(document, epoch, revision);
                let ends = outcome.texts.iter().filter(|(at, ..)| *at == document);
                for (_, client, end) in ends.filter(|(_, client, end)| {
                    let is_unfinished = outcome.unfinished.iter().any(|(index, _)| index == client);
                    !is_unfinished && *end != text
                }) {
                    ledgers.report(
                        "S2 agreement",
                        format!("{name}: client {client} ends with another text ({} bytes instead of {})", end.len(), text.len()),
                    );
                }
            }
        }
    }
    Ok(())
}

fn reader(plan: &Plan) -> Result<Client, EndpointError> {
    let reader = super::plan::ClientPlan {
        index: plan.clients.len(),
        document: 0,
        writer: None,
        pace: super::plan::Pace::Healthy,
        joins_late: false,
    };
    Client::new(&plan.endpoint.to_string(), plan.settings_of(&reader))
}

fn read_log(plan: &Plan, name: &str) -> Result<(u64, History), AuditError> {
    let mut client = reader(plan)?;
    client.session().open(OpenOptions {
        document: name.to_owned(),
        kind: plan.kind.name().to_owned(),
        // Without operations it is gone with its last client.
        create: true,
        ..OpenOptions::default()
    });
    let mut history = History::default();
    read(&mut client, name, |event, _| {
        if let Event::Remote {
            origin,
            first_clock,
            operations,
            ..
        } = event
        {
            history.read(Kind::Log, *origin, *first_clock, operations);
        }
        Ok(())
    })?;
    let epoch = client
        .session()
        .position(DOCUMENT)
        .unwrap_or_default()
        .epoch;
    client.stop();
    Ok((epoch, history))
}

fn read_text(plan: &Plan, name: &str) -> Result<(u64, u64, String), AuditError> {
    let mut client = reader(plan)?;
    let mut text = TextDocument::open(client.session(), name, true);
    read(&mut client, name, |event, client| {
        let told = text.handle_event(event, client.session());
        told.map(|_| ()).map_err(|error| error.to_string())
    })?;
    let position = client.session().position(DOCUMENT).unwrap_or_default();
    client.stop();
    let content = text.text().map(ToString::to_string).unwrap_or_default();
    Ok((position.epoch, position.revision, content))
}

/// Until the document is caught up with.
fn read(
    client: &mut Client,
    name: &str,
    mut handle: impl FnMut(&Event, &mut Client) -> Result<(), String>,
) -> Result<(), AuditError> {
    let unread = |why: String| AuditError::Unread {
        document: name.to_owned(),
        why,
    };
    let until = client.now() + READ_TIMEOUT;
    loop {
        let left = until.since(client.now());
        let Some(event) = client.next_event(left) else {
            return Err(unread("it takes too long".to_owned()));
        };
        handle(&event, client).map_err(unread)?;
        match event {
            Event::Synced { .. } => return Ok(()),
            Event::Stopped { refusal } | Event::Closed { refusal, .. } => {
                return Err(unread(refusal.message));
            }
            Event::Violation(violation) => return Err(unread(violation.to_string())),
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::Goaway { .. }
            | Event::Error { .. }
            | Event::Opened { .. }
            | Event::Reset { .. }
            | Event::Snapshot { .. }
            | Event::Remote { .. }
            | Event::Acknowledged { .. }
            | Event::Refused { .. }
            | Event::Rebase { .. }
            | Event::Presence { .. }
            | Event::Warning { .. }
            | Event::Resync { .. }
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
    }
}
