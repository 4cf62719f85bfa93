//! load
pub mod trace;
