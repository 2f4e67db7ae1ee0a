//! The configuration of `collect`, and the texts in it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::configuration(data));
