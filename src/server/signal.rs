//! SIGTERM and SIGINT: the first asks for a planned stop, the second ends the process at once. SIGXFSZ is ignored:
//! a file that may not grow is a failed write, which the store answers for.

use crossbeam_channel::Sender;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ServerError;
use super::lifecycle::Report;

/// What shells give as the exit code of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// From here on the signals are reports.
pub fn watch(reports: Sender<Report>) -> Result<(), ServerError> {
    let system = |source| ServerError::System {
        what: "a thread for the signals",
        source,
    };
    // SAFETY: ignoring a signal runs no code of ours when it comes.
    let ignored = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    if ignored == libc::SIG_ERR {
        return Err(system(std::io::Error::last_os_error()));
    }
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(system)?;
    let watch = move || {
        let mut is_second = false;
        for _ in signals.forever() {
            if is_second {
                tracing::warn!("a second signal: ending at once");
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
