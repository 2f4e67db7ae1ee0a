//! What clients send to the queue: writes, and names of hosts.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::queue_request(data));
