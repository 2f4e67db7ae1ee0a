//! What users notice: the library as services embed it, and the binary as operators run it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod accept;
mod action;
mod advance;
mod agreement;
mod alert_delivery;
mod alerts;
mod api_package;
mod channels;
mod check;
mod check_channels;
mod ci;
mod cloudevents;
mod cloudevents_setup;
mod codes;
mod collect;
#[cfg(target_os = "linux")]
mod collect_cgroups;
mod collect_output;
#[cfg(target_os = "linux")]
mod collect_overlap;
mod collect_state;
mod concurrency;
mod continuity;
#[cfg(target_os = "linux")]
mod control_group;
mod documents;
mod documents_in_place_of_lines;
mod event_service;
#[cfg(target_os = "linux")]
mod exact;
mod faults;
mod form_queue;
mod form_source;
mod formats;
#[cfg(target_os = "linux")]
mod hostile;
mod identity;
mod implausible;
mod large;
mod metrics;
mod monitoring;
mod names;
mod nats;
mod nats_server;
mod not_run;
mod open_files;
mod operator;
mod overlap;
mod packaging;
mod ping;
mod proxies;
mod publish;
mod publisher;
mod queue;
mod read;
mod read_ahead;
mod reconcile;
mod refusals;
mod reload;
mod repeats;
mod report;
#[cfg(target_os = "linux")]
mod scope_network;
#[cfg(target_os = "linux")]
mod scopes;
mod settings;
mod spool;
mod support;
mod tables;
mod thresholds;
#[cfg(target_os = "linux")]
mod unwritable_log;
mod validate;
mod validate_channels;
#[cfg(target_os = "linux")]
mod watch;
