//! What a shard tells whoever looks after the relay, and connections that are closed by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use corelay::codec::wire::{ErrorCode, request};
use corelay::engine::Refusal;
use corelay::engine::shard::{ConnectionReport, Sought, Transport};

use crate::expect;
use crate::fixture::{Client, Relay};
use crate::mesh::{joined_to, name_on};
use crate::requests::{log_batch, open};

const LATER: Duration = Duration::from_secs(1);

fn goodbye(may_return: bool) -> Refusal {
    Refusal::ClosedByOperator {
        reason: "tidying up".to_owned(),
        may_return,
    }
}

/// All connections that are meant, page by page.
fn connections(relay: &Relay, shard: usize, sought: &Sought) -> Vec<ConnectionReport> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = relay.shards[shard].connections_after(sought, after);
        found.extend(page.into_iter().map(|(_, report)| report));
        after = next;
        if after.is_none() {
            return found;
        }
    }
}

fn of_user(relay: &Relay, shard: usize, user: &str) -> ConnectionReport {
    let sought = Sought {
        user: Some(user.to_owned()),
        ..Sought::default()
    };
    let [report] = &connections(relay, shard, &sought)[..] else {
        panic!("{user} is connected once");
    };
    report.clone()
}

fn blocked(relay: &Relay) -> Vec<ConnectionReport> {
    let sought = Sought {
        is_blocked: true,
        ..Sought::default()
    };
    connections(relay, 0, &sought)
}

#[test]
fn lists_go_on_where_they_ended_until_all_is_told() {
    let mut relay = Relay::with(1, |settings| settings.connection.documents_max = 2000);
    let ann = relay.greeted("ann");
    for number in 0..1100 {
        // In the tenant without a name, both forms of what a document is called inside.
        let name = match number % 2 {
            0 => format!("{number}"),
            _ => format!("acme::{number}"),
        };
        relay.send(ann, open(&name, "log", true));
        expect!(relay, ann, Opened);
    }
    for number in 0..1100 {
        relay.greeted(&format!("user {number}"));
    }
    let shard = &relay.shards[0];
    for (tenant, count) in [(None, 1100), (Some(""), 1100), (Some("acme"), 0)] {
        let (mut ids, mut after, mut pages) = (BTreeSet::new(), None, 0);
        loop {
            let (page, next) = shard.documents_after(tenant, after.as_deref(), relay.now());
            assert!(page.len() <= 512, "what is done at once is bounded");
            ids.extend(page.into_iter().map(|report| (report.tenant, report.id)));
            pages += 1;
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids.len(), count, "{tenant:?}");
        assert_eq!(pages, if count == 0 { 1 } else { 3 });
        assert!(ids.iter().all(|(tenant, _)| tenant.is_empty()));
    }
    let all = connections(&relay, 0, &Sought::default());
    let ids: BTreeSet<_> = all.iter().map(|report| &report.id).collect();
    assert_eq!((all.len(), ids.len()), (1101, 1101));
    assert_eq!(of_user(&relay, 0, "user 1099").phase, "ready");
    assert_eq!(of_user(&relay, 0, "ann").documents_count, 1100);
}

#[test]
fn a_document_is_as_hot_as_its_operations_come() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    relay.open(ann, "quiet", "log");
    for clock in 0..30 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
        relay.pass(LATER);
    }
    let rates = |relay: &Relay| {
        let (documents, _) = relay.shards[0].documents_after(None, None, relay.now());
        let each = documents.into_iter();
        let each = each.map(|report| (report.id, report.operations_per_second));
        each.collect::<Vec<_>>()
    };
    let rate = |name: &str, rate| (name.to_owned(), rate);
    assert_eq!(rates(&relay), [rate("notes", 1.0), rate("quiet", 0.0)]);
    relay.pass(10 * LATER);
    assert_eq!(rates(&relay), [rate("notes", 0.0), rate("quiet", 0.0)]);
}

#[test]
fn who_is_behind_is_told_with_how_far_until_it_has_everything() {
    let mut relay = Relay::new();
    let (ann, notes) = relay.joined("ann", "notes", "log");
    let (ben, _) = relay.joined("ben", "notes", "log");
    relay.limit(ben, 0);
    for clock in 0..7 {
        relay.send(ann, log_batch(notes, clock, ["x"]));
    }
    let document = |relay: &Relay| {
        let document = relay.shards[0].inspect("notes", 1, 3, relay.now());
        document.expect("it is in memory")
    };
    let found = document(&relay);
    // The first is with the socket.
    let behind = &found.subscriptions[..];
    assert_eq!(behind.len(), 1, "as many as were asked for");
    assert_eq!((behind[0].user.as_str(), behind[0].stage), ("ben", "live"));
    assert_eq!(behind[0].lag_operations, Some(6));
    assert!(behind[0].queued_bytes > 0 && behind[0].is_blocked);
    assert_eq!((found.document.subscribers, found.ring.batches), (2, 7));
    let revisions: Vec<_> = found
        .operations
        .iter()
        .map(|it| it.first_revision)
        .collect();
    assert_eq!(revisions, [7, 6, 5]);
    let [slow] = &blocked(&relay)[..] else {
        panic!("only ben is blocked");
    };
    assert_eq!((slow.user.as_str(), slow.lag_operations), ("ben", 6));
    assert_eq!(relay.shards[0].metrics().blocked_connections, 1);

    relay.limit(ben, usize::MAX);
    assert!(blocked(&relay).is_empty());
    assert_eq!(document(&relay).subscriptions[0].lag_operations, Some(0));
    relay.limit(ben, 0);
    relay.send(ann, log_batch(notes, 7, ["x"]));
    relay.vanish(ben);
    assert_eq!(relay.shards[0].metrics().blocked_connections, 0);
    assert_eq!(relay.shards[0].metrics().subscribers, 1);
    assert!(
        relay.shards[0]
            .inspect("other", 1, 1, relay.now())
            .is_none()
    );
}

#[test]
fn a_document_on_another_shard_is_told_of_with_the_connections_own_names() {
    for edge_subscribers_min in [None, Some(1)] {
        let mut relay = Relay::with(2, |settings| {
            settings.fanout.edge_subscribers_min = edge_subscribers_min;
        });
        let ann = joined_to(&mut relay, "ann", 0, Transport::Tcp);
        let notes = relay.open(ann, &name_on(1), "log").document;
        relay.send(ann, log_batch(notes, 0, ["x"]));
        let of_ann = of_user(&relay, 0, "ann");
        assert_eq!(of_ann.other_shards, 1);
        let document = relay.shards[1].inspect(&name_on(1), 10, 10, relay.now());
        let document = document.expect("it is in memory");
        assert_eq!(document.document.subscribers, 1);
        match edge_subscribers_min {
            None => {
                assert_eq!(document.subscriptions[0].connection, of_ann.id);
                assert_eq!(of_ann.documents_count, 0, "its shard knows");
            }
            Some(_) => {
                assert_eq!(document.document.edge_subscribers, 1);
                assert_eq!(of_ann.documents, [name_on(1)]);
                assert_eq!(of_ann.lag_operations, 0);
            }
        }
        let subscribers = [0, 1].map(|shard| relay.shards[shard].metrics().subscribers);
        assert_eq!(subscribers, [0, 1]);
    }
}

#[track_caller]
fn assert_closed(relay: &mut Relay, client: Client, may_return: bool) {
    let error = expect!(relay, client, Error);
    let close = expect!(relay, client, Close);
    for (code, retryable) in [(error.code, error.retryable), (close.code, close.retryable)] {
        assert_eq!(code, ErrorCode::ClosedByOperator as i32);
        assert_eq!(retryable, may_return);
    }
    assert!(close.message.ends_with("tidying up"), "{}", close.message);
    assert_eq!(close.retry_after_ms > 0, may_return);
    assert!(relay.is_closed(client));
}

#[test]
fn who_is_closed_is_told_why_and_others_stay() {
    let mut relay = Relay::new();
    let clients = ["ann", "ben", "ben 2", "cid"].map(|name| {
        let client = relay.connect(Transport::Tcp);
        let request::Body::Hello(mut hello) = crate::requests::hello(name) else {
            unreachable!("that is what it makes")
        };
        hello.user_id = name[..3].to_owned();
        relay.send(client, request::Body::Hello(hello));
        expect!(relay, client, Connected);
        client
    });
    let [ann, ben, ben2, cid] = clients;
    let (listed, _) = relay.shards[0].connections_after(&Sought::default(), None);
    let (id, _) = listed
        .iter()
        .find(|(_, it)| it.user == "ann")
        .expect("she is there");
    let now = relay.now();
    assert!(relay.shards[0].close_connection(*id, &goodbye(true), now));
    assert!(!relay.shards[0].close_connection(*id, &goodbye(true), now));
    relay.settle();
    assert_closed(&mut relay, ann, true);
    assert!(!relay.shards[0].close_connection(*id, &goodbye(true), now));

    let sought = Sought {
        tenant: Some(String::new()),
        user: Some("ben".to_owned()),
        is_blocked: false,
    };
    let (closed, next) = relay.shards[0].close_sought(&sought, None, &goodbye(false), now);
    assert_eq!((closed, next), (2, None));
    relay.settle();
    assert_closed(&mut relay, ben, false);
    assert_closed(&mut relay, ben2, false);
    assert_eq!(relay.open(cid, "notes", "log").kind, "log");
}
