//! The control group of a systemd unit.

use std::path::Path;

use crate::collect::CollectError;

/// Units that have processes, and so a group.
const SUFFIXES: [&str; 5] = [".service", ".scope", ".slice", ".socket", ".mount"];

/// The whole name of the unit that people call `name`.
///
/// # Errors
/// Where that is no name of one unit.
pub(super) fn full_name(name: &str) -> Result<String, CollectError> {
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
    Ok(name)
}

/// The path of the group of the unit with this whole name, below `root`. systemd names groups as it names units, so no bus
/// is needed.
///
/// # Errors
/// Where it does not run, or where there are several of that name.
pub(super) fn find(name: &str, root: &Path) -> Result<String, CollectError> {
    let places = placed(name, root);
    match &places[..] {
        [only] => Ok(only.clone()),
        [] => Err(CollectError(format!(
            "the unit {name} has no control group: it does not run, or there is none of that name; look with: systemctl \
             status {name}. Units of users' managers are metered with cgroup:PATH; see systemd-cgls"
        ))),
        several => Err(CollectError(format!(
            "there are several units {name}; say which with --scope cgroup:{}",
            several.join(" or cgroup:")
        ))),
    }
}

/// Where the service manager puts the unit: in a slice of its own, each of which is in the slice that its name says. What
/// lies below a service or a scope was made by whoever that group was given to, whatever it is called, and is no unit. Of
/// the users' managers that of this process's user alone is heeded.
fn placed(name: &str, root: &Path) -> Vec<String> {
    let found = in_slices(name, root, "");
    if !found.is_empty() {
        return found;
    }
    let user = rustix::process::geteuid().as_raw();
    let manager = format!("user.slice/user-{user}.slice/user@{user}.service");
    in_slices(name, &root.join(&manager), &format!("{manager}/"))
}

/// The places of the unit in the slices below `root`, each behind `prefix`.
fn in_slices(name: &str, root: &Path, prefix: &str) -> Vec<String> {
    let (mut found, mut slices) = (Vec::new(), vec![String::new()]);
    while let Some(slice) = slices.pop() {
        let folder = root.join(&slice);
        let path = if slice.is_empty() { name.to_owned() } else { format!("{slice}/{name}") };
        let is_placed = !name.ends_with(".slice") || is_slice_of(name, &slice);
        if is_placed && folder.join(name).symlink_metadata().is_ok_and(|data| data.is_dir()) {
            found.push(format!("{prefix}{path}"));
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        for below in folders.filter_map(|entry| entry.file_name().into_string().ok()) {
            if is_slice_of(&below, &slice) {
                slices.push(if slice.is_empty() { below } else { format!("{slice}/{below}") });
            }
        }
    }
    found.sort_unstable();
    found
}

/// Whether the slice `name` belongs into the slice at `path`: `a-b.slice` into `a.slice`, `a.slice` to the top.
fn is_slice_of(name: &str, path: &str) -> bool {
    let Some(stem) = name.strip_suffix(".slice") else { return false };
    let above = stem.rsplit_once('-').map_or("", |(above, _)| above);
    let holder = path.rsplit('/').next().unwrap_or_default();
    holder.strip_suffix(".slice").unwrap_or_default() == above
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn units_are_found_where_the_service_manager_puts_them() {
        let root = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let manager = format!("user.slice/user-{user}.slice/user@{user}.service");
        for path in [
            "system.slice/nginx.service",
            "system.slice/system-web.slice/web@1.service",
            r"system.slice/a\x2db.service",
            "system.slice/both.service",
            "USER/app.slice/both.service",
            "USER/app.slice/app-x.slice/own.service",
            // Those whom a group was given to make what they like in it.
            "system.slice/own.service/nginx.service",
            "system.slice/own.service/system.slice/nginx.service",
            "system.slice/own.service/fake.service",
            "user.slice/user-1.slice/user@1.service/app.slice/theirs.service",
            "user.slice/user-1.slice/user@1.service/app.slice/nginx.service",
            "system.slice/b.slice",
            "system.slice/two.service",
            "machine.slice/two.service",
        ] {
            fs::create_dir_all(root.path().join(path.replace("USER", &manager))).unwrap();
        }
        let find = |name: &str| {
            let found = full_name(name).and_then(|name| find(&name, root.path()));
            found.map_err(|error| error.to_string())
        };
        assert_eq!(find("nginx").unwrap(), "system.slice/nginx.service");
        assert_eq!(find("web@1.service").unwrap(), "system.slice/system-web.slice/web@1.service");
        assert_eq!(find(r"a\x2db").unwrap(), r"system.slice/a\x2db.service");
        assert_eq!(find("system-web.slice").unwrap(), "system.slice/system-web.slice");
        fs::remove_dir(root.path().join("system.slice/own.service/nginx.service")).unwrap();
        fs::remove_dir_all(root.path().join("system.slice/own.service")).unwrap();
        assert_eq!(find("own").unwrap(), format!("{manager}/app.slice/app-x.slice/own.service"));
        assert_eq!(find("both").unwrap(), "system.slice/both.service");
        assert_eq!(find("system.slice").unwrap(), "system.slice");
        for (name, expected) in [
            ("nginy", "the unit nginy.service has no control group"),
            ("fake", "the unit fake.service has no control group"),
            ("theirs", "metered with cgroup:PATH"),
            ("b.slice", "has no control group"),
            ("two", "several units two.service; say which with --scope cgroup:machine.slice/two.service"),
            ("web@.service", "cgroup:**/web@*.service"),
            ("*.service", "follow several with cgroup:"),
        ] {
            let error = find(name).unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
