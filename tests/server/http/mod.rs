//! The HTTP interface under `/v1/`.

mod content;
mod documents;
mod history;
mod limits;
mod stop;
mod who;
