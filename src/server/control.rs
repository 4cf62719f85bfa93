//! The control thread: HTTP for those who watch the relay, on an address of its own.
//!
//! `/health` says that the process lives, `/ready` whether it takes clients, `/metrics` what it has counted, in
//! the text format of Prometheus. It reads what the shards have published and never waits for them.

use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::ServerError;
use super::lifecycle::{Lifecycle, Phase};
use super::metrics::Observed;

/// From here on the listener is answered, until the process ends.
pub fn serve(
    listener: TcpListener,
    lifecycle: Arc<Lifecycle>,
    observed: Observed,
) -> Result<(), ServerError> {
    let system = |source| ServerError::System {
        what: "the control thread",
        source,
    };
    listener.set_nonblocking(true).map_err(system)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(system)?;
    let routes = Router::new()
        .route("/health", get("alive\n"))
        .route("/ready", get(ready))
        .with_state(lifecycle)
        .route("/metrics", get(metrics))
        .with_state(Arc::new(observed));
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, routes).await
    };
    let run = move || {
        if let Err(error) = runtime.block_on(serve) {
            tracing::error!(%error, "the control thread has ended");
        }
    };
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(system)
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
