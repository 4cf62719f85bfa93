//! Who is in a document.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Web;
use super::call::Call;
use super::input::{DocumentId, InDocument};
use super::reading::glance;
use super::visitor::Visitor;
use crate::codec::json::Payload;
use crate::codec::wire;
use crate::server::http::problem::Problem;

/// Who is in a document now.
#[derive(Debug, Serialize, ToSchema)]
pub struct People {
    presences: Vec<Presence>,
}

/// A client that says it is there.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Presence {
    client_id: u64,
    /// Empty where it names none.
    user_id: String,
    name: String,
    /// What others see it in.
    #[schema(example = "#e6194b")]
    color: String,
    cursor: Option<Cursor>,
    selection: Option<Selection>,
    is_typing: bool,
    /// What else it says of itself: each any JSON value, or `{"base64": "…"}`.
    #[schema(value_type = std::collections::HashMap<String, serde_json::Value>)]
    fields: BTreeMap<String, Box<RawValue>>,
    /// In milliseconds since 1970.
    last_seen: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    block_id: String,
    offset: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Selection {
    anchor: Cursor,
    focus: Cursor,
}

/// See who is there
///
/// Everybody who has the document open and says so. Nobody sees the caller.
#[utoipa::path(
    get, path = "/v1/documents/{id}/presence", tag = "presence", operation_id = "getPresence",
    params(InDocument),
    responses((status = 200, description = "Who is there.", body = People)),
)]
pub async fn get(
    State(web): State<Arc<Web>>,
    visitor: Visitor,
    DocumentId(id): DocumentId,
) -> Result<axum::Json<People>, Problem> {
    let mut call = Call::to_read(&web, &visitor, &id).await?;
    let opened = call.open(glance(&id)).await?;
    let presences = opened.presences.into_iter().map(Presence::from);
    Ok(axum::Json(People {
        presences: presences.collect(),
    }))
}

impl From<wire::UserPresence> for Presence {
    fn from(presence: wire::UserPresence) -> Self {
        let field = |(name, value): (String, bytes::Bytes)| {
            let mut json = Vec::new();
            Payload::Json.write(&value, &mut json);
            let json = String::from_utf8(json).ok()?;
            Some((name, RawValue::from_string(json).ok()?))
        };
        Self {
            client_id: presence.client_id,
            user_id: presence.user_id,
            name: presence.name,
            color: presence.color,
            cursor: presence.cursor.map(Cursor::from),
            selection: presence.selection.map(|selection| Selection {
                anchor: selection.anchor.unwrap_or_default().into(),
                focus: selection.focus.unwrap_or_default().into(),
            }),
            is_typing: presence.is_typing,
            fields: presence.fields.into_iter().filter_map(field).collect(),
            last_seen: presence.last_seen_ms,
        }
    }
}

impl From<wire::Cursor> for Cursor {
    fn from(cursor: wire::Cursor) -> Self {
        Self {
            block_id: cursor.block_id,
            offset: cursor.offset,
        }
    }
}
