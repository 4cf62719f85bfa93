//! Bytes to values and back: frames, WebSocket framing, protobuf messages, stored records.
//!
//! Nothing here reads a clock, a socket, a file or a random source, and no input makes it panic.

pub mod calendar;
pub mod dialect;
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

    impl event::Body {
        /// The handle of the document that it is about, else 0.
        pub fn document(&self) -> u64 {
            match self {
                Self::Opened(opened) => opened.document,
                Self::RemoteOps(remote) => remote.document,
                Self::Ack(ack) => ack.document,
                Self::Nack(nack) => nack.document,
                Self::SyncResponse(page) => page.document,
                Self::PresenceUpdate(update) => update.document,
                Self::Warning(warning) => warning.document,
                Self::Resync(resync) => resync.document,
                Self::Error(error) => error.document,
                Self::Close(close) => close.document,
                Self::SyncRequest(request) => request.document,
                Self::SnapshotAccepted(accepted) => accepted.document,
                Self::Connected(_)
                | Self::Ping(_)
                | Self::Pong(_)
                | Self::Goaway(_)
                | Self::Deleted(_)
                | Self::Directory(_)
                | Self::DirectoryUpdate(_)
                | Self::HistoryPage(_)
                | Self::VersionSaved(_)
                | Self::Versions(_)
                | Self::VersionDeleted(_) => 0,
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
