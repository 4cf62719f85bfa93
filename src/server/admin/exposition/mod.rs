//! `GET /metrics`: everything that is counted, in the text format of Prometheus, or in that of OpenMetrics for who asks
//! for it.
//!
//! The text is made by hand: what is counted are plain numbers of each shard, which are copied once a second, and no
//! library for metrics keeps those without atomics of its own. Series have no label but the shard's number, the name of
//! a memory pool (one that no shard has of its own has no shard), the code of a refusal, and `le`, so that there are as
//! many on the first day as on the last, whatever documents, users and connections there are.

mod page;
mod shards;
mod store;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::{Admin, Running, health, process};
use crate::server::log;
use crate::server::notify::{self, Counts};
use page::{Kind, Page, counter, gauge};

pub use store::time_bounds;

pub async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok());
    let is_open = accepted.is_some_and(|kinds| kinds.contains("application/openmetrics-text"));
    let kind = match is_open {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    let mut page = Page::new(is_open);
    tell_relay(&mut page, &admin);
    if let Some(running) = admin.running() {
        shards::tell(&mut page, running);
        tell_beside_shards(&mut page, running);
        store::tell(&mut page, running);
        if let Some(notices) = &running.notices {
            tell_notices(&mut page, notices, admin.clock.unix_ms());
        }
    }
    ([(header::CONTENT_TYPE, kind)], page.finish()).into_response()
}

fn tell_relay(page: &mut Page, admin: &Admin) {
    let process = process::of_self();
    let version = env!("CARGO_PKG_VERSION");
    page.family("corelay_build_info", Kind::Gauge, "What runs here: 1.");
    let labels = format!("{{version=\"{version}\"}}");
    page.sample("corelay_build_info", Kind::Gauge, &labels, 1);
    page.alone(
        "corelay_ready",
        Kind::Gauge,
        "1 if the relay takes clients, otherwise 0.",
        u8::from(health::unready(admin).is_none()),
    );
    page.alone(
        "process_cpu_seconds",
        Kind::Counter,
        "Processor time of all threads.",
        process.cpu_seconds,
    );
    page.alone(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Memory of the process.",
        process.resident_bytes,
    );
    page.alone(
        "process_open_fds",
        Kind::Gauge,
        "Descriptors that are open.",
        process.open_descriptors,
    );
    page.alone(
        "process_max_fds",
        Kind::Gauge,
        "How many there may be.",
        process.open_descriptors_max,
    );
    page.alone(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process began, in seconds since 1970.",
        admin.clock.origin_unix_ms() as f64 / 1e3,
    );
}

/// What the control thread and the log hold.
fn tell_beside_shards(page: &mut Page, running: &Running) {
    let (requests, requests_max) = running.web.requests();
    let (revocations, revocations_max) = running.revocations.read();
    let numbers = [
        gauge("http_requests", "HTTP requests being answered.", requests),
        gauge(
            "http_requests_limit",
            "How many there may be.",
            requests_max,
        ),
        gauge(
            "revocations",
            "Revocations that are remembered.",
            revocations,
        ),
        gauge(
            "revocations_limit",
            "How many there may be; 0: nobody is asked for a token.",
            revocations_max,
        ),
        counter(
            "log_dropped_lines",
            "Lines of the log that are dropped because it is not read fast enough.",
            log::usage().dropped,
        ),
    ];
    page.numbers("corelay_", numbers);
}

fn tell_notices(page: &mut Page, notices: &notify::Gauge, now_ms: u64) {
    let Counts {
        sent,
        failed,
        retried,
        lost,
        queued,
        changed,
        oldest_ms,
        is_gone,
    } = notices.read();
    let age_seconds = match oldest_ms {
        0 => 0,
        oldest_ms => now_ms.saturating_sub(oldest_ms) / 1000,
    };
    let numbers = [
        counter("sent", "Notices taken by their receiver.", sent),
        counter("failed", "Attempts to send a notice that failed.", failed),
        counter("retried", "Attempts that were not the first.", retried),
        counter(
            "lost",
            "Notices given up, or for which there was no room.",
            lost,
        ),
        gauge("queued", "Notices that are not taken yet.", queued),
        gauge(
            "changed_documents",
            "Changed documents of which there is no notice yet.",
            changed,
        ),
        gauge(
            "limit",
            "How many there may be of these and of the queued ones together.",
            notices.queue_max as u64,
        ),
        gauge(
            "oldest_seconds",
            "The age of the oldest notice.",
            age_seconds,
        ),
        gauge(
            "stopped",
            "1: the receiver has said that it is gone.",
            is_gone.into(),
        ),
    ];
    page.numbers("corelay_notices_", numbers);
}
