//! Connections to the admin address: no more than a few, and none that has nothing to say. Whoever reaches the address
//! could otherwise use up the descriptors that clients and the store need.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_service::Service as _;

use super::refusal;

/// One more waits to be accepted.
pub const CONNECTIONS_MAX: usize = 64;

const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// How long a request may take to arrive, and how long a connection may wait for one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long whoever asks may leave an answer where it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nobody is accepted after the system has refused that.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers whoever connects, for as long as the process lives.
pub async fn serve(listener: TcpListener, routes: Router) -> Infallible {
    let routes = routes.layer(from_fn(take_body));
    let mut routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes it");
        let Ok((stream, asker)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // An answer that nobody takes ends its connection.
        let timeout_ms = ANSWER_TIMEOUT.as_millis() as u32;
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, timeout_ms);
        let Ok(routes) = routes.call(asker).await;
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
            // It breaks where whoever asks has gone, or is too slow, which is nobody's fault here.
            let _ = connection.await;
            drop(place);
        });
    }
}

/// A request goes on with its whole body, or not at all.
async fn take_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(REQUEST_TIMEOUT, to_bytes(body, REQUEST_BYTES_MAX)).await;
    match body {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(_)) => {
            let problem = "the request is broken, or larger than anything that is asked for here";
            refusal(StatusCode::PAYLOAD_TOO_LARGE, problem)
        }
        Err(_) => refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the request does not arrive in time",
        ),
    }
}
