//! Who is connected and what tenants have, over all shards: what limits users and tenants.
//!
//! All shards share one census. It is locked when a client has said Hello and when its session ends, and when a
//! document is first written to and when it leaves memory; an operation only touches its tenant's numbers. It has an
//! entry for each user who has a connection, and for each tenant that has a connection or a document: the connections
//! and the store bound it. What is not limited is not counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::store::TenantUsage;

use super::identity::{Identity, UserId};
use super::refusal::{Quota, Refusal};

#[derive(Debug, Default)]
pub struct Census {
    limits: Limits,
    /// Tenants had a quota at the start: what they have is known.
    counts_tenants: bool,
    counts: Mutex<Counts>,
}

/// How many there may be, from 1 on; [`UNLIMITED`] where that is not limited.
#[derive(Debug, Default)]
struct Limits {
    per_user: AtomicU64,
    connections: AtomicU64,
    documents: AtomicU64,
    stored_bytes: AtomicU64,
}

const UNLIMITED: u64 = 0;

#[derive(Debug, Default)]
struct Counts {
    users: BTreeMap<UserId, usize>,
    tenants: BTreeMap<Arc<str>, Arc<Usage>>,
}

/// What a tenant has.
#[derive(Debug, Default)]
struct Usage {
    connections: AtomicU64,
    documents: AtomicU64,
    stored_bytes: AtomicU64,
}

/// One connection that is counted, until it is dropped.
#[derive(Debug)]
pub struct Attendance {
    census: Arc<Census>,
    user: Option<UserId>,
    tenant: Option<Tenant>,
}

/// A tenant's numbers, for whoever changes them.
#[derive(Debug)]
pub struct Tenant {
    census: Arc<Census>,
    name: Arc<str>,
    usage: Arc<Usage>,
}

impl Census {
    /// `stored`: what each tenant has in the store.
    pub fn new(
        connection: &config::Connection,
        quota: &config::Quota,
        stored: &[TenantUsage],
    ) -> Self {
        let counts_tenants = quota.is_some();
        let tenants = stored.iter().filter(|_| counts_tenants).map(|stored| {
            let usage = Usage {
                connections: AtomicU64::default(),
                documents: stored.documents.into(),
                stored_bytes: stored.bytes.into(),
            };
            (Arc::clone(&stored.tenant), Arc::new(usage))
        });
        let census = Self {
            limits: Limits::default(),
            counts_tenants,
            counts: Mutex::new(Counts {
                users: BTreeMap::new(),
                tenants: tenants.collect(),
            }),
        };
        census.set_limits(connection, quota);
        census
    }

    /// From here on there may be so many. Who is there stays; tenants without any quota at the start get none.
    pub fn set_limits(&self, connection: &config::Connection, quota: &config::Quota) {
        let per_user_max = connection.per_user_max.map(|max| max as u64);
        let limits = &self.limits;
        for (limit, max) in [
            (&limits.per_user, per_user_max),
            (&limits.connections, quota.connections_max),
            (&limits.documents, quota.documents_max),
            (&limits.stored_bytes, quota.stored_bytes_max),
        ] {
            limit.store(max.unwrap_or(UNLIMITED), Ordering::Relaxed);
        }
    }

    /// Counts one more connection of this client.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyConnections`] if its user has as many as may be, [`Refusal::QuotaExceeded`] if its tenant has.
    pub(super) fn enter(self: &Arc<Self>, identity: &Identity) -> Result<Attendance, Refusal> {
        let mut attendance = Attendance {
            census: Arc::clone(self),
            user: None,
            tenant: None,
        };
        if let Some((user, connections_max)) = identity.user.zip(self.per_user_max()) {
            let mut counts = self.counts();
            let count = counts.users.entry(user).or_default();
            if *count >= connections_max {
                return Err(Refusal::TooManyConnections {
                    whose: "user",
                    connections_max,
                });
            }
            *count += 1;
            attendance.user = Some(user);
        }
        if let Some(tenant) = self.tenant(identity.tenant()) {
            let max = &self.limits.connections;
            take(&tenant.usage.connections, 1, max, Quota::Connections)?;
            attendance.tenant = Some(tenant);
        }
        Ok(attendance)
    }

    /// The numbers of a tenant. `None`: tenants have no quotas.
    pub(super) fn tenant(self: &Arc<Self>, name: &str) -> Option<Tenant> {
        if !self.counts_tenants {
            return None;
        }
        let mut counts = self.counts();
        let (name, usage) = match counts.tenants.get_key_value(name) {
            Some((name, usage)) => (Arc::clone(name), Arc::clone(usage)),
            None => {
                let (name, usage): (Arc<str>, Arc<Usage>) = (name.into(), Arc::default());
                counts.tenants.insert(Arc::clone(&name), Arc::clone(&usage));
                (name, usage)
            }
        };
        Some(Tenant {
            census: Arc::clone(self),
            name,
            usage,
        })
    }

    /// How many connections a user may have. `None`: users are not counted.
    pub(super) fn per_user_max(&self) -> Option<usize> {
        let max = self.limits.per_user.load(Ordering::Relaxed);
        (max != UNLIMITED).then(|| usize::try_from(max).expect("it was one"))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    /// Counts one more document.
    ///
    /// # Errors
    ///
    /// [`Refusal::QuotaExceeded`].
    pub fn add_document(&self) -> Result<(), Refusal> {
        let max = &self.census.limits.documents;
        take(&self.usage.documents, 1, max, Quota::Documents)
    }

    /// A document is there again, with what is stored of it.
    pub fn restore_document(&self, stored_bytes: u64) {
        let usage = &self.usage;
        usage.documents.fetch_add(1, Ordering::Relaxed);
        usage
            .stored_bytes
            .fetch_add(stored_bytes, Ordering::Relaxed);
    }

    /// So many bytes are no longer stored.
    pub fn remove_bytes(&self, bytes: u64) {
        let less = |stored_bytes: u64| Some(stored_bytes.saturating_sub(bytes));
        let stored_bytes = &self.usage.stored_bytes;
        let _ = stored_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// A document that was counted is not there after all.
    pub fn remove_document(&self) {
        self.usage.documents.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts so many bytes more, if there is room for any: of all shards' batches, one reaches the limit.
    ///
    /// # Errors
    ///
    /// [`Refusal::QuotaExceeded`].
    pub fn take_bytes(&self, bytes: u64) -> Result<(), Refusal> {
        let max = &self.census.limits.stored_bytes;
        take(&self.usage.stored_bytes, bytes, max, Quota::StoredBytes)
    }

    /// So many bytes are on their way to the store.
    pub fn add_bytes(&self, bytes: u64) {
        let stored_bytes = &self.usage.stored_bytes;
        stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Attendance {
    /// The connection is one of this user's from now on, if it was not before.
    pub fn count_user(&mut self, user: UserId) {
        if self.user.is_none() {
            *self.census.counts().users.entry(user).or_default() += 1;
            self.user = Some(user);
        }
    }
}

/// Counts so many more, if there are less than `max`.
fn take(count: &AtomicU64, more: u64, max: &AtomicU64, quota: Quota) -> Result<(), Refusal> {
    let max = match max.load(Ordering::Relaxed) {
        UNLIMITED => u64::MAX,
        max => max,
    };
    let taken = |count: u64| (count < max).then(|| count.saturating_add(more));
    let taken = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
    taken
        .map(drop)
        .map_err(|_| Refusal::QuotaExceeded { quota, max })
}

impl Drop for Attendance {
    fn drop(&mut self) {
        if let Some(tenant) = &self.tenant {
            tenant.usage.connections.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(user) = self.user else { return };
        let mut counts = self.census.counts();
        if let Some(count) = counts.users.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                counts.users.remove(&user);
            }
        }
    }
}

impl Drop for Tenant {
    /// The last one that knows a tenant which has nothing forgets it.
    fn drop(&mut self) {
        let mut counts = self.census.counts();
        let is_last = Arc::strong_count(&self.usage) == 2;
        let is_empty = [&self.usage.connections, &self.usage.documents]
            .into_iter()
            .all(|count| count.load(Ordering::Relaxed) == 0);
        if is_last && is_empty {
            counts.tenants.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_known_while_it_has_something() {
        let quota = config::Quota {
            documents_max: Some(2),
            ..config::Quota::default()
        };
        let stored = [TenantUsage {
            tenant: "old".into(),
            documents: 1,
            bytes: 100,
        }];
        let census = Arc::new(Census::new(&config::Connection::default(), &quota, &stored));
        let known = || census.counts().tenants.len();
        let [old, new, same] = ["old", "new", "new"].map(|name| census.tenant(name).unwrap());
        assert_eq!(known(), 2);
        old.add_document().unwrap();
        let refusal = Refusal::QuotaExceeded {
            quota: Quota::Documents,
            max: 2,
        };
        assert_eq!(old.add_document(), Err(refusal));
        drop(old);
        new.add_document().unwrap();
        drop(new);
        assert_eq!(known(), 2, "it has a document");
        same.remove_document();
        drop(same);
        assert_eq!(known(), 1, "it has nothing");
    }

    #[test]
    fn of_batches_that_come_at_once_one_reaches_the_limit() {
        let quota = config::Quota {
            stored_bytes_max: Some(1000),
            ..config::Quota::default()
        };
        let census = Arc::new(Census::new(&config::Connection::default(), &quota, &[]));
        let shards = ["acme", "acme"].map(|name| census.tenant(name).unwrap());
        shards[0].take_bytes(999).unwrap();
        shards[1].take_bytes(500).unwrap();
        let refusal = Refusal::QuotaExceeded {
            quota: Quota::StoredBytes,
            max: 1000,
        };
        assert_eq!(shards[0].take_bytes(1), Err(refusal.clone()));
        shards[1].remove_bytes(500);
        shards[0].take_bytes(1).unwrap();
        assert_eq!(shards[1].take_bytes(1), Err(refusal));
    }

    #[test]
    fn what_is_not_limited_is_not_counted() {
        let stored = [TenantUsage {
            tenant: "old".into(),
            documents: 1,
            bytes: 100,
        }];
        let (connection, quota) = (config::Connection::default(), config::Quota::default());
        let census = Arc::new(Census::new(&connection, &quota, &stored));
        assert!(census.tenant("old").is_none());
        assert!(census.counts().tenants.is_empty());
    }
}
