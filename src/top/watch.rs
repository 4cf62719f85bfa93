//! The relay is asked again and again, by a thread of its own, so that one that does not answer holds up no key.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use crate::overview::{Change, Overview, overview};

/// So many of the slowest and the hottest.
const TOP: usize = 50;
/// Figures are of so long, in milliseconds.
const WINDOW_MS: u64 = 5000;
/// So many intervals are remembered, for the lines.
const REMEMBERED_MAX: usize = 300;

/// Two overviews, one interval apart.
///
/// # Errors
///
/// The relay does not answer, or not with an overview.
pub fn two(admin: &str, interval: Duration) -> io::Result<(Overview, Overview)> {
    let older = overview(admin, TOP)?;
    std::thread::sleep(interval);
    Ok((older, overview(admin, TOP)?))
}

/// What the relay says, or why it does not, once in an interval.
pub fn answers(admin: &str, interval: Duration) -> io::Result<Receiver<Result<Overview, String>>> {
    // One is enough: whoever shows them takes each at once.
    let (send, receive) = bounded(1);
    let admin = admin.to_owned();
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            loop {
                let answer = overview(&admin, TOP).map_err(|error| error.to_string());
                if send.send(answer).is_err() {
                    return;
                }
                std::thread::sleep(interval);
            }
        })?;
    Ok(receive)
}

/// What was heard of one run of the relay.
#[derive(Debug, Default)]
pub struct History {
    /// Newest last: as many as the figures need.
    recent: VecDeque<Overview>,
    /// What the relay did from each overview to the next, newest last.
    changes: VecDeque<Change>,
    /// Why it does not answer.
    pub silence: Option<String>,
}

impl History {
    pub fn take(&mut self, answer: Result<Overview, String>) {
        let overview = match answer {
            Ok(overview) => overview,
            Err(why) => {
                self.silence = Some(why);
                return;
            }
        };
        self.silence = None;
        if let Some(last) = self.recent.back() {
            match Change::between(last, &overview) {
                Some(change) => self.changes.push_back(change),
                // It has been restarted: its counters begin anew.
                None => self.recent.clear(),
            }
        }
        while self.changes.len() > REMEMBERED_MAX {
            self.changes.pop_front();
        }
        let now_ms = overview.time_ms;
        self.recent.push_back(overview);
        while self.recent.len() > 2 && now_ms - self.recent[1].time_ms >= WINDOW_MS {
            self.recent.pop_front();
        }
    }

    pub fn newest(&self) -> Option<&Overview> {
        self.recent.back()
    }

    /// What the relay did lately.
    pub fn change(&self) -> Option<Change> {
        Change::between(self.recent.front()?, self.recent.back()?)
    }

    /// Of the last intervals, oldest first.
    pub fn lately(&self, of: impl Fn(&Change) -> f64) -> Vec<u64> {
        self.changes
            .iter()
            .map(|change| of(change) as u64)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::example;

    fn overview(started_at_ms: u64, time_ms: u64) -> Overview {
        Overview {
            started_at_ms,
            ..example::overview(time_ms, Vec::new(), time_ms)
        }
    }

    #[test]
    fn figures_are_of_the_last_seconds_and_never_of_two_runs() {
        let mut history = History::default();
        assert!(history.change().is_none());
        for second in 1..=9 {
            history.take(Ok(overview(0, 1000 * second)));
        }
        let seconds = |history: &History| history.change().map(|change| change.seconds);
        assert_eq!(seconds(&history), Some(5.0));
        assert_eq!(
            history.lately(|change| change.commits_per_second),
            [1000; 8]
        );

        // It goes away, which changes nothing but that it is said, and is another when it comes back.
        history.take(Err("gone".to_owned()));
        assert_eq!(history.silence.as_deref(), Some("gone"));
        assert_eq!(seconds(&history), Some(5.0));
        history.take(Ok(overview(10_000, 11_000)));
        assert_eq!(history.silence, None);
        assert_eq!(seconds(&history), None);
        history.take(Ok(overview(10_000, 12_000)));
        assert_eq!(seconds(&history), Some(1.0));
    }
}
