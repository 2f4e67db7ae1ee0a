//! Texts of `/proc` and of control groups.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::kernel_text(data));
