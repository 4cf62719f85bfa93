//! Signatures, headers, and what only looks like a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corelay::auth::{Grant, KeyMaterial, Pattern, Permissions, TokenError};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    NOW_MS, SECRET, TOKEN_BYTES_MAX, claims, pem, secret, signed, signers, token, verifier,
};

/// The example of the documentation of `auth`, as PyJWT signs it with HS256, RS256, ES256 and EdDSA. It expires in 2100.
const FROM_PYTHON: [&str; 4] = [
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJuYW1lIjoiQWRhIiwidGVuYW50IjoiYWNtZSIsImRvY3V\
         tZW50cyI6WyJpbnZvaWNlLSoiXSwicGVybWlzc2lvbnMiOlsicmVhZCIsIndyaXRlIl0sImV4cCI6NDEwMjQ0NDgwMH0.XknCYu9\
         8Hngf6bJxDX1K-m5e4porhX9y1AQQuMlyhKA",
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJuYW1lIjoiQWRhIiwidGVuYW50IjoiYWNtZSIsImRvY3V\
         tZW50cyI6WyJpbnZvaWNlLSoiXSwicGVybWlzc2lvbnMiOlsicmVhZCIsIndyaXRlIl0sImV4cCI6NDEwMjQ0NDgwMH0.sk0BrbP\
         YSt4rzf4ggqarM5OWgBrF1Xlh0qQ4y_5B7-tkZVaR8O50nGhBmW1Kxsyk2P40mU5lw-\
         TWx23kxNeppkI5I2opoj3aT35IgcoVj5FopjgI-UQPcFRCAiTMA4fG2C8LInj5XL4PM7W0fiBNH8pg3rxO3r7eUwCbsAy6Lv3QlZ\
         oIpGaOleWsRH_uOKlx252n8_qThYEobf5NAipovn62Ue7wvDjvSSNQTMbc_h16PTrrZ-651cv6jLV-\
         0DX781WtLVQ2_hXIGArQ31vnhWwtxnqtebs_0wp-oHpB87M5zIRylmqhXRaIS554RCEPQ9CQhzAUxPSTYhUog76BsQ",
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJuYW1lIjoiQWRhIiwidGVuYW50IjoiYWNtZSIsImRvY3V\
         tZW50cyI6WyJpbnZvaWNlLSoiXSwicGVybWlzc2lvbnMiOlsicmVhZCIsIndyaXRlIl0sImV4cCI6NDEwMjQ0NDgwMH0.QgxzTkw\
         0VR7w-RsnWbI8llXGUHeMmB_RGadZ1J8KyFfFzSYcc2qJZ2JbIglBiwZygWeceAYGAQFOnXghbmUw0A",
    "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJuYW1lIjoiQWRhIiwidGVuYW50IjoiYWNtZSIsImRvY3V\
         tZW50cyI6WyJpbnZvaWNlLSoiXSwicGVybWlzc2lvbnMiOlsicmVhZCIsIndyaXRlIl0sImV4cCI6NDEwMjQ0NDgwMH0.E_A3hmO\
         KzI9Xn7k2e8SZR0cCZ7LmZoZs3XVqfAE8ue6LRfTvXMQM7TbF6U1xsYpLGQPZQzzthVU_04VZA1I1Cg",
];

/// A token of any header and payload, with the HMAC of a key of the attacker's choice.
fn forged(header: &Value, payload: &[u8], secret: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", part(header.to_string().as_bytes()), part(payload));
    let key = EncodingKey::from_secret(secret);
    let signature =
        crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("any key does for an HMAC");
    format!("{message}.{signature}")
}

#[test]
fn tokens_from_elsewhere_are_understood() {
    let expected = Grant {
        tenant: "acme".to_owned(),
        user_id: "ada".to_owned(),
        user_name: "Ada".to_owned(),
        documents: vec![Pattern::new("invoice-*").expect("it is a pattern")],
        permissions: Permissions {
            read: true,
            write: true,
            ..Permissions::default()
        },
        token_id: None,
        issued_at_ms: None,
        expires_at_ms: 4_102_444_800_000,
    };
    for (signer, token) in signers().iter().zip(FROM_PYTHON) {
        let grant = verifier(&signer.material).verify(token, NOW_MS);
        assert_eq!(grant, Ok(expected.clone()), "{:?}", signer.algorithm);
    }
}

#[test]
fn each_key_takes_its_own_signature_and_no_other() {
    let claims = claims(json!({}));
    for signer in signers() {
        let verifier = verifier(&signer.material);
        let algorithm = signer.algorithm;
        let own = signed(algorithm, &signer.private, None, &claims);
        let grant = verifier.verify(&own, NOW_MS).expect("its key signed it");
        assert_eq!(grant.user_id, "ada");

        let of_another = signed(algorithm, &signer.other, None, &claims);
        assert_eq!(
            verifier.verify(&of_another, NOW_MS),
            Err(TokenError::WrongSignature),
            "{algorithm:?} with another key"
        );
        for stranger in signers() {
            if stranger.algorithm == algorithm {
                continue;
            }
            let token = signed(stranger.algorithm, &stranger.private, None, &claims);
            assert_eq!(
                verifier.verify(&token, NOW_MS),
                Err(TokenError::AlgorithmRefused),
                "{:?} for the key of {algorithm:?}",
                stranger.algorithm
            );
        }
    }
}

/// Whichever character is changed, dropped or doubled.
#[test]
fn a_changed_token_is_refused() {
    for signer in signers() {
        // RSA and P-256 take their time, and treat every message alike.
        let step = match signer.algorithm {
            Algorithm::HS256 => 1,
            _ => 17,
        };
        let verifier = verifier(&signer.material);
        let token = signed(signer.algorithm, &signer.private, None, &claims(json!({})));
        for at in (0..token.len()).step_by(step) {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            for replacement in [other, "", "AA", "."] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, replacement);
                if changed == token {
                    continue;
                }
                let result = verifier.verify(&changed, NOW_MS);
                assert!(result.is_err(), "{:?}: {changed}", signer.algorithm);
            }
        }
    }
}

#[test]
fn no_signature_is_no_algorithm() {
    let payload = claims(json!({})).to_string();
    for signer in signers() {
        let verifier = verifier(&signer.material);
        for alg in ["none", "None", "NONE", "nOnE", "", "HS1", "hs256"] {
            let header = json!({"alg": alg, "typ": "JWT"});
            let signed = forged(&header, payload.as_bytes(), SECRET.as_bytes());
            let (message, _) = signed.rsplit_once('.').expect("a token has three parts");
            for token in [format!("{message}."), signed.clone()] {
                assert_eq!(
                    verifier.verify(&token, NOW_MS),
                    Err(TokenError::AlgorithmRefused),
                    "{alg:?} for the key of {:?}",
                    signer.algorithm
                );
            }
        }
    }
}

/// Everybody knows the public key, and so everybody could sign if it were taken for a secret.
#[test]
fn a_public_key_is_no_secret() {
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let payload = claims(json!({})).to_string();
    for name in ["rsa.public", "p256.public", "ed25519.public"] {
        let public = pem(name);
        let text = String::from_utf8(public.clone()).expect("PEM is text");
        let verifier = verifier(&KeyMaterial::Pem(public.clone()));
        for secret in [public.as_slice(), text.trim_end().as_bytes(), b""] {
            let token = forged(&header, payload.as_bytes(), secret);
            let refused = Err(TokenError::AlgorithmRefused);
            assert_eq!(verifier.verify(&token, NOW_MS), refused, "{name}");
        }
    }
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    let key = URL_SAFE_NO_PAD.encode("the attacker chose this, and signs with it");
    let header = json!({
        "alg": "HS256",
        "jwk": {"kty": "oct", "k": key},
        "jku": "https://attacker.example/keys",
    });
    let payload = claims(json!({})).to_string();
    let token = forged(
        &header,
        payload.as_bytes(),
        b"the attacker chose this, and signs with it",
    );
    assert_eq!(
        verifier(&secret()).verify(&token, NOW_MS),
        Err(TokenError::WrongSignature)
    );
}

/// Algorithms of the right kind that are not spoken here, and extensions.
#[test]
fn what_the_header_asks_for_must_be_known() {
    let payload = claims(json!({})).to_string();
    let table = [
        (json!({"alg": "HS384"}), TokenError::AlgorithmRefused),
        (json!({"alg": "HS512"}), TokenError::AlgorithmRefused),
        (
            json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
            TokenError::ClaimInvalid("crit asks for an extension that is not known here"),
        ),
        (json!({"typ": "JWT"}), TokenError::Malformed),
        (json!({"alg": 256}), TokenError::Malformed),
        (json!({"alg": "HS256", "kid": 1}), TokenError::Malformed),
        (json!("HS256"), TokenError::Malformed),
        (json!(null), TokenError::Malformed),
    ];
    for (header, expected) in table {
        let token = forged(&header, payload.as_bytes(), SECRET.as_bytes());
        assert_eq!(
            verifier(&secret()).verify(&token, NOW_MS),
            Err(expected),
            "{header}"
        );
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let whole = token(&claims(json!({})));
    let (message, signature) = whole.rsplit_once('.').expect("a token has three parts");
    let table = [
        (String::new(), TokenError::Missing),
        (" ".to_owned(), TokenError::Malformed),
        (".".to_owned(), TokenError::Malformed),
        ("..".to_owned(), TokenError::Malformed),
        ("....".to_owned(), TokenError::Malformed),
        ("a.b.c".to_owned(), TokenError::Malformed),
        ("e30.e30.e30".to_owned(), TokenError::Malformed),
        (message.to_owned(), TokenError::Malformed),
        (format!("{whole}."), TokenError::Malformed),
        (format!("{whole}="), TokenError::Malformed),
        (format!("{whole}\n"), TokenError::Malformed),
        (format!("Bearer {whole}"), TokenError::Malformed),
        (format!("{whole}.{whole}"), TokenError::Malformed),
        (format!("{message}.é"), TokenError::Malformed),
        (format!("{message}."), TokenError::WrongSignature),
        (
            format!("{message}.{}", &signature[4..]),
            TokenError::WrongSignature,
        ),
        (
            format!("{message}.{signature}AAAA"),
            TokenError::WrongSignature,
        ),
    ];
    for (token, expected) in table {
        assert_eq!(
            verifier(&secret()).verify(&token, NOW_MS),
            Err(expected),
            "{token:?}"
        );
    }
}

/// Whoever has the key may sign anything.
#[test]
fn a_signed_payload_must_be_an_object() {
    let header = json!({"alg": "HS256"});
    let deep = "[".repeat(4000);
    for payload in [
        "",
        "null",
        "[]",
        "\"ada\"",
        "{",
        "{\"exp\": 1e999}",
        "\u{0}",
        &deep,
    ] {
        let token = forged(&header, payload.as_bytes(), SECRET.as_bytes());
        assert_eq!(
            verifier(&secret()).verify(&token, NOW_MS),
            Err(TokenError::Malformed),
            "{payload:.20}"
        );
    }
    let token = forged(&header, b"{\"sub\": \"\xff\"}", SECRET.as_bytes());
    assert_eq!(
        verifier(&secret()).verify(&token, NOW_MS),
        Err(TokenError::Malformed)
    );
}

#[test]
fn the_longest_token_is_taken_and_one_byte_more_is_not() {
    let verifier = verifier(&secret());
    let padded = |bytes: usize| token(&claims(json!({"padding": "x".repeat(bytes)})));
    // Base64 makes four bytes of three, so one length in four cannot be met, and is passed by.
    let longest = (0..TOKEN_BYTES_MAX)
        .map(padded)
        .find(|token| token.len() == TOKEN_BYTES_MAX)
        .expect("one padding has this length");
    assert!(verifier.verify(&longest, NOW_MS).is_ok());
    let longer = longest + "A";
    let refused = Err(TokenError::TooLong {
        bytes_max: TOKEN_BYTES_MAX,
    });
    assert_eq!(verifier.verify(&longer, NOW_MS), refused);
    assert_eq!(verifier.verify(&"é".repeat(1 << 20), NOW_MS), refused);
}

proptest! {
    #[test]
    fn garbage_is_refused(text in r"\PC{0,60}(\.\PC{0,60}){0,4}", now_ms: u64) {
        for signer in signers() {
            prop_assert!(verifier(&signer.material).verify(&text, now_ms).is_err());
        }
    }

    #[test]
    fn unsigned_parts_are_refused(
        header in proptest::collection::vec(any::<u8>(), 0..80),
        signature in proptest::collection::vec(any::<u8>(), 0..600),
        alg in 0..4_usize,
        is_header_whole: bool,
    ) {
        let signer = &signers()[alg];
        let header = match is_header_whole {
            true => json!({"alg": format!("{:?}", signer.algorithm)}).to_string().into_bytes(),
            false => header,
        };
        let payload = claims(json!({})).to_string();
        let parts = [header.as_slice(), payload.as_bytes(), &signature];
        let token = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        prop_assert!(verifier(&signer.material).verify(&token, NOW_MS).is_err());
    }
}
