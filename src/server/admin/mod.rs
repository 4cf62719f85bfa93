//! The admin address (`listen.admin`): HTTP for those who look after the relay.
//!
//! Nobody is asked who they are: whoever reaches the address may do all of this, so that it is the machine's own by
//! default. What changes something has to be posted as `application/json`, which a page in somebody's browser cannot do
//! without being asked first.
//!
//! | route | |
//! |---|---|
//! | `GET /` | a page for people, which shows `/overview` (`dashboard`) |
//! | `GET /healthz` | 200: the process lives |
//! | `GET /readyz` | 200 if the relay takes clients, otherwise 503 and why not (`health`) |
//! | `GET /metrics` | what it has counted (`exposition`) |
//! | `GET /overview` | the same for a page that shows it, with who is slow and what is busy (`overview`) |
//! | `GET /documents`, `/documents/{id}` | documents in memory (`documents`) |
//! | `GET /connections` | who is connected (`connections`) |
//! | `POST /close` | closes connections (`connections`) |
//! | `POST /revoke` | takes tokens back (`revoke`) |
//! | `GET /log`, `PUT /log` | what is logged (`log`) |
//! | `POST /backup` | copies the store to a directory of this host (`backup`) |
//!
//! The page, health, readiness and metrics never wait for a shard. The others ask the shards, which answer between two
//! turns, a bounded piece at a time; one that does not answer in time is named in the answer. While the store is
//! recovered they are 503, and to who asks from this machine by a name that others can have given it, 403.

mod ask;
mod backup;
mod connections;
mod dashboard;
mod documents;
mod door;
mod exposition;
mod health;
mod log;
mod overview;
mod process;
mod revoke;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::clock::Clock;
use super::lifecycle::Lifecycle;
use super::mailbox::Mailbox;
use super::metrics::{Gauge, Level};
use super::refusals::Refusals;
use super::watch::RoomGauge;
use super::{notify, web};

pub use backup::Backups;
pub use door::{CONNECTIONS_MAX, serve};
pub use health::READY;
pub use revoke::SharedKeeper;

/// What the admin address shows: at first only that the process lives.
pub struct Admin {
    pub clock: Clock,
    pub lifecycle: Arc<Lifecycle>,
    pub mailboxes: Arc<[Mailbox]>,
    running: OnceLock<Running>,
}

/// What is there when the store is recovered and the shards run.
pub struct Running {
    /// Those of the shards, by their number.
    pub gauges: Vec<Arc<Gauge>>,
    /// Beside what the shards count.
    pub refusals: Arc<Refusals>,
    pub store: Arc<crate::store::Counters>,
    /// Where it is on disk.
    pub store_path: PathBuf,
    /// What that has left.
    pub room: Arc<RoomGauge>,
    pub keeper: SharedKeeper,
    /// Of tokens.
    pub revocations: Arc<Level>,
    /// Requests over HTTP.
    pub web: web::Intake,
    pub backups: Arc<Backups>,
    /// Of what others are told, if anybody is.
    pub notices: Option<Arc<notify::Gauge>>,
}

impl Admin {
    pub fn new(clock: Clock, lifecycle: Arc<Lifecycle>, mailboxes: Arc<[Mailbox]>) -> Self {
        Self {
            clock,
            lifecycle,
            mailboxes,
            running: OnceLock::new(),
        }
    }

    /// From here on the relay serves.
    pub fn run(&self, running: Running) {
        let is_first = self.running.set(running).is_ok();
        assert!(is_first, "a relay starts once");
    }

    /// `None`: the store is being recovered.
    fn running(&self) -> Option<&Running> {
        self.running.get()
    }

    /// The same for routes that are answered only from then on.
    fn relay(&self) -> &Running {
        self.running().expect("`when_running` has seen it")
    }
}

pub fn routes(admin: Arc<Admin>) -> Router {
    let running = Router::new()
        .route("/overview", get(overview::overview))
        .route("/documents", get(documents::list))
        .route("/documents/{id}", get(documents::one))
        .route("/connections", get(connections::list))
        .route("/close", post(connections::close))
        .route("/revoke", post(revoke::revoke))
        .route("/backup", post(backup::backup))
        .route_layer(from_fn_with_state(Arc::clone(&admin), when_running));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(exposition::metrics))
        .merge(dashboard::routes())
        .merge(
            Router::new()
                .route("/log", get(log::get).put(log::put))
                .merge(running)
                .route_layer(from_fn(by_own_name)),
        )
        .with_state(admin)
}

/// Why something is not done, in a line.
fn refusal(status: StatusCode, problem: &str) -> Response {
    (status, format!("{problem}\n")).into_response()
}

/// A page under a name that leads to this machine's own address (DNS rebinding) asks by that name, and nobody else does.
async fn by_own_name(
    ConnectInfo(asker): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if asker.ip().to_canonical().is_loopback() && !is_own_name(host) {
        let problem = "from this machine, ask by an address or as localhost";
        return refusal(StatusCode::FORBIDDEN, problem);
    }
    next.run(request).await
}

/// Whether nobody else can give this name to this machine: an address, or localhost, with or without a port.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _no_port => host,
    };
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost") || address.unwrap_or(name).parse::<IpAddr>().is_ok()
}

async fn when_running(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    match admin.running() {
        Some(_) => next.run(request).await,
        None => refusal(StatusCode::SERVICE_UNAVAILABLE, health::RECOVERING),
    }
}

/// What is asked for in JSON.
///
/// # Errors
///
/// The answer to what cannot be read, or could come from a page in a browser.
fn read_json<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T, Box<Response>> {
    // A page in somebody's browser cannot send this without being asked first.
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
    if kind.is_none_or(|kind| kind.trim() != "application/json") {
        let problem = "the request needs \"Content-Type: application/json\"";
        let answer = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, problem);
        return Err(Box::new(answer));
    }
    serde_json::from_slice(body).map_err(|error| {
        let problem = format!("this is no request: {error}");
        Box::new(refusal(StatusCode::BAD_REQUEST, &problem))
    })
}

fn json(value: &impl serde::Serialize) -> Response {
    let text = serde_json::to_string(value).expect("it has neither maps nor numbers without JSON");
    let content = (header::CONTENT_TYPE, "application/json");
    ([content], text + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_ones_own_is_an_address_or_localhost() {
        for host in [
            "127.0.0.1:7402",
            "127.0.0.1",
            "[::1]:7402",
            "[::1]",
            "LocalHost:1",
        ] {
            assert!(is_own_name(host), "{host}");
        }
        for host in [
            "",
            "evil.example:7402",
            "127.0.0.1.evil.example",
            "localhost.evil:1",
            ":1",
        ] {
            assert!(!is_own_name(host), "{host}");
        }
    }
}
