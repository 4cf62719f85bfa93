//! Unix times for people.

use std::fmt;

/// Milliseconds since 1970, in UTC; 0 is not known.
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("unknown");
        }
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = date(days);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, ms) = (ms / 1000 % 60, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03} UTC"
        )
    }
}

/// Year, month and day of a day since 1970. The years are counted from March, so that the leap day is the last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
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
