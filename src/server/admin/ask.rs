//! Questions to shards.

use std::time::Duration;

use crate::engine::Instant;
use crate::server::driver::Driver;
use crate::server::mailbox::Mailbox;

/// How long a shard may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The shard does not answer: it has too much to do, or has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent;

/// # Errors
///
/// [`Silent`].
pub async fn ask<T: Send + 'static>(
    mailbox: &Mailbox,
    question: impl FnOnce(&mut Driver, Instant) -> T + Send + 'static,
) -> Result<T, Silent> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, mailbox.ask(question)).await;
    answer.map_err(|_| Silent)?.map_err(|_| Silent)
}
