//! Who a client is to the relay, and the tokens that it shows.

use std::rc::Rc;

use super::document::Document;
use super::issuer::{Fault, Issuer, Token};
use super::random::Random;
use super::rights::{Right, Rights};

/// Longer than anything that happens when nothing goes wrong.
const CALM_LIFETIME_MS: u64 = 100_000_000;

#[derive(Debug)]
pub struct Bearer {
    pub tenant: &'static str,
    pub user: String,
    /// What it may do when nothing goes wrong.
    pub home: Rights,
    /// What its tokens grant else.
    others: Vec<Rights>,
    lifetimes_ms: Vec<u64>,
    newest: Option<Rc<Token>>,
    /// The newest is one of calm.
    is_at_home: bool,
}

impl Bearer {
    /// Somebody who may do everything, where nobody asks.
    pub fn anybody() -> Self {
        Self {
            tenant: "",
            user: "somebody".to_owned(),
            home: Rights::all(),
            others: Vec::new(),
            lifetimes_ms: vec![CALM_LIFETIME_MS],
            newest: None,
            is_at_home: true,
        }
    }

    /// The same of a tenant.
    pub fn stranger(tenant: &'static str) -> Self {
        Self {
            tenant,
            ..Self::anybody()
        }
    }

    pub fn any(
        tenant: &'static str,
        documents: &[Document],
        lifetimes_ms: &[u64],
        random: &mut Random,
    ) -> Self {
        Self {
            tenant,
            user: random.pick(&["ada", "ada", "ben", "cat"]).to_owned(),
            home: any_rights(documents, random),
            others: (0..2).map(|_| any_rights(documents, random)).collect(),
            lifetimes_ms: lifetimes_ms.to_vec(),
            newest: None,
            is_at_home: false,
        }
    }

    pub fn newest(&self) -> Option<&Token> {
        self.newest.as_deref()
    }

    /// Whether the token is one to end with.
    pub fn has_at_home(&self, token: &Rc<Token>) -> bool {
        let newest = self.newest.as_ref();
        self.is_at_home && newest.is_some_and(|newest| Rc::ptr_eq(newest, token))
    }

    /// What to show now: what it has, or something else.
    pub fn token(
        &mut self,
        issuer: &mut Issuer,
        now_us: u64,
        is_calm: bool,
        random: &mut Random,
    ) -> Rc<Token> {
        let is_good = |token: &&Rc<Token>| !issuer.may_be_refused(token, now_us);
        if !issuer.asks_for_tokens() || is_calm {
            let kept = self.newest.as_ref().filter(is_good);
            if let Some(token) = kept.filter(|_| self.is_at_home) {
                return Rc::clone(token);
            }
            let home = self.home.clone();
            self.is_at_home = true;
            let token = issuer.issue(self, &home, now_us, CALM_LIFETIME_MS, true, Fault::None);
            return Rc::clone(self.newest.insert(Rc::new(token)));
        }
        let keeps = random.happens(5000);
        if let Some(token) = &self.newest
            && keeps
            && (is_good(&token) || random.happens(1000))
        {
            return Rc::clone(token);
        }
        let fault = match random.below(40) {
            0 => Fault::NoToken,
            1 => Fault::Forged,
            _ => Fault::None,
        };
        let rights = match random.happens(7000) {
            true => self.home.clone(),
            false => random.pick(&self.others),
        };
        let lifetime_ms = random.pick(&self.lifetimes_ms);
        let has_time = !random.happens(1000);
        let token = issuer.issue(self, &rights, now_us, lifetime_ms, has_time, fault);
        self.is_at_home = false;
        Rc::clone(self.newest.insert(Rc::new(token)))
    }
}

fn any_rights(documents: &[Document], random: &mut Random) -> Rights {
    let mut rights = vec![Right::Read];
    // Most may write, and few nothing at all.
    for (right, rate) in [
        (Right::Write, 7500),
        (Right::Create, 8000),
        (Right::Delete, 4000),
    ] {
        if random.happens(rate) {
            rights.push(right);
        }
    }
    if random.happens(300) {
        rights.remove(0);
    }
    let named = match random.below(4) {
        0 => vec![random.pick(documents).id.as_ref().to_owned()],
        1 => vec!["notes-*".to_owned(), "other".to_owned()],
        _ => vec!["*".to_owned()],
    };
    Rights {
        documents: named,
        rights,
    }
}
