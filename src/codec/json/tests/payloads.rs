//! Bytes that are passed on.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::value::RawValue;

use crate::text::Operation;

use super::*;

#[test]
fn bytes_are_the_value_that_they_are_the_text_of() {
    for text in [
        "0",
        "-1",
        "1e5",
        "true",
        "null",
        "\"\"",
        "[]",
        "{}",
        "{\"a\": [1,\n2]}",
        "\"\u{1f44b}\"",
        r#"{"base64":"AA","more":1}"#,
        r#"{"BASE64":"AA"}"#,
    ] {
        assert_eq!(written(Payload::Json, text.as_bytes()), text);
        assert_eq!(read(Payload::Json, text), Ok(Bytes::from(text)));
    }
    let at_most = "[".repeat(100) + &"]".repeat(100);
    assert_eq!(written(Payload::Json, at_most.as_bytes()), at_most);
    let deep = format!("[{at_most}]");
    for bytes in [
        &b""[..],
        b" 1",
        b"1\n",
        b"1 2",
        b"nul",
        b"\"\xff\"",
        br#""\ud800""#,
        b"1e999",
        b"NaN",
        b"-",
        b"{",
        br#"{"base64":"AA"}"#,
        br#"{"b\u0061se64": 1}"#,
        br#"{"base64":"AA","base64":"AB"}"#,
        deep.as_bytes(),
    ] {
        let text = written(Payload::Json, bytes);
        assert!(text.starts_with(r#"{"base64":""#), "{text}");
        assert_eq!(
            read(Payload::Json, &text),
            Ok(Bytes::copy_from_slice(bytes))
        );
    }
}

#[test]
fn values_that_some_parsers_do_not_take_are_refused() {
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    for text in [
        r#""\ud800""#,
        r#"{"\udc00":1}"#,
        "1e999",
        &deep,
        r#"{"base64":1}"#,
        r#"{"base64":"~"}"#,
        r#"{"base64":"AA","base64":"AA"}"#,
    ] {
        let is_refused = matches!(read(Payload::Json, text), Err(JsonError::Malformed(_)));
        assert!(is_refused, "{text}");
    }
}

#[test]
fn a_component_is_one_edit() {
    let read = |text| read(Payload::TextComponents, text);
    assert_eq!(read("[]"), Ok(Bytes::new()));
    let with_more = r#"[{"more":{"bold":true},"retain":5},{"insert":"\u00e9","delete":null}]"#;
    assert_eq!(
        read(with_more),
        Ok(Operation::splice(5, 0, "é").encode().into())
    );
    // Whether it is an operation is for the text to say.
    assert!(Operation::decode(&read(r#"[{"retain":0}]"#).expect("a component")).is_err());
    for text in [
        "{}",
        "5",
        "[5]",
        "[[5,null,null]]",
        "[{}]",
        r#"[{"more":1}]"#,
        r#"[{"retain":-1}]"#,
        r#"[{"retain":1.5}]"#,
        r#"[{"retain":1,"delete":1}]"#,
        r#"[{"retain":1,"retain":1}]"#,
        r#"[{"insert":"\ud800"}]"#,
        r#"[{"insert":5}]"#,
        r#"{"base64":""}"#,
    ] {
        assert!(matches!(read(text), Err(JsonError::Malformed(_))), "{text}");
    }
}

fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        "\"[ -~]{0,6}\"",
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let name = prop_oneof![Just("base64".to_owned()), "[a-c]{1,2}"];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|elements| format!("[{}]", elements.join(" ,"))),
            vec((name, inner), 0..3).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

pub fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        "[\\[\\]{}\":,\\\\u0-9a-f. \n-]{0,12}".prop_map(String::into_bytes),
        json_text().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..6).prop_map(|bytes| written(Payload::Json, &bytes).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn bytes_come_back_as_they_were(bytes in any_bytes()) {
        let text = written(Payload::Json, &bytes);
        prop_assert_eq!(read(Payload::Json, &text), Ok(Bytes::from(bytes)));
    }

    #[test]
    fn values_come_back_as_they_were(text in json_text()) {
        // What a JSON client sent, others get as it wrote it, or it was bytes.
        if let Ok(value) = serde_json::from_str::<&RawValue>(&text)
            && let Ok(bytes) = Payload::Json.read(value)
        {
            let again = written(Payload::Json, &bytes);
            prop_assert!(again == text || text.contains("base64"), "{} {}", again, text);
            prop_assert_eq!(read(Payload::Json, &again), Ok(bytes));
        }
    }

    #[test]
    fn text_operations_come_back_as_they_were(edits in vec((0..3, 1..300_usize, any::<String>()), 0..8)) {
        let mut builder = Operation::builder();
        for (edit, length, text) in edits {
            match edit {
                0 => builder.retain(length),
                1 => builder.insert(&text),
                _delete => builder.delete(length),
            };
        }
        let bytes = Bytes::from(builder.build().encode());
        let text = written(Payload::TextComponents, &bytes);
        prop_assert_eq!(read(Payload::TextComponents, &text), Ok(bytes));
    }
}
