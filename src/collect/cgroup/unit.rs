//! The control group of a systemd unit.

use std::path::Path;

use super::walk::Levels;
use crate::collect::CollectError;

/// Units that have processes, and so a group.
const SUFFIXES: [&str; 5] = [".service", ".scope", ".slice", ".socket", ".mount"];

/// The path of the unit's group below `root`. systemd names groups as it names units, so no bus is needed.
pub(super) fn find(name: &str, root: &Path) -> Result<String, CollectError> {
    let name =
        if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) { name.to_owned() } else { format!("{name}.service") };
    if name.contains('/') || crate::collect::pattern::is_glob(&name) {
        return Err(CollectError(format!(
            "{name:?} is not the name of one unit; follow several with cgroup:system.slice/*.service"
        )));
    }
    if let Some((template, suffix)) = name.split_once("@.") {
        return Err(CollectError(format!(
            "{name:?} is a template, of which each instance has its own group; name one ({template}@x.{suffix}), \
             or follow all with cgroup:**/{template}@*.{suffix}"
        )));
    }
    // The name is taken as it is: escapes such as \x2d are in the folder's name too.
    let pattern = Levels::any_then(&name);
    let mut found: Vec<String> = pattern.walk(root, &mut |_| {}).groups.into_keys().collect();
    // A unit of the system goes before one of a user that has the same name.
    if found.len() > 1 {
        let of_system: Vec<&String> = found.iter().filter(|path| !path.contains("user@")).collect();
        if let [only] = of_system[..] {
            found = vec![only.clone()];
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(CollectError(format!(
            "the unit {name} has no control group: it does not run, or there is none of that name; look with: systemctl status {name}"
        ))),
        _ => Err(CollectError(format!(
            "there are several units {name}; say which with --scope cgroup:{}",
            found.join(" or cgroup:")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn units_are_found_wherever_they_are() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "system.slice/nginx.service",
            "system.slice/system-web.slice/web@1.service",
            r"system.slice/a\x2db.service",
            "system.slice/both.service",
            "user.slice/user-1.slice/user@1.service/app.slice/both.service",
            "user.slice/user-1.slice/user@1.service/app.slice/own.service",
            "user.slice/user-1.slice/user@1.service/app.slice/two.service",
            "user.slice/user-2.slice/user@2.service/app.slice/two.service",
        ] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        let find = |name: &str| find(name, root.path()).map_err(|error| error.to_string());
        assert_eq!(find("nginx").unwrap(), "system.slice/nginx.service");
        assert_eq!(find("web@1.service").unwrap(), "system.slice/system-web.slice/web@1.service");
        assert_eq!(find(r"a\x2db").unwrap(), r"system.slice/a\x2db.service");
        assert_eq!(find("own").unwrap(), "user.slice/user-1.slice/user@1.service/app.slice/own.service");
        assert_eq!(find("both").unwrap(), "system.slice/both.service");
        assert_eq!(find("system.slice").unwrap(), "system.slice");
        for (name, expected) in [
            ("nginy", "the unit nginy.service has no control group"),
            ("two", "several units two.service; say which with --scope cgroup:user.slice/user-1"),
            ("web@.service", "cgroup:**/web@*.service"),
            ("*.service", "follow several with cgroup:"),
        ] {
            let error = find(name).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
