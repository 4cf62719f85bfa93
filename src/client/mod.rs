//! client
pub mod text;
