//! How tokens are checked, as the control thread keeps it and the shards are told.

use std::sync::Arc;

use super::key_set::KeySet;
use super::mailbox::Mailbox;
use crate::auth::Verifier;
use crate::engine::shard::Authority;

/// Tells every shard what has changed. Each shard has its own share of it, which nothing locks.
pub struct Keeper {
    verifier: Verifier,
    mailboxes: Arc<[Mailbox]>,
}

impl Keeper {
    pub fn new(verifier: Verifier, mailboxes: Arc<[Mailbox]>) -> Self {
        Self {
            verifier,
            mailboxes,
        }
    }

    /// What a shard begins with.
    pub fn authority(&self) -> Authority {
        Authority::Tokens(Arc::new(self.verifier.clone()))
    }

    /// Passes on new keys for as long as the process lives.
    pub async fn follow(mut self, mut key_set: KeySet) {
        loop {
            self.verifier = key_set.next().await;
            self.spread().await;
        }
    }

    /// Returns when every shard has taken it.
    async fn spread(&self) {
        let authority = self.authority();
        let put = |mailbox: &Mailbox| mailbox.put_authority(authority.clone());
        let taken: Vec<_> = self.mailboxes.iter().map(put).collect();
        for taken in taken {
            // A shard that has left checks no more tokens.
            let _ = taken.await;
        }
    }
}
