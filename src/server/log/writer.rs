//! The thread that writes lines, so that nobody who logs waits for whoever reads them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LOG_BYTES_MAX;

/// Beside its own bytes.
const LINE_OVERHEAD_BYTES: usize = 64;

/// Takes lines; a copy takes them for the same thread.
#[derive(Clone)]
pub struct Writer {
    lines: Sender<Vec<u8>>,
    state: Arc<State>,
}

/// Lines that nobody has read yet, and those that found no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub held_bytes: u64,
    /// Lines since the start.
    pub dropped: u64,
}

#[derive(Default)]
struct State {
    held_bytes: AtomicUsize,
    dropped: AtomicU64,
    /// Lines that are taken and not written.
    unwritten: Mutex<usize>,
    is_written: Condvar,
}

impl Writer {
    /// `sink` may take as long as it likes, and fail.
    ///
    /// # Panics
    ///
    /// If the system has no thread for it.
    pub fn start(sink: Box<dyn Write + Send>) -> Self {
        let (lines, lines_out) = unbounded();
        let state = Arc::<State>::default();
        let writer = Self {
            lines,
            state: Arc::clone(&state),
        };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&lines_out, &state, sink))
            .expect("a process that cannot have this thread can have no other");
        writer
    }

    /// Returns when everything that was taken is written, or the time is over.
    pub fn flush(&self, timeout: Duration) {
        let unwritten = self.state.unwritten();
        let is_written = &self.state.is_written;
        // Either way it is time to go on.
        let _ = is_written.wait_timeout_while(unwritten, timeout, |unwritten| *unwritten > 0);
    }

    pub fn usage(&self) -> Usage {
        Usage {
            held_bytes: self.state.held_bytes.load(Ordering::Relaxed) as u64,
            dropped: self.state.dropped.load(Ordering::Relaxed),
        }
    }

    fn take(&self, line: &[u8]) {
        let bytes = line.len() + LINE_OVERHEAD_BYTES;
        let state = &self.state;
        let add = |held: usize| Some(held + bytes).filter(|held| *held <= LOG_BYTES_MAX);
        let added = state
            .held_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if added.is_err() {
            state.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *state.unwritten() += 1;
        // The thread lives as long as the process.
        let _ = self.lines.send(line.to_vec());
    }
}

impl State {
    fn unwritten(&self) -> std::sync::MutexGuard<'_, usize> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, state: &State, mut sink: Box<dyn Write + Send>) {
    let mut told = 0;
    for line in lines {
        let _ = sink.write_all(&line);
        state
            .held_bytes
            .fetch_sub(line.len() + LINE_OVERHEAD_BYTES, Ordering::Relaxed);
        let dropped = state.dropped.load(Ordering::Relaxed);
        if dropped > told && state.held_bytes.load(Ordering::Relaxed) <= LOG_BYTES_MAX / 2 {
            let lines = dropped - told;
            told = dropped;
            tracing::warn!(
                lines,
                "the log was not read fast enough: lines are missing here"
            );
        }
        *state.unwritten() -= 1;
        state.is_written.notify_all();
    }
}

/// Each event is one write.
impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader who takes a line whenever it is let.
    struct Slow {
        lets: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.lets.recv().expect("the test lives");
            self.written.send(bytes.to_vec()).expect("the test lives");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_the_reader_and_what_does_not_fit_is_counted() {
        let (letting, lets) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let mut writer = Writer::start(Box::new(Slow { lets, written }));
        let line = [b'x'; 1000];
        let fitting = LOG_BYTES_MAX / (line.len() + LINE_OVERHEAD_BYTES);
        for _ in 0..fitting + 100 {
            assert_eq!(writer.write(&line).expect("it never fails"), 1000);
        }
        let full = Usage {
            held_bytes: (fitting * (line.len() + LINE_OVERHEAD_BYTES)) as u64,
            dropped: 100,
        };
        assert_eq!(writer.usage(), full);
        writer.flush(Duration::ZERO);
        for _ in 0..fitting {
            letting.send(()).expect("the writer lives");
            assert_eq!(lines.recv().expect("the writer lives"), line);
        }
        writer.flush(Duration::from_secs(60));
        assert_eq!(writer.usage().held_bytes, 0);
        writer.write_all(b"more").expect("it never fails");
        letting.send(()).expect("the writer lives");
        assert_eq!(lines.recv().expect("the writer lives"), b"more");
        assert_eq!(writer.usage().dropped, 100);
    }
}
