//! What the fuzz targets under `fuzz/` call: readers of bytes that servers, the kernel or files of this program give.
//!
//! Each function takes any bytes, and panics where a reader breaks a promise: by a panic, an overflow, or a result that
//! another reader of the same bytes contradicts. Ordinary tests run them over the seeds, so that these stay valid.

pub use crate::ping::fuzzing::{http_reply, nats_server};
pub use crate::transport::fuzzing::{form_reply, http_framing};

pub use crate::collect::fuzzing::{configuration, state};
#[cfg(target_os = "linux")]
pub use crate::collect::fuzzing::{kernel_text, netlink, spelling};
pub use crate::queue::fuzzing::queue_request;
pub use crate::threshold::fuzz_alert_file as alert_file;

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    /// The fuzz targets that call this module.
    const TARGETS: [Target; 8] = [
        ("form_reply", super::form_reply),
        ("http_framing", super::http_framing),
        ("ping_http", super::http_reply),
        ("ping_nats", super::nats_server),
        ("queue_request", super::queue_request),
        ("configuration", super::configuration),
        ("state", super::state),
        ("alert_file", super::alert_file),
    ];
    #[cfg(target_os = "linux")]
    const OF_LINUX: [Target; 3] =
        [("kernel_text", super::kernel_text), ("netlink", super::netlink), ("spelling", super::spelling)];
    #[cfg(not(target_os = "linux"))]
    const OF_LINUX: [Target; 0] = [];

    /// The seeds of a fuzz target. The published package has none.
    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
        let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        paths.sort_unstable();
        paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    #[test]
    fn seeds_of_fuzz_targets_keep_every_promise() {
        for (name, target) in TARGETS.into_iter().chain(OF_LINUX) {
            target(b"");
            seeds(name).iter().for_each(|seed| target(seed));
        }
    }

    /// What a fuzzer does, without its knowledge of the program: the same inputs in every run. More of them with
    /// `MUTATIONS=1000000 cargo test --lib fuzzing`.
    #[test]
    fn mutations_of_seeds_keep_every_promise() {
        let count = std::env::var("MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(3_000);
        for (name, target) in TARGETS.into_iter().chain(OF_LINUX) {
            let (seeds, mut random) = (seeds(name), fastrand::Rng::with_seed(7));
            for number in 0..if seeds.is_empty() { 0 } else { count } {
                let input = mutated(&seeds, &mut random);
                let outcome = std::panic::catch_unwind(|| target(&input));
                assert!(outcome.is_ok(), "{name}, input {number}: {}", input.escape_ascii());
            }
        }
    }

    /// A seed with up to five changes.
    fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
        const WORDS: [&str; 12] = [
            "0",
            "-1",
            "1e999",
            "18446744073709551615",
            "9223372036854775807",
            "%",
            "\r\n",
            "\u{202e}",
            "{",
            "]",
            "\"",
            "null",
        ];
        let mut input = random.choice(seeds).cloned().unwrap_or_default();
        for _ in 0..random.usize(1..=5) {
            let at = random.usize(0..=input.len());
            let end = random.usize(at..=input.len().min(at + 16));
            match random.u8(0..6) {
                0 => drop(input.splice(at..at, [random.u8(..)])),
                1 => drop(input.drain(at..end)),
                2 => drop(input.splice(at..end, random.choice(WORDS).unwrap_or_default().bytes())),
                3 => {
                    let part = input[at..end].to_vec();
                    drop(input.splice(at..at, part));
                }
                4 => {
                    let other = random.choice(seeds).map(Vec::as_slice).unwrap_or_default();
                    let from = random.usize(0..=other.len());
                    drop(input.splice(at.., other[from..].iter().copied()));
                }
                _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.u8(0..8)),
            }
        }
        input
    }
}
