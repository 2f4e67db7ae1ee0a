//! NATS JetStream as a destination and a source, against the real server.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Info};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::nats_server::NatsServer;
use crate::support::{SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

fn publish(to: &str) -> assert_cmd::Command {
    let mut command = formusage();
    command.args(["publish", "--to", to]);
    command
}

fn read(from: &str) -> assert_cmd::Command {
    let mut command = formusage();
    command.args(["read", "--from", from]);
    command
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn info(server: &NatsServer, stream: &str) -> Info {
    run(async { server.jetstream().await.get_stream(stream).await.unwrap().get_info().await.unwrap() })
}

fn make(server: &NatsServer, config: Config) {
    run(async { server.jetstream().await.create_stream(config).await.unwrap() });
}

fn stream(name: &str, window: Duration) -> Config {
    Config { name: name.into(), subjects: vec!["usage_events".into()], duplicate_window: window, ..Config::default() }
}

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn each_event_is_one_message_however_often_it_is_sent() {
    let server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    publish(&url).arg("--create-stream").write_stdin(lines("a", 300)).assert().code(0).stderr("");
    publish(&url)
        .args(["--report", "json"])
        .write_stdin(lines("a", 301))
        .assert()
        .code(0)
        .stdout(contains("\"delivered\":301").and(contains("\"duplicates\":300")));
    let stream = info(&server, "USAGE");
    assert_eq!((stream.state.messages, stream.config.duplicate_window), (301, DAY));
    read(&url).assert().code(0).stdout(lines("a", 301)).stderr("");
    read(&server.url("")).assert().code(0).stdout(lines("a", 301)).stderr("");
    read(&url).args(["--start", "299", "--limit", "1"]).assert().code(0).stdout(line("a", 299) + "\n");
}

#[test]
fn a_message_carries_the_events_bytes_and_its_id() {
    let server = NatsServer::start();
    make(&server, stream("S", DAY));
    let odd = line("a", 0).replace("12.5", "12.500").replacen('{', "{\"rack\":[1,2],", 1);
    publish(&server.url("/usage_events")).write_stdin(odd.clone()).assert().code(0).stderr("");
    let message =
        run(async { server.jetstream().await.get_stream("S").await.unwrap().get_raw_message(1).await.unwrap() });
    assert_eq!(message.payload, odd.as_bytes());
    let id = form_usage_events::events::EventId::of(odd.as_bytes()).to_string();
    assert_eq!(message.headers.get("Nats-Msg-Id").unwrap().as_str(), id);
}

#[test]
fn a_stream_is_made_as_asked_and_one_that_exists_is_left_alone() {
    let server = NatsServer::start();
    let url = server.url("/bills.usage");
    let options = ["--create-stream", "--stream-max-age", "30d", "--stream-max-bytes", "1000000"];
    publish(&url).args(options).args(["--duplicate-window", "48h"]).write_stdin(lines("a", 1)).assert().code(0);
    let config = info(&server, "bills_usage").config;
    assert_eq!(
        (config.max_age, config.max_bytes, config.duplicate_window, config.num_replicas),
        (30 * DAY, 1_000_000, 2 * DAY, 1)
    );
    publish(&url).args(["--create-stream", "--stream-max-age", "1d"]).write_stdin(lines("a", 2)).assert().code(0);
    assert_eq!(info(&server, "bills_usage").config, config);
}

#[test]
fn a_short_window_for_duplicates_is_reported_once() {
    let server = NatsServer::start();
    make(&server, stream("S", Duration::from_secs(120)));
    let output = publish(&server.url("/usage_events")).write_stdin(lines("a", 600)).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(words.matches("knows repeats for 2 minutes only").count(), 1, "{words}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_set_up_wrong_ends_with_2_and_what_to_do() {
    let server = NatsServer::start();
    let fails = |url: &str, words: &str| {
        publish(url).write_stdin(lines("a", 2)).assert().code(2).stderr(contains(words));
    };
    fails(&server.url("/usage_events?stream=NO"), "holds no stream NO");
    fails(&server.url("/usage_events"), "--create-stream");
    make(&server, stream("S", DAY));
    fails(&server.url("/other?stream=S"), "\"S\" takes usage_events and not \"other\": add the subject");
    fails(&NatsServer::with("").url("/usage_events"), "JetStream is not enabled");
    fails("nats://no-such-host.invalid", "does not resolve");
    publish(&server.url("/other?stream=NEW"))
        .args(["--create-stream", "--stream-replicas", "3"])
        .write_stdin(lines("a", 1))
        .assert()
        .code(2)
        .stderr(contains("refused to make the stream NEW"));
    read(&server.url("/usage_events?stream=NO")).assert().code(2).stdout("").stderr(contains("holds no stream NO"));
    read(&NatsServer::with("").url("")).assert().code(2).stderr(contains("JetStream is not enabled"));
}

#[test]
fn credentials_come_from_the_environment_and_show_nowhere() {
    let server = NatsServer::with(
        "jetstream { store_dir: STORE }\nauthorization { users: [{user: joe, password: hunter2}, {user: eve, password: hunter3, permissions: {publish: [\"$JS.API.>\"]}}] }",
    );
    let url = server.url("/usage_events");
    let attempt = |user: &str, password: &str| {
        let mut command = publish(&url);
        command.args(["-vv", "--create-stream"]).write_stdin(lines("a", 2));
        command.env("FORMUSAGE_LOG", "trace,async_nats=trace");
        command.env("FORMUSAGE_NATS_USER", user).env("FORMUSAGE_NATS_PASSWORD", password).assert()
    };
    let hidden = || contains("hunter").not();
    attempt("joe", "hunter4").code(2).stderr(contains("refused the credentials").and(hidden()));
    attempt("joe", "hunter2").code(0).stderr(hidden()).stdout(hidden());
    attempt("eve", "hunter3").code(2).stderr(contains("does not permit it").and(hidden()));
    publish(&url).write_stdin(lines("a", 1)).assert().code(2).stderr(contains("FORMUSAGE_NATS_USER"));
    read(&url)
        .env("FORMUSAGE_NATS_USER", "joe")
        .env("FORMUSAGE_NATS_PASSWORD", "hunter2")
        .assert()
        .code(0)
        .stdout(lines("a", 2));
    for url in ["nats://joe:hunter2@127.0.0.1", "tls://hunter2@a,b/c", "form://joe:hunter2@127.0.0.1"] {
        publish(url).write_stdin("").assert().code(2).stderr(hidden().and(contains("process list")));
    }

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter2").unwrap();
    let creds = |path: &std::path::Path| publish(&url).arg("--nats-creds").arg(path).write_stdin("").assert().code(2);
    creds(file.path()).stderr(contains("holds no credentials").and(hidden()));
    creds(std::path::Path::new("/no/such.creds")).stderr(contains("can't be read"));

    let server = NatsServer::with("jetstream { store_dir: STORE }\nauthorization { token: hunter5 }");
    for (token, code) in [("hunter5", 0), ("hunter6", 2)] {
        publish(&server.url(""))
            .args(["-vv", "--create-stream"])
            .env("FORMUSAGE_TOKEN", token)
            .write_stdin(lines("a", 1))
            .assert()
            .code(code)
            .stderr(hidden());
    }
}

#[test]
fn permissions_to_publish_and_nothing_else_are_enough() {
    let server = NatsServer::with(
        "jetstream { store_dir: STORE }\nno_auth_user: all\nauthorization { users: [{user: all, password: x}, {user: amy, password: x, permissions: {publish: [usage_events]}}, {user: bob, password: x, permissions: {subscribe: [nothing]}}] }",
    );
    make(&server, stream("S", DAY));
    let attempt = |user: &str| {
        let mut command = publish(&server.url(""));
        command.write_stdin(lines("a", 300)).env("FORMUSAGE_NATS_USER", user).env("FORMUSAGE_NATS_PASSWORD", "x");
        command.assert()
    };
    attempt("amy").code(0).stderr("");
    attempt("bob").code(2).stderr(contains("to subscribe to _INBOX.>"));
}

#[test]
fn tls_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let [certificate, key] =
        [("cert.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())].map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        });
    let server = NatsServer::with(&format!(
        "jetstream {{ store_dir: STORE }}\ntls {{ cert_file: {certificate:?}, key_file: {key:?} }}"
    ));
    for url in [server.url(""), server.url("").replace("nats://", "tls://")] {
        publish(&url)
            .args(["--create-stream", "--ca-file", &certificate])
            .write_stdin(lines("a", 3))
            .assert()
            .code(0)
            .stderr("");
        read(&url).args(["--ca-file", &certificate]).assert().code(0).stdout(lines("a", 3));
    }
    let url = server.url("").replace("nats://", "tls://");
    publish(&url).write_stdin(lines("a", 1)).assert().code(2).stderr(contains("no trusted TLS connection"));
    publish(&url).args(["--ca-file", &key]).write_stdin("").assert().code(2).stderr(contains("there are none in it"));
    let plain = NatsServer::start();
    publish(&plain.url("").replace("nats://", "tls://"))
        .args(["--ca-file", &certificate])
        .write_stdin(lines("a", 1))
        .assert()
        .code(2)
        .stderr(contains("no trusted TLS connection"));
}

#[test]
fn a_port_where_something_else_listens_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = connection.unwrap().write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        }
    });
    publish(&url).write_stdin(lines("a", 1)).assert().code(2).stderr(contains("does not speak NATS"));
}

#[test]
fn a_stream_is_followed_from_before_it_is_there_and_over_a_restart() {
    let mut server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    let mut child = formusage_process()
        .args(["read", "--follow", "--poll-interval", "10ms", "--from", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_guarded();
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(words.next().unwrap().unwrap().starts_with("waiting: "));
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 0..4 {
        publish(&url).arg("--create-stream").write_stdin(line("a", n)).assert().code(0);
        assert_eq!(shown.next().unwrap().unwrap(), line("a", n));
        if n == 1 {
            server.kill();
            assert!(words.next().unwrap().unwrap().contains("reading goes on when the source is back"));
            server.restart();
        }
    }
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_stream_made_anew_is_followed_from_its_first_message() {
    let server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    publish(&url).arg("--create-stream").write_stdin(lines("a", 3)).assert().code(0);
    let mut child = formusage_process()
        .args(["read", "--follow", "--poll-interval", "10ms", "--timeout", "1s", "--from", &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_guarded();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    for n in 0..3 {
        assert_eq!(shown.next().unwrap().unwrap(), line("a", n));
    }
    run(async {
        let client = async_nats::connect(server.url("")).await.unwrap();
        async_nats::jetstream::new(client).delete_stream("USAGE").await.unwrap();
    });
    publish(&url).arg("--create-stream").write_stdin(lines("b", 5)).assert().code(0);
    for n in 0..5 {
        assert_eq!(shown.next().unwrap().unwrap(), line("b", n));
    }
    signal(&child, "TERM");
    let words = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(words.contains("was deleted and made anew"), "{words}");
}

#[test]
fn an_event_that_is_too_large_is_a_dead_letter_and_a_full_stream_is_not() {
    let server = NatsServer::with("max_payload: 4096\njetstream { store_dir: STORE }");
    make(&server, Config { max_message_size: 2_000, ..stream("S", DAY) });
    for size in [3_000, 6_000] {
        let large = line("b", 0).replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(size)), 1);
        let input = format!("{}\n{large}\n{}\n", line("a", 0), line("a", 1));
        publish(&server.url(""))
            .args(["--report", "json"])
            .write_stdin(input)
            .assert()
            .code(1)
            .stdout(contains("\"delivered\":2").and(contains("\"dead\":1")));
    }
    let server = NatsServer::start();
    let output = publish(&server.url(""))
        .args(["--create-stream", "--stream-max-bytes", "1000", "--report", "json"])
        .args(["--max-retries", "0", "--drain-timeout", "100ms"])
        .write_stdin(lines("a", 9))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["dead"], output.status.code()), (&0.into(), Some(1)), "{report}");
    assert_eq!(report["delivered"].as_u64().unwrap() + report["undelivered"].as_u64().unwrap(), 9, "{report}");
}

#[test]
fn several_readers_share_a_durable_consumer_and_it_keeps_its_place() {
    let server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    publish(&url).arg("--create-stream").write_stdin(lines("a", 10)).assert().code(0);
    let share = |limit: &str| {
        let output = read(&url).args(["--consumer", "billing", "--limit", limit]).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
        String::from_utf8(output.stdout).unwrap()
    };
    let mut seen = share("4") + &share("3") + &share("99");
    publish(&url).write_stdin(lines("a", 12)).assert().code(0);
    seen += &share("99");
    let mut seen: Vec<_> = seen.lines().collect();
    seen.sort_unstable();
    let expected = lines("a", 12);
    let mut expected: Vec<_> = expected.lines().collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!(share("99"), "");
    read("-")
        .args(["--consumer", "billing"])
        .write_stdin("")
        .assert()
        .code(2)
        .stderr(contains("--consumer is for nats"));
}

#[test]
fn a_server_that_comes_back_gets_everything_once_and_in_order() {
    let mut server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    publish(&url).arg("--create-stream").write_stdin(lines("a", 1)).assert().code(0);
    let mut child = formusage_process()
        .args(["publish", "--to", &url, "--reset-timeout", "50ms", "--drain-timeout", "30s"])
        .stdin(Stdio::piped())
        .spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 500).as_bytes()).unwrap();
    while info(&server, "USAGE").state.messages < 100 {}
    server.kill();
    let rest: String = (500..1_000).map(|n| line("a", n) + "\n").collect();
    input.write_all(rest.as_bytes()).unwrap();
    drop(input);
    server.restart();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(info(&server, "USAGE").state.messages, 1_000);
    read(&url).assert().code(0).stdout(lines("a", 1_000));
}

#[test]
fn a_leader_killed_while_events_are_published_loses_and_doubles_nothing() {
    const EACH: i64 = 3_000;
    let mut servers = NatsServer::cluster();
    let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    let url = format!("nats://{}/usage_events?stream=USAGE", hosts.join(","));
    let patient = ["--reset-timeout", "200ms", "--drain-timeout", "60s"];
    let create = ["--create-stream", "--stream-replicas", "3"];
    publish(&url).args(create).args(patient).write_stdin(lines("a", 1)).assert().code(0);

    let mut child = formusage_process()
        .args(["publish", "--report", "json", "--to", &url])
        .args(patient)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..EACH {
            for instance in ["a", "b", "c"] {
                writeln!(input, "{}", line(instance, n)).unwrap();
            }
        }
    });
    let leader = run(async {
        let stream = servers[0].jetstream().await.get_stream("USAGE").await.unwrap();
        loop {
            let info = stream.get_info().await.unwrap();
            if info.state.messages > 1_000 {
                break info.cluster.unwrap().leader.unwrap();
            }
        }
    });
    servers.iter_mut().find(|server| server.name == leader).unwrap().kill();
    writer.join().unwrap();
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["delivered"]), (Some(0), &(3 * EACH).into()), "{report}");
    assert!(report["retries"].as_u64() > Some(0), "nothing happened while it published: {report}");

    let left = servers.iter().find(|server| server.name != leader).unwrap();
    assert_eq!(info(left, "USAGE").state.messages, 3 * EACH as u64);
    let output = read(&url).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    let shown = String::from_utf8(output.stdout).unwrap();
    for instance in ["a", "b", "c"] {
        let own: Vec<_> = shown.lines().filter(|it| it.contains(&format!("\"instance_id\":\"{instance}\""))).collect();
        let expected = lines(instance, EACH);
        let wrong: Vec<_> = expected.lines().zip(&own).enumerate().filter(|(_, (one, two))| one != *two).collect();
        assert!(wrong.is_empty(), "out of order: {} from {:?}", wrong.len(), wrong.first());
        assert_eq!(own.len(), EACH as usize, "events of {instance}");
    }
}

#[test]
fn a_stream_that_drops_events_is_named_and_what_it_dropped_is_counted() {
    let server = NatsServer::start();
    make(&server, Config { max_messages: 10, discard: DiscardPolicy::Old, ..stream("S", DAY) });
    publish(&server.url("/usage_events")).write_stdin(lines("a", 15)).assert().code(0).stderr(
        contains("\"S\" keeps 10 events and drops the oldest for new ones")
            .and(contains("--discard=new"))
            .and(contains("dropped its 5 oldest messages, and at least 5 of these events")),
    );
    let server = NatsServer::start();
    make(&server, Config { max_messages_per_subject: 1, ..stream("S", DAY) });
    publish(&server.url("/usage_events"))
        .args(["--report", "json"])
        .write_stdin(lines("a", 3))
        .assert()
        .code(0)
        .stdout(contains("\"no_longer_held\":2"))
        .stderr(contains("keeps 1 events of a subject").and(contains("at least 2 of these events")));
    let server = NatsServer::start();
    make(&server, Config { max_age: DAY, max_messages: 10, discard: DiscardPolicy::New, ..stream("S", DAY) });
    publish(&server.url("/usage_events"))
        .write_stdin(lines("a", 3))
        .assert()
        .code(0)
        .stderr(contains("drops events after 24 hours").and(contains("oldest").not()));
    // What was asked for needs no warning.
    let server = NatsServer::start();
    publish(&server.url("/usage_events"))
        .args(["--create-stream", "--stream-max-age", "30d", "--stream-max-bytes", "1000000"])
        .write_stdin(lines("a", 3))
        .assert()
        .code(0)
        .stderr("");
}

#[test]
fn a_stream_without_acknowledgements_is_a_wrong_destination() {
    let server = NatsServer::start();
    make(&server, Config { no_ack: true, ..stream("S", DAY) });
    publish(&server.url("/usage_events"))
        .write_stdin(lines("a", 3))
        .assert()
        .code(2)
        .stderr(contains("acknowledges nothing (no_ack)").and(contains("nats stream edit S --ack")));
}

#[test]
fn a_port_that_says_nothing_is_asked_whether_it_is_nats() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let held = std::thread::spawn(move || listener.incoming().take(1).flatten().collect::<Vec<_>>());
    publish(&url)
        .args(["--timeout", "500ms", "--max-retries", "0", "--drain-timeout", "1s", "--failure-threshold", "1"])
        .write_stdin(lines("a", 1))
        .assert()
        .code(1)
        .stderr(contains(format!("no NATS greeting from {url}")).and(contains(format!("formusage ping --to {url}"))));
    drop(held);
}

#[test]
fn a_reader_that_gets_nothing_because_others_hold_it_all_says_so() {
    let server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    publish(&url).arg("--create-stream").write_stdin(lines("a", 5)).assert().code(0);
    let share = || {
        let mut command = read(&url);
        command.args(["--consumer", "billing", "--limit", "1"]);
        command
    };
    share().assert().code(0).stdout(line("a", 0) + "\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use futures_util::StreamExt as _;
        let stream = server.jetstream().await.get_stream("USAGE").await.unwrap();
        let consumer: async_nats::jetstream::consumer::PullConsumer = stream.get_consumer("billing").await.unwrap();
        let mut held = consumer.fetch().max_messages(10).messages().await.unwrap();
        for n in 1..5 {
            assert_eq!(held.next().await.unwrap().unwrap().payload, line("a", n).as_bytes());
        }
    });
    share().assert().code(2).stdout("").stderr(contains("other readers of the consumer billing hold 4 messages"));
}

#[test]
fn reconcile_says_what_happened_where_the_stream_is_gone() {
    let server = NatsServer::start();
    let url = server.url("/usage_events?stream=USAGE");
    let folder = tempfile::tempdir().unwrap();
    let with_spool = |mut command: assert_cmd::Command| {
        command.env("FORMUSAGE_STATE_DIR", folder.path());
        command
    };
    with_spool(publish(&url)).arg("--create-stream").write_stdin(lines("a", 3)).assert().code(0);
    run(async { server.jetstream().await.delete_stream("USAGE").await.unwrap() });
    let output = with_spool(formusage()).args(["spool", "reconcile", "--to", &url]).output().unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "3 events are back in the spool, to be sent again under the same ids",
        "make one (formusage publish --create-stream, or nats stream add USAGE --subjects usage_events)",
        "3 events wait",
    ] {
        assert!(words.contains(expected), "{words}");
    }
}
