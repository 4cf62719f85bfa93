//! The other end of the wire: what an application needs to edit documents through a relay.
//!
//! [`Session`] is the protocol without IO: batching, resending, resuming, reconnecting. [`Client`] puts a session
//! on a socket, and [`TextDocument`] makes a text of what the session tells.

mod announcement;
mod catch_up;
mod document;
mod driver;
mod endpoint;
mod event;
mod history;
mod offer;
mod pending;
mod reconnect;
mod requests;
mod resync;
mod session;
mod settings;
pub mod text;
mod text_document;

pub use document::OpenOptions;
pub use driver::Client;
pub use endpoint::{Endpoint, EndpointError, Transport};
pub use event::{DocumentKey, Event, Refusal, Violation};
pub use history::{TextAt, TextAtError, revision_at};
pub use reconnect::Reconnect;
pub use requests::{HistoryOptions, ListOptions, RequestKey};
pub use session::{
    ConnectionRequest, OfferError, PROTOCOL_VERSION, RequestError, Session, SubmitError,
};
pub use settings::{Batching, Settings};
pub use text_document::{TextDocument, TextDocumentError};
