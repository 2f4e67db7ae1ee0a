//! What a command reads: files and standard input, opened with errors that say what to do.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use form_usage_events::validate::NotEventLines;

use crate::findings::FileRow;
use crate::output::{printable, shell_word};

/// A file, or `-` for standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl FromStr for Input {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "-" { Self::Stdin } else { Self::File(text.into()) })
    }
}

/// For people; [`Input::name`] is for data.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("<stdin>"),
            Self::File(path) => f.write_str(&shown(path)),
        }
    }
}

/// A started read: what was peeked at, then the rest.
pub(crate) type Opened = io::Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>;

/// A file of a folder that was passed over, though it may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedFile {
    path: PathBuf,
    /// What it is, in words.
    what: &'static str,
}

impl SkippedFile {
    /// Its row among those of the validated files, where a file that is passed over fails the run.
    pub(crate) fn row(&self) -> FileRow {
        let why = format!("not validated: {}; folders are searched for *.json, *.jsonl and *.ndjson", self.what);
        FileRow::failed(self.path.display().to_string(), why, false)
    }
}

impl fmt::Display for SkippedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", shown(&self.path), self.what)
    }
}

/// The inputs that were named, with the files of folders.
#[derive(Debug, Default)]
pub(crate) struct FoundInputs {
    /// Each input, or the folder that holds none and why.
    pub(crate) inputs: Vec<Result<Input, (String, anyhow::Error)>>,
    pub(crate) skipped: Vec<SkippedFile>,
}

/// A path as words for people have it.
fn shown(path: &Path) -> String {
    printable(&path.display().to_string()).into_owned()
}

impl Input {
    /// What it is called in reports for programs, which write control characters in their own way.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => self.to_string(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// The inputs that `files` name; standard input where they name none.
    pub(crate) fn or_stdin(files: &[Self]) -> Vec<Self> {
        if files.is_empty() { vec![Self::Stdin] } else { files.to_vec() }
    }

    /// The same with the files that folders hold, at any depth, in the order of their names, in place of the folders:
    /// those that are called `*.json`, `*.jsonl` or `*.ndjson` and are not hidden. Others that may have been meant are
    /// given too.
    pub(crate) fn with_folders(files: &[Self]) -> FoundInputs {
        let FoundInputs { inputs: mut all, mut skipped } = FoundInputs::default();
        for input in Self::or_stdin(files) {
            match input {
                Self::File(path) if path.is_dir() => {
                    let mut found = Vec::new();
                    match walk(&path, &mut found, &mut skipped) {
                        Ok(()) if found.is_empty() => {
                            let error = anyhow!("{} holds no *.json, *.jsonl or *.ndjson file", shown(&path));
                            all.push(Err((path.display().to_string(), error)));
                        }
                        Ok(()) => {
                            found.sort_unstable();
                            all.extend(found.into_iter().map(|path| Ok(Self::File(path))));
                        }
                        Err(error) => all.push(Err((path.display().to_string(), error))),
                    }
                }
                input => all.push(Ok(input)),
            }
        }
        skipped.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        FoundInputs { inputs: all, skipped }
    }

    /// Opens it for `command`, which reads one event a line, and refuses what is no such input: a document would be as
    /// many faulty lines as it has. Says what to do in one line.
    ///
    /// Waits for the first bytes.
    pub(crate) fn open_events(&self, command: &str) -> anyhow::Result<Opened> {
        let opened = self.open()?;
        match NotEventLines::at_start(opened.get_ref().0.get_ref()) {
            Some(what) => Err(anyhow!("{}", self.objection(what, command))),
            None => Ok(opened),
        }
    }

    /// Why `command` can't read this input, and what to do.
    fn objection(&self, what: NotEventLines, command: &str) -> String {
        let file = match self {
            // What is no event is read from a file alone: `-` means nothing to the options that are advised.
            Self::Stdin => "FILE".into(),
            Self::File(path) => shell_word(&path.to_string_lossy()).into_owned(),
        };
        let through_jq = |filter: &str| {
            let advice = match self {
                Self::Stdin => format!("pipe it through jq -c {filter}"),
                Self::File(_) => {
                    format!("write: jq -c {filter} {file} | and the same command, with - in place of {file}")
                }
            };
            format!("{self} is JSON over several lines or in an array, and {command} reads one event a line; {advice}")
        };
        match (what, command) {
            (NotEventLines::Array, _) => through_jq("'.[]'"),
            (NotEventLines::SeveralLines, _) => through_jq("."),
            (NotEventLines::Thresholds, "check") => {
                format!("{self} holds thresholds, not events; they are named first: formusage check {file} EVENTS")
            }
            (NotEventLines::Thresholds, _) => format!("{self} holds thresholds, not events; use --thresholds {file}"),
            (NotEventLines::Channels, "report") => format!("{self} holds channels, not events"),
            (NotEventLines::Channels, _) => format!("{self} holds channels, not events; use --channels {file}"),
            (NotEventLines::Cases, _) => {
                format!("{self} holds tests of thresholds, not events; run them with: formusage check --test {file}")
            }
            (NotEventLines::OtherFormat(format, help), _) => format!("{self} is {format}, not events in JSON; {help}"),
            _ => format!("{self} does not hold one event a line"),
        }
    }

    /// Opens it, and refuses what can't hold JSON: a directory, a compressed or another binary file.
    ///
    /// Waits for the first bytes.
    pub(crate) fn open(&self) -> anyhow::Result<Opened> {
        let mut reader: Box<dyn Read + Send> = match self {
            Self::Stdin => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    crate::output::say("reading from the terminal: one JSON object a line, Ctrl-D to end");
                }
                unbuffered(stdin)?
            }
            Self::File(path) => {
                let file = File::open(path).with_context(|| format!("can't open {self}"))?;
                if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    bail!("{self} is a directory; name the files in it, as in {self}/*.json");
                }
                Box::new(file)
            }
        };
        let mut first = vec![0; 4096];
        let length = loop {
            match reader.read(&mut first) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.with_context(|| format!("can't read {self}"))?,
            }
        };
        first.truncate(length);
        if let Some(what) = not_text(&first) {
            bail!("{self} is {what}");
        }
        Ok(Cursor::new(first).chain(reader))
    }
}

/// Standard input without a buffer in which something could lie that was read and not handed out.
#[cfg(unix)]
fn unbuffered(stdin: io::Stdin) -> anyhow::Result<Box<dyn Read + Send>> {
    use std::os::fd::AsFd as _;
    let descriptor = stdin.as_fd().try_clone_to_owned().context("can't read standard input")?;
    Ok(Box::new(File::from(descriptor)))
}

#[cfg(not(unix))]
fn unbuffered(stdin: io::Stdin) -> anyhow::Result<Box<dyn Read + Send>> {
    Ok(Box::new(stdin))
}

/// Collects the files below `folder`. Links to folders are not followed: they may lead back.
fn walk(folder: &Path, found: &mut Vec<PathBuf>, skipped: &mut Vec<SkippedFile>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("can't read the folder {}", shown(folder)))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("can't read the folder {}", shown(folder)))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found, skipped)?;
        } else if is_json_name(&path) && !path.is_dir() {
            found.push(path);
        } else if let Some(what) = skipped_kind(&path) {
            skipped.push(SkippedFile { path, what });
        }
    }
    Ok(())
}

fn is_json_name(path: &Path) -> bool {
    let is = |name: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(name));
    is("json") || is("jsonl") || is("ndjson")
}

/// What a file of a folder is that has no name of JSON, where it may hold events or thresholds all the same.
fn skipped_kind(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        return Some("a link to a folder");
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match &*extension {
        "yaml" | "yml" => Some("YAML"),
        "toml" => Some("TOML"),
        "csv" | "tsv" => Some("CSV"),
        "json5" | "jsonc" | "hjson" => Some("JSON with additions"),
        "gz" | "zst" | "bz2" | "xz" if is_json_name(Path::new(path.file_stem()?)) => Some("compressed"),
        _ => {
            // A pipe or a device is not looked into.
            let file = if path.is_file() { File::open(path).ok()? } else { return None };
            let mut start = Vec::new();
            file.take(4096).read_to_end(&mut start).ok()?;
            let has = |key: &[u8]| start.windows(key.len()).any(|window| window == key);
            let is_ours = has(b"\"event_type\"") || has(b"\"threshold_type\"");
            is_ours.then_some("JSON under another name")
        }
    }
}

/// What a file is that starts like this and can't be JSON, and what to do about it.
fn not_text(start: &[u8]) -> Option<&'static str> {
    const BINARY: &str = "a binary file; JSON text is expected";
    const MAGIC: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "compressed with gzip; pass it through zcat"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd; pass it through zstdcat"),
        (b"BZh", "compressed with bzip2; pass it through bzcat"),
        (b"\xfd7zXZ\0", "compressed with xz; pass it through xzcat"),
        (b"SQLite format 3\0", "an SQLite database; read it with: formusage read --from sqlite:FILE"),
        (b"\x7fELF", BINARY),
        (b"\x89PNG", BINARY),
        (b"PK\x03\x04", "a ZIP archive; unpack it first"),
        (b"\xff\xfe", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"),
        (b"\xfe\xff", "UTF-16 text; convert it with: iconv -f UTF-16 -t UTF-8"),
    ];
    let known = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, what)| *what);
    known.or_else(|| (start.contains(&0) && mostly_no_text(start)).then_some(BINARY))
}

/// Whether `start` is not the text of somebody in whose file a few bytes went wrong. A NUL among text is a fault of its
/// line, and so are the blocks of them that a crash leaves between lines.
fn mostly_no_text(start: &[u8]) -> bool {
    let Some(first) = start.iter().position(|byte| *byte != 0) else { return false };
    let start = start.get(first..).unwrap_or_default();
    let is_line = |line: &[u8]| {
        let line = line.trim_ascii();
        line.starts_with(b"{") && line.ends_with(b"}") && !line.contains(&0)
    };
    if start.split(|byte| *byte == b'\n').any(is_line) {
        return false;
    }
    let control = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let broken: usize = start.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    // Three in ten: UTF-16 has five, text with a few wrong bytes far less than one.
    (start.iter().filter(control).count() + broken) * 10 >= start.len() * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_no_text() {
        assert!(not_text(b"\x1f\x8b\x08").unwrap().contains("zcat"));
        assert!(not_text(b"\x7fELF\x02\0").unwrap().contains("binary"));
        assert_eq!(not_text(b"\xef\xbb\xbf{}"), None);
        assert!(not_text(b"\x89PNG\r\n\x1a\n\0\0").unwrap().contains("binary"));
        assert!(not_text(b"{\0\"\0a\0").unwrap().contains("binary"));
        assert!(not_text(b"\0\x01\x02\xfe\xff\xee rest").unwrap().contains("binary"));
        // A NUL among text is a fault of its line, wherever it stands.
        assert_eq!(not_text(b"{\"a\":1}\n\0\0\n{}"), None);
        assert_eq!(not_text(b"{\"a\":\0}\n{\"a\":2}\n"), None);
        assert_eq!(not_text(b"\0{\"a\":1}\n"), None);
        assert_eq!(not_text(&[&[0; 4000][..], b"\n{\"a\":1}\n"].concat()), None);
        // What a crash left at the start, and all that was read of it so far.
        assert_eq!(not_text(&[0; 4096]), None);
        assert_eq!(not_text(&[&[0; 4000][..], b"{\"event_type\":\"resource"].concat()), None);
        assert_eq!(not_text(b""), None);
    }
}
