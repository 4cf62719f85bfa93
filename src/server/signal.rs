//! SIGTERM and SIGINT: the first asks for a planned stop, the second ends the process at once. SIGHUP asks for a reload
//! of the configuration. SIGXFSZ is ignored: a file that may not grow is a failed write, which the store answers for.

use std::sync::Arc;

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::Notify;

use super::lifecycle::Report;
use super::{ServerError, log};

/// What shells give as the exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// From here on a reload that is asked for waits until there is something to reload.
pub fn hold_reloads() -> Result<Signals, ServerError> {
    Signals::new([SIGHUP]).map_err(system)
}

/// From here on those that end the process are reports, and whoever reloads is told when that is wanted.
pub fn watch(
    mut signals: Signals,
    reports: Sender<Report>,
    reload: Arc<Notify>,
) -> Result<(), ServerError> {
    // SAFETY: ignoring a signal runs no code of ours when it comes.
    let ignored = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    if ignored == libc::SIG_ERR {
        return Err(system(std::io::Error::last_os_error()));
    }
    for signal in [SIGTERM, SIGINT] {
        signals.add_signal(signal).map_err(system)?;
    }
    let watch = move || {
        let mut is_second = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                reload.notify_one();
                continue;
            }
            if is_second {
                tracing::warn!("a second signal: ending at once");
                log::flush();
                std::process::exit(INTERRUPTED);
            }
            is_second = true;
            let _ = reports.send(Report::Signal);
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(system)
}

fn system(source: std::io::Error) -> ServerError {
    ServerError::System {
        what: "a thread for the signals",
        source,
    }
}
