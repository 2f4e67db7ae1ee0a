//! What the fuzz targets under `fuzz/` call: readers of bytes that servers, the kernel or files of this program give.
//!
//! Each function takes any bytes, and panics where a reader breaks a promise: by a panic, an overflow, or a result that
//! another reader of the same bytes contradicts. An ordinary test runs them over the seeds, so that these stay valid.

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

    /// Runs `target` over the seeds of the fuzz target `name`. The published package has no seeds.
    fn run_over_seeds(name: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        target(b"");
        let Ok(seeds) = std::fs::read_dir(folder) else { return };
        for seed in seeds {
            target(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn seeds_of_fuzz_targets_keep_every_promise() {
        run_over_seeds("form_reply", super::form_reply);
        run_over_seeds("http_framing", super::http_framing);
        run_over_seeds("ping_http", super::http_reply);
        run_over_seeds("ping_nats", super::nats_server);
        run_over_seeds("queue_request", super::queue_request);
        run_over_seeds("configuration", super::configuration);
        run_over_seeds("state", super::state);
        run_over_seeds("alert_file", super::alert_file);
        #[cfg(target_os = "linux")]
        {
            run_over_seeds("kernel_text", super::kernel_text);
            run_over_seeds("netlink", super::netlink);
            run_over_seeds("spelling", super::spelling);
        }
    }
}
