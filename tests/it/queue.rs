//! `formusage queue`: every reply of the protocol, and what it keeps.

use std::path::PathBuf;

use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::form_queue::USAGE_EVENTS;
use crate::support::{ServedQueue, formusage, lines, signal};

const JSON: &str = "content-type: application/json\r\n";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("q.db");
    (folder, db)
}

fn write(content: &[u8]) -> Vec<u8> {
    json!({"Write": {"content": content, "topic": USAGE_EVENTS}}).to_string().into_bytes()
}

fn list(reply: (u16, String)) -> Vec<Vec<u8>> {
    assert_eq!(reply.0, 200, "{}", reply.1);
    let value: Value = serde_json::from_str(&reply.1).unwrap_or_else(|_| panic!("{}", reply.1));
    serde_json::from_value(value["List"].clone()).unwrap_or_else(|_| panic!("{value}"))
}

fn failure(reply: (u16, String)) -> String {
    let value: Value = serde_json::from_str(&reply.1).unwrap();
    assert_eq!(reply.0, 200);
    value["Failure"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn writes_are_taken_once_and_read_back_in_order() {
    let (_folder, db) = folder();
    let queue = ServedQueue::start(&db, &[], None);
    for content in [&b"\0a"[..], b"\0b", b"\0a", b"\0c"] {
        assert_eq!(queue.post(JSON, &write(content)), (200, "\"OpSuccess\"".to_owned()));
    }
    assert_eq!(list(queue.get("/queue/usage_events/get")), [b"\0a", b"\0b", b"\0c"]);
    assert_eq!(list(queue.get("/queue/usage_events/1/get_after")), [b"\0b", b"\0c"]);
    assert_eq!(failure(queue.get("/queue/usage_events/3/get_after")), "Queue is shorter than 3");
    assert_eq!(
        failure(queue.get("/queue/usage_events/18446744073709551615/get_after")),
        "Queue is shorter than 18446744073709551615"
    );
    assert!(failure(queue.get("/queue/other/get")).contains("other"));
    assert_eq!(queue.get("/queue/health"), (200, "OK".to_owned()));
}

#[test]
fn refusals_are_those_of_the_protocol() {
    let (_folder, db) = folder();
    let queue = ServedQueue::start(&db, &[], None);
    let status = |kind: &str, body: &[u8]| queue.post(kind, body).0;
    assert_eq!(status(JSON, b"{\"Write\":"), 400);
    assert_eq!(status(JSON, b""), 400);
    assert_eq!(status("", &write(b"\0a")), 415);
    assert_eq!(status("content-type: text/plain\r\n", &write(b"\0a")), 415);
    for shape in [
        r#"{"Read":{}}"#,
        r#"{"Write":{"content":[256],"topic":"t"}}"#,
        r#"{"Write":{"content":[-1],"topic":"t"}}"#,
        r#"{"Write":{"content":"a","topic":"t"}}"#,
        r#"{"Write":{"topic":"t"}}"#,
        r#"{"Write":7}"#,
    ] {
        let (code, words) = queue.post(JSON, shape.as_bytes());
        assert_eq!(code, 422, "{shape}");
        assert!(!words.is_empty());
    }
    assert_eq!(queue.get("/queue/write_local").0, 405);
    assert_eq!(queue.get("/nothing/here"), (404, String::new()));
    assert_eq!(status(JSON, &vec![b' '; 2_097_153]), 413);
    assert_eq!(queue.get("/queue/usage_events/x/get_after").0, 400);
    assert!(failure(queue.get("/queue/usage_events/get")).contains("usage_events"), "nothing was taken");
}

#[test]
fn what_was_acknowledged_outlives_a_kill() {
    let (_folder, db) = folder();
    let mut queue = ServedQueue::start(&db, &[], None);
    assert_eq!(queue.post(JSON, &write(b"\0a")).0, 200);
    queue.process.kill().unwrap();
    queue.process.wait().unwrap();
    let again = ServedQueue::start(&db, &[], None);
    assert_eq!(list(again.get("/queue/usage_events/get")), [b"\0a"]);
}

#[test]
fn many_writers_at_once() {
    let (_folder, db) = folder();
    let queue = ServedQueue::start(&db, &[], None);
    std::thread::scope(|scope| {
        for writer in 0..16u8 {
            let queue = &queue;
            scope.spawn(move || {
                for n in 0..10u8 {
                    assert_eq!(queue.post(JSON, &write(&[0, writer, n])).0, 200);
                }
            });
        }
    });
    let held = list(queue.get("/queue/usage_events/get"));
    assert_eq!(held.len(), 160);
    for writer in 0..16 {
        let own: Vec<u8> = held.iter().filter(|content| content[1] == writer).map(|content| content[2]).collect();
        assert_eq!(own, (0..10).collect::<Vec<_>>(), "in order");
    }
}

#[test]
fn ends_gracefully() {
    for name in ["TERM", "INT"] {
        let (_folder, db) = folder();
        let mut queue = ServedQueue::start(&db, &[], None);
        queue.post(JSON, &write(b"\0a"));
        signal(&queue.process, name);
        assert_eq!(queue.process.wait().unwrap().code(), Some(0));
        assert!(!db.with_extension("db-wal").exists(), "the log is folded in");
    }
}

#[test]
fn a_token_guards_all_but_health() {
    let (_folder, db) = folder();
    let queue = ServedQueue::start(&db, &[], Some("s3cret"));
    assert_eq!(queue.get("/queue/health").0, 200);
    assert_eq!(queue.get("/queue/usage_events/get").0, 401);
    assert_eq!(queue.post(JSON, &write(b"\0a")).0, 401);
    assert_eq!(queue.post(&format!("{JSON}authorization: Bearer wrong\r\n"), &write(b"\0a")).0, 401);
    assert_eq!(queue.post(&format!("{JSON}authorization: Bearer s3cret\r\n"), &write(b"\0a")).0, 200);
    let publish = || {
        let mut command = formusage();
        command.args(["publish", "--to", &queue.url()]).write_stdin(lines("a", 1));
        command
    };
    publish().assert().code(2).stderr(contains("check the token"));
    publish().env("FORMUSAGE_TOKEN", "s3cret").assert().code(0);
}

#[test]
fn what_cannot_be_served_is_refused_in_one_line() {
    let (folder, db) = folder();
    let serve = |listen: &str, db: &std::path::Path| {
        formusage().args(["queue", "--listen", listen, "--db"]).arg(db).assert().code(2).stdout("")
    };
    serve("0.0.0.0:0", &db).stderr(contains("set a token with FORMUSAGE_TOKEN"));
    serve("nonsense", &db).stderr(contains("--listen \"nonsense\""));
    serve("127.0.0.1:0", folder.path()).stderr(contains("is a directory"));
    let text = folder.path().join("text");
    std::fs::write(&text, "this is a text and no database, and long enough to be looked at").unwrap();
    serve("127.0.0.1:0", &text).stderr(contains("is no SQLite database"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    serve(&taken.local_addr().unwrap().to_string(), &db)
        .stderr(contains("something listens on").and(contains("--listen")));
}

use predicates::prelude::PredicateBooleanExt;

#[test]
fn publish_and_read_over_the_queue_and_its_file_agree() {
    let (_folder, db) = folder();
    let queue = ServedQueue::start(&db, &[], None);
    let events = lines("a", 3) + &lines("b", 3);
    formusage().args(["publish", "--to", &queue.url()]).write_stdin(events.clone()).assert().code(0);
    let read = |from: &str| {
        let output = formusage().args(["read", "--from", from]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let over_http = read(&queue.url());
    let mut found: Vec<&str> = over_http.lines().collect();
    let mut expected: Vec<&str> = events.lines().collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(read(&format!("sqlite:{}", db.display())), over_http);
}

#[test]
fn a_long_topic_is_read_whole() {
    let (_folder, db) = folder();
    let events = lines("a", 3_000);
    formusage()
        .args(["publish", "--to", &format!("sqlite:{}", db.display())])
        .write_stdin(events.clone())
        .assert()
        .code(0);
    let queue = ServedQueue::start(&db, &[], None);
    formusage().args(["read", "--from", &queue.url()]).assert().code(0).stdout(events);
}
