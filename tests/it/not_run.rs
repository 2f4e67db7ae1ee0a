//! Tests that a machine can't run: they never count as passed.

use std::io::Write as _;

/// Writes down that a test can't run on this machine, and why, where `tests/run` asked for it: it lists such tests
/// at its end, and takes them from the count of those that passed. Otherwise the test fails.
pub(crate) fn not_run(why: impl std::fmt::Display) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let Some(list) = std::env::var_os("FORMUSAGE_TEST_NOT_RUN") else {
        panic!("{test} can't run here: {why}; run it where it can, or let ./tests/run list it as NOT RUN");
    };
    let mut list = std::fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
    list.write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
}
