//! Where thresholds come from.
//!
//! A source is named by one string: the path of a file that holds one threshold or an array of them, or of a folder
//! whose `*.json` files do. In a folder, subfolders and names that start with a dot are left alone, so that a mounted
//! volume's bookkeeping and an editor's backups are not read; files are read in the order of their names.
//!
//! Loading says all that is wrong in all files, not only the first fault. It blocks: it reads files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::config::ThresholdConfig;
use crate::validate::{Place, Severity, threshold_findings};

/// The largest threshold file that is read, in bytes: 64 MiB, room for some 300,000 thresholds.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// The addresses that are refused for now rather than taken for the name of a file.
const SCHEMES: &[&str] = &["http:", "https:", "sqlite:", "nats:", "tls:", "kv:", "s3:", "ftp:"];

/// A place that thresholds are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThresholdSource {
    /// A file or a folder.
    Path(PathBuf),
}

/// What a source holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The thresholds, in the order in which they were read.
    pub configs: Vec<ThresholdConfig>,
    /// What is valid and probably not meant, one message each, with file, line and column.
    pub warnings: Vec<String>,
}

/// Everything that keeps a source from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    problems: Vec<String>,
}

impl SourceError {
    fn one(problem: String) -> Self {
        Self { problems: vec![problem] }
    }

    /// One message for each fault; those in a file begin with `FILE:LINE:COLUMN:`.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for SourceError {}

impl ThresholdSource {
    /// The source that `text` names.
    ///
    /// # Errors
    /// When it is empty or an address of a kind that is not supported.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() {
            return Err(SourceError::one(
                "no threshold source is named; give a JSON file or a folder of *.json files".to_owned(),
            ));
        }
        let lower = text.to_ascii_lowercase();
        let scheme = SCHEMES.iter().find(|scheme| lower.starts_with(*scheme));
        if scheme.is_some() && !Path::new(text).exists() {
            return Err(SourceError::one(format!(
                "thresholds can't be read from `{}`: supported are a JSON file and a folder of *.json files",
                without_password(text)
            )));
        }
        Ok(Self::Path(text.into()))
    }

    /// Reads and validates all of it. Blocks on the file system.
    ///
    /// # Errors
    /// When something can't be read, when any file has a fault, when two files have a threshold of the same id, when a
    /// folder holds no `*.json` file.
    pub fn load(&self) -> Result<Loaded, SourceError> {
        let Self::Path(path) = self;
        let files = if path.is_dir() { files_in(path)? } else { vec![path.clone()] };
        let mut loaded = Loaded::default();
        let mut problems = Vec::new();
        let mut first_file: HashMap<String, &Path> = HashMap::new();
        for file in &files {
            let configs = match read_limited(file) {
                Ok(text) => parse_file(file, &text, &mut problems, &mut loaded.warnings),
                Err(error) => {
                    problems.push(unreadable(file, &error));
                    continue;
                }
            };
            for config in &configs {
                match first_file.entry(config.id.clone()) {
                    Entry::Vacant(entry) => {
                        entry.insert(file);
                    }
                    Entry::Occupied(entry) => problems.push(duplicate(&config.id, file, entry.get())),
                }
            }
            loaded.configs.extend(configs);
        }
        if problems.is_empty() { Ok(loaded) } else { Err(SourceError { problems }) }
    }
}

impl fmt::Display for ThresholdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Path(path) = self;
        path.display().fmt(f)
    }
}

/// The address without what stands between `//` and `@`.
fn without_password(text: &str) -> String {
    match (text.find("//"), text.rfind('@')) {
        (Some(start), Some(at)) if start < at => format!("{}//…{}", &text[..start], &text[at..]),
        _ => text.to_owned(),
    }
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

fn read_limited(file: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {} MiB, no threshold file", MAX_FILE_BYTES >> 20),
        ));
    }
    Ok(text)
}

fn unreadable(file: &Path, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; check its permissions",
        _ => "",
    };
    format!("can't read thresholds from {}: {error}{hint}", file.display())
}

fn duplicate(id: &str, file: &Path, first: &Path) -> String {
    let (file, first) = (file.display(), first.display());
    format!("{file}: threshold id `{id}` is also in {first}; an id may stand once in a folder: rename one of them")
}

/// One threshold, or several.
#[derive(Deserialize)]
#[serde(transparent)]
struct Several(Vec<ThresholdConfig>);

/// The thresholds of a file without faults; adds the faults otherwise.
fn parse_file(
    file: &Path,
    text: &[u8],
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Vec<ThresholdConfig> {
    let file = file.display();
    let findings = threshold_findings(text);
    // No threshold has this field, and every event begins with it.
    let events = |place: &Place| matches!(&*place.pointer, "/event_type" | "/0/event_type");
    if findings.iter().filter_map(|finding| finding.place.as_ref()).any(events) {
        problems.push(format!("{file} holds usage events where thresholds are expected; are the two swapped?"));
        return Vec::new();
    }
    let mut faulty = false;
    for finding in findings {
        faulty |= finding.severity == Severity::Error;
        let list = if finding.severity == Severity::Error { &mut *problems } else { &mut *warnings };
        list.push(format!("{file}:{finding}"));
    }
    if faulty {
        return Vec::new();
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let parsed = if text.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice::<Several>(text).map(|several| several.0)
    } else {
        serde_json::from_slice(text).map(|config| vec![config])
    };
    parsed.unwrap_or_else(|error| {
        // Validation should have said it already; a fault that it does not know is still one.
        problems.push(format!("{file}:{}:{}: error: {error}", error.line(), error.column()));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CPU: &str = r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Log","user_id":"*"}"#;

    fn load(path: &Path) -> Result<Vec<String>, SourceError> {
        let loaded = ThresholdSource::Path(path.into()).load()?;
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

    #[test]
    fn addresses_of_other_kinds_are_refused_without_their_password() {
        for address in ["https://ops:secret@example.org/t.json", "sqlite:t.db", "NATS://host/bucket"] {
            let error = ThresholdSource::parse(address).unwrap_err().to_string();
            assert!(error.contains("supported are") && !error.contains("secret"), "{error}");
        }
        assert!(ThresholdSource::parse("").is_err());
        assert_eq!(ThresholdSource::parse("t.json"), Ok(ThresholdSource::Path("t.json".into())));
    }
}
