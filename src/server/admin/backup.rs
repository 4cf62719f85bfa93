//! `POST /backup`: a backup of the store, made by a thread of its own beside everything else.
//!
//! It is asked for as `{"to": DIRECTORY}`, from this host only, because whoever asks lets the relay write where they say,
//! and is answered when all of it is on disk. Who does not wait for the answer gives the backup up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{Admin, json, read_json, refusal};
use crate::config;
use crate::store::{Backup, BackupError, BackupPlan, FjallReader};

/// The thread's, and of those that it starts: it is in nobody's way.
const NICENESS: i32 = 19;

/// What backups are made from, one at a time.
pub struct Backups {
    reader: FjallReader,
    bytes_per_second: u64,
    free_bytes_min: u64,
    is_busy: AtomicBool,
}

impl Backups {
    pub fn new(reader: FjallReader, config: &config::Store) -> Self {
        Self {
            reader,
            bytes_per_second: config.backup_bytes_per_second as u64,
            free_bytes_min: config.backup_free_bytes_min as u64,
            is_busy: AtomicBool::new(false),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    to: PathBuf,
}

pub async fn backup(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(asker): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !asker.ip().to_canonical().is_loopback() {
        let problem = "backups are made for this host only";
        return refusal(StatusCode::FORBIDDEN, problem);
    }
    let to = match read_json(&headers, &body) {
        Ok(Asked { to }) if is_place(&to) => to,
        Ok(_) => {
            let problem = "name an absolute path without control characters";
            return refusal(StatusCode::BAD_REQUEST, problem);
        }
        Err(answer) => return *answer,
    };
    let backups = Arc::clone(&admin.relay().backups);
    if backups.is_busy.swap(true, Ordering::AcqRel) {
        let problem = "another backup is being made";
        return refusal(StatusCode::CONFLICT, problem);
    }
    let shown = to.display().to_string();
    tracing::info!("a backup is made in {shown}");
    let waiting = Waiting::default();
    let made = match start(backups, to, Arc::clone(&waiting.is_given_up)) {
        Ok(made) => made.await,
        Err(error) => {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
        }
    };
    match made.expect("the thread answers, or the process ends") {
        Ok(made) => {
            let Backup {
                documents,
                operations,
                bytes,
            } = made;
            tracing::info!(documents, operations, bytes, "a backup is in {shown}");
            json(&made)
        }
        Err(error) => {
            tracing::error!("no backup in {shown}: {error}");
            let status = match &error {
                BackupError::Exists { .. }
                | BackupError::NotOurs { .. }
                | BackupError::Inside { .. } => StatusCode::CONFLICT,
                BackupError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
                BackupError::NotWritten { .. } | BackupError::NotRead(_) | BackupError::GivenUp => {
                    StatusCode::INTERNAL_SERVER_ERROR
                }
            };
            refusal(status, &error.to_string())
        }
    }
}

/// The log shows it as it is.
fn is_place(path: &Path) -> bool {
    path.is_absolute() && !path.display().to_string().contains(char::is_control)
}

/// Somebody waits for a backup, until this is dropped.
#[derive(Default)]
struct Waiting {
    is_given_up: Arc<AtomicBool>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// Begins a backup. Others can be made when it has ended.
fn start(
    backups: Arc<Backups>,
    to: PathBuf,
    is_given_up: Arc<AtomicBool>,
) -> std::io::Result<oneshot::Receiver<Result<Backup, BackupError>>> {
    let (answer, answered) = oneshot::channel();
    let plan = BackupPlan {
        to,
        bytes_per_second: Some(backups.bytes_per_second),
        free_bytes_min: backups.free_bytes_min,
    };
    let making = Arc::clone(&backups);
    let make = move || {
        // Without it a backup only takes more of what others could have.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let made = making.reader.back_up(&plan, &is_given_up);
        making.is_busy.store(false, Ordering::Release);
        if let Err(Err(BackupError::GivenUp)) = answer.send(made) {
            tracing::warn!("the backup in {} was given up", plan.to.display());
        }
    };
    let thread = std::thread::Builder::new().name("backup".to_owned());
    if let Err(error) = thread.spawn(make) {
        backups.is_busy.store(false, Ordering::Release);
        return Err(error);
    }
    Ok(answered)
}
