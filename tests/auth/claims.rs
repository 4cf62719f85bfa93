//! What tokens say, at the edges of what they may say.

use corelay::auth::{Grant, Permissions, Rules, TokenError, global_id, is_tenant, split_global_id};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW_MS, NOW_S, claims, rules, verified};

const ALL: Permissions = Permissions {
    read: true,
    write: true,
    create: true,
    delete: true,
};

fn granted(others: Value) -> Grant {
    verified(rules(), &claims(others.clone()), NOW_MS)
        .unwrap_or_else(|error| panic!("{others}: {error}"))
}

#[test]
fn what_is_not_said_has_its_default() {
    for others in [
        json!({}),
        json!({"name": null, "tenant": null, "documents": null, "permissions": null, "nbf": null, "aud": null}),
        json!({"iat": NOW_S + 1000, "jti": "seven", "scope": {"any": "thing"}}),
    ] {
        let grant = granted(others);
        assert_eq!(grant.tenant, "");
        assert_eq!(grant.user_id, "ada");
        assert_eq!(grant.user_name, "");
        assert_eq!(grant.expires_at_ms, NOW_MS + 60_000);
        let expected = Permissions {
            delete: false,
            ..ALL
        };
        assert_eq!(grant.permissions_for("any::document*"), Some(expected));
    }
}

#[test]
fn documents_and_permissions_are_what_is_granted() {
    let grant = granted(json!({
        "tenant": "acme",
        "documents": ["notes", "invoice-*"],
        "permissions": ["delete", "read"],
    }));
    let expected = Permissions {
        read: true,
        delete: true,
        ..Permissions::default()
    };
    for document in ["notes", "invoice-", "invoice-42"] {
        assert_eq!(
            grant.permissions_for(document),
            Some(expected),
            "{document}"
        );
    }
    for document in ["", "note", "notes-2", "my-invoice-42", "acme::notes"] {
        assert_eq!(grant.permissions_for(document), None, "{document}");
    }

    assert_eq!(
        granted(json!({"documents": []})).permissions_for("notes"),
        None
    );
    let nothing = granted(json!({"permissions": []})).permissions_for("notes");
    assert_eq!(nothing, Some(Permissions::default()));
    let twice = granted(json!({"permissions": ["read", "write", "create", "delete"]}));
    assert_eq!(twice.permissions, ALL);
}

/// `verify` at each point in time, around the edges.
#[test]
fn a_token_has_its_time() {
    let leeway_ms = 5000;
    let (expired, early) = (Err(TokenError::Expired), Err(TokenError::NotYetValid));
    let (start, end) = (NOW_S, NOW_S + 60);
    let (start_ms, end_ms) = (start * 1000, end * 1000);
    let table = [
        // exp, nbf, leeway_ms, now_ms, the end if it is accepted
        (json!(end), json!(start), 0, start_ms - 1, early),
        (json!(end), json!(start), 0, start_ms, Ok(end_ms)),
        (json!(end), json!(start), 0, end_ms - 1, Ok(end_ms)),
        (json!(end), json!(start), 0, end_ms, expired),
        (json!(end), json!(start), leeway_ms, start_ms - 5001, early),
        (
            json!(end),
            json!(start),
            leeway_ms,
            start_ms - 5000,
            Ok(end_ms + 5000),
        ),
        (
            json!(end),
            json!(start),
            leeway_ms,
            end_ms + 4999,
            Ok(end_ms + 5000),
        ),
        (json!(end), json!(start), leeway_ms, end_ms + 5000, expired),
        (
            json!(end as f64 + 0.25),
            json!(start as f64 + 0.5),
            0,
            start_ms + 499,
            early,
        ),
        (
            json!(end as f64 + 0.25),
            json!(start as f64 + 0.5),
            0,
            start_ms + 500,
            Ok(end_ms + 250),
        ),
        (json!(0), json!(null), 0, 0, expired),
        (
            json!(u64::MAX),
            json!(null),
            leeway_ms,
            u64::MAX - 1,
            Ok(u64::MAX),
        ),
        (json!(1e300), json!(0), leeway_ms, start_ms, Ok(u64::MAX)),
        (json!(end), json!(1e300), leeway_ms, start_ms, early),
    ];
    for (exp, nbf, leeway_ms, now_ms, expected) in table {
        let said = claims(json!({"exp": exp, "nbf": nbf}));
        let rules = Rules {
            leeway_ms,
            ..rules()
        };
        let result = verified(rules, &said, now_ms).map(|grant| grant.expires_at_ms);
        assert_eq!(result, expected, "{said} at {now_ms}, leeway {leeway_ms}");
    }
}

#[test]
fn issuer_and_audience_are_those_of_the_relay() {
    let named = |issuer: Option<&str>, audience: Option<&str>| Rules {
        issuer: issuer.map(str::to_owned),
        audience: audience.map(str::to_owned),
        ..rules()
    };
    let (issuer, audience) = (Err(TokenError::WrongIssuer), Err(TokenError::WrongAudience));
    let table = [
        (named(None, None), json!({}), Ok(())),
        (named(None, None), json!({"iss": "anybody"}), Ok(())),
        (named(None, None), json!({"aud": "somebody else"}), audience),
        (named(None, None), json!({"aud": []}), audience),
        (named(Some("us"), None), json!({"iss": "us"}), Ok(())),
        (named(Some("us"), None), json!({"iss": "us "}), issuer),
        (named(Some("us"), None), json!({"iss": ["us"]}), issuer),
        (named(Some("us"), None), json!({}), issuer),
        (named(None, Some("relay")), json!({"aud": "relay"}), Ok(())),
        (
            named(None, Some("relay")),
            json!({"aud": ["app", "relay"]}),
            Ok(()),
        ),
        (named(None, Some("relay")), json!({"aud": "rel"}), audience),
        (
            named(None, Some("relay")),
            json!({"aud": ["app", 1, null]}),
            audience,
        ),
        (
            named(None, Some("relay")),
            json!({"aud": {"relay": true}}),
            audience,
        ),
        (named(None, Some("relay")), json!({}), audience),
        (
            named(Some("us"), Some("relay")),
            json!({"iss": "us", "aud": "relay"}),
            Ok(()),
        ),
    ];
    for (rules, others, expected) in table {
        let result = verified(rules.clone(), &claims(others.clone()), NOW_MS);
        assert_eq!(result.map(|_| ()), expected, "{others} for {rules:?}");
    }
}

/// Each claim at the limit, and past it.
#[test]
fn each_claim_has_its_limits() {
    let (id, user) = ("d".repeat(256), "u".repeat(128));
    let (long_id, long_user) = ("d".repeat(257), "u".repeat(129));
    let table = [
        (
            "sub",
            vec![json!("u"), json!(user)],
            vec![
                json!(null),
                json!(""),
                json!(7),
                json!("a\u{1}"),
                json!("a\u{7f}"),
                json!(long_user),
            ],
        ),
        (
            "name",
            vec![json!(""), json!("Ada 👩"), json!(user)],
            vec![json!(7), json!("a\nb"), json!(long_user)],
        ),
        (
            "tenant",
            vec![json!(""), json!("a:b"), json!(user)],
            vec![
                json!(7),
                json!("a::b"),
                json!("a:"),
                json!("a\0"),
                json!(long_user),
            ],
        ),
        (
            "documents",
            vec![json!([id]), json!(vec!["*"; 1000])],
            vec![
                json!("*"),
                json!([""]),
                json!([long_id]),
                json!(["a\t"]),
                json!([7]),
                json!({"a": "b"}),
                json!(vec!["*"; 1001]),
            ],
        ),
        (
            "permissions",
            vec![json!([]), json!(vec!["read"; 4])],
            vec![
                json!("read"),
                json!(["READ"]),
                json!(["admin"]),
                json!([true]),
                json!(vec!["read"; 5]),
            ],
        ),
        (
            "exp",
            vec![json!(NOW_S + 1)],
            vec![
                json!(null),
                json!("2100"),
                json!(-1),
                json!(-0.5),
                json!([NOW_S]),
                json!(true),
            ],
        ),
        ("nbf", vec![json!(0)], vec![json!("0"), json!(-1)]),
        ("iat", vec![json!(0)], vec![json!("0"), json!(-1)]),
        (
            "jti",
            vec![json!("j"), json!("j".repeat(256))],
            vec![json!(7), json!(""), json!("a\n"), json!("j".repeat(257))],
        ),
    ];
    for (name, accepted, refused) in table {
        for value in accepted {
            granted(json!({name: value}));
        }
        for value in refused {
            let result = verified(rules(), &claims(json!({name: value.clone()})), NOW_MS);
            match result {
                Err(TokenError::ClaimInvalid(reason)) => {
                    assert!(reason.starts_with(name), "{reason}")
                }
                Ok(_) | Err(_) => panic!("{name} = {value} gave {result:?}"),
            }
        }
    }
}

/// Short texts of few characters, so that they meet often.
fn text(characters: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(characters).expect("it is a pattern of texts")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn two_tenants_never_meet(
        one in text("[ab:]{0,4}").prop_filter("a tenant", |text| is_tenant(text)),
        other in text("[ab:]{0,4}").prop_filter("a tenant", |text| is_tenant(text)),
        document in text("[ab:]{0,7}"),
        other_document in text("[ab:]{0,7}"),
    ) {
        let (inside, other_inside) = (global_id(&one, &document), global_id(&other, &other_document));
        let are_one = one == other && document == other_document;
        prop_assert_eq!(inside == other_inside, are_one, "{}, {}", inside, other_inside);
        prop_assert_eq!(split_global_id(&inside), (one.as_str(), document.as_str()));
        // Whoever knows how another tenant's document is called inside does not come to it by that name.
        if one != other {
            prop_assert_ne!(global_id(&other, &inside), inside);
        }
    }
}
