//! The keys that the relay is given.

use corelay::auth::{KeyError, KeyMaterial, TokenError, Verifier};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    NOW_MS, OTHER_SECRET, SECRET, Signer, claims, pem, rules, secret, signed, signers, token,
    verifier,
};

/// The public half of a key, as a member of a set.
fn member(algorithm: Algorithm, key: &EncodingKey, others: Value) -> Value {
    let jwk = Jwk::from_encoding_key(key, algorithm).expect("every key has this form");
    let mut jwk = serde_json::to_value(jwk).expect("it is JSON");
    let (Value::Object(all), Value::Object(others)) = (&mut jwk, others) else {
        panic!("a member is an object");
    };
    all.extend(others);
    jwk
}

fn set(members: &[Value]) -> KeyMaterial {
    KeyMaterial::Jwks(json!({"keys": members}).to_string().into_bytes())
}

fn refusal(material: &KeyMaterial) -> KeyError {
    Verifier::new(material, rules()).expect_err("it should have been refused")
}

#[test]
fn a_set_has_a_key_for_each_name() {
    let [_, rsa, p256, ed25519] = signers();
    let verifier = verifier(&set(&[
        member(
            Algorithm::RS256,
            &rsa.private,
            json!({"kid": "old", "use": "sig"}),
        ),
        member(Algorithm::ES256, &p256.private, json!({"kid": "old"})),
        member(
            Algorithm::RS256,
            &rsa.other,
            json!({"kid": "rotated", "alg": null}),
        ),
        member(Algorithm::EdDSA, &ed25519.private, json!({"kid": "new"})),
    ]));
    let claims = claims(json!({}));
    let outcome = |algorithm, key: &EncodingKey, kid| {
        let token = signed(algorithm, key, kid, &claims);
        verifier.verify(&token, NOW_MS).map(|_| ())
    };
    let (rs256, es256, eddsa) = (Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA);
    let table = [
        (outcome(rs256, &rsa.private, Some("old")), Ok(())),
        (outcome(es256, &p256.private, Some("old")), Ok(())),
        (outcome(rs256, &rsa.other, Some("rotated")), Ok(())),
        (outcome(eddsa, &ed25519.private, Some("new")), Ok(())),
        (
            outcome(rs256, &rsa.other, Some("old")),
            Err(TokenError::WrongSignature),
        ),
        (
            outcome(rs256, &rsa.private, Some("rotated")),
            Err(TokenError::WrongSignature),
        ),
        (
            outcome(eddsa, &ed25519.private, Some("old")),
            Err(TokenError::AlgorithmRefused),
        ),
        (
            outcome(eddsa, &ed25519.private, Some("NEW")),
            Err(TokenError::UnknownKey),
        ),
        (
            outcome(eddsa, &ed25519.private, Some("")),
            Err(TokenError::UnknownKey),
        ),
        (
            outcome(eddsa, &ed25519.private, None),
            Err(TokenError::UnknownKey),
        ),
    ];
    for (row, (found, expected)) in table.into_iter().enumerate() {
        assert_eq!(found, expected, "row {row}");
    }
}

#[test]
fn a_set_from_elsewhere_grows_old() {
    let [_, rsa, _, ed25519] = signers();
    let eddsa = Algorithm::EdDSA;
    let members = [member(eddsa, &ed25519.private, json!({"kid": "k"}))];
    let verifier = verifier(&set(&members)).stale_at(NOW_MS);
    let claims = claims(json!({}));
    let known = signed(eddsa, &ed25519.private, Some("k"), &claims);
    let unknown = signed(eddsa, &ed25519.private, Some("other"), &claims);
    let strange = signed(Algorithm::RS256, &rsa.private, Some("k"), &claims);
    let forged = signed(eddsa, &ed25519.other, Some("k"), &claims);
    let table = [
        (&known, Ok(()), Ok(())),
        (
            &unknown,
            Err(TokenError::UnknownKey),
            Err(TokenError::KeysStale),
        ),
        // The key is known, and no newer set would change what it says.
        (
            &strange,
            Err(TokenError::AlgorithmRefused),
            Err(TokenError::AlgorithmRefused),
        ),
        (
            &forged,
            Err(TokenError::WrongSignature),
            Err(TokenError::WrongSignature),
        ),
    ];
    for (token, fresh, stale) in table {
        let outcome = |now_ms| verifier.verify(token, now_ms).map(|_| ());
        assert_eq!((outcome(NOW_MS - 1), outcome(NOW_MS)), (fresh, stale));
    }
}

#[test]
fn a_set_of_one_key_needs_no_name() {
    let [.., ed25519] = signers();
    let eddsa = Algorithm::EdDSA;
    let named = member(eddsa, &ed25519.private, json!({"kid": "k"}));
    let nameless = member(eddsa, &ed25519.private, json!({}));
    let table = [
        (&named, Some("k"), Ok(())),
        (&named, None, Ok(())),
        (&named, Some("other"), Err(TokenError::UnknownKey)),
        (&nameless, None, Ok(())),
        (&nameless, Some("k"), Err(TokenError::UnknownKey)),
    ];
    for (key, kid, expected) in table {
        let token = signed(eddsa, &ed25519.private, kid, &claims(json!({})));
        let found = verifier(&set(std::slice::from_ref(key))).verify(&token, NOW_MS);
        assert_eq!(found.map(|_| ()), expected, "{kid:?} of {key}");
    }
}

/// Where there is one key, it does not matter what the token calls it.
#[test]
fn a_key_file_has_no_names() {
    for Signer {
        algorithm,
        private,
        material,
        ..
    } in signers()
    {
        let token = signed(algorithm, &private, Some("any"), &claims(json!({})));
        assert!(
            verifier(&material).verify(&token, NOW_MS).is_ok(),
            "{algorithm:?}"
        );
    }
}

#[test]
fn keys_for_others_are_passed_over() {
    let [_, rsa, _, ed25519] = signers();
    let others = [
        json!({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "exchange"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "lattice", "pub": [1, 2]}),
        member(Algorithm::RS256, &rsa.private, json!({"use": "enc"})),
        member(Algorithm::RS256, &rsa.private, json!({"alg": "PS512"})),
    ];
    assert_eq!(refusal(&set(&others)), KeyError::SetUnusable);
    assert_eq!(refusal(&set(&[])), KeyError::SetUnusable);

    let own = member(Algorithm::EdDSA, &ed25519.private, json!({}));
    let all = [others.as_slice(), &[own]].concat();
    let token = signed(Algorithm::EdDSA, &ed25519.private, None, &claims(json!({})));
    assert!(verifier(&set(&all)).verify(&token, NOW_MS).is_ok());
}

#[test]
fn a_set_that_cannot_be_right_is_refused() {
    let [_, rsa, p256, ed25519] = signers();
    let eddsa = |others| member(Algorithm::EdDSA, &ed25519.private, others);
    let in_set = |index, error| KeyError::InSet {
        index,
        error: Box::new(error),
    };
    let table = [
        (
            vec![eddsa(json!({"kid": "a"})), eddsa(json!({}))],
            KeyError::KidAmbiguous,
        ),
        (
            vec![eddsa(json!({"kid": "a"})), eddsa(json!({"kid": "a"}))],
            KeyError::KidAmbiguous,
        ),
        (
            vec![eddsa(json!({})); 101],
            KeyError::SetTooLong { keys_max: 100 },
        ),
        (
            vec![json!({"kty": "none"}), eddsa(json!({"d": "AA"}))],
            in_set(1, KeyError::PrivateKey),
        ),
        (
            vec![eddsa(json!({"x": "AAAA"}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![eddsa(json!({"x": "A".repeat(44)}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![eddsa(json!({"x": "no base64!"}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![eddsa(json!({"x": null}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![member(
                Algorithm::ES256,
                &p256.private,
                json!({"y": "AAAA"}),
            )],
            in_set(0, KeyError::KeyInvalid),
        ),
        // Every signature would be its own message, and anybody could make one.
        (
            vec![member(Algorithm::RS256, &rsa.private, json!({"e": "AQ"}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![member(Algorithm::RS256, &rsa.private, json!({"e": "AA"}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![member(Algorithm::RS256, &rsa.private, json!({"e": null}))],
            in_set(0, KeyError::KeyInvalid),
        ),
        (
            vec![member(Algorithm::RS256, &rsa.private, json!({"n": "AAAB"}))],
            in_set(
                0,
                KeyError::RsaSize {
                    bits: 1,
                    bits_min: 2048,
                    bits_max: 4096,
                },
            ),
        ),
    ];
    for (row, (members, expected)) in table.into_iter().enumerate() {
        assert_eq!(refusal(&set(&members)), expected, "row {row}");
    }
    for text in [
        "",
        "[]",
        "{}",
        "{\"keys\": {}}",
        "{\"keys\": [{}]}",
        "{\"keys\": [{\"kty\": 1}]}",
        "\u{0}",
    ] {
        let found = refusal(&KeyMaterial::Jwks(text.into()));
        assert!(
            matches!(found, KeyError::SetMalformed { line: 1, .. }),
            "{text:?} gave {found:?}"
        );
    }
}

#[test]
fn a_key_file_that_cannot_be_right_is_refused() {
    let public = pem("ed25519.public");
    let cut = public[..public.len() / 2].to_vec();
    let emptied = b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n".to_vec();
    let certificate = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec();
    let table = [
        (Vec::new(), KeyError::PemMissing),
        (
            b"ssh-ed25519 AAAA ada@example".to_vec(),
            KeyError::PemMissing,
        ),
        (vec![0xff; 64], KeyError::PemMissing),
        (certificate, KeyError::PemMissing),
        (cut, KeyError::KeyInvalid),
        (emptied, KeyError::KeyInvalid),
        (pem("p384.public"), KeyError::KeyInvalid),
        (
            pem("rsa_1024.public"),
            KeyError::RsaSize {
                bits: 1024,
                bits_min: 2048,
                bits_max: 4096,
            },
        ),
        (pem("rsa"), KeyError::PrivateKey),
        (pem("p256"), KeyError::PrivateKey),
        (pem("ed25519"), KeyError::PrivateKey),
        (
            [public.clone(), pem("ed25519")].concat(),
            KeyError::PrivateKey,
        ),
        (
            [public.clone(), pem("p384.public")].concat(),
            KeyError::OneOfSeveral {
                number: 2,
                error: Box::new(KeyError::KeyInvalid),
            },
        ),
        (public.repeat(9), KeyError::TooMany { keys_max: 8 }),
        (
            vec![b' '; 256 * 1024 + 1],
            KeyError::TooLarge {
                bytes_max: 256 * 1024,
            },
        ),
    ];
    for (row, (bytes, expected)) in table.into_iter().enumerate() {
        assert_eq!(refusal(&KeyMaterial::Pem(bytes)), expected, "row {row}");
    }
}

/// Both forms in which RSA keys are written.
#[test]
fn an_rsa_key_file_may_have_its_own_form() {
    let [_, rsa, ..] = signers();
    let token = signed(Algorithm::RS256, &rsa.private, None, &claims(json!({})));
    let material = KeyMaterial::Pem(pem("rsa_pkcs1.public"));
    assert!(verifier(&material).verify(&token, NOW_MS).is_ok());
}

#[test]
fn a_secret_is_long_and_secret() {
    let short = |bytes| KeyError::SecretTooShort {
        bytes,
        bytes_min: 32,
    };
    let table = [
        (Vec::new(), short(0)),
        (vec![b'x'; 31], short(31)),
        ([vec![b'x'; 31], b"\r\n".to_vec()].concat(), short(31)),
        (b"\n\n".to_vec(), short(0)),
        (
            format!("{SECRET}\nsecret").into_bytes(),
            KeyError::OneOfSeveral {
                number: 2,
                error: Box::new(short(6)),
            },
        ),
        (
            format!("{SECRET}\n").repeat(9).into_bytes(),
            KeyError::TooMany { keys_max: 8 },
        ),
        (pem("rsa.public"), KeyError::SecretIsPem),
        (
            [b"\n ".to_vec(), pem("ed25519")].concat(),
            KeyError::SecretIsPem,
        ),
    ];
    for (bytes, expected) in table {
        assert_eq!(refusal(&KeyMaterial::Secret(bytes)), expected);
    }
    assert!(Verifier::new(&KeyMaterial::Secret(vec![b'x'; 32]), rules()).is_ok());
}

#[test]
fn line_ends_are_not_part_of_a_secret() {
    let token = token(&claims(json!({})));
    let table = [
        ("", true),
        ("\n", true),
        ("\r\n", true),
        ("\n\n", true),
        (" ", false),
    ];
    for (end, is_same) in table {
        let material = KeyMaterial::Secret(format!("{SECRET}{end}").into_bytes());
        let found = verifier(&material).verify(&token, NOW_MS);
        assert_eq!(found.is_ok(), is_same, "{end:?}");
    }
    // What is no text has no lines.
    let bytes = [[0xff; 32].as_slice(), b"\n"].concat();
    let token = signed(
        Algorithm::HS256,
        &EncodingKey::from_secret(&bytes),
        None,
        &claims(json!({})),
    );
    assert!(
        verifier(&KeyMaterial::Secret(bytes))
            .verify(&token, NOW_MS)
            .is_ok()
    );
}

/// So one can be changed for another while tokens of the old one are about.
#[test]
fn tokens_of_any_key_or_secret_in_the_file_are_good() {
    let secrets = KeyMaterial::Secret(format!("{OTHER_SECRET}\r\n\n{SECRET}\n").into_bytes());
    let names = ["ed25519.public", "rsa_pkcs1.public", "p256.public"];
    let text = names.map(|name| [b"a comment\n".to_vec(), pem(name)].concat());
    let public_keys = KeyMaterial::Pem(text.concat());
    for signer in signers() {
        let (fitting, unfitting) = match signer.algorithm {
            Algorithm::HS256 => (&secrets, &public_keys),
            _ => (&public_keys, &secrets),
        };
        let algorithm = signer.algorithm;
        for kid in [None, Some("any")] {
            let token = signed(algorithm, &signer.private, kid, &claims(json!({})));
            assert!(verifier(fitting).verify(&token, NOW_MS).is_ok());
            let refused = verifier(unfitting).verify(&token, NOW_MS);
            assert_eq!(refused.err(), Some(TokenError::AlgorithmRefused));
        }
        let other = signed(algorithm, &signer.other, None, &claims(json!({})));
        let found = verifier(fitting).verify(&other, NOW_MS).err();
        let is_second_secret = algorithm == Algorithm::HS256;
        assert_eq!(
            found,
            (!is_second_secret).then_some(TokenError::WrongSignature)
        );
    }
}

#[test]
fn secrets_are_not_printed() {
    let material = secret();
    let printed = format!("{material:?} {:?}", verifier(&material));
    let bytes = format!("{:?}", SECRET.as_bytes());
    assert!(!printed.contains(SECRET), "{printed}");
    assert!(
        !printed.contains(bytes.trim_matches(['[', ']'])),
        "{printed}"
    );
}
