//! `corelay load` beside a relay, and the load that `benches/compare` makes.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod kill;
mod peers;
mod run;
mod scenarios;
mod trace;
