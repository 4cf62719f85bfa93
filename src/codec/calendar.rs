//! Unix times as dates, in UTC.

/// What clock and calendar show at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime {
    year: u64,
    /// From 1 on, as `day`.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

impl DateTime {
    /// Of any number of milliseconds since 1970.
    pub fn of_unix_ms(unix_ms: u64) -> Self {
        let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
        // Years that begin with March, in cycles of 400 years of 146,097 days (Howard Hinnant's days_from_civil, turned
        // round).
        let day = days + 719_468;
        let (cycle, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self {
            year: cycle * 400 + year + u64::from(month <= 2),
            month,
            day,
            hour: ms / 3_600_000,
            minute: ms / 60_000 % 60,
            second: ms / 1000 % 60,
            millisecond: ms % 1000,
        }
    }

    /// Date and time of day in ISO 8601's order, with these between and after them.
    pub fn text(&self, between: &str, after: &str) -> String {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            millisecond,
        } = self;
        format!(
            "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}.{millisecond:03}{after}"
        )
    }
}
