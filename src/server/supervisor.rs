//! What the main thread does while the others work: it waits for a reason to stop, and sees the stop through.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::lifecycle::{Lifecycle, Phase, Report};
use super::{ServerError, service_manager};
use crate::config::Shutdown;

/// What the rest of a stop may take, when the sockets are closed: the store finishes what it has.
pub const REST_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns when all shards run. A signal that comes meanwhile is reported again afterwards.
pub fn await_start(
    incoming: &Receiver<Report>,
    shards: usize,
    reports: &Sender<Report>,
) -> Result<(), ServerError> {
    let mut started = 0;
    let mut is_unwanted = false;
    while started < shards {
        match incoming.recv() {
            Ok(Report::Started) => started += 1,
            Ok(Report::Signal) => is_unwanted = true,
            Ok(Report::NotStarted(error)) => return Err(error),
            Ok(Report::StoreFailed { reason }) => return Err(ServerError::StoreFailed { reason }),
            Ok(Report::Finished | Report::Shutdown(_)) | Err(_) => {
                unreachable!("nothing finishes before it is told to")
            }
        }
    }
    if is_unwanted {
        let _ = reports.send(Report::Signal);
    }
    Ok(())
}

/// Waits for the reason to stop, and sees that everything taken is finished. Returns when the shards leave.
pub fn supervise(
    incoming: &Receiver<Report>,
    lifecycle: &Lifecycle,
    mut shutdown: Shutdown,
) -> Result<(), ServerError> {
    let mut deadline: Option<Instant> = None;
    while lifecycle.phase() != Phase::Leaving {
        let report = match deadline {
            None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => incoming.recv_deadline(deadline),
        };
        match report {
            Ok(Report::Signal) => match shutdown.pause {
                Some(pause) => {
                    tracing::info!("stopping soon: load balancers are told first");
                    service_manager::tell_of_stop(pause + shutdown.timeout + REST_TIMEOUT);
                    deadline = Some(Instant::now() + pause);
                    lifecycle.advance(Phase::Announced);
                }
                None => deadline = Some(drain(lifecycle, &shutdown)),
            },
            Ok(Report::Shutdown(newer)) => shutdown = newer,
            Ok(Report::Finished) if lifecycle.all_finished() => {
                lifecycle.advance(match lifecycle.phase() {
                    Phase::Serving | Phase::Announced | Phase::Draining => Phase::Closing,
                    Phase::Closing | Phase::Leaving => Phase::Leaving,
                });
            }
            Ok(Report::Started | Report::Finished) => {}
            Ok(Report::NotStarted(error)) => return Err(error),
            Ok(Report::StoreFailed { reason }) => return Err(ServerError::StoreFailed { reason }),
            Err(RecvTimeoutError::Timeout) if lifecycle.phase() == Phase::Announced => {
                deadline = Some(drain(lifecycle, &shutdown));
            }
            Err(RecvTimeoutError::Timeout) => {
                tracing::warn!("some clients did not take what they were owed in time");
                lifecycle.advance(Phase::Leaving);
            }
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the signals' thread has a sender for as long as the process lives")
            }
        }
    }
    Ok(())
}

/// Returns when the sockets are closed all the same.
fn drain(lifecycle: &Lifecycle, shutdown: &Shutdown) -> Instant {
    tracing::info!("stopping: everything that was taken is finished first");
    service_manager::tell("STOPPING=1");
    service_manager::tell_of_stop(shutdown.timeout + REST_TIMEOUT);
    lifecycle.advance(Phase::Draining);
    Instant::now() + shutdown.timeout
}
