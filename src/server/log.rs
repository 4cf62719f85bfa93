//! Where the log goes: standard error, in the configured format. Standard output has only what scripts read.

use tracing_subscriber::EnvFilter;

use super::ServerError;
use crate::config::{Log, LogFormat};

/// From here on the process logs. A subscriber that is there already stays.
pub fn start(config: &Log) -> Result<(), ServerError> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| ServerError::LogFilter {
        reason: error.to_string(),
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let _ = match config.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    Ok(())
}
