//! Who is present in a document, as the events of its session tell it.

use std::collections::BTreeMap;

use crate::codec::wire::UserPresence;

/// Everybody else who is present in a document, kept up by [`Event::Presence`](super::Event::Presence).
#[derive(Debug, Clone, Default)]
pub struct Roster {
    people: BTreeMap<u64, UserPresence>,
}

/// Who has come and who has gone. Who only moved is neither.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RosterChange {
    /// As they are present now.
    pub came: Vec<UserPresence>,
    /// As they were present last.
    pub left: Vec<UserPresence>,
}

impl Roster {
    /// Takes what an event tells: with `full`, who is not in `presences` is gone.
    pub fn update(&mut self, presences: &[UserPresence], full: bool) -> RosterChange {
        let mut change = RosterChange::default();
        if full {
            let is_listed = |id: &u64| presences.iter().any(|presence| presence.client_id == *id);
            let gone = self.people.extract_if(.., |id, _| !is_listed(id));
            change.left.extend(gone.map(|(_, person)| person));
        }
        for presence in presences {
            let before = match presence.left {
                true => self.people.remove(&presence.client_id),
                false => self.people.insert(presence.client_id, presence.clone()),
            };
            match (before, presence.left) {
                (Some(person), true) => change.left.push(person),
                (None, false) => change.came.push(presence.clone()),
                (Some(_), false) | (None, true) => {}
            }
        }
        change
    }

    /// The person with this client id.
    pub fn get(&self, client_id: u64) -> Option<&UserPresence> {
        self.people.get(&client_id)
    }

    /// In the order of their client ids.
    pub fn iter(&self) -> impl Iterator<Item = &UserPresence> {
        self.people.values()
    }

    /// The same, to be changed: where somebody's cursor stands moves with every edit of a text, until they say where it
    /// is.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut UserPresence> {
        self.people.values_mut()
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody else is here.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(client_id: u64, is_typing: bool) -> UserPresence {
        UserPresence {
            client_id,
            is_typing,
            ..UserPresence::default()
        }
    }

    fn ids(people: &[UserPresence]) -> Vec<u64> {
        people.iter().map(|person| person.client_id).collect()
    }

    #[test]
    fn people_come_move_and_go() {
        let mut roster = Roster::default();
        let change = roster.update(&[person(1, false), person(2, false)], true);
        assert_eq!((ids(&change.came), ids(&change.left)), (vec![1, 2], vec![]));
        assert_eq!(
            roster.update(&[person(2, true)], false),
            RosterChange::default()
        );
        assert!(roster.get(2).is_some_and(|person| person.is_typing));
        let gone = UserPresence {
            left: true,
            ..person(1, false)
        };
        let change = roster.update(&[gone.clone(), person(3, false)], false);
        assert_eq!((ids(&change.came), ids(&change.left)), (vec![3], vec![1]));
        assert_eq!(roster.update(&[gone], false), RosterChange::default());
        // After a reconnect: whoever is not listed went meanwhile, and is told as they were.
        let change = roster.update(&[person(3, false)], true);
        assert_eq!(change.left, [person(2, true)]);
        assert_eq!(roster.len(), 1);
    }
}
