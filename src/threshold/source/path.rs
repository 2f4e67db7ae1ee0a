//! Thresholds in a file, or in the `*.json` files of a folder.
//!
//! In a folder, subfolders and names that start with a dot are left alone, so that a mounted volume's bookkeeping and an
//! editor's backups are not read; files are read in the order of their names. Files with channels or with tests of
//! thresholds may stand among them, and are left alone.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::text::Texts;
use super::{Loaded, MAX_FILE_BYTES, SourceError};
use crate::limited_read::read_limited;
use crate::validate::other_document;

/// What tells one state of the files from another, without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature(Vec<(PathBuf, Option<FileState>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    bytes: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

/// The state of what is at `path` now. A file that is not there has one too.
pub(super) fn signature(path: &Path) -> Signature {
    let files = if path.is_dir() { files_in(path).unwrap_or_default() } else { vec![path.to_owned()] };
    let state = |file: PathBuf| {
        let state = |it: Metadata| FileState { bytes: it.len(), modified: it.modified().ok(), inode: inode(&it) };
        let state = file.metadata().ok().map(state);
        (file, state)
    };
    Signature(files.into_iter().map(state).collect())
}

/// A file that was put in the place of another may have its time and its length.
fn inode(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    return u64::from(metadata.is_dir());
}

/// Reads and validates all of it. Blocks on the file system.
pub(super) fn load(path: &Path) -> Result<Loaded, SourceError> {
    let is_folder = path.is_dir();
    let files = if is_folder { files_in(path)? } else { vec![path.to_owned()] };
    let mut texts = Texts::default();
    let mut others = 0;
    for file in &files {
        match read_limited(file, MAX_FILE_BYTES) {
            // What `validate FOLDER` takes side by side, this does too.
            Ok(text) if is_folder && other_document(&text).is_some() => others += 1,
            Ok(text) => texts.add(&file.display().to_string(), &text),
            Err(error) => texts.unreadable(unreadable(file, &error)),
        }
    }
    if others == files.len() {
        return Err(SourceError::one(format!(
            "the folder {} holds channels or tests of thresholds, and no threshold; put one there or name another folder",
            path.display()
        )));
    }
    texts.finish()
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |error: io::Error| SourceError::one(format!("can't read the folder {}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A link that leads nowhere counts, so that it is reported; a subfolder or a pipe of that name does not.
        let readable = path.metadata().map_or(true, |metadata| metadata.is_file());
        if !hidden && readable && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(SourceError::one(format!(
            "the folder {} holds no *.json file, and so no threshold; put one there or name another folder",
            folder.display()
        )));
    }
    files.sort();
    Ok(files)
}

fn unreadable(file: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; check its permissions",
        _ => "",
    };
    format!("can't read thresholds from {}: {error}{hint}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CPU: &str = r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Log","user_id":"*"}"#;

    fn load(path: &Path) -> Result<Vec<String>, SourceError> {
        let loaded = super::load(path)?;
        Ok(loaded.configs.into_iter().map(|config| config.id).collect())
    }

    #[test]
    fn a_file_holds_one_threshold_or_several() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        fs::write(&file, CPU).unwrap();
        assert_eq!(load(&file).unwrap(), ["cpu"]);
        fs::write(&file, format!("\u{feff} [{CPU},\n{}]\n", CPU.replace("\"cpu\"", "\"b\""))).unwrap();
        assert_eq!(load(&file).unwrap(), ["cpu", "b"]);
    }

    #[test]
    fn a_folder_is_read_by_name_without_hidden_and_foreign_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", ".hidden.json", "notes.txt", "a.json~"] {
            fs::write(folder.path().join(name), CPU.replace("\"cpu\"", &format!("\"{name}\""))).unwrap();
        }
        fs::create_dir(folder.path().join("folder.json")).unwrap();
        assert_eq!(load(folder.path()).unwrap(), ["a.json", "b.json"]);
    }

    #[test]
    fn channels_and_tests_may_stand_beside_thresholds() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("channels.json"), r#"{"channels":{}}"#).unwrap();
        fs::write(folder.path().join("tests.json"), r#"{"threshold_files":["a.json"],"cases":[]}"#).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("no threshold"));
        fs::write(folder.path().join("a.json"), CPU).unwrap();
        assert_eq!(load(folder.path()).unwrap(), ["cpu"]);
        // By its own name it is what was asked for.
        assert!(load(&folder.path().join("tests.json")).is_err());
        // A threshold with a fault is no other document.
        fs::write(folder.path().join("b.json"), CPU.replace("resource_type", "actions")).unwrap();
        assert!(load(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.json"), CPU).unwrap();
        std::os::unix::fs::symlink("gone", folder.path().join("b.json")).unwrap();
        assert!(load(folder.path()).unwrap_err().to_string().contains("b.json"));
    }

    #[test]
    fn every_fault_of_every_file_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("a.json", CPU), ("b.json", CPU), ("c.json", "{"), ("d.json", "[1]"), ("e.json", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let error = load(folder.path()).unwrap_err();
        let told = |name: &str| error.problems().iter().any(|problem| problem.contains(name));
        assert!(["b.json", "c.json:1:", "d.json:1:", "e.json"].into_iter().all(told), "{error}");
        let both = error.problems().iter().find(|problem| problem.contains("`cpu`")).unwrap();
        assert!(both.contains("a.json") && both.contains("b.json"), "{both}");
    }

    #[test]
    fn events_in_the_place_of_thresholds_are_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.ndjson");
        let event = crate::events::to_compact_json(&crate::events::tests::sample()).unwrap();
        for text in [event.clone(), format!("{event}\n{event}\n")] {
            fs::write(&file, text).unwrap();
            let error = load(&file).unwrap_err();
            assert_eq!(error.problems().len(), 1, "{error}");
            assert!(error.to_string().contains("holds usage events"), "{error}");
        }
    }

    #[test]
    fn nothing_to_read_is_an_error_that_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.json");
        assert!(load(&missing).unwrap_err().to_string().contains("missing.json"));
        assert!(load(folder.path()).unwrap_err().to_string().contains("no *.json file"));
    }
}
