//! The kept states of thresholds.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::alert_file(data));
