//! What a client session is made from: who it is, and how patient.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

use super::reconnect::Reconnect;

const MIB: usize = 1024 * 1024;

/// The defaults are those of the protocol's documentation; identity and seed are the caller's to fill in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// 16 bytes made once and kept: the client's identity across reconnects.
    pub client_uuid: [u8; 16],
    /// The credential; empty where the relay asks for none.
    pub token: String,
    /// Who the user is, where the relay asks for no token.
    pub user_id: String,
    /// What others see the user as, where the token does not say.
    pub user_name: String,
    /// When operations are sent.
    pub batching: Batching,
    /// When a lost connection is made again.
    pub reconnect: Reconnect,
    /// How often a presence that has been set is kept alive.
    pub heartbeat_period: Duration,
    /// The shortest time between two updates of one presence; of more, the newest is sent.
    pub presence_period_min: Duration,
    /// How long after a Ping of ours the relay counts as gone.
    pub pong_timeout: Duration,
    /// The longest frame that is accepted from the relay, in bytes.
    pub frame_bytes_max: usize,
    /// The longest snapshot that is accepted from the relay, or offered to it, in bytes. A document whose snapshot is
    /// longer is closed with MESSAGE_TOO_LARGE.
    pub snapshot_bytes_max: usize,
    /// Lists and deletions that wait for the relay, past which they are refused.
    pub requests_max: usize,
    /// What the jitter of reconnects is drawn from: different for every client.
    pub seed: u64,
}

impl Settings {
    /// Of a client that has not been there before: its UUID and its seed are drawn from the system's randomness.
    ///
    /// # Panics
    ///
    /// If the system has none.
    pub fn new(user_name: &str) -> Self {
        let mut client_uuid = [0; 16];
        let mut seed = [0; 8];
        for bytes in [&mut client_uuid[..], &mut seed[..]] {
            getrandom(&mut *bytes, GetRandomFlags::empty()).expect("Linux has random bytes");
        }
        Self {
            client_uuid,
            user_name: user_name.to_owned(),
            seed: u64::from_le_bytes(seed),
            ..Self::default()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_uuid: [0; 16],
            token: String::new(),
            user_id: String::new(),
            user_name: String::new(),
            batching: Batching::default(),
            reconnect: Reconnect::default(),
            heartbeat_period: Duration::from_secs(10),
            presence_period_min: Duration::from_millis(100),
            pong_timeout: Duration::from_secs(10),
            frame_bytes_max: 16 * MIB,
            snapshot_bytes_max: 64 * MIB,
            requests_max: 64,
            seed: 0,
        }
    }
}

/// When operations that wait are sent, and how many may wait.
#[derive(Debug, Clone)]
pub struct Batching {
    /// A batch of so many operations is sent at once.
    pub operations_max: usize,
    /// The payload bytes of one batch. A single operation may be longer, up to what the relay accepts.
    pub bytes_max: usize,
    /// The oldest operation waits no longer than this.
    pub age_max: Duration,
    /// Nothing was added for this long: the batch is sent.
    pub pause: Duration,
    /// Batches of kind `log` on their way at one time. For `text` it is always 1.
    pub in_flight_max: usize,
    /// Operations of one document that wait for the relay, past which `submit` refuses.
    pub waiting_operations_max: usize,
    /// Their bytes, likewise.
    pub waiting_bytes_max: usize,
}

impl Default for Batching {
    fn default() -> Self {
        Self {
            operations_max: 50,
            bytes_max: MIB / 2,
            age_max: Duration::from_millis(100),
            pause: Duration::from_millis(50),
            in_flight_max: 3,
            waiting_operations_max: 65_536,
            waiting_bytes_max: 64 * MIB,
        }
    }
}
