//! How tokens are checked, as the control thread keeps it and the shards are told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::ServerError;
use super::clock::Clock;
use super::key_set::KeySet;
use super::mailbox::Mailbox;
use super::revocation_file;
use crate::auth::{Revocation, Verifier};
use crate::config::Auth;
use crate::engine::shard::Authority;

/// Tells every shard what has changed. Each shard has its own share of it, which nothing locks.
pub struct Keeper {
    verifier: Verifier,
    mailboxes: Arc<[Mailbox]>,
    clock: Clock,
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
    /// # Errors
    ///
    /// [`ServerError::Revocations`] if what was revoked before cannot be read.
    pub fn new(
        verifier: Verifier,
        config: &Auth,
        directory: &Path,
        mailboxes: Arc<[Mailbox]>,
        clock: Clock,
    ) -> Result<Self, ServerError> {
        let mut revocations = revocation_file::read(directory)?;
        revocations.forget(clock.unix_ms());
        Ok(Self {
            verifier: verifier.with_revocations(Arc::new(revocations)),
            mailboxes,
            clock,
            revocations_max: config.revocations_max,
            lifetime_max: config.token_lifetime_max + config.leeway,
            directory: directory.to_owned(),
        })
    }

    /// What a shard begins with.
    pub fn authority(&self) -> Authority {
        Authority::Tokens(Arc::new(self.verifier.clone()))
    }

    /// Takes tokens back. Returns, when it is on disk and in effect, how many connections it has closed.
    pub async fn revoke(&mut self, revocation: Revocation) -> Result<usize, RevokeError> {
        let now_ms = self.clock.unix_ms();
        let lifetime_max_ms = u64::try_from(self.lifetime_max.as_millis()).expect("about a year");
        let mut revocations = self.verifier.revocations().as_ref().clone();
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
        self.verifier = self
            .verifier
            .clone()
            .with_revocations(Arc::new(revocations));
        Ok(self.spread().await)
    }

    fn renew(&mut self, verifier: Verifier) {
        let revocations = Arc::clone(self.verifier.revocations());
        self.verifier = verifier.with_revocations(revocations);
    }

    /// Returns when every shard has taken it: how many connections were closed because of it.
    async fn spread(&self) -> usize {
        let authority = self.authority();
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

/// Passes on new keys for as long as the process lives.
pub async fn follow(mut key_set: KeySet, keeper: Arc<Mutex<Keeper>>) {
    loop {
        let verifier = key_set.next().await;
        let mut keeper = keeper.lock().await;
        keeper.renew(verifier);
        keeper.spread().await;
    }
}
