//! The file in which the states of thresholds outlive a restart.
//!
//! It is written whole under another name, synced and renamed, so that a crash leaves the old states or the new ones.
//! One process uses it at a time: a second one finds it locked. What can't be used (damaged, of a newer version, or no
//! such file at all) is put aside under another name, never deleted. Where a person names the file, one that holds
//! anything else, such as the thresholds, is refused first ([`AlertFile::refuse_others`]) and left where it is.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::alert::{AlertRecord, AlertStates, RecordError, ThresholdAlert};
use super::evaluate::ThresholdSet;
use crate::files::{self, with_suffix};
use crate::limited_read::read_own_file;

/// The largest file that is read and written, in bytes: 128 MiB, room for some 4 million instances.
const MAX_BYTES: u64 = 128 << 20;

/// What a file holds whose name was taken, and in which no states were saved yet.
const PLACEHOLDER: &[u8] = b"{\"format\":\"formusage-alerts\"}\n";

/// How a file of states begins; blanks are of somebody who formatted it.
const HEADER: &[u8] = br#"{"format":"formusage-alerts""#;

/// So much of the beginning is looked at.
const HEAD_BYTES: u64 = 4096;

/// The file, held by this process.
#[derive(Debug)]
pub struct AlertFile {
    path: PathBuf,
    /// Held for as long as this lives.
    _lock: File,
}

/// What was in the file.
#[derive(Debug, Default)]
pub struct Kept {
    /// The states and the thresholds that they are of; `None` where there were none, or none that could be used.
    pub states: Option<(AlertStates, ThresholdSet)>,
    /// What was still to be told.
    pub untold: Vec<ThresholdAlert>,
    /// What could not be used, where it was put and why, for people.
    pub put_aside: Option<String>,
}

/// Why the file can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AlertFileError {
    /// Another process holds it.
    InUse(PathBuf),
    /// It is there and holds something else, or is no regular file.
    Foreign(PathBuf, &'static str),
    /// It can't be read or written.
    Io(PathBuf, io::Error),
}

impl fmt::Display for AlertFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "another process keeps the states of its thresholds in {}; name another file with --state",
                path.display()
            ),
            Self::Foreign(path, what) => write!(
                f,
                "{} {what}, so the states of thresholds are not kept there; name a file of their own with --state, which \
                 is made where there is none",
                path.display()
            ),
            Self::Io(path, error) => {
                write!(
                    f,
                    "the states of thresholds can't be kept in {}: {error}; name another file with --state",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for AlertFileError {}

impl AlertFile {
    /// Takes hold of the file at `path` and reads it; `now` (Unix seconds) goes into the name of what is put aside.
    /// Folders on the way are made.
    ///
    /// # Errors
    /// When another process holds it, or it can't be read.
    pub fn open(path: &Path, now: i64) -> Result<(Self, Kept), AlertFileError> {
        let failed = |error| AlertFileError::Io(path.to_owned(), error);
        let path = &*files::resolve(path).map_err(failed)?;
        if let Some(folder) = path.parent() {
            files::create_private_folder(folder).map_err(failed)?;
        }
        // The lock stands beside the file, which is another one after each write.
        let lock = with_suffix(path, ".lock");
        let lock = files::open_private(&lock, OpenOptions::new().create(true).append(true)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AlertFileError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let file = Self { path: path.to_owned(), _lock: lock };
        let understood = match read(path) {
            Ok(Some(text)) => understand(&text),
            // Nothing that others put there can be in the way of the first save.
            Ok(None) => return file.take_name().map(|()| (file, Kept::default())),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(RecordError::Damaged(error.to_string())),
            Err(error) => return Err(failed(error)),
        };
        match understood {
            Ok(kept) => {
                files::narrow(path);
                Ok((file, kept))
            }
            Err(error) => {
                let put_aside = Some(put_aside(path, &error, now).map_err(failed)?);
                file.take_name()?;
                Ok((file, Kept { put_aside, ..Kept::default() }))
            }
        }
    }

    /// Puts a file at the name of the states, which has none.
    fn take_name(&self) -> Result<(), AlertFileError> {
        let taken = files::take_name(&self.path, PLACEHOLDER);
        taken.map(|_| ()).map_err(|error| AlertFileError::Io(self.path.clone(), error))
    }

    /// Refuses a file that is there and is neither a file of states nor what was left of one. Touches nothing.
    ///
    /// # Errors
    /// [`AlertFileError::Foreign`]; [`AlertFileError::Io`] when it can't be looked at.
    pub fn refuse_others(path: &Path) -> Result<(), AlertFileError> {
        let failed = |error| AlertFileError::Io(path.to_owned(), error);
        match fs::metadata(path) {
            // Opening a named pipe would wait for whoever writes into it.
            Ok(metadata) if !metadata.is_file() => {
                return Err(AlertFileError::Foreign(path.to_owned(), "is no regular file"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        let mut head = Vec::new();
        files::read_private(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head)).map_err(failed)?;
        // Whoever formats JSON may have put the fields in another order.
        if begins_as_ours(&head) || matches!(read(path), Ok(Some(text)) if is_ours(&text)) {
            return Ok(());
        }
        Err(AlertFileError::Foreign(path.to_owned(), "is there and holds something else than states of thresholds"))
    }

    /// The states in the file at `path` as they were saved last, without taking hold of it; `None` where there are none
    /// that can be read.
    pub(super) fn peek(path: &Path) -> Option<AlertStates> {
        let text = read(path).ok()??;
        Some(understand(&text).ok()?.states?.0)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `record` in the place of what was there. Blocks until it is on disk.
    ///
    /// # Errors
    /// When it can't be written; what was there is still there.
    pub fn save(&self, record: &AlertRecord) -> Result<(), AlertFileError> {
        self.write(record).map_err(|error| AlertFileError::Io(self.path.clone(), error))
    }

    fn write(&self, record: &AlertRecord) -> io::Result<()> {
        let (file, new) = files::create_replacement(&self.path)?;
        let written = self.write_and_rename(file, &new, record);
        if written.is_err() {
            // Each failed attempt may have a name of its own; together they would fill the folder.
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn write_and_rename(&self, mut file: File, new: &Path, record: &AlertRecord) -> io::Result<()> {
        let mut writer = io::BufWriter::new(&mut file);
        serde_json::to_writer(&mut writer, record)?;
        writer.write_all(b"\n")?;
        writer.flush()?;
        drop(writer);
        // What can't be read again would be put aside by the next run.
        if file.metadata()?.len() > MAX_BYTES {
            let message = format!("the states take more than {} MiB, the most that is read again", MAX_BYTES >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        // A name is on disk when its folder is.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        let _ = folder;
        Ok(())
    }
}

/// Whether a file that begins like this was written here, or broke off before that could be told.
fn begins_as_ours(head: &[u8]) -> bool {
    let start: Vec<u8> =
        head.iter().copied().filter(|byte| !byte.is_ascii_whitespace() && *byte != 0).take(HEADER.len()).collect();
    HEADER.starts_with(&start)
}

/// Whether a whole text says that it holds states, of whatever version.
fn is_ours(text: &[u8]) -> bool {
    matches!(AlertRecord::parse(text), Ok(_) | Err(RecordError::Newer(_)))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match files::read_private(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read_own_file(&file, MAX_BYTES, HEADER).map(Some)
}

fn understand(text: &[u8]) -> Result<Kept, RecordError> {
    if text == PLACEHOLDER {
        return Ok(Kept::default());
    }
    let mut record = AlertRecord::parse(text)?;
    let untold = std::mem::take(&mut record.untold);
    Ok(Kept { states: Some(record.restore()?), untold, put_aside: None })
}

/// Whether two texts say the same; the last digit of a fraction may get lost on the way.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
fn is_same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => match (one.as_f64(), other.as_f64()) {
            (Some(a), Some(b)) if one.is_f64() => (a - b).abs() <= a.abs() * 1e-14,
            _ => one == other,
        },
        (Array(one), Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b)),
        (Object(one), Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => one == other,
    }
}

/// Reads `text` as a file of states; what can be read is written as something that can be read again. See
/// [`crate::fuzzing`].
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub fn fuzz_alert_file(text: &[u8]) {
    let _ = begins_as_ours(text);
    let Ok(record) = AlertRecord::parse(text) else { return };
    let untold = record.untold.clone();
    let Ok((states, set)) = record.restore() else { return };
    let kept = AlertRecord::of(&states, &set, untold);
    let again = serde_json::to_vec(&kept).unwrap_or_default();
    let read = AlertRecord::parse(&again);
    let value = |record: &AlertRecord| serde_json::to_value(record).unwrap_or_default();
    let is_read = read.as_ref().is_ok_and(|read| is_same(&value(read), &value(&kept)));
    assert!(is_read, "{kept:?} was written, and read as {read:?}");
    assert!(understand(&again).is_ok());
}

fn put_aside(path: &Path, error: &RecordError, now: i64) -> io::Result<String> {
    let word = if matches!(error, RecordError::Damaged(_)) { "damaged" } else { "aside" };
    let names = (0..).map(|n| if n == 0 { format!(".{word}-{now}") } else { format!(".{word}-{now}-{n}") });
    let aside = names.map(|suffix| with_suffix(path, &suffix)).find(|name| name.symlink_metadata().is_err());
    let aside = aside.unwrap_or_else(|| with_suffix(path, ".aside"));
    fs::rename(path, &aside)?;
    Ok(format!(
        "{} can't be used for the states of thresholds: {error}. It was put aside as {}, and the states begin anew: \
         what fires is told again",
        path.display(),
        aside.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::sample;
    use crate::threshold::{ANY, ActionType, ResourceType, ThresholdConfig, ThresholdType};

    fn firing() -> (AlertStates, ThresholdSet) {
        let limit = ThresholdType::Percentage { value: 10.0 };
        let config = ThresholdConfig::new("cpu", ResourceType::Cpu, limit, ActionType::Log, ANY);
        let set = ThresholdSet::new(vec![ThresholdConfig { clear_value: Some(5.0), ..config }]).unwrap();
        let mut states = AlertStates::new(1);
        assert_eq!(states.observe(&set, &sample()).len(), 1);
        (states, set)
    }

    #[test]
    fn what_is_kept_is_there_again_and_one_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/alerts.json");
        let (states, set) = firing();
        let (file, kept) = AlertFile::open(&path, 0).unwrap();
        assert!(kept.states.is_none() && kept.put_aside.is_none());
        file.save(&AlertRecord::of(&states, &set, Vec::new())).unwrap();
        file.save(&AlertRecord::of(&states, &set, Vec::new())).unwrap();
        assert!(matches!(AlertFile::open(&path, 0), Err(AlertFileError::InUse(_))));
        drop(file);
        let (_, kept) = AlertFile::open(&path, 0).unwrap();
        assert_eq!(kept.states.unwrap().0.active(), states.active());
    }

    #[test]
    fn name_of_the_states_is_taken_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        drop(AlertFile::open(&path, 0).unwrap());
        assert!(fs::create_dir(&path).is_err(), "nobody else can put a folder there");
        AlertFile::refuse_others(&path).unwrap();
        let (_, kept) = AlertFile::open(&path, 0).unwrap();
        assert!(kept.states.is_none() && kept.put_aside.is_none());
    }

    #[test]
    fn failed_saves_leave_no_new_file_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let (states, set) = firing();
        let (file, _) = AlertFile::open(&path, 0).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir_all(path.join("in")).unwrap();
        fs::create_dir_all(folder.path().join("alerts.json.new/in")).unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let before = names();
        assert!(file.save(&AlertRecord::of(&states, &set, Vec::new())).is_err());
        assert_eq!(names(), before);
    }

    #[test]
    fn a_file_that_is_too_large_is_put_aside_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        for (beginning, length, why) in
            [(HEADER, MAX_BYTES + 1, "larger than 128 MiB"), (b"[[", 2 << 20, "begins with")]
        {
            fs::write(&path, beginning).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            let put_aside = AlertFile::open(&path, 0).unwrap().1.put_aside.unwrap();
            assert!(put_aside.contains(why), "{put_aside}");
        }
        fs::write(&path, "[[[").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(2 << 20).unwrap();
        assert!(matches!(AlertFile::refuse_others(&path), Err(AlertFileError::Foreign(..))));
    }

    #[test]
    fn what_cannot_be_used_is_put_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let newer = r#"{"format":"formusage-alerts","version":9}"#;
        assert!(AlertFile::refuse_others(&path).is_ok(), "it is not there yet");
        for (number, (text, says)) in [
            ("{\"format\":", "damaged"),
            ("", "damaged"),
            ("{\"id\":\"cpu\"}", "no states of thresholds"),
            ("[]", "no states of thresholds"),
            ("\0\0\0\0", "damaged"),
            ("{\n  \"format\": \"formusage-alerts\", \"vers", "damaged"),
            (newer, "newer version"),
            (r#"{"format":"formusage-alerts","version":1}"#, "damaged"),
        ]
        .into_iter()
        .enumerate()
        {
            fs::write(&path, text).unwrap();
            let (_, kept) = AlertFile::open(&path, 77).unwrap();
            let said = kept.put_aside.unwrap();
            assert!(said.contains(says) && said.contains("-77"), "{said}");
            assert!(kept.states.is_none());
            assert_eq!(fs::read(&path).unwrap(), PLACEHOLDER);
            let aside = fs::read_dir(folder.path()).unwrap().flatten();
            assert_eq!(aside.filter(|it| it.file_name().to_string_lossy().contains("-77")).count(), number + 1);
        }
    }

    #[test]
    fn what_is_somebody_elses_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thresholds.json");
        let spread = serde_json::to_string_pretty(&serde_json::json!({"a": "formusage-alerts"})).unwrap();
        for text in [r#"{"id":"cpu"}"#, "[]", "[{", "a: 1\n", "\x7fELF", &spread, r#"{"format":"formusage-spool""#] {
            fs::write(&path, text).unwrap();
            let error = AlertFile::refuse_others(&path).unwrap_err();
            assert!(matches!(error, AlertFileError::Foreign(..)) && error.to_string().contains("--state"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made beside it");
        }
        let error = AlertFile::refuse_others(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no regular file"), "{error}");
    }

    #[test]
    fn states_that_somebody_formatted_are_still_states() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let (states, set) = firing();
        // A map of serde_json sorts its fields.
        let record = serde_json::to_value(AlertRecord::of(&states, &set, Vec::new())).unwrap();
        fs::write(&path, serde_json::to_string_pretty(&record).unwrap()).unwrap();
        assert!(AlertFile::refuse_others(&path).is_ok());
        assert!(AlertFile::open(&path, 0).unwrap().1.states.is_some());
        for text in ["", "\0\0\0\0", "{\n  \"format\": \"formusage-alerts\", \"vers", "{\"for"] {
            fs::write(&path, text).unwrap();
            assert!(AlertFile::refuse_others(&path).is_ok(), "{text}");
        }
    }
}
