//! What a NATS server says to `ping`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::nats_server(data));
