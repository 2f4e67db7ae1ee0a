//! `formusage thresholds`, and thresholds from servers, stores and buckets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use form_usage_events::threshold::{ThresholdReader, ThresholdSource};
use form_usage_events::transport::ConnectOptions;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use crate::nats_server::NatsServer;
use crate::support::formusage;

fn threshold(id: &str, value: f64) -> String {
    format!(
        r#"{{"id":"{id}","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":{value:.1}}}}},"action":"Log","user_id":"*"}}"#
    )
}

const EVENT: &str = r#"{"event_type":"resource_usage","version":"1.0","timestamp":1626350430,"instance_id":"i","user_id":"u","org_id":null,"metrics":{"cpu_seconds":30,"cpu_percent_avg":50.0,"memory_gb":4.2,"memory_percent":52.5,"storage_gb":25.7,"network_egress_mb":15.2,"network_ingress_mb":8.7,"gpu_seconds":0},"period":{"start":1626350400,"end":1626350430}}"#;

/// A server of one text, which knows what version somebody has.
struct TextServer {
    port: u16,
    /// The status, the version and the text.
    answer: Arc<Mutex<(u16, String, String)>>,
    /// The heads of the requests, and the statuses that they got.
    seen: Arc<Mutex<Vec<(String, u16)>>>,
}

impl TextServer {
    fn start(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new((200, "\"1\"".to_owned(), text.to_owned())));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answers, heads) = (Arc::clone(&answer), Arc::clone(&seen));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                serve(connection, &answers, &heads);
            }
        });
        Self { port, answer, seen }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/limits.json?key=hush", self.port)
    }

    fn set(&self, status: u16, version: &str, text: &str) {
        *self.answer.lock().unwrap() = (status, version.to_owned(), text.to_owned());
    }

    fn statuses(&self) -> Vec<u16> {
        self.seen.lock().unwrap().iter().map(|(_, status)| *status).collect()
    }
}

fn serve(connection: TcpStream, answer: &Mutex<(u16, String, String)>, seen: &Mutex<Vec<(String, u16)>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut writer = connection;
    let mut head = String::new();
    while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
    let (status, version, text) = answer.lock().unwrap().clone();
    let known = !version.is_empty() && head.contains(&version);
    let (status, body) = if known { (304, "") } else { (status, text.as_str()) };
    seen.lock().unwrap().push((head, status));
    let _ = write!(
        writer,
        "HTTP/1.1 {status} x\r\nETag: {version}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn reader(source: &str) -> ThresholdReader {
    ThresholdReader::new(ThresholdSource::parse(source).unwrap(), ConnectOptions::default()).unwrap()
}

/// The ids that a poll gave; `None` where nothing has changed.
async fn ids(reader: &mut ThresholdReader) -> Option<Vec<String>> {
    let loaded = reader.poll().await.unwrap()?;
    Some(loaded.configs.into_iter().map(|config| config.id).collect())
}

#[test]
fn check_takes_thresholds_from_a_server() {
    let server = TextServer::start(&threshold("cpu", 40.0));
    let check = || {
        let mut command = formusage();
        command.args(["check", &server.url()]).env("FORMUSAGE_THRESHOLDS_TOKEN", "hush-hush").write_stdin(EVENT);
        command
    };
    check().assert().code(1).stdout(contains("\"cpu\""));
    let head = server.seen.lock().unwrap()[0].0.to_ascii_lowercase();
    assert!(head.contains("get /limits.json?key=hush") && head.contains("authorization: bearer hush-hush"), "{head}");
    server.set(403, "", "no");
    let silent = contains("key=hush").or(contains("hush-hush")).not();
    check().assert().code(2).stderr(contains("403").and(contains("FORMUSAGE_THRESHOLDS_TOKEN")).and(silent));
    server.set(200, "", "[{]");
    check().assert().code(2).stderr(contains("limits.json:1:3"));
    server.set(302, "", "");
    check().assert().code(2).stderr(contains("redirects"));
}

#[tokio::test]
async fn a_server_is_asked_for_what_has_changed() {
    let server = TextServer::start(&threshold("a", 1.0));
    let mut reader = reader(&server.url());
    assert_eq!(ids(&mut reader).await.unwrap(), ["a"]);
    assert_eq!(ids(&mut reader).await, None);
    server.set(200, "\"2\"", &threshold("b", 1.0));
    assert_eq!(ids(&mut reader).await.unwrap(), ["b"]);
    server.set(200, "", &threshold("b", 1.0));
    assert_eq!(ids(&mut reader).await, None, "the same text, from a server that names no version");
    assert_eq!(server.statuses(), [200, 304, 200, 200]);
}

#[tokio::test]
async fn a_changed_file_is_read_and_a_fault_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.json");
    std::fs::write(&file, threshold("a", 1.0)).unwrap();
    let mut reader = reader(folder.path().to_str().unwrap());
    assert_eq!(ids(&mut reader).await.unwrap(), ["a"]);
    assert_eq!(ids(&mut reader).await, None);
    std::fs::write(folder.path().join("new"), "{").unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    assert!(reader.poll().await.is_err());
    assert_eq!(ids(&mut reader).await, None);
    std::fs::write(folder.path().join("u.json"), threshold("b", 1.0)).unwrap();
    std::fs::write(&file, threshold("a", 2.5)).unwrap();
    assert_eq!(ids(&mut reader).await.unwrap(), ["a", "b"]);
}

#[test]
fn a_store_keeps_thresholds_and_what_became_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("t.db").display());
    let run = |words: &[&str], author: &str| {
        let mut command = formusage();
        command.arg("thresholds").args(words).env("FORMUSAGE_THRESHOLDS", &store).env("FORMUSAGE_AUTHOR", author);
        command
    };
    run(&["history"], "ann").assert().code(2).stderr(contains("there is no store"));
    let both = format!("[{},{}]", threshold("cpu-high", 80.0), threshold("cpu-low", 5.0));
    run(&["add"], "ann").write_stdin(both.clone()).assert().code(0).stderr(contains("2 thresholds were added in"));
    run(&["add"], "ann").write_stdin(both).assert().code(2).stderr(contains("--replace"));
    run(&["add", "--replace"], "bob").write_stdin(threshold("cpu-high", 90.0)).assert().code(0);
    run(&["add"], "ann").write_stdin("[{\"id\":1}]").assert().code(2).stderr(contains("-:1:").or(contains("1:8")));
    run(&["remove", "cpu-lwo"], "bob").assert().code(2).stderr(contains("did you mean `cpu-low`"));
    run(&["remove", "cpu-low"], "bob").assert().code(0);

    let editor = folder.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i s/90.0/40.0/ \"$1\"\n").unwrap();
    make_executable(&editor);
    run(&["edit", "cpu-high"], "eve").env("EDITOR", &editor).env_remove("VISUAL").assert().code(0);
    std::fs::write(&editor, "#!/bin/sh\necho '{' > \"$1\"\n").unwrap();
    let kept = run(&["edit", "cpu-high"], "eve").env("EDITOR", &editor).env_remove("VISUAL").assert().code(2);
    let said = String::from_utf8_lossy(&kept.get_output().stderr).into_owned();
    let place = said.split("your text is kept in ").nth(1).unwrap().split(':').next().unwrap().trim().to_owned();
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "{\n");
    std::fs::remove_file(place).unwrap();

    run(&["list"], "x").assert().code(0).stdout(contains("\"value\":40.0").and(contains("cpu-low").not()));
    let history = run(&["history"], "x").assert().code(0);
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&history.get_output().stdout)
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let told: Vec<_> =
        lines.iter().map(|it| (it["author"].as_str().unwrap(), it["change"].as_str().unwrap())).collect();
    assert_eq!(told, [("ann", "added"), ("ann", "added"), ("bob", "changed"), ("bob", "removed"), ("eve", "changed")]);
    run(&["history", "cpu-low", "--format", "table"], "x").assert().code(0).stdout(contains("removed"));
    formusage().args(["check", &store]).write_stdin(EVENT).assert().code(1).stdout(contains("cpu-high"));
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_file_of_another_kind_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "x".repeat(100)).unwrap();
    let source = format!("sqlite:{}", folder.path().join("text").display());
    formusage().args(["check", &source]).write_stdin(EVENT).assert().code(2).stderr(contains("no SQLite database"));
    let source = format!("sqlite:{}", folder.path().join("none").display());
    formusage().args(["check", &source]).write_stdin(EVENT).assert().code(2).stderr(contains("there is no store"));
}

#[tokio::test]
async fn a_bucket_gives_its_thresholds_and_tells_of_changes() {
    let server = NatsServer::start();
    let address = server.url("/limits");
    let missing = reader(&address).poll().await.unwrap_err().to_string();
    assert!(missing.contains("no bucket \"limits\""), "{missing}");
    // What `nats kv add limits` makes. (The client's own call asks for an account's limits in a form that older servers
    // don't give.)
    let config = async_nats::jetstream::stream::Config {
        name: "KV_limits".into(),
        subjects: vec!["$KV.limits.>".into()],
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        allow_direct: true,
        ..Default::default()
    };
    let jetstream = server.jetstream().await;
    jetstream.create_stream(config).await.unwrap();
    let store = jetstream.get_key_value("limits").await.unwrap();
    let mut reader = reader(&address);
    assert_eq!(ids(&mut reader).await.unwrap(), Vec::<String>::new());
    store.put("team-a", threshold("a", 1.0).into()).await.unwrap();
    store.put("team-b", format!("[{},{}]", threshold("b", 1.0), threshold("c", 1.0)).into()).await.unwrap();
    reader.changed(&form_usage_events::clock::SystemClock).await;
    assert_eq!(ids(&mut reader).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(ids(&mut reader).await, None);
    store.put("team-c", "{".into()).await.unwrap();
    let fault = reader.poll().await.unwrap_err().to_string();
    assert!(fault.contains("limits, key team-c:1:"), "{fault}");
    assert_eq!(ids(&mut reader).await, None, "a fault is told once");
    store.delete("team-c").await.unwrap();
    store.delete("team-a").await.unwrap();
    assert_eq!(ids(&mut reader).await.unwrap(), ["b", "c"]);
    tokio::task::spawn_blocking(move || {
        formusage().args(["check", &address]).write_stdin(EVENT).assert().code(1).stdout(contains("\"c\""));
    })
    .await
    .unwrap();
}

#[test]
fn a_source_that_never_answers_whole_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[");
    });
    formusage()
        .args(["check", &format!("http://127.0.0.1:{port}/t.json")])
        .write_stdin(EVENT)
        .assert()
        .code(2)
        .stderr(contains("ended before the text was whole"));
}
