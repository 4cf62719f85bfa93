//! Unix times for people.

use std::fmt;

use crate::codec::calendar::DateTime;

/// Milliseconds since 1970, in UTC; 0 is not known.
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("unknown");
        }
        f.write_str(&DateTime::of_unix_ms(self.0).text(" ", " UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_are_written_as_dates() {
        for (ms, expected) in [
            (0, "unknown"),
            (1, "1970-01-01 00:00:00.001 UTC"),
            (951_782_399_999, "2000-02-28 23:59:59.999 UTC"),
            (951_868_800_000, "2000-03-01 00:00:00.000 UTC"),
            (4_107_542_399_000, "2100-02-28 23:59:59.000 UTC"),
            (4_107_542_400_000, "2100-03-01 00:00:00.000 UTC"),
            (1_795_283_353_250, "2026-11-21 17:49:13.250 UTC"),
        ] {
            assert_eq!(Time(ms).to_string(), expected);
        }
        // Whatever stands in a record.
        assert!(Time(u64::MAX).to_string().starts_with("584556019"));
    }
}
