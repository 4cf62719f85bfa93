//! `corelay store backup`: by the relay that has the store open, or here if none has.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::json;

use super::ToolError;
use crate::config::Config;
use crate::overview::{self, Patience, shown};
use crate::store::{self, Backup, BackupPlan, StoreError};

const PATIENCE: Patience = Patience {
    connect_timeout: Duration::from_secs(5),
    answer_timeout: None,
    answer_bytes_max: 64 * 1024,
};

/// Makes a backup in the absolute path `to`.
pub fn back_up(path: &Path, to: &Path, config: &Config) -> Result<Backup, ToolError> {
    match store::open_to_read(path) {
        Ok(store) => {
            let plan = BackupPlan {
                to: to.to_owned(),
                bytes_per_second: None,
                free_bytes_min: config.store.backup_free_bytes_min as u64,
            };
            Ok(store.reader.back_up(&plan, &AtomicBool::new(false))?)
        }
        Err(StoreError::InUse { path }) => match config.listen.admin {
            Some(address) => ask(address, to),
            // Nobody can be asked.
            None => Err(StoreError::InUse { path }.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// Asks a relay to make it, and waits until it is there.
fn ask(address: SocketAddr, to: &Path) -> Result<Backup, ToolError> {
    let refused = |reason: String| ToolError::Relay {
        address: address.to_string(),
        reason,
    };
    let to = to.to_str();
    let to = to.ok_or_else(|| refused("the directory has a name that is no text".to_owned()))?;
    let request = json!({ "to": to }).to_string();
    let answer = overview::ask(address, "/backup", Some(&request), &PATIENCE);
    let answer = answer.map_err(|error| {
        refused(format!(
            "{error}. A relay has the store open, and is asked at its listen.admin: name its --config, or --set listen.admin=ADDRESS"
        ))
    })?;
    let body = answer.body.trim();
    match &*answer.status {
        "200" => serde_json::from_str(body).map_err(|error| refused(error.to_string())),
        _ if !body.is_empty() => Err(refused(shown(body))),
        _ => Err(refused("it has ended without an answer".to_owned())),
    }
}
