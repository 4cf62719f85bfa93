//! The protocol, request by request: one shard (or two, with their lanes) driven through its face.

mod catch_up;
mod connection;
mod crowd;
mod documents;
mod end;
mod errors;
mod fixture;
mod flow;
mod inquiries;
mod join;
mod json;
mod life;
mod mesh;
mod offers;
mod operations;
mod order;
mod presence;
mod quotas;
mod rates;
mod refused;
mod requests;
mod scene;
mod stop;
mod tokens;
