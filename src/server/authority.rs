//! How tokens are checked, as the control thread keeps it and the shards are told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;

use super::ServerError;
use super::admin::SharedKeeper;
use super::clock::Clock;
use super::control::Tasks;
use super::key_set::{KeySet, LastSet};
use super::keys::{self, Fingerprint};
use super::mailbox::Mailbox;
use super::metrics::Level;
use super::revocation_file;
use super::webhook::{self, Question, Webhook};
use crate::auth::{Revocation, Revocations, Verifier};
use crate::config::{Auth, Config};
use crate::engine::shard::{Authority, Backend};

/// Who says who clients are, as the configuration has it, before there is anybody to tell.
pub struct Sources {
    authority: Authority,
    key_set: Option<KeySet>,
    webhook: Option<Arc<Webhook>>,
    fingerprint: Option<Fingerprint>,
}

impl Sources {
    /// `wanted` is told when a token names a key that is not there. `before`: what the keeper has of a key set.
    ///
    /// # Errors
    ///
    /// [`ServerError::Keys`], [`ServerError::KeySet`], [`ServerError::Webhook`].
    pub async fn open(
        config: &Auth,
        clock: Clock,
        wanted: &Arc<Notify>,
        before: Option<&LastSet>,
    ) -> Result<Self, ServerError> {
        let mut sources = Self {
            authority: Authority::Anybody,
            key_set: None,
            webhook: None,
            fingerprint: None,
        };
        if let Some(url) = &config.webhook_url {
            let webhook = Webhook::new(config, url, clock)?;
            sources.fingerprint = webhook.fingerprint();
            sources.webhook = Some(Arc::new(webhook));
            sources.authority = Authority::Backend(Backend {
                token_bytes_max: config.token_bytes_max,
                inquiries_max: config.webhook_inquiries_max,
                revocations: Arc::default(),
            });
        } else if let Some(keys) = keys::read(config, clock, wanted, before).await? {
            sources.fingerprint = keys.fingerprint;
            sources.key_set = keys.key_set;
            sources.authority = Authority::Tokens(Arc::new(keys.verifier));
        }
        Ok(sources)
    }

    /// What the shards begin with, and whoever tells them what changes: nobody where no tokens are asked for.
    ///
    /// # Errors
    ///
    /// [`ServerError::Revocations`] if what was revoked before cannot be read.
    pub fn keep(
        self,
        config: &Config,
        level: Arc<Level>,
        tasks: &Tasks,
        clock: Clock,
        mailboxes: Arc<[Mailbox]>,
        questions: UnboundedReceiver<Question>,
    ) -> Result<(Authority, SharedKeeper), ServerError> {
        if matches!(self.authority, Authority::Anybody) {
            return Ok((self.authority, None));
        }
        let webhook = self.webhook.map(|webhook| {
            let (webhook, backend) = watch::channel(webhook);
            tasks.add(webhook::answer(backend, questions, Arc::clone(&mailboxes)));
            webhook
        });
        let mut revocations = revocation_file::read(&config.store.path)?;
        revocations.forget(clock.unix_ms());
        level.publish(revocations.len(), config.auth.revocations_max);
        let authority = self.authority.with_revocations(Arc::new(revocations));
        let keeper = Arc::new(Mutex::new(Keeper {
            authority: authority.clone(),
            webhook,
            key_set: self.key_set.as_ref().map(KeySet::last),
            fingerprint: self.fingerprint,
            following: None,
            mailboxes,
            clock,
            level,
            revocations_max: config.auth.revocations_max,
            lifetime_max: lifetime_max(&config.auth),
            directory: config.store.path.clone(),
        }));
        if let Some(key_set) = self.key_set {
            let following = tasks.add(follow(key_set, Arc::clone(&keeper)));
            keeper.blocking_lock().following = Some(following);
        }
        Ok((authority, Some(keeper)))
    }
}

/// Tells every shard what has changed. Each shard has its own share of it, which nothing locks.
pub struct Keeper {
    authority: Authority,
    /// Whom the shards ask, where they do.
    webhook: Option<watch::Sender<Arc<Webhook>>>,
    /// What tokens are checked with, where that is from an address.
    key_set: Option<LastSet>,
    /// Of the keys or the secret that were read on this machine.
    fingerprint: Option<Fingerprint>,
    /// Passes on what is new in the key set.
    following: Option<JoinHandle<()>>,
    mailboxes: Arc<[Mailbox]>,
    clock: Clock,
    /// How many revocations there are.
    level: Arc<Level>,
    revocations_max: usize,
    /// How long a token that is accepted now can be accepted.
    lifetime_max: Duration,
    /// Where the store is.
    directory: PathBuf,
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    #[error(
        "there are {max} revocations, as many as auth.revocations_max allows; the next is forgotten in its time"
    )]
    Full { max: usize },
    #[error("the list of revocations cannot be written: {0}")]
    NotWritten(#[from] std::io::Error),
}

impl Keeper {
    /// Takes tokens back. Returns, when it is on disk and in effect, how many connections it has closed.
    pub async fn revoke(&mut self, revocation: Revocation) -> Result<usize, RevokeError> {
        let now_ms = self.clock.unix_ms();
        let lifetime_max_ms = u64::try_from(self.lifetime_max.as_millis()).expect("about a year");
        let mut revocations = self.revocations().as_ref().clone();
        revocations.forget(now_ms);
        revocations.add(revocation, now_ms, now_ms + lifetime_max_ms);
        let max = self.revocations_max;
        if revocations.len() > max {
            return Err(RevokeError::Full { max });
        }
        let (text, directory) = (revocations.to_text(), self.directory.clone());
        tokio::task::spawn_blocking(move || revocation_file::write(&directory, &text))
            .await
            .expect("it does not panic, and nobody cancels it")?;
        self.level.publish(revocations.len(), max);
        self.authority = self.authority.with_revocations(Arc::new(revocations));
        if let Some(webhook) = &self.webhook {
            webhook.borrow().forget();
        }
        Ok(self.spread().await)
    }

    pub fn key_set(&self) -> Option<LastSet> {
        self.key_set.clone()
    }

    /// From here on tokens are checked so. Returns when every shard knows.
    pub async fn replace(&mut self, sources: Sources, config: &Auth, shared: Arc<Mutex<Self>>) {
        self.revocations_max = config.revocations_max;
        self.lifetime_max = lifetime_max(config);
        let revocations = Arc::clone(self.revocations());
        self.level.publish(revocations.len(), self.revocations_max);
        self.authority = sources.authority.with_revocations(revocations);
        if let Some(following) = self.following.take() {
            following.abort();
        }
        self.key_set = sources.key_set.as_ref().map(KeySet::last);
        if let (Some(was), Some(is)) = (self.fingerprint, sources.fingerprint)
            && was != is
        {
            tracing::info!(
                "what [auth] names was read again, and is not what it was: it holds from here on"
            );
        }
        self.fingerprint = sources.fingerprint;
        let follow = |key_set| tokio::spawn(follow(key_set, shared));
        self.following = sources.key_set.map(follow);
        if let Some((current, webhook)) = self.webhook.as_ref().zip(sources.webhook) {
            current.send_replace(webhook);
        }
        self.spread().await;
    }

    fn renew(&mut self, verifier: Verifier) {
        let verifier = verifier.with_revocations(Arc::clone(self.revocations()));
        self.authority = Authority::Tokens(Arc::new(verifier));
    }

    fn revocations(&self) -> &Arc<Revocations> {
        let revocations = self.authority.revocations();
        revocations.expect("there is no keeper where nobody asks for tokens")
    }

    /// Returns when every shard has taken it: how many connections were closed because of it.
    async fn spread(&self) -> usize {
        let authority = self.authority.clone();
        let put = |mailbox: &Mailbox| mailbox.put_authority(authority.clone());
        let taken: Vec<_> = self.mailboxes.iter().map(put).collect();
        let mut closed = 0;
        for taken in taken {
            // A shard that has left has no connections.
            closed += taken.await.unwrap_or(0);
        }
        closed
    }
}

/// How long a token that is accepted now can be accepted.
fn lifetime_max(config: &Auth) -> Duration {
    config.token_lifetime_max + config.leeway
}

/// Passes on new keys for as long as the process lives.
async fn follow(mut key_set: KeySet, keeper: Arc<Mutex<Keeper>>) {
    loop {
        let verifier = key_set.next().await;
        let mut keeper = keeper.lock().await;
        keeper.renew(verifier);
        keeper.spread().await;
    }
}
