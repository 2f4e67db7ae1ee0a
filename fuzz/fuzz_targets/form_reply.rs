//! A Form queue's replies: to writes, and lists.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::form_reply(data));
