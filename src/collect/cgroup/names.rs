//! What people call a control group.

/// Digits of a container's id that its tools show.
const SHORT_ID: usize = 12;
const ID: usize = 64;

/// The name of the folder `folder`; of a container's, the short form of its id: `docker-<id>.scope`,
/// `libpod-<id>.scope`, `cri-containerd-<id>.scope`, `crio-<id>.scope` under systemd, `<id>` alone without.
pub(super) fn name(folder: &str) -> &str {
    let stem = folder.strip_suffix(".scope").unwrap_or(folder);
    // Kubernetes without systemd puts a colon behind the runtime's name.
    let id = stem.rsplit(['-', ':']).next().unwrap_or(stem);
    if id.len() == ID && id.bytes().all(|byte| byte.is_ascii_hexdigit()) { &id[..SHORT_ID] } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_have_short_ids() {
        let id = "0123456789abcdef".repeat(4);
        for folder in [
            format!("docker-{id}.scope"),
            format!("libpod-{id}.scope"),
            format!("cri-containerd-{id}.scope"),
            format!("crio-{id}.scope"),
            format!("cri-containerd:{id}"),
            id.clone(),
        ] {
            assert_eq!(name(&folder), "0123456789ab", "{folder}");
        }
        for folder in ["nginx.service", "user@1000.service", "session-2.scope", "docker-0123.scope", ""] {
            assert_eq!(name(folder), folder);
        }
    }
}
