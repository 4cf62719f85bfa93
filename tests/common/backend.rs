//! The operator's own backend, played by the test: it answers what it is told to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use super::http_server::serve;

/// Answers until the test ends.
pub struct Backend {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    status: StatusCode,
    body: String,
    delay: Duration,
    requests: Vec<(HeaderMap, Bytes)>,
}

impl Backend {
    /// It answers 200 and nothing at first.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            status: StatusCode::OK,
            body: String::new(),
            delay: Duration::ZERO,
            requests: Vec::new(),
        }));
        let answered = Arc::clone(&state);
        let address = serve(
            SocketAddr::from(([127, 0, 0, 1], 0)),
            move |headers, body| {
                let state = Arc::clone(&answered);
                async move {
                    let delay = lock(&state).delay;
                    tokio::time::sleep(delay).await;
                    let mut state = lock(&state);
                    state.requests.push((headers, body));
                    (state.status, state.body.clone())
                }
            },
        );
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/asked", self.address)
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16, body: impl ToString) {
        let mut state = lock(&self.state);
        state.status = StatusCode::from_u16(status).expect("a status");
        state.body = body.to_string();
    }

    /// How long it takes from now on.
    pub fn delay(&self, delay: Duration) {
        lock(&self.state).delay = delay;
    }

    /// What it has been asked, the oldest first.
    pub fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        lock(&self.state).requests.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
