//! What a client asks of documents by their names, open or not.

use super::Session;
use crate::client::requests::{HistoryOptions, ListOptions, Question, RequestKey};
use crate::engine::{DOCUMENT_ID_BYTES_MAX, is_document_id};

/// Why a list or a deletion was not taken.
#[allow(missing_docs, reason = "what they display says it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("`requests_max` of them wait for the relay")]
    Full,
    #[error("a document id has 1 to 256 bytes and no control characters, a prefix no more bytes")]
    IdInvalid,
}

impl Session {
    /// Lists documents. Answered by `Event::Directory`, and with `watch` by `Event::DirectoryUpdate` from then on, or by
    /// `Event::RequestRefused`. A list ends the watch of the one before.
    pub fn list(&mut self, options: ListOptions) -> Result<RequestKey, RequestError> {
        if options.prefix.len().max(options.after.len()) > DOCUMENT_ID_BYTES_MAX {
            return Err(RequestError::IdInvalid);
        }
        self.request(Question::List(options))
    }

    /// Deletes a document, for everybody. Answered by `Event::Deleted` or `Event::RequestRefused`.
    pub fn delete(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_deletion(document_id, false)
    }

    /// Takes the deletion of a document back, within the time that the relay grants. Answered by `Event::Deleted` with
    /// `undone`, or `Event::RequestRefused`. A document that was closed by the deletion is to be opened again.
    pub fn restore(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_deletion(document_id, true)
    }

    /// A page of what has happened in a document, whether it is open or not. Answered by `Event::History` or
    /// `Event::RequestRefused`.
    pub fn history(&mut self, options: HistoryOptions) -> Result<RequestKey, RequestError> {
        if !is_document_id(&options.document_id) {
            return Err(RequestError::IdInvalid);
        }
        self.request(Question::History(options))
    }

    /// Gives a revision a name, 0 the newest. Answered by `Event::VersionSaved` or `Event::RequestRefused`.
    pub fn save_version(
        &mut self,
        document_id: &str,
        name: &str,
        revision: u64,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::SaveVersion {
            document_id,
            name: name.to_owned(),
            revision,
        })
    }

    /// Lists a document's versions. Answered by `Event::Versions` or `Event::RequestRefused`.
    pub fn list_versions(&mut self, document_id: &str) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::ListVersions {
            document_id,
        })
    }

    /// Takes a name from its revision. Answered by `Event::VersionDeleted` or `Event::RequestRefused`.
    pub fn delete_version(
        &mut self,
        document_id: &str,
        name: &str,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::DeleteVersion {
            document_id,
            name: name.to_owned(),
        })
    }

    fn request_about(
        &mut self,
        document_id: &str,
        question: impl FnOnce(String) -> Question,
    ) -> Result<RequestKey, RequestError> {
        if !is_document_id(document_id) {
            return Err(RequestError::IdInvalid);
        }
        self.request(question(document_id.to_owned()))
    }

    fn request_deletion(
        &mut self,
        document_id: &str,
        undo: bool,
    ) -> Result<RequestKey, RequestError> {
        self.request_about(document_id, |document_id| Question::Delete {
            document_id,
            undo,
        })
    }

    fn request(&mut self, question: Question) -> Result<RequestKey, RequestError> {
        let key = self.requests.push(question, self.settings.requests_max);
        key.ok_or(RequestError::Full)
    }
}
