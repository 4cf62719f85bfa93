//! Entity tags: a document's place in its history, `"epoch.revision"`, and the conditions that are made of them.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::visitor::text;
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
    let Some(tags) = text(headers, header::IF_NONE_MATCH.as_str()) else {
        return false;
    };
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The revision that the caller wants a document to be at, or none.
///
/// # Errors
///
/// The document is elsewhere.
pub fn expected_revision(headers: &HeaderMap, position: Position) -> Result<Option<u64>, Problem> {
    let values = headers.get_all(header::IF_MATCH);
    // What is no text is a condition, too, and no place of ours.
    let tags: Vec<_> = values
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    let tags = tags.join(",");
    let tags = tags.trim();
    if values.iter().next().is_none() || tags == "*" {
        return Ok(None);
    }
    let tag = tag(position);
    if tags.split(',').any(|expected| expected.trim() == tag) {
        return Ok(Some(position.revision));
    }
    let words = format!("the document is at {tag}, and If-Match has {tags}");
    let problem = Problem::of_http(412, "Precondition Failed", words);
    Err(problem.at_revision(position.revision))
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
        }
    }
}
