//! The other end of the wire: what an application needs to edit documents through a relay.
//!
//! ```no_run
//! use std::time::Duration;
//! use corelay::client::{Client, Event, OpenOptions, Settings};
//!
//! let mut client = Client::new("ws://127.0.0.1:7400", Settings::new("Ada"))?;
//! let diary = client.session().open(OpenOptions {
//!     document: "diary".to_owned(),
//!     kind: "log".to_owned(),
//!     create: true,
//!     have: None,
//! });
//! let now = client.now();
//! client.session().submit(diary, "Dear diary".into(), now)?;
//! loop {
//!     match client.next_event(Duration::from_secs(1)) {
//!         Some(Event::Remote { operations, .. }) => println!("somebody wrote {operations:?}"),
//!         Some(Event::Acknowledged { operations, .. }) => println!("saved: {operations:?}"),
//!         Some(Event::Stopped { refusal }) => return Err(refusal.into()),
//!         _ => {}
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Session`] is the protocol without IO: batching, resending, resuming, reconnecting. [`Client`] puts a session on a
//! blocking socket; whatever else can carry bytes can drive a session, too ([how](Session#driving-a-session)).
//! [`TextDocument`] makes a text of what the session tells, and [`Roster`] a list of who is there.
//!
//! # What happens, in order
//!
//! [`Event::Connected`] once for each connection, and again for each [fresh token](Session::renew_token). For each document that was [opened](Session::open) then
//! [`Event::Opened`], what was missed of it ([`Event::Remote`], [`Event::Snapshot`]), and [`Event::Synced`]; from there
//! on everything as it happens. Revisions rise by exactly one, or a [`Event::Reset`] or [`Event::Snapshot`] says where to
//! begin again. [`Event::Disconnected`] says when the next attempt comes; there is no last one, and what was open is
//! opened again where it stood. After [`Event::Stopped`] nothing comes any more.
//!
//! # Saved means durable
//!
//! An operation is in the document when [`Event::Acknowledged`] says so, and by then it is as safe as the `durability` in
//! it says: with the relay's default it is on its disk. [`Session::pending_operations`] and
//! [`TextDocument::pending_operations`] count those that are not: "saving…" while it is above 0, "saved" at 0.
//!
//! # Offline
//!
//! Whatever is submitted waits, in order, until there is a connection, and is sent again where an answer was lost: the
//! relay applies it once. It waits in memory: who wants to survive the end of the process keeps it, too, and
//! [`Settings::client_uuid`] with it.
//!
//! ```
//! # use std::time::Duration;
//! # use corelay::client::{Client, Event, OpenOptions, Settings};
//! // Nobody listens there.
//! let mut client = Client::new("tcp://127.0.0.1:1", Settings::new("Ada"))?;
//! let diary = client.session().open(OpenOptions {
//!     document: "diary".to_owned(),
//!     kind: "log".to_owned(),
//!     ..OpenOptions::default()
//! });
//! let now = client.now();
//! client.session().submit(diary, "It rained.".into(), now)?;
//! let event = client.next_event(Duration::from_secs(1));
//! assert!(matches!(event, Some(Event::Disconnected { retry_at: Some(_) })));
//! assert_eq!(client.session().pending_operations(diary), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Refusals
//!
//! | what says no | to what | and then |
//! |---|---|---|
//! | [`SubmitError`], [`OfferError`], [`RequestError`] | a call | nothing was taken: [`SubmitError::Full`] is the limit below |
//! | [`Event::Error`] | something on its way | what is [retryable](Refusal::retryable) is asked again, without you |
//! | [`Event::Refused`] | a batch, for ever | these operations are not in the document; they are given back |
//! | [`Event::SnapshotRefused`], [`Event::RequestRefused`] | an offer, a list or a deletion, for ever | |
//! | [`Event::Closed`] | a document, for ever | the session goes on without it |
//! | [`Event::Stopped`] | this client, for ever | the session is over, and does not connect again |
//!
//! For ever means that the same would be refused again: a token that is wrong or has expired (UNAUTHORIZED), a version
//! that the relay does not speak (VERSION_MISMATCH), a document that another connection of the same UUID has taken over
//! (REPLACED) or that was deleted (DOCUMENT_DELETED), a permission that is missing (FORBIDDEN).
//!
//! # Tokens
//!
//! A session shows the token that it was made with, until it is given [another one](Session::renew_token): before the first
//! expires, so that the connection stays. One that was stopped for its token is over; begin another, with the same UUID.
//!
//! # Limits
//!
//! All are in [`Settings`]: what may wait of one document ([`Batching::waiting_operations_max`] and
//! [`Batching::waiting_bytes_max`]), how long a snapshot may be, how many lists and deletions may wait. The relay's
//! limits come on top; it says the size of a message when it is connected, and a larger operation is
//! [`SubmitError::TooLarge`]. There is no TLS here: `wss` is for a proxy in front of the relay, and another driver.
//!
//! # Examples
//!
//! In the repository, each to be run as `cargo run --example NAME`: `chat` (a log), `editor` (a text, with everybody's
//! cursors), `bot` (a text without a screen), `presence` (who is where), `token_backend` (who is who).

#![warn(missing_docs)]

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
mod roster;
mod session;
mod settings;
pub mod text;
mod text_document;

pub use crate::codec::wire::{
    Cursor, DocumentEntry, Durability, ErrorCode, Permissions, Position, Presence, ResyncReason,
    Selection, SyncMode, UserPresence,
};
pub use crate::engine::Instant;
pub use document::OpenOptions;
pub use driver::Client;
pub use endpoint::{Endpoint, EndpointError, Transport};
pub use event::{DocumentKey, Event, Refusal, Violation};
pub use history::{TextAt, TextAtError, revision_at};
pub use reconnect::Reconnect;
pub use requests::{HistoryOptions, ListOptions, RequestKey};
pub use roster::{Roster, RosterChange};
pub use session::{
    ConnectionRequest, OfferError, PROTOCOL_VERSION, RequestError, Session, SubmitError,
};
pub use settings::{Batching, Settings};
pub use text_document::{TextDocument, TextDocumentError};
