//! Entity tags: a document's place in its history, `"epoch.revision"`, and the conditions that are made of them.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::codec::wire::Position;
use crate::server::http::problem::Problem;

/// The header of an answer.
pub fn header_of(position: Position) -> (HeaderName, HeaderValue) {
    let value = HeaderValue::from_str(&tag(position)).expect("digits, a dot and quotes");
    (header::ETAG, value)
}

fn tag(Position { epoch, revision }: Position) -> String {
    format!("\"{epoch}.{revision}\"")
}

/// Whether the caller has this already.
pub fn is_known(headers: &HeaderMap, position: Position) -> bool {
    is_listed(headers, &tag(position))
}

/// Whether what has this tag is what the caller has.
pub fn is_listed(headers: &HeaderMap, tag: &str) -> bool {
    let tags = listed(headers, &header::IF_NONE_MATCH).unwrap_or_default();
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The tags of a condition, with commas between them.
fn listed(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    // What is no text is a condition, too, and no place of ours.
    let values = headers.get_all(name).iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    values
        .reduce(|list, value| format!("{list},{value}").into())
        .map(|list| list.trim().to_owned())
}

/// Whether a write has conditions.
pub fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// The revision that the caller of a write wants a document to be at, or none.
///
/// # Errors
///
/// The document is elsewhere, or where the caller does not want it to be. At revision 0 there is none.
pub fn expected_revision(headers: &HeaderMap, position: Position) -> Result<Option<u64>, Problem> {
    let tag = tag(position);
    let exists = position.revision > 0;
    let failed = |what: &str, tags: &str| {
        let words = match exists {
            true => format!("the document is at {tag}, and {what} has {tags}"),
            false => format!("there is no such document, and {what} has {tags}"),
        };
        let problem = Problem::of_http(412, "Precondition Failed", words);
        Err(problem.at_revision(position.revision))
    };
    if let Some(tags) = listed(headers, &header::IF_NONE_MATCH)
        && exists
        && is_listed(headers, &tag)
    {
        return failed("If-None-Match", &tags);
    }
    match listed(headers, &header::IF_MATCH) {
        None => Ok(None),
        Some(tags) if tags == "*" && exists => Ok(None),
        Some(tags) if tags.split(',').any(|expected| expected.trim() == tag) => {
            Ok(Some(position.revision))
        }
        Some(tags) => failed("If-Match", &tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_about_one_place() {
        let at = |revision| Position { epoch: 3, revision };
        let headers = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        for (value, is_known_there) in [
            ("\"3.7\"", true),
            ("W/\"3.7\"", true),
            ("\"1.7\", \"3.7\"", true),
            ("*", true),
            ("\"3.8\"", false),
            ("3.7", false),
        ] {
            let headers = headers(header::IF_NONE_MATCH, value);
            assert_eq!(is_known(&headers, at(7)), is_known_there, "{value}");
        }
        assert!(!is_known(&HeaderMap::new(), at(7)));
        for (value, expected) in [
            ("\"3.7\"", Some(Some(7))),
            ("\"1.1\", \"3.7\"", Some(Some(7))),
            ("*", Some(None)),
            ("\"3.8\"", None),
            ("W/\"3.7\"", None),
            ("7", None),
        ] {
            let found = expected_revision(&headers(header::IF_MATCH, value), at(7));
            assert_eq!(found.ok(), expected, "{value}");
            let nothing = expected_revision(&headers(header::IF_MATCH, value), at(0));
            assert!(nothing.is_err(), "{value}");
        }
        for (value, may_write) in [("*", false), ("\"3.7\"", false), ("\"3.6\"", true)] {
            let headers = headers(header::IF_NONE_MATCH, value);
            let found = expected_revision(&headers, at(7));
            assert_eq!(found.is_ok(), may_write, "{value}");
            assert_eq!(expected_revision(&headers, at(0)).ok(), Some(None));
        }
        // What is no text is a condition, too, and no place of ours.
        let unreadable = HeaderValue::from_bytes(b"\"\xff\"").expect("HTTP takes it");
        let unreadable = HeaderMap::from_iter([(header::IF_MATCH, unreadable)]);
        let problem = expected_revision(&unreadable, at(7)).expect_err("it is elsewhere");
        assert_eq!(problem.status, 412);
    }
}
