//! What a tenant may have: at the limit it is taken, past it it is refused, and other tenants notice nothing.

use std::sync::Arc;

use corelay::codec::wire::ErrorCode;
use corelay::config::{Connection, Quota};
use corelay::engine::Census;
use corelay::engine::shard::Transport;
use corelay::store::TenantUsage;
use corelay::text::Operation;
use serde_json::json;

use crate::expect;
use crate::fixture::{Client, Relay, TRANSPORTS};
use crate::requests::{log_batch, text_batch};
use crate::tokens;

/// A relay of two shards with these quotas, whose tenant "acme" has a document and so many bytes already.
fn relay_with(quota: &Quota, stored_bytes: u64) -> Relay {
    let stored = [TenantUsage {
        tenant: "acme".into(),
        documents: 1,
        bytes: stored_bytes,
    }];
    let census = Census::new(&Connection::default(), quota, &stored);
    let mut relay = tokens::relay(2);
    relay.restart(|settings| settings.census = Arc::new(census));
    relay
}

fn relay(quota: &Quota) -> Relay {
    relay_with(quota, 1000)
}

fn of_tenant(relay: &mut Relay, device: &str, tenant: &str) -> Client {
    tokens::admitted(relay, device, &json!({"tenant": tenant}))
}

#[track_caller]
fn batch_refused(relay: &mut Relay, client: Client, document: u64, clock: u64, what: &str) {
    relay.send(client, log_batch(document, clock, ["x"]));
    let nack = expect!(relay, client, Nack);
    assert_eq!(
        (nack.code(), nack.retryable),
        (ErrorCode::TenantQuotaExceeded, false)
    );
    assert!(nack.message.contains(what), "{}", nack.message);
}

#[test]
fn a_tenant_has_as_many_connections_as_it_may() {
    for transport in TRANSPORTS {
        let mut relay = relay(&Quota {
            connections_max: Some(2),
            ..Quota::default()
        });
        let clients = ["one", "two"].map(|device| of_tenant(&mut relay, device, "acme"));
        for shard in [0, 1] {
            let client = relay.connect_to(shard, transport, None);
            let token = tokens::token(&json!({"tenant": "acme"}));
            relay.send(client, tokens::hello_with("three", token));
            let error = expect!(relay, client, Error);
            assert_eq!(
                (error.code(), error.retryable),
                (ErrorCode::TenantQuotaExceeded, true)
            );
            assert!(error.message.contains("connections"), "{}", error.message);
            assert_eq!(expect!(relay, client, Close).code(), error.code());
            assert!(relay.is_closed(client));
            if transport == Transport::WebSocket {
                assert_eq!(relay.close_code(client), Some(4028));
            }
        }
        for tenant in ["", "beta"] {
            of_tenant(&mut relay, "three", tenant);
        }
        relay.vanish(clients[0]);
        of_tenant(&mut relay, "three", "acme");
    }
}

#[test]
fn a_tenant_has_as_many_documents_as_it_may_on_all_shards_together() {
    let mut relay = relay(&Quota {
        documents_max: Some(4),
        ..Quota::default()
    });
    let client = of_tenant(&mut relay, "one", "acme");
    // A document that has no operation is none.
    let handles = ["a", "b", "c", "d", "e"].map(|name| relay.open(client, name, "text").document);
    relay.send(
        client,
        text_batch(handles[4], 0, 0, &[Operation::splice(5, 0, "past the end")]),
    );
    assert_eq!(
        expect!(relay, client, Nack).code(),
        ErrorCode::OperationOutOfBounds
    );
    for handle in &handles[..3] {
        relay.send(
            client,
            text_batch(*handle, 0, 0, &[Operation::splice(0, 0, "x")]),
        );
        expect!(relay, client, Ack);
    }
    for handle in &handles[3..] {
        relay.send(
            client,
            text_batch(*handle, 0, 0, &[Operation::splice(0, 0, "x")]),
        );
        let nack = expect!(relay, client, Nack);
        assert_eq!(
            (nack.code(), nack.retryable),
            (ErrorCode::TenantQuotaExceeded, false)
        );
        assert!(nack.message.contains("documents"), "{}", nack.message);
    }
    // Those that there are can be edited, and another tenant has its own.
    relay.send(
        client,
        text_batch(handles[0], 1, 1, &[Operation::splice(0, 0, "x")]),
    );
    expect!(relay, client, Ack);
    let other = of_tenant(&mut relay, "one", "beta");
    let mine = relay.open(other, "a", "log").document;
    relay.send(other, log_batch(mine, 0, ["x"]));
    expect!(relay, other, Ack);
}

#[test]
fn a_tenant_stores_as_many_bytes_as_it_may() {
    let mut relay = relay(&Quota {
        stored_bytes_max: Some(3000),
        ..Quota::default()
    });
    let client = of_tenant(&mut relay, "one", "acme");
    let handles = ["a", "b", "c"].map(|name| relay.open(client, name, "log").document);
    relay.send(client, log_batch(handles[0], 0, [vec![0; 1900]]));
    expect!(relay, client, Ack);
    // The one that reaches the limit is taken, and none after it, in whichever document.
    relay.send(client, log_batch(handles[1], 0, [vec![0; 200]]));
    expect!(relay, client, Ack);
    batch_refused(&mut relay, client, handles[0], 1, "stored bytes");
    batch_refused(&mut relay, client, handles[1], 1, "stored bytes");
    batch_refused(&mut relay, client, handles[2], 0, "stored bytes");
    relay.send(client, log_batch(handles[0], 0, [vec![0; 1900]]));
    assert!(expect!(relay, client, Ack).duplicate);
    let other = of_tenant(&mut relay, "one", "beta");
    let mine = relay.open(other, "a", "log").document;
    relay.send(other, log_batch(mine, 0, ["x"]));
    expect!(relay, other, Ack);
}

#[test]
fn a_tenant_that_stores_one_byte_less_than_it_may_is_taken_once_more() {
    let quota = Quota {
        stored_bytes_max: Some(3000),
        ..Quota::default()
    };
    for (stored_bytes, is_taken) in [(2999, true), (3000, false)] {
        let mut relay = relay_with(&quota, stored_bytes);
        let client = of_tenant(&mut relay, "one", "acme");
        let handle = relay.open(client, "a", "log").document;
        if is_taken {
            relay.send(client, log_batch(handle, 0, ["x"]));
            expect!(relay, client, Ack);
        }
        batch_refused(
            &mut relay,
            client,
            handle,
            u64::from(is_taken),
            "stored bytes",
        );
    }
}
