//! What users notice: the library as services embed it, and the binary as operators run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod check;
mod collect;
mod documents;
mod form_queue;
mod form_source;
mod metrics;
mod monitoring;
mod packaging;
mod publish;
mod publisher;
mod queue;
mod read;
mod support;
mod validate;
