//! Where state is kept unless said otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

/// The state directory: `$FORMUSAGE_STATE_DIR`, else `$STATE_DIRECTORY` (set by systemd), else
/// `$XDG_STATE_HOME/formusage`, else `/var/lib/formusage` for root, else `~/.local/state/formusage`. `None` where
/// there is not even a home.
pub(crate) fn state_dir() -> Option<PathBuf> {
    choose(|name| std::env::var_os(name), is_root())
}

/// Whether this process may look everywhere.
pub(crate) fn is_root() -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

fn choose(variable: impl Fn(&str) -> Option<OsString>, root: bool) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("FORMUSAGE_STATE_DIR")
        // systemd gives a list where a unit has several; ours comes first.
        .or_else(|| set("STATE_DIRECTORY").and_then(|list| std::env::split_paths(&list).next()))
        .or_else(|| set("XDG_STATE_HOME").map(|home| home.join("formusage")))
        .or_else(|| root.then(|| PathBuf::from("/var/lib/formusage")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/formusage")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_set_counts() {
        let all =
            [("FORMUSAGE_STATE_DIR", "/a"), ("STATE_DIRECTORY", "/b:/c"), ("XDG_STATE_HOME", "/d"), ("HOME", "/e")];
        let with = |from: usize, root| {
            let variable = |name: &str| all[from..].iter().find(|(it, _)| *it == name).map(|(_, value)| value.into());
            choose(variable, root)
        };
        let expected = ["/a", "/b", "/d/formusage", "/e/.local/state/formusage"];
        for (from, path) in expected.into_iter().enumerate() {
            assert_eq!(with(from, false), Some(path.into()));
        }
        assert_eq!(with(3, true), Some("/var/lib/formusage".into()));
        assert_eq!(with(4, false), None);
    }
}
