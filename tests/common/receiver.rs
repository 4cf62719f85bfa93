//! Who is told what happens to documents, played by the test: it verifies what it gets with the library of the Standard
//! Webhooks specification, and answers what it is told to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use standardwebhooks::Webhook;

use super::http_server::serve;

pub const SECRETS: [&str; 2] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSByZWNlaXZlcg==",
];

/// Takes notices until the test ends.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    /// With what, and after how long: what held when a notice came counts, whatever is told while it waits.
    answer: (u16, Duration),
    secret: &'static str,
    notices: Vec<Notice>,
}

/// A notice as it came.
#[derive(Debug, Clone)]
pub struct Notice {
    pub id: String,
    pub body: Value,
    /// What it was answered.
    pub status: u16,
}

impl Notice {
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().expect("it has a type")
    }

    pub fn document(&self) -> &str {
        self.body["data"]["document"].as_str().expect("it has one")
    }

    pub fn number(&self, name: &str) -> u64 {
        let number = self.body["data"][name].as_u64();
        number.unwrap_or_else(|| panic!("{self:?} has no {name}"))
    }
}

impl Receiver {
    /// It takes everything at first, and verifies it with the first secret.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), 200)
    }

    /// Answers at that address, at first with that status.
    pub fn start_at(address: SocketAddr, status: u16) -> Self {
        let state = Arc::new(Mutex::new(State {
            answer: (status, Duration::ZERO),
            secret: SECRETS[0],
            notices: Vec::new(),
        }));
        let answered = Arc::clone(&state);
        let address = serve(address, move |headers, body| {
            let state = Arc::clone(&answered);
            async move {
                let (status, delay) = lock(&state).answer;
                tokio::time::sleep(delay).await;
                take(&mut lock(&state), status, &headers, &body)
            }
        });
        Self { address, state }
    }

    /// What it answers from now on, after how long.
    pub fn answer(&self, status: u16, delay: Duration) {
        lock(&self.state).answer = (status, delay);
    }

    /// With what it verifies from now on. What does not fit is answered 401.
    pub fn trust(&self, secret: &'static str) {
        lock(&self.state).secret = secret;
    }

    /// What has come, the oldest first.
    pub fn notices(&self) -> Vec<Notice> {
        lock(&self.state).notices.clone()
    }

    /// What it has taken, the oldest first.
    pub fn taken(&self) -> Vec<Notice> {
        let mut notices = self.notices();
        notices.retain(|notice| notice.status == 200);
        notices
    }
}

/// The settings of a relay that tells whoever is at this address. The secrets are lines.
pub fn settings(address: SocketAddr, directory: &Path, secrets: &str) -> Vec<String> {
    let path = directory.join("secrets");
    std::fs::write(&path, secrets).expect("the directory is there");
    vec![
        format!("notify.url=http://{address}/told"),
        format!("notify.secret_file={}", path.display()),
        "notify.debounce=20ms".to_owned(),
        "notify.debounce_max=200ms".to_owned(),
        "notify.peers_debounce=50ms".to_owned(),
        "notify.timeout=300ms".to_owned(),
        "notify.retry_pause_max=100ms".to_owned(),
    ]
}

fn take(
    state: &mut State,
    status: u16,
    headers: &HeaderMap,
    body: &Bytes,
) -> (StatusCode, HeaderMap) {
    let webhook = Webhook::new(state.secret).expect("a secret");
    let status = match webhook.verify(body, headers) {
        Ok(()) => status,
        Err(_) => 401,
    };
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let id = headers["webhook-id"].to_str().expect("text").to_owned();
    assert_eq!(body["data"]["id"], id);
    state.notices.push(Notice { id, body, status });
    let mut headers = HeaderMap::new();
    if status == 302 {
        headers.insert(header::LOCATION, "/elsewhere".parse().expect("a path"));
    }
    (StatusCode::from_u16(status).expect("a status"), headers)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
