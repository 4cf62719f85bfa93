//! What kinds of answers a caller takes.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::visitor::text;
use crate::server::http::problem::Problem;

pub const JSON: &str = "application/json";
pub const PLAIN: &str = "text/plain";

/// How much a caller wants a kind of answer, in thousandths; 0: not at all. What it says nothing of is as good as any.
pub fn quality(headers: &HeaderMap, kind: &str) -> u16 {
    let Some(accept) = text(headers, header::ACCEPT.as_str()) else {
        return 1000;
    };
    let (group, _) = kind.split_once('/').expect("a media type has two parts");
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next()?;
        let precision = match name.split_once('/')? {
            ("*", "*") => 1,
            (of, "*") if of.eq_ignore_ascii_case(group) => 2,
            _ if name.eq_ignore_ascii_case(kind) => 3,
            _other => return None,
        };
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
        Some((precision, (weight.clamp(0.0, 1.0) * 1000.0) as u16))
    });
    // The most precise range counts.
    let found = ranges.max_by_key(|(precision, _)| *precision);
    found.map_or(0, |(_, quality)| quality)
}

/// The kind that a caller wants most, of some that there are; of equals the first.
///
/// # Errors
///
/// The caller takes none of them.
pub fn choose(headers: &HeaderMap, kinds: &[&'static str]) -> Result<&'static str, Problem> {
    let wanted = kinds.iter().map(|kind| (quality(headers, kind), *kind));
    let best = wanted.reduce(|best, next| if next.0 > best.0 { next } else { best });
    match best {
        Some((1.., kind)) => Ok(kind),
        _none => {
            let words = format!("There is {} here.", kinds.join(" and "));
            Err(Problem::of_http(406, "Not Acceptable", words))
        }
    }
}

/// Refuses requests whose answer, which is JSON, the caller could not take.
pub async fn json_only(request: Request, next: Next) -> Response {
    match choose(request.headers(), &[JSON]) {
        Ok(_json) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_most_precise_range_says_how_much_a_kind_is_wanted() {
        for (accept, json, plain) in [
            ("*/*", 1000, 1000),
            ("application/json", 1000, 0),
            ("text/*;q=0.5, */*;q=0.1", 100, 500),
            ("text/plain;q=0, */*", 1000, 0),
            ("Application/JSON ; q=0.25", 250, 0),
            ("text/html", 0, 0),
            ("", 0, 0),
            ("nonsense, application/json;q=x", 0, 0),
        ] {
            let value = HeaderValue::from_static(accept);
            let headers = HeaderMap::from_iter([(header::ACCEPT, value)]);
            let found = (quality(&headers, JSON), quality(&headers, PLAIN));
            assert_eq!(found, (json, plain), "{accept}");
        }
        let none = HeaderMap::new();
        assert_eq!(choose(&none, &[JSON, PLAIN]).ok(), Some(JSON));
        let headers =
            |value| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
        let plain = headers("application/json;q=0.5, text/*");
        assert_eq!(choose(&plain, &[JSON, PLAIN]).ok(), Some(PLAIN));
        let page = choose(&headers("text/html"), &[JSON, PLAIN]);
        assert_eq!(page.expect_err("neither").status, 406);
    }
}
