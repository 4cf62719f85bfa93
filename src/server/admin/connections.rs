//! Who is connected, and connections that are closed by hand.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::ask::{Silent, ask};
use super::{Admin, json, read_json, refusal};
use crate::engine::Refusal;
use crate::engine::shard::{ConnectionId, ConnectionReport, Sought};
use crate::server::driver::Driver;
use crate::server::mailbox::Mailbox;

const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 1000;
/// A WebSocket's close frame has no room for more.
const REASON_BYTES_MAX: usize = 80;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    limit: Option<usize>,
    after: Option<String>,
    tenant: Option<String>,
    user: Option<String>,
    blocked: Option<bool>,
}

#[derive(Debug, Default, Serialize)]
struct List {
    connections: Vec<ConnectionReport>,
    /// The connection after which the list goes on. `null`: that was all.
    next: Option<String>,
    /// Shards that have not answered, whose connections are missing here.
    silent_shards: Vec<usize>,
}

/// `GET /connections?limit=100&after=0-17.3&tenant=acme&user=ada&blocked=true`: at most 1000 connections, shard by shard.
/// `{"connections": [ConnectionReport…], "next": "1-23.1", "silent_shards": []}`; `next` is where the next list goes on.
pub async fn list(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Response {
    let limit = query.limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
    let (first, mut after) = match query.after.as_deref().map(ConnectionId::from_name) {
        None => (0, None),
        Some(Some((shard, connection))) => (shard, Some(connection)),
        Some(None) => return refusal(StatusCode::BAD_REQUEST, "after is no connection"),
    };
    let sought = Sought {
        tenant: query.tenant,
        user: query.user,
        is_blocked: query.blocked.unwrap_or(false),
    };
    let mut list = List::default();
    for (shard, mailbox) in admin.mailboxes.iter().enumerate().skip(first) {
        loop {
            let Ok((page, next)) = page(mailbox, &sought, after).await else {
                list.silent_shards.push(shard);
                break;
            };
            list.connections.extend(page);
            if list.connections.len() > limit {
                list.connections.truncate(limit);
                list.next = list.connections.last().map(|last| last.id.clone());
                return json(&list);
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        after = None;
    }
    json(&list)
}

/// Those who are furthest behind of the connections that do not take what they are given.
pub async fn slowest(admin: &Admin, limit: usize) -> (Vec<ConnectionReport>, Vec<usize>) {
    let sought = Sought {
        is_blocked: true,
        ..Sought::default()
    };
    let (mut slowest, mut silent) = (Vec::new(), Vec::new());
    for (shard, mailbox) in admin.mailboxes.iter().enumerate() {
        let mut after = None;
        loop {
            let Ok((page, next)) = page(mailbox, &sought, after).await else {
                silent.push(shard);
                break;
            };
            slowest.extend(page);
            slowest.sort_by_key(|one: &ConnectionReport| {
                std::cmp::Reverse((one.lag_operations, one.queued_bytes))
            });
            slowest.truncate(limit);
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    (slowest, silent)
}

type Page = (Vec<ConnectionReport>, Option<ConnectionId>);

async fn page(
    mailbox: &Mailbox,
    sought: &Sought,
    after: Option<ConnectionId>,
) -> Result<Page, Silent> {
    let sought = sought.clone();
    ask(mailbox, move |driver, _| {
        let (connections, next) = driver.engine.connections_after(&sought, after);
        let connections = connections.into_iter();
        let reports = connections.map(|(id, report)| with_address(driver, id, report));
        (reports.collect(), next)
    })
    .await
}

fn with_address(driver: &Driver, id: ConnectionId, report: ConnectionReport) -> ConnectionReport {
    let Some(socket) = driver.connections.socket(id) else {
        return report;
    };
    let peer = socket.peer();
    match socket.client() {
        Some(client) if peer.is_some_and(|peer| peer.ip().to_canonical() != client) => {
            ConnectionReport {
                address: Some(client.to_string()),
                proxy: peer,
                ..report
            }
        }
        Some(_) | None => ConnectionReport {
            address: peer.map(|peer| peer.to_string()),
            ..report
        },
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    connection: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
    reason: Option<String>,
    /// The client is told to come back.
    may_return: Option<bool>,
}

/// Which connections are to be closed.
enum Meant {
    One(usize, ConnectionId),
    Of(Sought),
}

#[derive(Debug, Serialize)]
struct Closed {
    closed: usize,
    /// Shards that have not answered: what is there may be open.
    silent_shards: Vec<usize>,
}

/// `POST /close` with `{"connection": "0-17.3", "reason": "…", "may_return": true}`, or `{"user": "ada", "tenant": "acme",
/// "reason": "…", "may_return": false}`: without a tenant, the user's connections that have none are meant. The client is
/// told the code CLOSED_BY_OPERATOR (4038) and the reason, and comes back only if it may, which is what happens if nothing is
/// said. `{"closed": 1, "silent_shards": []}`; 404 if there is no such connection.
pub async fn close(State(admin): State<Arc<Admin>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Asked = match read_json(&headers, &body) {
        Ok(asked) => asked,
        Err(answer) => return *answer,
    };
    let reason = asked.reason.unwrap_or_else(|| "no reason given".to_owned());
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let problem = "a reason has at most 80 bytes and no control characters";
        return refusal(StatusCode::BAD_REQUEST, problem);
    }
    let goodbye = Refusal::ClosedByOperator {
        reason,
        may_return: asked.may_return.unwrap_or(true),
    };
    let meant = match (asked.connection, asked.user, asked.tenant) {
        (Some(connection), None, None) => match ConnectionId::from_name(&connection) {
            Some((shard, connection)) if shard < admin.mailboxes.len() => {
                Meant::One(shard, connection)
            }
            Some(_) | None => return no_connection(),
        },
        (None, Some(user), tenant) => Meant::Of(Sought {
            tenant: Some(tenant.unwrap_or_default()),
            user: Some(user),
            is_blocked: false,
        }),
        (None, None, _) | (Some(_), _, _) => {
            let problem = "write {\"connection\": \"…\"}, or {\"user\": \"…\", \"tenant\": \"…\"}";
            return refusal(StatusCode::BAD_REQUEST, problem);
        }
    };
    let answer = match &meant {
        Meant::One(shard, connection) => {
            let connection = *connection;
            let is_closed = ask(&admin.mailboxes[*shard], {
                let goodbye = goodbye.clone();
                move |driver, now| driver.engine.close_connection(connection, &goodbye, now)
            });
            match is_closed.await {
                Ok(true) => Closed {
                    closed: 1,
                    silent_shards: Vec::new(),
                },
                Ok(false) => return no_connection(),
                Err(Silent) => Closed {
                    closed: 0,
                    silent_shards: vec![*shard],
                },
            }
        }
        Meant::Of(sought) => close_sought(&admin, sought, &goodbye).await,
    };
    tracing::info!(closed = answer.closed, "{goodbye}");
    json(&answer)
}

async fn close_sought(admin: &Admin, sought: &Sought, goodbye: &Refusal) -> Closed {
    let (mut closed, mut silent_shards) = (0, Vec::new());
    for (shard, mailbox) in admin.mailboxes.iter().enumerate() {
        let mut after = None;
        loop {
            let (sought, goodbye) = (sought.clone(), goodbye.clone());
            let page = ask(mailbox, move |driver, now| {
                driver.engine.close_sought(&sought, after, &goodbye, now)
            });
            let Ok((count, next)) = page.await else {
                silent_shards.push(shard);
                break;
            };
            closed += count;
            after = next;
            if after.is_none() {
                break;
            }
        }
    }
    Closed {
        closed,
        silent_shards,
    }
}

fn no_connection() -> Response {
    refusal(StatusCode::NOT_FOUND, "there is no such connection")
}
