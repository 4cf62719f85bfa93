//! Webhooks: the operator's own address is told what happens to documents.
//!
//! What is to be told stands in the store, with what it is about (`store::Notices`); the shards note on a `board` which
//! documents have peers. The `desk` says what is sent when; here it is put into words (`message`), signed (`secrets`) and sent
//! (`receiver`).

mod board;
mod desk;
mod message;
mod receiver;
mod secrets;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout_at;

use super::ServerError;
use super::clock::Clock;
use super::log::Throttle;
use super::outbound::shown;
use crate::config::Notify;
use crate::store::{CommitterHandle, FjallReader, FjallStore, Notice, NoticeChange, NoticeQueue};
use desk::{Action, Answer, Desk};
use receiver::{Receiver, answer_of};
use secrets::Secrets;

pub use board::Board;
pub use desk::Counts;

/// The most that is asked of the store at once, so that no commit has too much of it.
const ASKS_MAX: usize = 1024;
/// How often the log says the same.
const COMPLAINT_PERIOD: Duration = Duration::from_secs(60);

/// What the metrics show.
#[derive(Debug)]
pub struct Gauge {
    /// How many notices and changed documents may wait.
    pub queue_max: usize,
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
    desk: Desk,
    receiver: Arc<Receiver>,
    secrets: Secrets,
    id_key: [u8; 32],
    reader: FjallReader,
    clock: Clock,
    board: Arc<Board>,
    gauge: Arc<Gauge>,
    events: UnboundedSender<Event>,
    incoming: UnboundedReceiver<Event>,
    failing: Throttle,
    /// The log has said so.
    is_failing: bool,
    losing: Throttle,
    /// Of so many the log has spoken.
    lost: u64,
}

/// Who is told, and how, as a configuration has it; what can fail about it has not.
pub struct Target {
    config: Notify,
    receiver: Arc<Receiver>,
    secrets: Secrets,
}

impl Target {
    /// `None`: nobody is to be told.
    ///
    /// # Errors
    ///
    /// [`ServerError::Notify`] if nothing can be signed or sent.
    pub fn open(config: &Notify) -> Result<Option<Self>, ServerError> {
        let (Some(url), Some(secrets)) = (&config.url, read_secrets(config)?) else {
            return Ok(None);
        };
        Ok(Some(Self {
            config: config.clone(),
            receiver: Arc::new(Receiver::new(config, url)?),
            secrets,
        }))
    }
}

/// Changes who is told while somebody is.
pub struct Handle {
    events: UnboundedSender<Event>,
}

impl Handle {
    /// From here on it is this one. What is being sent is still the former's to answer.
    pub fn set(&self, target: Target) {
        // Nobody takes it only when the process ends.
        let _ = self.events.send(Event::Target(Box::new(target)));
    }
}

/// Somebody is told.
pub struct Started {
    /// Where shards note which documents have peers.
    pub board: Arc<Board>,
    pub gauge: Arc<Gauge>,
    pub handle: Handle,
    /// To be done for as long as the process lives.
    pub work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What has happened.
enum Event {
    /// There is something on the board.
    Noted,
    Store(Vec<NoticeChange>),
    Answer(Arc<Notice>, Arc<Receiver>, Result<StatusCode, String>),
    Target(Box<Target>),
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
        let Some(target) = Target::open(config)? else {
            return Ok(None);
        };
        let unsent = store.keep_notices(config.queue_max)?;
        let (events, incoming) = unbounded_channel();
        let noted = events.clone();
        let seed = u64::from_le_bytes(identity_key[..8].try_into().expect("eight bytes"));
        Ok(Some(Self {
            // It is never 0.
            desk: Desk::new(config.clone(), unsent, seed | 1, Instant::now()),
            receiver: target.receiver,
            secrets: target.secrets,
            id_key: message::id_key(identity_key),
            reader: store.reader(),
            clock,
            board: Arc::new(Board::new(move || {
                // Nobody looks only when the process ends.
                let _ = noted.send(Event::Noted);
            })),
            gauge: Arc::new(Gauge {
                queue_max: config.queue_max,
                counts: Mutex::default(),
            }),
            events,
            incoming,
            failing: Throttle::new(1, COMPLAINT_PERIOD),
            is_failing: false,
            losing: Throttle::new(1, COMPLAINT_PERIOD),
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
            handle: Handle {
                events: self.events.clone(),
            },
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
                Some(Event::Answer(notice, receiver, answer)) => {
                    self.take_answer(&notice, &receiver, answer, now);
                }
                Some(Event::Target(target)) => {
                    self.desk.set_limits(target.config, now);
                    (self.receiver, self.secrets) = (target.receiver, target.secrets);
                }
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
        if counts.lost > self.lost && self.losing.admit(Instant::now()).is_some() {
            let lost = counts.lost - self.lost;
            tracing::error!(
                lost,
                "notices for {} are lost: there was no room for them, or they were too old. What documents there are \
                 it has to ask for",
                shown(&self.receiver.url)
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
        let (reader, receiver) = (self.reader.clone(), Arc::clone(&self.receiver));
        let keys = self.secrets.keys();
        let events = self.events.clone();
        tokio::spawn(async move {
            let about = Arc::clone(&notice);
            let authors = tokio::task::spawn_blocking(move || message::authors(&reader, &about));
            let authors = authors
                .await
                .expect("it does not panic, and nobody cancels it");
            let body = message::body(&notice, &id, authors);
            let answer = receiver.tell(&id, timestamp_s, &keys, body).await;
            let _ = events.send(Event::Answer(notice, receiver, answer));
        });
    }

    fn take_answer(
        &mut self,
        notice: &Notice,
        receiver: &Arc<Receiver>,
        answer: Result<StatusCode, String>,
        now: Instant,
    ) {
        let (mut answer, reason) = match answer {
            Ok(status) => (answer_of(status), format!("the answer is {status}")),
            Err(reason) => (Answer::Away, reason),
        };
        // A former receiver's word counts for this notice, and not for those that are its successor's.
        if !Arc::ptr_eq(receiver, &self.receiver) && answer != Answer::Taken {
            answer = Answer::Refused;
        }
        let (url, document) = (shown(&receiver.url), &notice.document);
        match answer {
            Answer::Taken => self.tell_of_return(),
            Answer::Gone => tracing::error!(
                "{url} (key notify.url) is gone (410): nothing is sent there any more until the configuration is reloaded \
                 or the relay started again. What is to be told waits"
            ),
            Answer::Refused | Answer::Away => {
                tracing::debug!(%document, "a notice is not taken: {reason}");
            }
        }
        let is_failure = matches!(answer, Answer::Refused | Answer::Away);
        if is_failure && self.failing.admit(now).is_some() {
            self.is_failing = true;
            let waiting = self.desk.counts().queued;
            tracing::warn!(
                waiting,
                "{url} (key notify.url) does not take what it is told: {reason}"
            );
        }
        let now_ms = self.clock.unix_ms();
        self.desk.handle_answer(notice, answer, now, now_ms);
    }

    fn tell_of_return(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            // That one is still among them.
            let waiting = self.desk.counts().queued.saturating_sub(1);
            tracing::info!(
                waiting,
                "{} (key notify.url) takes again what it is told",
                shown(&self.receiver.url)
            );
        }
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
