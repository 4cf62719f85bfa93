//! What is taken back, and for how long.

use std::sync::Arc;

use corelay::auth::{Grant, Revocation, Revocations, Rules, TokenError, Verifier};
use serde_json::{Value, json};

use super::{NOW_MS, NOW_S, claims, rules, secret, token, verified};

const FORGET_AT_MS: u64 = NOW_MS + 1000;

fn revoked(revocations: &[Revocation]) -> Revocations {
    let mut all = Revocations::default();
    for revocation in revocations {
        all.add(revocation.clone(), NOW_MS, FORGET_AT_MS);
    }
    all
}

fn of_token(token_id: &str) -> Revocation {
    Revocation::Token {
        token_id: token_id.to_owned(),
    }
}

fn of_user(tenant: &str, user_id: &str) -> Revocation {
    Revocation::User {
        tenant: tenant.to_owned(),
        user_id: user_id.to_owned(),
    }
}

fn granted(others: Value) -> Grant {
    verified(rules(), &claims(others), NOW_MS).expect("the token is good")
}

#[test]
fn a_revocation_means_its_tokens_and_no_others() {
    let by_id = revoked(&[of_token("one")]);
    let by_user = revoked(&[of_user("acme", "ada")]);
    let nameless = revoked(&[of_user("", "ada")]);
    let table = [
        // claims, revoked by the id, by the user of acme, by the user without a tenant
        (json!({}), false, false, true),
        (json!({"jti": "one"}), true, false, true),
        (json!({"jti": "One"}), false, false, true),
        (
            json!({"sub": "eve", "jti": "one", "tenant": "acme"}),
            true,
            false,
            false,
        ),
        (json!({"sub": "eve"}), false, false, false),
        (json!({"tenant": "acme"}), false, true, false),
        (
            json!({"tenant": "acme", "iat": NOW_S - 1}),
            false,
            true,
            false,
        ),
        (json!({"tenant": "acme", "iat": NOW_S}), false, true, false),
        (
            json!({"tenant": "acme", "iat": NOW_S as f64 + 0.001}),
            false,
            false,
            false,
        ),
        (
            json!({"tenant": "acme", "iat": NOW_S + 1}),
            false,
            false,
            false,
        ),
    ];
    for (others, id, user, no_tenant) in table {
        let grant = granted(others.clone());
        let found = [&by_id, &by_user, &nameless].map(|list| list.revokes(&grant));
        assert_eq!(found, [id, user, no_tenant], "{others}");
        assert!(!Revocations::default().revokes(&grant));
    }
}

#[test]
fn a_later_revocation_of_a_user_means_more() {
    let grant = granted(json!({"iat": NOW_S + 5}));
    let mut revocations = revoked(&[of_user("", "ada")]);
    assert!(!revocations.revokes(&grant));
    revocations.add(of_user("", "ada"), NOW_MS + 5000, FORGET_AT_MS);
    assert!(revocations.revokes(&grant));
    assert_eq!(revocations.len(), 1);
}

#[test]
fn an_entry_is_forgotten_in_its_time() {
    let mut revocations = revoked(&[of_token("one"), of_user("acme", "ada")]);
    revocations.forget(FORGET_AT_MS - 1);
    assert_eq!(revocations.len(), 2);
    revocations.forget(FORGET_AT_MS);
    assert!(revocations.is_empty());
}

#[test]
fn the_text_of_revocations_is_read_again() {
    let revocations = revoked(&[
        of_token("one"),
        of_token("\"two\" 👩"),
        of_user("acme", "ada"),
        of_user("", "ada"),
    ]);
    for revocations in [Revocations::default(), revocations] {
        assert_eq!(
            Revocations::from_text(&revocations.to_text()),
            Ok(revocations)
        );
    }
    let whole = revoked(&[of_token("one")]).to_text();
    for text in [
        "",
        "{}",
        "null",
        &whole[..whole.len() - 1],
        &whole.replace("token_id", "id"),
    ] {
        assert!(Revocations::from_text(text).is_err(), "{text}");
    }
}

#[test]
fn a_revoked_token_is_refused() {
    let verifier = Verifier::new(&secret(), rules()).expect("the secret is long enough");
    let revocations = Arc::new(revoked(&[of_token("one")]));
    let verifier = verifier.with_revocations(revocations);
    let outcome = |id: &str| {
        let token = token(&claims(json!({"jti": id})));
        verifier.verify(&token, NOW_MS).map(|_| ())
    };
    assert_eq!(outcome("one"), Err(TokenError::Revoked));
    assert_eq!(outcome("two"), Ok(()));
}

/// Otherwise a revocation would have to be remembered for ever.
#[test]
fn no_token_lives_longer_than_revocations_are_kept() {
    let rules = Rules {
        lifetime_max_ms: 60_000,
        leeway_ms: 1000,
        ..rules()
    };
    let table = [
        (json!({"exp": NOW_S + 60}), Ok(())),
        (json!({"exp": NOW_S + 61}), Err(TokenError::LivesTooLong)),
        (json!({"exp": NOW_S + 30, "iat": NOW_S - 30}), Ok(())),
        (
            json!({"exp": NOW_S + 30, "iat": NOW_S - 31}),
            Err(TokenError::LivesTooLong),
        ),
        (json!({"exp": NOW_S + 60, "iat": NOW_S + 10}), Ok(())),
        (
            json!({"exp": NOW_S + 61, "iat": NOW_S + 10}),
            Err(TokenError::LivesTooLong),
        ),
        (json!({"exp": 1e300}), Err(TokenError::LivesTooLong)),
    ];
    for (others, expected) in table {
        let result = verified(rules.clone(), &claims(others.clone()), NOW_MS);
        assert_eq!(result.map(|_| ()), expected, "{others}");
    }
}
