//! Names of any bytes as text in ids.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::spelling(data));
