//! Documents in memory.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::ask::{Silent, ask};
use super::{Admin, json, refusal};
use crate::auth::{global_id, is_tenant};
use crate::engine::route::shard_of;
use crate::engine::shard::DocumentReport;
use crate::server::mailbox::Mailbox;

const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1000;
const SUBSCRIBERS_DEFAULT: usize = 100;
/// So many of a document's newest batches are told.
const BATCHES_TOLD_MAX: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    /// Empty: those of the tenant without a name.
    tenant: Option<String>,
}

#[derive(Debug, Serialize)]
struct List {
    /// Hottest first.
    documents: Vec<DocumentReport>,
    /// How many there are in all.
    total: usize,
    /// Shards that have not answered, whose documents are missing here.
    silent_shards: Vec<usize>,
}

/// `GET /documents?limit=100&tenant=acme`: documents in memory, the ones with the most operations in a second first, at most
/// 1000. `{"documents": [DocumentReport…], "total": 3, "silent_shards": []}`
pub async fn list(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Response {
    let limit = query.limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX);
    if !query.tenant.as_deref().is_none_or(is_tenant) {
        return refusal(StatusCode::BAD_REQUEST, "there can be no such tenant");
    }
    let (documents, total, silent_shards) = hottest(&admin, query.tenant, limit).await;
    json(&List {
        documents,
        total,
        silent_shards,
    })
}

/// The hottest documents of all shards, how many documents there are, and which shards have not answered.
pub async fn hottest(
    admin: &Admin,
    tenant: Option<String>,
    limit: usize,
) -> (Vec<DocumentReport>, usize, Vec<usize>) {
    let (mut documents, mut total, mut silent) = (Vec::new(), 0, Vec::new());
    for (shard, mailbox) in admin.mailboxes.iter().enumerate() {
        match hottest_of(mailbox, tenant.as_ref(), limit).await {
            Ok((of_shard, count)) => {
                documents.extend(of_shard);
                total += count;
            }
            Err(Silent) => silent.push(shard),
        }
    }
    keep_hottest(&mut documents, limit);
    (documents, total, silent)
}

async fn hottest_of(
    mailbox: &Mailbox,
    tenant: Option<&String>,
    limit: usize,
) -> Result<(Vec<DocumentReport>, usize), Silent> {
    let (mut documents, mut total, mut after) = (Vec::new(), 0, None);
    loop {
        let (tenant, from) = (tenant.cloned(), after);
        let (page, next) = ask(mailbox, move |driver, now| {
            let from: Option<Arc<str>> = from;
            let engine = &driver.engine;
            engine.documents_after(tenant.as_deref(), from.as_deref(), now)
        })
        .await?;
        total += page.len();
        documents.extend(page);
        keep_hottest(&mut documents, limit);
        after = next;
        if after.is_none() {
            return Ok((documents, total));
        }
    }
}

/// Those that are equally hot in the order of their names.
fn keep_hottest(documents: &mut Vec<DocumentReport>, limit: usize) {
    let heat = |document: &DocumentReport| {
        // As an integer, which has an order.
        Reverse((1000.0 * document.operations_per_second) as u64)
    };
    documents.sort_by(|a, b| (heat(a), &a.tenant, &a.id).cmp(&(heat(b), &b.tenant, &b.id)));
    documents.truncate(limit);
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneQuery {
    tenant: Option<String>,
    subscribers: Option<usize>,
}

/// `GET /documents/{id}?tenant=acme&subscribers=100`: a `DocumentDetail`, or 404 if it is not in memory. The id is
/// percent-encoded.
pub async fn one(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Query(query): Query<OneQuery>,
) -> Response {
    let tenant = query.tenant.unwrap_or_default();
    if !is_tenant(&tenant) {
        return refusal(StatusCode::BAD_REQUEST, "there can be no such tenant");
    }
    let subscribers_max = query.subscribers.unwrap_or(SUBSCRIBERS_DEFAULT);
    let subscribers_max = subscribers_max.min(LIST_MAX);
    let name = global_id(&tenant, &id);
    let shard = shard_of(&name, admin.mailboxes.len());
    let answer = ask(&admin.mailboxes[shard], move |driver, now| {
        let engine = &driver.engine;
        engine.inspect(&name, subscribers_max, BATCHES_TOLD_MAX, now)
    });
    match answer.await {
        Ok(Some(document)) => json(&document),
        Ok(None) => refusal(StatusCode::NOT_FOUND, "the document is not in memory"),
        Err(Silent) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "its shard does not answer in time",
        ),
    }
}
