//! Destinations that are files. Nothing is made: what the first `publish` would make need not be there.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use super::step::{Problem, Step, Stopped, Trail};
use crate::files;

const FILE_EXPECTED: &str = "a file, or a folder to make it in";

/// `file:PATH`.
pub(super) async fn file_steps(trail: &mut Trail<'_>, path: &Path, write: bool) -> Result<(), Stopped> {
    access(trail, path).await?;
    if write {
        trail.skip(Step::Write, "a file has no topic for probes: whatever is written there is read as an event");
    } else {
        trail.skip(Step::Write, "nothing was written");
    }
    Ok(())
}

/// Whether the file is there and may be written, or could be made.
async fn access(trail: &mut Trail<'_>, path: &Path) -> Result<bool, Stopped> {
    let owned = path.to_owned();
    let measured = trail.measure(tokio::task::spawn_blocking(move || look(&owned))).await;
    let elapsed = measured.elapsed;
    let found = match measured.result {
        Some(Ok(found)) => found,
        Some(Err(error)) => Found::Fault(io::Error::other(error)),
        None => Found::Fault(io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer")),
    };
    let shown = path.display();
    let fix_folder = "make the folder (mkdir -p), or correct the path in the destination URL";
    match found {
        Found::Writable => {
            trail.ok(Step::File, elapsed, "the file is there");
            trail.ok(Step::Permission, elapsed, "the file may be written").elapsed = None;
            Ok(true)
        }
        Found::Absent => {
            trail.ok(Step::File, elapsed, "no file yet: the first publish makes it");
            trail.ok(Step::Permission, elapsed, "its folder may be written").elapsed = None;
            Ok(false)
        }
        Found::Folder => {
            let problem = Problem::new(format!("{shown} is a directory"), FILE_EXPECTED, "name a file in it");
            Err(trail.fail(Step::File, elapsed, problem))
        }
        Found::NoFolder => {
            let problem = Problem::new(format!("the folder of {shown} does not exist"), FILE_EXPECTED, fix_folder);
            Err(trail.fail(Step::File, elapsed, problem))
        }
        Found::Fault(error) => {
            let problem = Problem::new(format!("{shown} can't be looked at: {error}"), FILE_EXPECTED, fix_folder);
            Err(trail.fail(Step::File, elapsed, problem))
        }
        Found::Refused(what, error) => {
            trail.ok(Step::File, elapsed, format!("{what} is there"));
            let problem = Problem::new(
                format!("{what} can't be written: {error}"),
                "permission to write it",
                "run as the user who publishes, give that user the right (chown, chmod), and see that the disk is not mounted read-only",
            );
            Err(trail.fail(Step::Permission, elapsed, problem))
        }
    }
}

enum Found {
    Writable,
    Absent,
    Folder,
    NoFolder,
    Fault(io::Error),
    Refused(&'static str, io::Error),
}

fn look(path: &Path) -> Found {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Found::Folder,
        // To open a pipe would wait for its reader.
        Ok(metadata) if !metadata.is_file() => Found::Writable,
        Ok(_) => match files::open_output(path, OpenOptions::new().append(true)) {
            Ok(_) => Found::Writable,
            Err(error) => Found::Refused("the file", error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            match fs::metadata(folder) {
                Ok(metadata) if metadata.is_dir() => match may_make(folder) {
                    Ok(()) => Found::Absent,
                    Err(error) => Found::Refused("the folder", error),
                },
                Ok(_) => Found::NoFolder,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Found::NoFolder,
                Err(error) => Found::Fault(error),
            }
        }
        Err(error) => Found::Fault(error),
    }
}

/// Whether a file could be made in `folder`.
fn may_make(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Access, access};
        Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let read_only = fs::metadata(folder)?.permissions().readonly();
        if read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }
}

/// `sqlite:PATH`.
#[cfg(feature = "sqlite")]
pub(super) async fn sqlite_steps(trail: &mut Trail<'_>, path: &Path, probe: Option<&str>) -> Result<(), Stopped> {
    use super::form::PROBE_TOPIC;
    use crate::transport::{EventStore, StoreError};

    if !access(trail, path).await? {
        trail.skip(Step::Write, "there is no store yet");
        return Ok(());
    }
    let refused = |error: StoreError| {
        Problem::new(
            error.to_string(),
            "a store of formusage",
            "name another file, or keep this one and start anew under another name",
        )
    };
    let join = |error: tokio::task::JoinError| StoreError::NotOurs { path: path.to_owned(), what: error.to_string() };
    let late = || {
        let what = "is locked by another process, or the file system does not answer".to_owned();
        StoreError::NotOurs { path: path.to_owned(), what }
    };

    let owned = path.to_owned();
    let opened = trail.measure(tokio::task::spawn_blocking(move || EventStore::open_existing(&owned))).await;
    let elapsed = opened.elapsed;
    let mut store = match opened.result {
        Some(Ok(Ok(Some(store)))) => store,
        Some(Ok(Ok(None))) => {
            trail.ok(Step::Store, elapsed, "an empty file: the first publish makes it a store");
            trail.skip(Step::Write, "there is no store yet");
            return Ok(());
        }
        Some(Ok(Err(error))) => return Err(trail.fail(Step::Store, elapsed, refused(error))),
        Some(Err(error)) => return Err(trail.fail(Step::Store, elapsed, refused(join(error)))),
        None => return Err(trail.fail(Step::Store, elapsed, refused(late()))),
    };
    trail.ok(Step::Store, elapsed, "a store of formusage");
    let Some(probe) = probe else {
        trail.skip(Step::Write, "writes were not tried: --write tries one");
        return Ok(());
    };

    let topic = crate::transport::form::topic_hash(PROBE_TOPIC);
    let content = [&[0], probe.as_bytes()].concat();
    let (hash, message, now) = (topic.clone(), content.clone(), trail.clock.unix_seconds());
    let written = trail
        .measure(tokio::task::spawn_blocking(move || {
            let place = store.count(&hash)?.unwrap_or(0);
            store.append(&[(&hash, &message)], now).map(|_| (store, place))
        }))
        .await;
    let failed = |error: StoreError| {
        Problem::new(error.to_string(), "a write", "see the disk: room, health, and who else holds the file (fuser)")
    };
    let (store, place) = match written.result {
        Some(Ok(Ok(done))) => done,
        Some(Ok(Err(error))) => return Err(trail.fail(Step::Write, written.elapsed, failed(error))),
        Some(Err(error)) => return Err(trail.fail(Step::Write, written.elapsed, failed(join(error)))),
        None => return Err(trail.fail(Step::Write, written.elapsed, failed(late()))),
    };
    trail.ok(Step::Write, written.elapsed, format!("a probe in the topic {PROBE_TOPIC}"));
    let read = trail
        .measure(tokio::task::spawn_blocking(move || {
            let held = store.read(&topic, place, usize::MAX, usize::MAX)?;
            Ok(held.iter().any(|(_, held)| *held == content))
        }))
        .await;
    match read.result {
        Some(Ok(Ok(true))) => {
            trail.ok(Step::Read, read.elapsed, "the probe came back");
            Ok(())
        }
        Some(Ok(Err(error))) => Err(trail.fail(Step::Read, read.elapsed, failed(error))),
        _ => {
            let problem =
                Problem::new("the probe is not there", "the probe", "see the disk, and who else writes the file");
            Err(trail.fail(Step::Read, read.elapsed, problem))
        }
    }
}
