//! Files of pages that browsers show, which are in the binary: as they are, and compressed when it was built.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::web::tag;

/// A file, at its path below its page's address.
pub struct Asset {
    pub path: &'static str,
    plain: &'static [u8],
    /// `None`: that would save next to nothing.
    gzip: Option<&'static [u8]>,
}

// `DEMO`, from `demo/dist`, and `DASHBOARD`, from `server/admin/dashboard`.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

pub const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// An asset in both its forms, each with its headers.
struct Forms {
    plain: Form,
    gzip: Option<Form>,
}

struct Form {
    bytes: &'static [u8],
    tag: String,
    headers: HeaderMap,
}

impl Asset {
    /// Its route. What the page may load and ask is in `policy`, a Content-Security-Policy.
    pub fn serve<S: Clone + Send + Sync + 'static>(&'static self, policy: &str) -> MethodRouter<S> {
        let answer = self.answer(policy);
        get(async move |headers: HeaderMap| answer(&headers))
    }

    /// Its answer to a request with these headers.
    pub fn answer(
        &'static self,
        policy: &str,
    ) -> impl Fn(&HeaderMap) -> Response + Clone + Send + Sync + use<> {
        let forms = Arc::new(self.forms(policy));
        move |headers| {
            let gzip = forms.gzip.as_ref().filter(|_| takes_gzip(headers));
            gzip.unwrap_or(&forms.plain).answer(headers)
        }
    }

    fn forms(&self, policy: &str) -> Forms {
        let hash = blake3::hash(self.plain).to_hex();
        let hash = &hash[..16];
        let kind = content_type(self.path);
        Forms {
            plain: Form::new(self.plain, format!("\"{hash}\""), kind, policy),
            gzip: self.gzip.map(|bytes| {
                // Another form of it has another tag.
                let mut form = Form::new(bytes, format!("\"{hash}-gzip\""), kind, policy);
                let gzip = HeaderValue::from_static("gzip");
                form.headers.insert(header::CONTENT_ENCODING, gzip);
                form
            }),
        }
    }
}

impl Form {
    fn new(bytes: &'static [u8], tag: String, kind: &str, policy: &str) -> Self {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::ETAG, &tag),
            // Names stay the same when what is in a file changes: a browser asks each time, and is told when it has it.
            (header::CACHE_CONTROL, "no-cache"),
            (header::VARY, "Accept-Encoding"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        let value = |text: &str| HeaderValue::from_str(text).expect("they are ours");
        let headers = headers.map(|(name, text): (HeaderName, &str)| (name, value(text)));
        Self {
            bytes,
            headers: HeaderMap::from_iter(headers),
            tag,
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut own = self.headers.clone();
        if tag::is_listed(headers, &self.tag) {
            own.remove(header::CONTENT_TYPE);
            own.remove(header::CONTENT_ENCODING);
            return (StatusCode::NOT_MODIFIED, own).into_response();
        }
        (own, self.bytes).into_response()
    }
}

/// Whether a caller takes gzip: it names it, or else `*`, with a weight above 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok());
    let weights: Vec<(&str, bool)> = codings
        .flat_map(|codings| codings.split(','))
        .map(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let weight = weight.trim().strip_prefix(['q', 'Q']);
            let weight = weight.and_then(|weight| weight.strip_prefix('=')?.parse::<f32>().ok());
            (name.trim(), weight.is_some_and(|weight| weight > 0.0))
        })
        .collect();
    let of = |wanted: &str| {
        let mut found = (weights.iter()).filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.next().map(|(_, is_wanted)| *is_wanted)
    };
    of("gzip").or_else(|| of("*")).unwrap_or(false)
}

fn content_type(path: &str) -> &'static str {
    let extension = path.rsplit('.').next().unwrap_or_default();
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => PLAIN_TEXT,
        _other => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn header_map(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_for_whoever_takes_it() {
        for (accepted, is_taken) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1, GZIP ; q=0.1", true),
            ("*", true),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("*;q=0, gzip", true),
            ("identity", false),
            ("gzip;q=0.000", false),
            ("gzip;q=nonsense", false),
            ("", false),
        ] {
            let headers = header_map(header::ACCEPT_ENCODING, accepted);
            assert_eq!(takes_gzip(&headers), is_taken, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_is_the_file() {
        assert!(DASHBOARD.iter().any(|asset| asset.gzip.is_some()));
        for asset in DASHBOARD.iter().chain(DEMO) {
            let Some(gzip) = asset.gzip else { continue };
            let mut found = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(gzip);
            decoder.read_to_end(&mut found).expect("it is gzip");
            assert!(found == asset.plain, "{}", asset.path);
            assert!(gzip.len() < asset.plain.len(), "{}", asset.path);
        }
    }

    #[test]
    fn each_form_has_a_tag_of_its_own() {
        let page = DASHBOARD.iter().find(|asset| asset.path == "index.html");
        let answer = page.expect("it is there").answer("default-src 'none'");
        let gzip = header_map(header::ACCEPT_ENCODING, "gzip");
        let (plain, packed) = (answer(&HeaderMap::new()), answer(&gzip));
        let tag = |response: &Response| response.headers()[header::ETAG].clone();
        assert_ne!(tag(&plain), tag(&packed));
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        for response in [&plain, &packed] {
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
        }
        let mut known = gzip;
        known.insert(header::IF_NONE_MATCH, tag(&packed));
        assert_eq!(answer(&known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer(&known).headers()[header::VARY], "Accept-Encoding");
        // It has the other form.
        known.insert(header::IF_NONE_MATCH, tag(&plain));
        assert_eq!(answer(&known).status(), StatusCode::OK);
    }
}
