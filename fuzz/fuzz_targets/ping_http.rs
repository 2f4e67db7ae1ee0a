//! What a server answers to `ping` over HTTP.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::http_reply(data));
