//! Fuzzing of requests: see [`crate::fuzzing`].

/// What a client of the queue sends: the body of a write, and the name of the host that it is for.
pub fn queue_request(bytes: &[u8]) {
    super::routes::fuzz_write(bytes);
    if let Ok(host) = std::str::from_utf8(bytes) {
        crate::http_server::fuzz_host(host);
    }
}
