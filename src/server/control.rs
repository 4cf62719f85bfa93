//! The control thread: HTTP for those who watch the relay, on an address of its own, and whatever else is neither hot
//! nor about documents.
//!
//! `/health` says that the process lives, `/ready` whether it takes clients, `/metrics` what it has counted, in
//! the text format of Prometheus; `/revoke` takes tokens back (`revoke`), `/backup` copies the store (`backup`). It reads what the shards have published and never waits for them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::runtime::Runtime;

use super::ServerError;
use super::backup::{Backups, backup};
use super::lifecycle::{Lifecycle, Phase};
use super::metrics::Observed;
use super::revoke::{SharedKeeper, revoke};

const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The control thread before it runs on its own.
pub struct Control {
    runtime: Runtime,
}

impl Control {
    pub fn new() -> Result<Self, ServerError> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map(|runtime| Self { runtime })
            .map_err(system)
    }

    /// Does this first, on the caller's thread.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Does this beside everything else when the thread runs.
    pub fn keep_doing(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(future);
    }

    /// From here on the thread runs, until the process ends, and answers the listener if there is one.
    pub fn serve(
        self,
        listener: Option<TcpListener>,
        lifecycle: Arc<Lifecycle>,
        observed: Observed,
        keeper: SharedKeeper,
        backups: Backups,
    ) -> Result<(), ServerError> {
        let routes = Router::new()
            .route("/health", get("alive\n"))
            .route("/ready", get(ready))
            .with_state(lifecycle)
            .route("/metrics", get(metrics))
            .with_state(Arc::new(observed))
            .route("/revoke", post(revoke))
            .with_state(keeper)
            .route("/backup", post(backup))
            .with_state(Arc::new(backups))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX));
        let serve = async move {
            let Some(listener) = listener else {
                return std::future::pending().await;
            };
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, routes).await
        };
        let run = move || {
            if let Err(error) = self.runtime.block_on(serve) {
                tracing::error!(%error, "the control thread has ended");
            }
        };
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(run)
            .map(drop)
            .map_err(system)
    }
}

fn system(source: std::io::Error) -> ServerError {
    ServerError::System {
        what: "the control thread",
        source,
    }
}

async fn ready(State(lifecycle): State<Arc<Lifecycle>>) -> impl IntoResponse {
    match lifecycle.phase() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Draining | Phase::Closing | Phase::Leaving => {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        }
    }
}

async fn metrics(State(observed): State<Arc<Observed>>) -> impl IntoResponse {
    let text = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], observed.to_string())
}
