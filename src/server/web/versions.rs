//! Revisions with names.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Web;
use super::call::{Call, unexpected};
use super::input::{
    DocumentId, Expected, InDocument, InVersion, Json, VersionName, check_version_name,
};
use super::visitor::Visitor;
use super::whole::Whole;
use crate::codec::wire::{self, event, request::Body};
use crate::server::http::problem::Problem;

/// A document's versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Versions {
    /// In the order of their revisions.
    versions: Vec<Version>,
}

/// A revision with a name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Version {
    #[schema(example = "as sent to the printer")]
    name: String,
    revision: u64,
    /// The user who saved it; empty where nobody was named.
    author: String,
    /// When, in milliseconds since 1970.
    time: u64,
}

impl From<wire::Version> for Version {
    fn from(version: wire::Version) -> Self {
        Self {
            name: version.name,
            revision: version.revision,
            author: version.author,
            time: version.time_ms,
        }
    }
}

/// What is to have which name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// 1 to 128 bytes without control characters.
    #[schema(
        min_length = 1,
        max_length = 128,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$"
    )]
    name: String,
    /// The document's newest, where it is left out.
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    revision: Option<Whole>,
}

/// List versions
#[utoipa::path(
    get, path = "/v1/documents/{id}/versions", tag = "history", operation_id = "listVersions",
    params(InDocument),
    responses((status = 200, description = "All of them.", body = Versions)),
)]
pub async fn list(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    DocumentId(document_id): DocumentId,
) -> Result<axum::Json<Versions>, Problem> {
    let mut call = Call::to_read(&web, &visitor, &document_id).await?;
    let list = Body::ListVersions(wire::ListVersions {
        document_id,
        ..wire::ListVersions::default()
    });
    match call.ask(list).await? {
        event::Body::Versions(list) => Ok(axum::Json(Versions {
            versions: list.versions.into_iter().map(Version::from).collect(),
        })),
        other => Err(unexpected(&other)),
    }
}

/// Save a version
///
/// Gives a revision a name. It goes with its document. With `If-Match` and without a revision it is the one of the ETag.
#[utoipa::path(
    post, path = "/v1/documents/{id}/versions", tag = "history", operation_id = "saveVersion",
    params(InDocument, Expected),
    request_body(content = NewVersion, description = "What is to have which name."),
    responses((status = 201, description = "It is saved.", body = Version)),
)]
pub async fn save(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(document_id): DocumentId,
    Json(version): Json<NewVersion>,
) -> Result<(StatusCode, axum::Json<Version>), Problem> {
    check_version_name(&version.name)?;
    let revision = version.revision.map(|revision| revision.0);
    if revision == Some(0) {
        return Err(Problem::bad("A version's revision is at least 1."));
    }
    let mut call = Call::to_read(&web, &visitor, &document_id).await?;
    // A revision is what it is, whatever is written meanwhile.
    let expected_revision = call.expected_revision(&document_id, &headers).await?;
    let save = Body::SaveVersion(wire::SaveVersion {
        document_id,
        name: version.name,
        revision: revision.or(expected_revision).unwrap_or_default(),
        ..wire::SaveVersion::default()
    });
    match call.ask(save).await? {
        event::Body::VersionSaved(saved) => {
            let version = Version::from(saved.version.unwrap_or_default());
            Ok((StatusCode::CREATED, axum::Json(version)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Delete a version
///
/// Takes the name from its revision.
#[utoipa::path(
    delete, path = "/v1/documents/{id}/versions/{name}", tag = "history", operation_id = "deleteVersion",
    params(InDocument, InVersion, Expected),
    responses((status = 204, description = "It is deleted.")),
)]
pub async fn delete(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    headers: HeaderMap,
    DocumentId(document_id): DocumentId,
    VersionName(name): VersionName,
) -> Result<StatusCode, Problem> {
    let mut call = Call::to_read(&web, &visitor, &document_id).await?;
    call.expected_revision(&document_id, &headers).await?;
    let delete = Body::DeleteVersion(wire::DeleteVersion {
        document_id,
        name,
        ..wire::DeleteVersion::default()
    });
    match call.ask(delete).await? {
        event::Body::VersionDeleted(_) => Ok(StatusCode::NO_CONTENT),
        other => Err(unexpected(&other)),
    }
}
