//! Thresholds that are edited under a running publisher: within a second, and never to something that can't be used.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};

use crate::channels::PATIENCE;
use crate::support::{RunningProcess, SpawnGuarded as _, event, formusage_process};

/// What an edit may take on a machine that is busy with other tests; at rest it takes half a second.
const ROOM: Duration = Duration::from_secs(10);

/// A threshold of this id and limit.
fn threshold(id: &str, limit: u32, action: &str) -> String {
    format!(
        r#"{{"id":"{id}","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":{limit}}}}},"action":{action},"user_id":"*","notification_channels":["ops"]}}"#
    )
}

/// A publisher with thresholds and channels in a folder of its own, and a stream that goes on.
struct Publisher {
    folder: tempfile::TempDir,
    child: RunningProcess,
    stdin: ChildStdin,
    said: Receiver<String>,
    number: i64,
}

impl Publisher {
    fn start(thresholds: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.json"), thresholds).unwrap();
        fs::write(folder.path().join("c.json"), r#"{"channels":{"ops":{"exec":{"command":["true"]}}}}"#).unwrap();
        let mut command = formusage_process();
        command.args(["publish", "--to", "file:out.ndjson", "--thresholds", "t.json", "--channels", "c.json"]);
        command.args(["--allow-exec", "--log-format", "json"]).current_dir(folder.path());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        let (sender, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let stdin = child.stdin.take().unwrap();
        Self { folder, child, stdin, said, number: 0 }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("t.json")
    }

    fn send(&mut self) {
        let mut event = event("web-1", self.number);
        event.metrics.cpu_percent_avg = 61.0;
        self.number += 1;
        writeln!(self.stdin, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }

    /// Sends events until a line says all of these.
    fn until(&mut self, words: &[&str]) -> String {
        let began = SystemClock.monotonic();
        loop {
            self.send();
            match self.said.recv_timeout(Duration::from_millis(10)) {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return line,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("it ended before it said {words:?}"),
            }
            assert!(SystemClock.monotonic() - began < PATIENCE, "{words:?} was not said");
        }
    }

    /// Makes an edit; how long it took until an event was told of by a threshold of this id.
    fn edit(&mut self, edit: impl FnOnce(&Path), id: &str) -> Duration {
        edit(&self.path());
        let edited = SystemClock.monotonic();
        self.until(&["threshold exceeded", &format!("\"threshold\":\"{id}\"")]);
        SystemClock.monotonic() - edited
    }

    fn end(self) {
        let Self { mut child, stdin, folder, .. } = self;
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        drop(folder);
    }
}

/// Puts `text` in the place of the file, as editors and configuration management do.
fn rename(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn an_edit_takes_effect_within_a_second_renamed_or_in_place() {
    let mut publisher = Publisher::start(&threshold("first", 60, r#""Log""#));
    publisher.until(&["\"threshold\":\"first\""]);
    let mut longest = Duration::ZERO;
    for n in 0..8 {
        let id = format!("edited-{n}");
        let text = threshold(&id, 60, r#""Log""#);
        let took = if n % 2 == 0 {
            publisher.edit(|path| rename(path, &text), &id)
        } else {
            publisher.edit(|path| fs::write(path, &text).unwrap(), &id)
        };
        longest = longest.max(took);
    }
    publisher.end();
    eprintln!("the slowest of 8 edits took {longest:?} to the first event evaluated by it");
    assert!(longest < ROOM, "{longest:?}");
}

#[test]
fn what_cannot_be_used_is_said_once_a_version_and_leaves_the_old_in_force() {
    let mut publisher = Publisher::start(&threshold("first", 60, r#""Log""#));
    publisher.until(&["\"threshold\":\"first\""]);
    // A name that nothing is bound to, long before the threshold is exceeded.
    for (text, words) in [
        ("[{\"id\":".to_owned(), ["t.json:1:", "unclosed"]),
        (
            threshold("second", 99, r#""Notify""#).replace("\"ops\"", "\"opps\""),
            ["channel `opps`", "did you mean `ops`?"],
        ),
        (threshold("second", 99, r#"{"Action":"scale"}"#), ["nothing is bound", "action `scale`"]),
        // The same fault in another version.
        (threshold("third", 99, r#"{"Action":"scale"}"#), ["nothing is bound", "`third`"]),
    ] {
        rename(&publisher.path(), &text);
        let said = publisher.until(&words);
        assert!(said.contains("stay in force") && said.contains("ERROR"), "{said}");
        // Two looks later nothing was said again, and the old one is in force.
        let again = SystemClock.monotonic() + Duration::from_millis(1200);
        while SystemClock.monotonic() < again {
            publisher.send();
            let said = publisher.said.recv_timeout(Duration::from_millis(10)).unwrap_or_default();
            assert!(said.is_empty() || said.contains("\"threshold\":\"first\""), "{said}");
        }
    }
    let took = publisher.edit(|path| rename(path, &threshold("fourth", 60, r#""Log""#)), "fourth");
    assert!(took < ROOM, "{took:?}");
    publisher.end();
}
