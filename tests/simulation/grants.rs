//! The tokens that a client has shown on one connection, and what they allow there.
//!
//! Requests are handled in order, so that the answers to Hello say which of them counts.

use std::collections::VecDeque;
use std::rc::Rc;

use super::document::Document;
use super::issuer::{Issuer, Token};
use super::rights::Right;

#[derive(Debug, Default)]
pub struct Grants {
    /// The one that was accepted last.
    current: Option<Rc<Token>>,
    /// Of Hellos that were not answered: their ids, and when they were sent.
    asked: VecDeque<(String, Rc<Token>, u64)>,
    /// Other shards may not have heard that another one counts.
    former: Vec<Rc<Token>>,
    /// All of them, and the one of the handshake.
    pub held: Vec<Rc<Token>>,
}

impl Grants {
    pub fn ask(&mut self, id: String, token: Rc<Token>, now_us: u64) {
        self.held.push(Rc::clone(&token));
        self.asked.push_back((id, token, now_us));
    }

    pub fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Connected has come. `is_known_everywhere`: there are no other shards.
    ///
    /// # Errors
    ///
    /// The token that was accepted although it was over, or none.
    pub fn accept(&mut self, issuer: &Issuer, is_known_everywhere: bool) -> Result<(), String> {
        let Some((_, token, asked_at_us)) = self.asked.pop_front() else {
            return Err("nothing was asked".to_owned());
        };
        if issuer.counts_until_us(&token) < asked_at_us {
            return Err(format!("at {asked_at_us} µs {token:?} was over"));
        }
        let former = self.current.replace(token);
        match is_known_everywhere {
            true => self.former.clear(),
            false => self.former.extend(former),
        }
        Ok(())
    }

    /// A Hello was not taken, and another may follow.
    pub fn refused(&mut self, id: &str) {
        self.asked.retain(|(asked, ..)| asked != id);
    }

    /// The token of the last Hello.
    pub fn newest(&self) -> Option<&Rc<Token>> {
        let asked = self.asked.back().map(|(_, token, _)| token);
        asked.or(self.current.as_ref())
    }

    /// Whether something can be granted that is asked for or told now.
    pub fn allow(&self, right: Right, document: &Document) -> bool {
        self.counting()
            .any(|token| token.is_genuine() && token.rights.allow(right, document))
    }

    /// Whether nothing that was shown here grants it.
    pub fn never_allow(&self, right: Right, document: &Document) -> bool {
        !self
            .held
            .iter()
            .any(|token| token.rights.allow(right, document))
    }

    /// Whether everything that was shown here grants it.
    pub fn always_allow(&self, right: Right, document: &Document) -> bool {
        self.held
            .iter()
            .all(|token| token.rights.allow(right, document))
    }

    /// Until when something can be told here, in microseconds.
    pub fn count_until_us(&self, issuer: &Issuer) -> u64 {
        let current = self.current.iter();
        let asked = self.asked.iter().map(|(_, token, _)| token);
        let ends = current
            .chain(asked)
            .map(|token| issuer.counts_until_us(token));
        ends.max().unwrap_or_default()
    }

    /// Whether the relay can have reason to say that a token is not accepted.
    pub fn may_be_refused(&self, issuer: &Issuer, now_us: u64) -> bool {
        let asked = self.asked.iter().map(|(_, token, _)| token);
        let arrived_with = self.held.iter().filter(|_| self.current.is_none());
        let mut shown = self.current.iter().chain(asked).chain(arrived_with);
        shown.any(|token| issuer.may_be_refused(token, now_us))
    }

    fn counting(&self) -> impl Iterator<Item = &Rc<Token>> {
        let asked = self.asked.iter().map(|(_, token, _)| token);
        self.current.iter().chain(asked).chain(&self.former)
    }
}
