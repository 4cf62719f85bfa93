//! The load that `benches/compare` puts on corelay and its peers: here on corelay alone, which needs no network.

#[allow(dead_code, reason = "the comparison uses all of it")]
#[path = "../../benches/compare/peer_load/connection.rs"]
mod connection;
#[allow(dead_code, reason = "the comparison uses all of it")]
#[path = "../../benches/compare/peer_load/protocol.rs"]
mod protocol;

use crate::common::Server;
use connection::{Connection, Stamp};
use protocol::{Protocol, Writer};

#[test]
fn what_one_thin_client_publishes_another_finds_in_its_bytes() {
    let server = Server::spawn(&[]);
    let ways = [
        (Protocol::Corelay, server.tcp),
        (Protocol::CorelayWebsocket, server.websocket),
    ];
    for (way, (protocol, address)) in ways.into_iter().enumerate() {
        for document in ["a", "b"].map(|name| format!("{name}{way}")) {
            let (stream, handle) = protocol.join(address, 0, &document);
            let mut writer = Writer::new(protocol, 0, document.clone(), handle);
            let mut writing = Connection::new(stream, 0);
            let mut reading = Connection::new(protocol.join(address, 1, &document).0, 0);
            let stamp = |due_us| Stamp { writer: 0, due_us };
            for due_us in 0..3 {
                writer.publish(&stamp(due_us).payload(200), &mut writing.unsent);
                writing.flush();
            }
            let (mut found, mut scratch) = (Vec::new(), vec![0; 64 * 1024]);
            server.wait_for("the operations", || {
                reading.read(&mut scratch, |stamp| found.push(stamp));
                (found.len() == 3).then_some(())
            });
            assert_eq!(found, [stamp(0), stamp(1), stamp(2)]);
        }
    }
}
