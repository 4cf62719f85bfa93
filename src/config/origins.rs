//! Which web pages may connect.

use super::unit::Unit;

/// The origins whose pages may open a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origins {
    #[default]
    Any,
    /// Each as a browser writes it: a scheme, a host and, where it is not the scheme's own, a port.
    Listed(Vec<String>),
}

impl Origins {
    /// Whether a page of this origin may. Browsers write origins in small letters.
    pub fn allow(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(origins) => origins.iter().any(|listed| listed.as_bytes() == origin),
        }
    }
}

/// A list of origins, or `"*"`.
pub(super) struct OriginList;

impl Unit<Origins> for OriginList {
    fn name(&self) -> &'static str {
        "origins"
    }

    fn range(&self) -> String {
        "\"*\", or origins as in \"https://app.example, http://localhost:3000\", with commas between them".to_owned()
    }

    fn parse(&self, text: &str) -> Result<Origins, String> {
        if text == "*" {
            return Ok(Origins::Any);
        }
        let origin = |item: &str| origin(item.trim());
        let listed = text.split(',').map(origin).collect::<Result<_, _>>();
        listed.map(Origins::Listed)
    }

    fn show(&self, value: &Origins) -> String {
        match value {
            Origins::Any => "*".to_owned(),
            Origins::Listed(origins) => origins.join(", "),
        }
    }
}

fn origin(text: &str) -> Result<String, String> {
    let Some((scheme, host)) = text.split_once("://") else {
        return Err(format!("{text:?} has no scheme; write \"https://{text}\""));
    };
    if let Some((host, _)) = host.split_once('/') {
        return Err(format!(
            "an origin has no path; write \"{scheme}://{host}\""
        ));
    }
    let is_plain =
        |character: char| character.is_ascii_graphic() && !matches!(character, '*' | '"' | '\\');
    if scheme.is_empty() || host.is_empty() || !text.chars().all(is_plain) {
        return Err(format!("{text:?} is no origin"));
    }
    let standard_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _other => "",
    };
    let shortest = text.strip_suffix(standard_port).unwrap_or(text);
    Ok(shortest.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_listed_origins_may_connect() {
        let origins = OriginList.parse("https://App.example , http://localhost:3000,https://b:443");
        let origins = origins.unwrap();
        for allowed in ["https://app.example", "http://localhost:3000", "https://b"] {
            assert!(origins.allow(allowed.as_bytes()), "{allowed}");
        }
        for refused in [
            "https://app.example.org",
            "http://app.example",
            "http://localhost",
            "null",
            "",
            "*",
        ] {
            assert!(!origins.allow(refused.as_bytes()), "{refused}");
        }
        assert_eq!(OriginList.parse(&OriginList.show(&origins)), Ok(origins));
        assert!(OriginList.parse("*").unwrap().allow(b"null"));
    }

    #[test]
    fn what_is_no_origin_is_refused_in_words() {
        for (text, words) in [
            ("", "no scheme"),
            ("app.example", "write \"https://app.example\""),
            ("https://app.example/", "write \"https://app.example\""),
            ("https://a, *", "no scheme"),
            ("https://*.example", "is no origin"),
            ("https://", "is no origin"),
            ("https://a b", "is no origin"),
        ] {
            let reason = OriginList.parse(text).unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
    }
}
