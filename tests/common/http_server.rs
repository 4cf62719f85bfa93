//! An HTTP server of the test's own, for those whom the relay asks or tells.

use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::IntoResponse;

/// Answers every request, whatever its path, until the test ends. Returns where.
pub fn serve<A, F>(
    address: SocketAddr,
    answer: impl Fn(HeaderMap, Bytes) -> F + Clone + Send + Sync + 'static,
) -> SocketAddr
where
    A: IntoResponse + 'static,
    F: Future<Output = A> + Send + 'static,
{
    let listener = TcpListener::bind(address).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("an option");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, Router::new().fallback(answer)).await
        })
    });
    address
}
