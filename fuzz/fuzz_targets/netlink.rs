//! The kernel's answers about interfaces.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| form_usage_events::fuzzing::netlink(data));
