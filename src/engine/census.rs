//! Who is connected, over all shards: what limits a user says.
//!
//! All shards share one census. It is locked when a client has said Hello and when its session ends, never for an
//! operation. It has an entry for each user who has a connection, so that the connections bound it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config;

use super::identity::{Identity, UserId};
use super::refusal::Refusal;

#[derive(Debug, Default)]
pub struct Census {
    per_user_max: Option<usize>,
    users: Mutex<BTreeMap<UserId, usize>>,
}

/// One connection that is counted, until it is dropped.
#[derive(Debug)]
pub struct Attendance {
    census: Arc<Census>,
    user: Option<UserId>,
}

impl Census {
    pub fn new(connection: &config::Connection) -> Self {
        Self {
            per_user_max: connection.per_user_max,
            users: Mutex::default(),
        }
    }

    /// Counts one more connection of this client.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyConnections`] if its user has as many as may be.
    pub(super) fn enter(self: &Arc<Self>, identity: &Identity) -> Result<Attendance, Refusal> {
        let limited = identity.user.zip(self.per_user_max);
        if let Some((user, connections_max)) = limited {
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            let count = users.entry(user).or_default();
            if *count >= connections_max {
                return Err(Refusal::TooManyConnections {
                    whose: "user",
                    connections_max,
                });
            }
            *count += 1;
        }
        Ok(Attendance {
            census: Arc::clone(self),
            user: limited.map(|(user, _)| user),
        })
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let Some(user) = self.user else { return };
        let users = &self.census.users;
        let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&user);
            }
        }
    }
}
