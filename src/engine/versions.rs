//! Versions: clients give names to revisions of documents, list them, and take them back.

use std::sync::Arc;

use crate::auth::split_global_id;
use crate::codec::wire::{self, event};
use crate::store::{HistoryError, StoreRequest, StoredVersion, VersionError};

use super::history::{Right, Topic};
use super::key::SessionKey;
use super::refusal::Refusal;
use super::shard::Shard;
use super::time::Instant;

/// The most bytes of a version's name.
const VERSION_NAME_BYTES_MAX: usize = 128;

impl Shard {
    /// A client gives a revision a name.
    pub(super) fn save_version(
        &mut self,
        key: SessionKey,
        request: wire::SaveVersion,
        now: Instant,
    ) {
        let request_id = request.request_id;
        let identity = self.sessions[key].identity();
        let version = StoredVersion {
            name: request.name.into(),
            revision: request.revision,
            time_ms: self.unix_ms(now),
            author: identity.map_or("", |it| &it.user_id).into(),
        };
        let is_name = is_version_name(&version.name);
        let topic = Topic::Save(version.clone());
        let begun = self.begin_question(key, request_id, &request.document_id, Right::Write, topic);
        let Some(question) = begun else {
            return;
        };
        if !is_name {
            return self.end_question(&question, Err(Refusal::VersionNameInvalid));
        }
        self.tickets += 1;
        self.store.push_back(StoreRequest::SaveVersion {
            document: Arc::clone(&question.name),
            ticket: self.tickets,
            version,
            versions_max: self.settings.document.versions_max,
        });
        self.changes.insert(self.tickets, question);
    }

    /// A client takes a name from its revision.
    pub(super) fn delete_version(&mut self, key: SessionKey, request: &wire::DeleteVersion) {
        let request_id = request.request_id;
        let name: Arc<str> = request.name.as_str().into();
        let topic = Topic::Delete(Arc::clone(&name));
        let begun = self.begin_question(key, request_id, &request.document_id, Right::Write, topic);
        let Some(question) = begun else {
            return;
        };
        if !is_version_name(&name) {
            return self.end_question(&question, Err(Refusal::VersionNameInvalid));
        }
        self.tickets += 1;
        self.store.push_back(StoreRequest::DeleteVersion {
            document: Arc::clone(&question.name),
            ticket: self.tickets,
            name,
        });
        self.changes.insert(self.tickets, question);
    }

    /// A client lists a document's versions.
    pub(super) fn list_versions(&mut self, key: SessionKey, request: &wire::ListVersions) {
        let document_id = &request.document_id;
        let topic = Topic::Versions;
        let begun = self.begin_question(key, request.request_id, document_id, Right::Read, topic);
        if let Some(question) = begun {
            self.ask(question);
        }
    }

    /// The store has saved or deleted a version, or has not.
    pub(super) fn receive_version_change(
        &mut self,
        ticket: u64,
        result: Result<u64, VersionError>,
    ) {
        let Some(question) = self.changes.remove(&ticket) else {
            return;
        };
        let request_id = question.request_id;
        let document_id = split_global_id(&question.name).1.to_owned();
        let told = result
            .map_err(Refusal::from)
            .map(|revision| match &question.topic {
                Topic::Save(version) => event::Body::VersionSaved(wire::VersionSaved {
                    request_id,
                    document_id,
                    version: Some(on_wire(&StoredVersion {
                        revision,
                        ..version.clone()
                    })),
                }),
                Topic::Delete(name) => event::Body::VersionDeleted(wire::VersionDeleted {
                    request_id,
                    document_id,
                    name: name.as_ref().to_owned(),
                }),
                Topic::History(_) | Topic::Versions => unreachable!("these change nothing"),
            });
        self.end_question(&question, told);
    }

    pub(super) fn receive_versions(
        &mut self,
        ticket: u64,
        result: Result<Vec<StoredVersion>, HistoryError>,
    ) {
        if let Some(question) = self.questions.remove(&ticket) {
            let told = match self.recheck(&question) {
                Ok(()) => result.map_err(Refusal::from),
                Err(refusal) => Err(refusal),
            };
            let durable_revision = self.durable_revision(&question.name).unwrap_or(u64::MAX);
            let told = told.map(|mut versions| {
                versions.retain(|version| version.revision <= durable_revision);
                versions.sort_by_key(|version| version.revision);
                event::Body::Versions(wire::Versions {
                    request_id: question.request_id,
                    document_id: split_global_id(&question.name).1.to_owned(),
                    versions: versions.iter().map(on_wire).collect(),
                })
            });
            self.end_question(&question, told);
        }
        self.end_read();
    }
}

/// 1 to 128 bytes, no control characters.
pub fn is_version_name(name: &str) -> bool {
    (1..=VERSION_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn on_wire(version: &StoredVersion) -> wire::Version {
    wire::Version {
        name: version.name.as_ref().to_owned(),
        revision: version.revision,
        author: version.author.as_ref().to_owned(),
        time_ms: version.time_ms,
    }
}
