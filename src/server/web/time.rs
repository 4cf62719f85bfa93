//! Points in time in requests.

use std::borrow::Cow;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::{
    KnownFormat, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat, Type,
};

use super::whole::WHOLE_MAX;

/// Milliseconds since 1970. What was before that is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub u64);

const WORDS: &str =
    "a time is milliseconds since 1970, or as RFC 3339 has it, such as 2026-11-21T18:00:00Z";

impl Time {
    /// How it is described.
    pub fn schema() -> RefOr<Schema> {
        let milliseconds = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(WHOLE_MAX));
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        OneOfBuilder::new().item(milliseconds).item(text).into()
    }
}

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let milliseconds = text.parse().ok().filter(|number| *number <= WHOLE_MAX);
            return milliseconds.map(Self).ok_or(WORDS);
        }
        let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
        // In a query that is not encoded the + of an offset is a space.
        let at = parse(text).or_else(|| {
            let (time, offset) = text.rsplit_once(' ')?;
            parse(&format!("{time}+{offset}"))
        });
        let milliseconds = at.ok_or(WORDS)?.unix_timestamp_nanos() / 1_000_000;
        Ok(Self(u64::try_from(milliseconds).unwrap_or(0)))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_milliseconds_or_as_rfc_3339_has_it() {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        for (text, milliseconds) in [
            ("0", Some(0)),
            ("1700000000123", Some(1_700_000_000_123)),
            ("9007199254740991", Some(WHOLE_MAX)),
            ("9007199254740992", None),
            ("99999999999999999999999", None),
            ("1970-01-02T00:00:00Z", Some(DAY_MS)),
            ("1970-01-02T00:00:00.5z", Some(DAY_MS + 500)),
            ("1970-01-02T01:30:00+01:30", Some(DAY_MS)),
            ("1970-01-02T01:30:00 01:30", Some(DAY_MS)),
            ("1970-01-01T22:00:00-02:00", Some(DAY_MS)),
            ("1969-12-31T23:59:59Z", Some(0)),
            ("1970-01-02", None),
            ("1970-02-30T00:00:00Z", None),
            ("yesterday", None),
            ("-1", None),
            ("", None),
        ] {
            let read = text.parse().ok().map(|Time(milliseconds)| milliseconds);
            assert_eq!(read, milliseconds, "{text}");
        }
    }
}
