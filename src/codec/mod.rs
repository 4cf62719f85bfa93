//! Bytes to values and back: frames, WebSocket framing, protobuf messages, stored records.
//!
//! Nothing here reads a clock, a socket, a file or a random source, and no input makes it panic.

pub mod frame;
pub mod json;
pub mod record;
pub mod request;
pub mod websocket;

/// The messages of `proto/corelay.proto`, whose comments are the protocol's specification.
#[allow(clippy::large_enum_variant, reason = "generated code")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/corelay.v1.rs"));

    impl From<request::Body> for Request {
        fn from(body: request::Body) -> Self {
            Self {
                id: String::new(),
                body: Some(body),
            }
        }
    }

    impl From<event::Body> for Event {
        fn from(body: event::Body) -> Self {
            Self {
                body: Some(body),
                ..Self::default()
            }
        }
    }
}
