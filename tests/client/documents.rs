//! Documents that cannot be opened.

use bytes::Bytes;
use corelay::client::{Event, OpenOptions, SubmitError};
use corelay::codec::wire::{self, ErrorCode, event::Body as Told, request::Body};

use crate::fixture::Play;

#[test]
fn a_document_that_cannot_be_opened_does_not_end_the_others() {
    let mut play = Play::new();
    let options = |document: &str| OpenOptions {
        document: document.to_owned(),
        kind: "log".to_owned(),
        ..OpenOptions::default()
    };
    let missing = play.session.open(options("missing"));
    let later = play.session.open(options("later"));
    play.connect();
    assert_eq!(play.sent().len(), 2);
    play.submit(missing, 2);
    play.events();
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::DocumentNotFound as i32,
        request_id: 1,
        ..wire::Error::default()
    }));
    play.tell(Told::Error(wire::Error {
        code: ErrorCode::ServiceUnavailable as i32,
        retryable: true,
        retry_after_ms: 2000,
        request_id: 2,
        ..wire::Error::default()
    }));
    let events = play.events();
    assert!(matches!(
        &events[..],
        [
            Event::Refused { document: refused, operations, .. },
            Event::Closed { document: closed, .. },
            Event::Error { document: Some(error), .. },
        ] if (*refused, *closed, *error) == (missing, missing, later) && operations.len() == 2
    ));
    assert_eq!(
        play.session.submit(missing, Bytes::new(), play.now),
        Err(SubmitError::Closed)
    );
    play.pass(1999);
    assert_eq!(play.sent(), []);
    play.pass(1);
    assert!(matches!(&play.sent()[..], [Body::Open(open)] if open.document == "later"));
}
