//! A relay that is killed again and again under load loses nothing that it acknowledged, uses no revision twice and
//! applies nothing twice.
//!
//! `CORELAY_KILLS` says how often it is killed (20).

use std::time::{Duration, Instant};

use crate::common::Server;
use crate::support::Load;

/// How long one load writes; the killing is over when it ends.
const ROUND: Duration = Duration::from_secs(5);

#[test]
fn nothing_acknowledged_is_lost_by_kills() {
    let kills_wanted: u32 = std::env::var("CORELAY_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(20);
    let directory = tempfile::TempDir::new().expect("there is room for a directory");
    let mut server = Server::spawn_in(directory.path(), &[]);
    let websocket = format!("listen.websocket={}", server.websocket);
    let tcp = format!("listen.tcp={}", server.tcp);
    let urls = [
        format!("ws://{}", server.websocket),
        format!("tcp://{}", server.tcp),
    ];
    let mut kills = 0;
    for round in 0.. {
        if kills >= kills_wanted {
            break;
        }
        let kind = ["log", "text"][(round / 2) % 2];
        let load = Load::spawn(
            &urls[round % 2],
            &format!(
                "--kind {kind} --documents 2 --clients 4 --writers 2 --operations-per-second 400 \
                 --duration {} --warm-up 0 --verify --reconnect --drain 30 --seed {round}",
                ROUND.as_secs()
            ),
        );
        let end = Instant::now() + ROUND;
        let mut kills_in_round = 0;
        while Instant::now() < end && kills < kills_wanted {
            // Killed while it works: after some acknowledgements of this process, a different number each time.
            let acks_wanted = 20 + u64::from(kills * 37 % 100);
            while server.metric("acks_total") < acks_wanted && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
            server.kill();
            kills += 1;
            kills_in_round += 1;
            server = Server::spawn_in(directory.path(), &[&websocket, &tcp]);
        }
        let ended = load.wait();
        ended.expect_kept();
        assert!(ended.number("operations.acknowledged") > 0.0);
        assert!(
            ended.number("reconnects") >= f64::from(kills_in_round),
            "{}",
            ended.output
        );
    }
}
