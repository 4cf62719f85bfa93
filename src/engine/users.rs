//! What each user of a shard has used of its pace, over all of the user's connections there.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::identity::UserId;
use super::rate::{Meter, Pace};
use super::time::Instant;

/// The users who have a session here, and those who have not but must be remembered until they have used nothing.
#[derive(Debug, Default)]
pub struct Users {
    entries: FxHashMap<UserId, User>,
    /// Users without a session, by when they can be forgotten.
    away: BTreeSet<(Instant, UserId)>,
}

#[derive(Debug, Default)]
struct User {
    sessions: usize,
    meter: Meter,
}

impl Users {
    /// The pace is another one from now on: whoever is remembered can be forgotten at another time.
    pub fn set_pace(&mut self, pace: &Pace) {
        let away = std::mem::take(&mut self.away).into_iter();
        let away = away.map(|(_, user)| (self.entries[&user].meter.full_at(pace), user));
        self.away = away.collect();
    }

    /// The user has one session more.
    pub fn enter(&mut self, user: UserId, pace: &Pace, now: Instant) {
        self.forget_idle(now);
        let entry = self.entries.entry(user).or_default();
        if entry.sessions == 0 {
            self.away.remove(&(entry.meter.full_at(pace), user));
        }
        entry.sessions += 1;
    }

    /// The user has one session less. Of those without any, the `away_max` are remembered who have used the most.
    pub fn leave(&mut self, user: UserId, pace: &Pace, away_max: usize, now: Instant) {
        let entry = self.entries.get_mut(&user).expect("it has a session");
        entry.sessions -= 1;
        if entry.sessions == 0 {
            self.away.insert((entry.meter.full_at(pace), user));
        }
        self.forget_idle(now);
        while self.away.len() > away_max
            && let Some((_, user)) = self.away.pop_first()
        {
            self.entries.remove(&user);
        }
    }

    fn forget_idle(&mut self, now: Instant) {
        while let Some(&(full_at, user)) = self.away.first()
            && full_at <= now
        {
            self.away.pop_first();
            self.entries.remove(&user);
        }
    }

    /// The meter of a user who has a session.
    pub fn meter(&mut self, user: UserId) -> &mut Meter {
        let entry = self.entries.get_mut(&user).expect("it has a session");
        &mut entry.meter
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rate::{Cost, Rates};
    use super::*;
    use crate::config;

    const fn seconds(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn pace() -> Pace {
        let config = config::Rate {
            user_operations_per_second: Some(1),
            burst: Duration::from_secs(10),
            ..config::Rate::default()
        };
        Rates::new(&config).user
    }

    fn used(users: &mut Users, user: UserId, operations: u64) {
        let cost = Cost {
            operations,
            bytes: 0,
        };
        users.meter(user).take(&pace(), cost, seconds(0));
    }

    #[test]
    fn a_user_is_remembered_until_nothing_is_used_and_nobody_is_there() {
        let mut users = Users::default();
        let [ann, ben] = [1, 2].map(UserId);
        for user in [ann, ann, ben] {
            users.enter(user, &pace(), seconds(0));
        }
        used(&mut users, ann, 5);
        users.leave(ben, &pace(), 9, seconds(0));
        assert_eq!(users.entries.len(), 1, "the other has used nothing");
        users.leave(ann, &pace(), 9, seconds(100));
        assert_eq!((users.entries.len(), users.away.len()), (1, 0));
        used(&mut users, ann, 5);
        users.leave(ann, &pace(), 9, seconds(4));
        assert_eq!((users.entries.len(), users.away.len()), (1, 1));
        users.enter(ann, &pace(), seconds(4));
        assert_eq!((users.entries.len(), users.away.len()), (1, 0));
        assert_eq!(users.meter(ann).full_at(&pace()), seconds(10));
        users.leave(ann, &pace(), 9, seconds(4));
        users.enter(ben, &pace(), seconds(9));
        assert_eq!((users.entries.len(), users.away.len()), (2, 1));
        users.leave(ben, &pace(), 9, seconds(10));
        assert_eq!((users.entries.len(), users.away.len()), (0, 0));
    }

    #[test]
    fn who_has_used_the_least_is_forgotten_when_too_many_are_remembered() {
        let mut users = Users::default();
        for number in 1..=5 {
            let user = UserId(number.into());
            users.enter(user, &pace(), seconds(0));
            used(&mut users, user, number);
            users.leave(user, &pace(), 3, seconds(0));
        }
        let mut left: Vec<_> = users.entries.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [3, 4, 5].map(UserId));
        assert_eq!(users.away.len(), 3);
    }
}
