//! HTTP replies: where they end, and what errors quote of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::http_framing(data));
