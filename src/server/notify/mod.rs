//! Webhooks: the operator's own address is told what happens to documents.
//!
//! What is to be told stands in the store, with what it is about (`store::Notices`); the shards note on a `board` which
//! documents have peers. The `desk` says what is sent when, here it is signed (`secrets`) and sent (`message`).

mod board;
mod desk;
mod message;
mod secrets;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header;
use hyper::{Request, StatusCode, Uri};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout_at;

use super::ServerError;
use super::clock::Clock;
use super::outbound::{Outbound, shown, warn_of_plain_http};
use crate::config::Notify;
use crate::store::{CommitterHandle, FjallReader, FjallStore, Notice, NoticeChange, NoticeQueue};
use desk::{Action, Answer, Desk};
use secrets::Secrets;

pub use board::Board;
pub use desk::Counts;

/// So much of an answer is read, so that its connection can be used again.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The most that is asked of the store at once, so that no commit has too much of it.
const ASKS_MAX: usize = 1024;
/// How often the log says the same.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// What the metrics show.
#[derive(Debug, Default)]
pub struct Gauge {
    counts: Mutex<Counts>,
}

impl Gauge {
    pub fn read(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, counts: Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// Sends notices.
pub struct Notifier {
    url: Uri,
    desk: Desk,
    outbound: Arc<Outbound>,
    secrets: Secrets,
    id_key: [u8; 32],
    reader: FjallReader,
    clock: Clock,
    board: Arc<Board>,
    gauge: Arc<Gauge>,
    events: UnboundedSender<Event>,
    incoming: UnboundedReceiver<Event>,
    failing: Complaint,
    losing: Complaint,
    /// Of so many the log has spoken.
    lost: u64,
}

/// What the log says at most once a minute.
#[derive(Default)]
struct Complaint {
    at: Option<Instant>,
}

impl Complaint {
    fn may_be_said(&mut self) -> bool {
        let now = Instant::now();
        let may = self.at.is_none_or(|at| now >= at + COMPLAINT_PERIOD);
        if may {
            self.at = Some(now);
        }
        may
    }
}

/// Somebody is told.
pub struct Started {
    /// Where shards note which documents have peers.
    pub board: Arc<Board>,
    pub gauge: Arc<Gauge>,
    /// To be done for as long as the process lives.
    pub work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What has happened.
enum Event {
    /// There is something on the board.
    Noted,
    Store(Vec<NoticeChange>),
    Answer(Arc<Notice>, Result<StatusCode, String>),
}

impl Notifier {
    /// `None`: nobody is to be told. The store keeps notices from here on.
    ///
    /// # Errors
    ///
    /// [`ServerError::Notify`] if nothing can be signed or sent; [`ServerError::Store`].
    pub fn open(
        config: &Notify,
        store: &mut FjallStore,
        identity_key: &[u8; 32],
        clock: Clock,
    ) -> Result<Option<Self>, ServerError> {
        let (Some(url), Some(secrets)) = (&config.url, read_secrets(config)?) else {
            return Ok(None);
        };
        warn_of_plain_http("notify.url", url, "reads what happens to documents");
        let outbound = Outbound::new(url, config.timeout, ANSWER_BYTES_MAX);
        let outbound = outbound.map_err(|error| ServerError::Notify {
            reason: error.to_string(),
        })?;
        let unsent = store.keep_notices(config.queue_max)?;
        let (events, incoming) = unbounded_channel();
        let noted = events.clone();
        let seed = u64::from_le_bytes(identity_key[..8].try_into().expect("eight bytes"));
        Ok(Some(Self {
            url: url.clone(),
            // It is never 0.
            desk: Desk::new(config.clone(), unsent, seed | 1, Instant::now()),
            outbound: Arc::new(outbound),
            secrets,
            id_key: message::id_key(identity_key),
            reader: store.reader(),
            clock,
            board: Arc::new(Board::new(move || {
                // Nobody looks only when the process ends.
                let _ = noted.send(Event::Noted);
            })),
            gauge: Arc::default(),
            events,
            incoming,
            failing: Complaint::default(),
            losing: Complaint::default(),
            lost: 0,
        }))
    }

    /// To be called before there is a shard: from here on it knows what is written.
    pub fn start(self, committer: &CommitterHandle) -> Started {
        let sink = self.events.clone();
        let queue = committer.notices(Box::new(move |changes| {
            // Nobody takes them only when the process ends.
            let _ = sink.send(Event::Store(changes));
        }));
        Started {
            board: Arc::clone(&self.board),
            gauge: Arc::clone(&self.gauge),
            work: Box::pin(self.run(queue)),
        }
    }

    async fn run(mut self, queue: NoticeQueue) {
        loop {
            self.act(&queue);
            let event = match self.desk.next_timeout() {
                Some(until) => timeout_at(until.into(), self.incoming.recv()).await.ok(),
                None => Some(self.incoming.recv().await),
            };
            let event = event.map(|event| event.expect("it has a sender of its own"));
            let now = Instant::now();
            match event {
                // It is time for something.
                None => {}
                Some(Event::Noted) => {
                    for occupancy in self.board.take() {
                        self.desk.handle_occupancy(occupancy, now);
                    }
                }
                Some(Event::Store(changes)) => {
                    for change in changes {
                        self.desk.handle_store(change, now);
                    }
                }
                Some(Event::Answer(notice, answer)) => self.take_answer(&notice, answer, now),
            }
        }
    }

    /// Does what there is to do.
    fn act(&mut self, queue: &NoticeQueue) {
        let mut asks = Vec::new();
        while let Some(action) = self.desk.poll(Instant::now(), self.clock.unix_ms()) {
            match action {
                Action::Ask(ask) => asks.push(ask),
                Action::Send(notice) => self.send(notice),
            }
            if asks.len() >= ASKS_MAX {
                queue.send(std::mem::take(&mut asks));
            }
        }
        if !asks.is_empty() {
            queue.send(asks);
        }
        let counts = self.desk.counts();
        self.gauge.publish(counts);
        if counts.lost > self.lost && self.losing.may_be_said() {
            let lost = counts.lost - self.lost;
            tracing::error!(
                "{lost} notices for {} are lost: there was no room for them, or they were too old. What documents there are \
                 it has to ask for",
                shown(&self.url)
            );
            self.lost = counts.lost;
        }
    }

    fn send(&mut self, notice: Arc<Notice>) {
        match self.secrets.refresh() {
            Ok(true) => tracing::info!("the secrets of notify.secret_file have changed"),
            Ok(false) => {}
            Err(reason) => tracing::error!(
                "notify.secret_file cannot be read again: {reason}. The secrets of before are used"
            ),
        }
        let id = message::id(&self.id_key, &notice);
        let timestamp_s = self.clock.unix_ms() / 1000;
        let (reader, outbound) = (self.reader.clone(), Arc::clone(&self.outbound));
        let (url, keys) = (self.url.clone(), self.secrets.keys());
        let events = self.events.clone();
        tokio::spawn(async move {
            let about = Arc::clone(&notice);
            let authors = tokio::task::spawn_blocking(move || message::authors(&reader, &about));
            let authors = authors
                .await
                .expect("it does not panic, and nobody cancels it");
            let body = message::body(&notice, &id, authors);
            let signature = keys.sign(&id, timestamp_s, &body);
            let request = request(&url, &id, timestamp_s, &signature, body);
            let answer = outbound.tell(request).await;
            let answer = answer.map_err(|error| error.to_string());
            let _ = events.send(Event::Answer(notice, answer));
        });
    }

    fn take_answer(&mut self, notice: &Notice, answer: Result<StatusCode, String>, now: Instant) {
        let (answer, reason) = match answer {
            Ok(status) => (answer_of(status), format!("the answer is {status}")),
            Err(reason) => (Answer::Away, reason),
        };
        let (url, document) = (shown(&self.url), &notice.document);
        match answer {
            Answer::Taken => {}
            Answer::Gone => tracing::error!(
                "{url} (key notify.url) is gone (410): nothing is sent there any more until the relay is started again. \
                 What is to be told waits"
            ),
            Answer::Refused | Answer::Away => {
                tracing::debug!(%document, "a notice is not taken: {reason}");
            }
        }
        let is_failure = matches!(answer, Answer::Refused | Answer::Away);
        if is_failure && self.failing.may_be_said() {
            let waiting = self.desk.counts().queued;
            tracing::warn!(
                "{} (key notify.url) does not take what it is told: {reason}. {waiting} notices wait",
                shown(&self.url)
            );
        }
        let now_ms = self.clock.unix_ms();
        self.desk.handle_answer(notice, answer, now, now_ms);
    }
}

/// # Errors
///
/// [`ServerError::Notify`] if nothing can be signed.
pub fn check(config: &Notify) -> Result<(), ServerError> {
    read_secrets(config).map(drop)
}

/// `None`: nobody is to be told.
fn read_secrets(config: &Notify) -> Result<Option<Secrets>, ServerError> {
    let Some(path) = &config.secret_file else {
        return Ok(None);
    };
    let secrets = Secrets::read(path).map_err(|reason| ServerError::Notify {
        reason: format!(
            "notify.secret_file = {:?}: {reason}",
            path.display().to_string()
        ),
    })?;
    Ok(Some(secrets))
}

fn request(
    url: &Uri,
    id: &str,
    timestamp_s: u64,
    signature: &str,
    body: Vec<u8>,
) -> Request<Full<Bytes>> {
    Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("corelay/", env!("CARGO_PKG_VERSION")),
        )
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp_s)
        .header("webhook-signature", signature)
        .body(Full::from(body))
        .expect("a URL, base64 and constants make a request")
}

/// As the Standard Webhooks specification has it. A redirection is not followed.
fn answer_of(status: StatusCode) -> Answer {
    match status {
        _ if status.is_success() => Answer::Taken,
        StatusCode::GONE => Answer::Gone,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Away,
        _ => Answer::Refused,
    }
}
