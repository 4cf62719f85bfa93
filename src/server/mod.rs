//! server

pub mod preflight;

use crate::config::Config;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {}

pub fn run(config: Config) -> Result<(), ServerError> {
    todo!()
}
