//! Whole numbers in requests, as large as they are exact in JavaScript.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

pub const WHOLE_MAX: u64 = (1 << 53) - 1;

/// From 0 to 2⁵³ - 1. In JSON `17.0` is the same number as `17`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Whole(pub u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a whole number from 0 to {WHOLE_MAX}")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                match number {
                    0..=WHOLE_MAX => Ok(Whole(number)),
                    _larger => Err(E::invalid_value(Unexpected::Unsigned(number), &self)),
                }
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                if number.fract() == 0.0 && (0.0..=WHOLE_MAX as f64).contains(&number) {
                    return Ok(Whole(number as u64));
                }
                Err(E::invalid_value(Unexpected::Float(number), &self))
            }
        }

        deserializer.deserialize_u64(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_exact_is_taken() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).ok().map(|it| it.0);
        for (text, number) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("17.0", Some(17)),
            ("1e3", Some(1000)),
            ("9007199254740991", Some(WHOLE_MAX)),
            ("9007199254740992", None),
            ("1e300", None),
            ("17.5", None),
            ("-1", None),
            ("-0.5", None),
            ("\"17\"", None),
            ("null", None),
        ] {
            assert_eq!(read(text), number, "{text}");
        }
    }
}
