//! What keeps alerts from being delivered is said, with what to do about it, and tells nobody a secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use form_usage_events::clock::SystemClock;
use form_usage_events::events::EncodedEvent;
use form_usage_events::spool::{NewEvent, NewItem, Spool, SpoolOptions, Sync};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

use crate::channels::{Bench, PATIENCE, SECRET, receiver, webhook};
use crate::support::{SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers each request with `status`, and repeats the line of the request, as some servers do in their refusals.
fn echo(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let length = connection.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let line = head.lines().next().unwrap_or_default();
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", line.len());
            let _ = connection.write_all((reply + line).as_bytes());
        }
    });
    port
}

#[test]
fn alerts_for_a_name_that_is_gone_are_named_and_looked_after() {
    let bench = Bench::new(r#""Notify""#, &webhook(closed_port()));
    let waits = contains("channel:ops: 1 alert waits").and(contains("formusage spool list --spool "));
    bench.publish(1).args(["--drain-timeout", "1s"]).assert().code(0).stderr(waits);
    let spool = bench.path("state/alerts.db");
    let spool = spool.to_str().unwrap();

    // Without channels at all.
    let mut bare = formusage();
    bare.current_dir(bench.path("")).env("FORMUSAGE_ALERT_SPOOL", spool).write_stdin("");
    bare.args(["check", "thresholds.json"]);
    let words = contains("1 alert waits in").and(contains("(1 for channel:ops), and this run delivers none"));
    bare.assert().code(0).stderr(words);

    // Renamed, with what waits under the old name.
    let renamed = |name: &str| {
        let text = std::fs::read_to_string(bench.path(name)).unwrap();
        bench.file(name, &text.replace("\"ops\"", "\"on-call\""));
    };
    renamed("channels.json");
    renamed("thresholds.json");
    let list = format!("formusage spool list --spool {spool} --to channel:ops");
    let purge = format!("formusage spool purge --waiting --spool {spool} --to channel:ops");
    let words = contains("1 alert waits in").and(contains("for channel:ops, and channels.json has no such name"));
    let words = words.and(contains("bind the name again")).and(contains(list.as_str())).and(contains(purge.as_str()));
    bench.publish(0).assert().code(0).stderr(words);

    // What was said is what works.
    let say = |line: &str| formusage().args(line.split(' ').skip(1)).assert().code(0);
    say(&list).stdout(contains("threshold_violation").and(contains("cpu-high")));
    say(&format!("formusage spool list --spool {spool} --to channel:other")).stdout("");
    say(&format!("{purge} --yes")).stderr(contains("1 event that waited was thrown away"));
    bench.publish(0).assert().code(0).stderr(contains("ops").not());
}

/// Fills what a channel may have of the alerts' spool at `path` with large events, where there is another channel.
async fn fill_share(path: &Path, channel: &str, other: &str) {
    let options =
        SpoolOptions { max_bytes: 64 << 20, retain: Duration::ZERO, sync: Sync::Normal, ..SpoolOptions::default() };
    let open = |name| Spool::open(path, name, options.clone(), Arc::new(SystemClock)).unwrap();
    drop(open(other));
    let spool = open(channel);
    for size in [900_000, 100_000, 10_000, 1] {
        for n in 0.. {
            let labels = format!(",\"labels\":{{\"{size}-{n}\":\"{}\"}}}}", "x".repeat(size));
            let text = line("i", n).strip_suffix('}').unwrap().to_owned() + &labels;
            let encoded = EncodedEvent::decode(text.as_bytes()).unwrap();
            if spool.take(vec![NewItem::Event(NewEvent { encoded, source: "test".into(), line: None })]).await.is_err()
            {
                break;
            }
        }
    }
}

#[tokio::test]
async fn alerts_that_are_lost_show_in_the_exit_code() {
    let bench = Bench::new(r#""Notify""#, "");
    let channels = format!(r#"{{"channels":{{"ops":{{"queue":{{"to":"form://127.0.0.1:{}/a"}}}}}}}}"#, closed_port());
    bench.file("channels.json", &channels);
    let spool = bench.path("alerts.db");
    fill_share(&spool, "channel:ops", "channel:other").await;
    let words = contains("is lost, since too many waited for it");
    let mut publish = bench.publish(1);
    publish.args(["--drain-timeout", "1s", "--report", "json"]).env("FORMUSAGE_ALERT_SPOOL", &spool);
    publish.assert().code(1).stdout(contains("\"delivered\":1")).stderr(words.clone());
    for (format, lost) in [("json", "\"dropped_alerts\":1"), ("nagios", "1 alert lost, since too many waited")] {
        let mut check = formusage();
        check.current_dir(bench.path("")).env("FORMUSAGE_ALERT_SPOOL", &spool).write_stdin(lines("i", 1));
        check.args(["check", "thresholds.json", "--channels", "channels.json", "--drain-timeout", "1s"]);
        check.args(["--format", format]).assert().code(1).stdout(contains(lost)).stderr(words.clone());
    }
}

#[test]
fn a_channel_that_nothing_uses_stops_nothing() {
    let (port, received) = receiver(0);
    let spare = r#""channels":{"spare":{"slack":{"url":{"env":"NO_SUCH_SECRET"}}},"#;
    let bench = Bench::new(r#""Notify""#, &webhook(port).replace(r#""channels":{"#, spare));
    let warning = contains("channel:spare of channels.json can't be used").and(contains("NO_SUCH_SECRET is not set"));
    bench.publish(1).assert().code(0).stderr(warning);
    assert!(received.recv_timeout(PATIENCE).unwrap().body.contains("cpu-high"));
    bench.channels(&["test", "ops"]).assert().code(0);
    bench.channels(&["test", "spare"]).assert().code(1).stderr(contains("NO_SUCH_SECRET is not set"));
    bench.channels(&["list"]).assert().code(1).stdout(contains("NO_SUCH_SECRET is not set"));

    // One that is used is an error before anything is sent.
    let text = std::fs::read_to_string(bench.path("thresholds.json")).unwrap();
    bench.file("thresholds.json", &text.replace("\"ops\"", "\"spare\""));
    let error = || contains("threshold `cpu-high`: the channel `spare` can't be used").and(contains("NO_SUCH_SECRET"));
    bench.publish(1).assert().code(2).stderr(error());
    let mut check = formusage();
    check.current_dir(bench.path("")).args(["check", "thresholds.json", "--channels", "channels.json"]);
    check.env("HOOK_SECRET", SECRET).write_stdin(lines("i", 1)).assert().code(2).stderr(error());
}

#[test]
fn a_program_gets_no_secret_of_other_channels() {
    let bench = Bench::new(r#"{"Action":"note"}"#, "");
    let out = bench.path("noted");
    let command = ["/bin/sh", "-c", "env > \"$0\"", out.to_str().unwrap()];
    let channels = serde_json::json!({
        "channels": {
            "chat": { "slack": { "url": { "env": "CHAT_URL" } } },
            "ops": { "webhook": { "url": "http://127.0.0.1:1/", "secret": { "env": "HOOK_SECRET" }, "token": { "env": "HOOK_TOKEN" } } },
        },
        "actions": { "note": { "exec": { "command": command } } },
    });
    bench.file("channels.json", &channels.to_string());
    let secrets = [("CHAT_URL", "http://127.0.0.1:1/hush"), ("HOOK_TOKEN", "hush"), ("OTHER", "kept")];
    bench.publish(1).arg("--allow-exec").envs(secrets).assert().code(0);
    let noted = std::fs::read_to_string(&out).unwrap();
    assert!(noted.contains("OTHER=kept") && noted.contains("PATH="), "{noted}");
    assert!(!noted.contains("hush") && !noted.contains(SECRET), "{noted}");
    // A trial is no way around it.
    std::fs::remove_file(&out).unwrap();
    bench.channels(&["test", "note", "--allow-exec"]).envs(secrets).assert().code(0);
    let noted = std::fs::read_to_string(&out).unwrap();
    assert!(noted.contains("OTHER=kept") && !noted.contains("hush") && !noted.contains(SECRET), "{noted}");
}

#[test]
fn a_refusal_that_repeats_the_request_shows_no_key() {
    let port = echo("404 Not Found");
    let bench = Bench::new(r#""Notify""#, r#"{"channels":{"ops":{"slack":{"url":{"file":"url"}}}}}"#);
    bench.file("url", &format!("http://127.0.0.1:{port}/services/T0/hunter%2B2\n"));
    let shown = || contains("POST (secret)").and(contains("hunter").not());
    bench.channels(&["test", "ops"]).assert().code(1).stderr(shown());
    let keyed = webhook(port).replace("/hook", "/hook?sig=hunter2");
    bench.file("channels.json", &keyed);
    bench.channels(&["test", "ops"]).assert().code(1).stderr(shown());
    // The same holds for a destination of events.
    let to = format!("http://127.0.0.1:{port}/events?sig=hunter2");
    let mut publish = formusage();
    publish.args(["publish", "--to", &to, "--drain-timeout", "1s"]).write_stdin(lines("i", 1));
    publish.assert().code(2).stderr(contains("POST /events?(secret)").and(contains("hunter").not()));
}

#[test]
fn a_dead_letter_is_named_with_its_spool_and_the_next_command() {
    let bench = Bench::new(r#""Notify""#, &webhook(echo("400 Bad Request")));
    let spool = bench.path("state/alerts.db").display().to_string();
    let list = format!("formusage dlq list --spool {spool}");
    let words = contains("1 alert is a dead letter").and(contains(list.as_str()));
    let words = words.and(contains(format!("formusage dlq replay --all --spool {spool}")));
    bench.publish(1).assert().code(0).stderr(words);
    formusage().args(list.split(' ').skip(1)).assert().code(0).stdout(contains("channel:ops").and(contains("400")));
}

/// Whether the first thread of a process waits for something.
#[cfg(target_os = "linux")]
fn is_waiting(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('S')
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_wait_for_a_slow_channel_and_loses_nothing() {
    for input in ["events.ndjson", "-"] {
        let slow = TcpListener::bind("127.0.0.1:0").unwrap();
        let bench = Bench::new(r#""Notify""#, &webhook(slow.local_addr().unwrap().port()));
        bench.file("events.ndjson", &lines("i", 1));
        let check = |patience: &str| {
            let mut command = formusage_process();
            command.args(["check", "thresholds.json", input, "--channels", "channels.json", "--format", "nagios"]);
            command.args(["--drain-timeout", patience, "--alert-spool", "alerts.db"]);
            command
                .env("HOOK_SECRET", SECRET)
                .current_dir(bench.path(""))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            command
        };
        let mut child = check("50s").stdin(std::fs::File::open(bench.path("events.ndjson")).unwrap()).spawn_guarded();
        // It has sent its request, and gets no answer; the verdict on all of the input is given, so that it waits for
        // this alone.
        let (mut connection, _) = slow.accept().unwrap();
        assert!(connection.read(&mut [0; 16]).unwrap() > 0);
        let mut verdict = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut verdict).unwrap();
        assert!(verdict.contains("1 violation"), "{verdict}");
        let mut stderr = child.stderr.take().unwrap();
        while !is_waiting(child.id()) {
            std::thread::yield_now();
        }
        signal(&child, "TERM");
        let mut said = String::new();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "the verdict on the events stands: {said}");
        assert!(said.contains("channel:ops: 1 alert waits for the next run"), "{said}");
        assert!(said.contains("formusage spool list --spool alerts.db"), "{said}");
        let mut verify = formusage();
        verify.current_dir(bench.path("")).args(["spool", "verify", "--spool", "alerts.db"]);
        verify.assert().code(0).stderr(contains("1 event waits"));

        drop((connection, slow));
        let (port, received) = receiver(0);
        bench.file("channels.json", &webhook(port));
        bench.file("events.ndjson", "");
        let status = check("30s").stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0));
        assert!(received.recv_timeout(PATIENCE).unwrap().body.contains("cpu-high"));
    }
}

#[cfg(unix)]
#[test]
fn the_second_signal_ends_the_wait_of_a_publisher() {
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let bench = Bench::new(r#""Notify""#, &webhook(slow.local_addr().unwrap().port()));
    bench.file("events.ndjson", &lines("i", 1));
    let mut command = formusage_process();
    command.args(["publish", "events.ndjson", "--to", "file:out.ndjson", "--thresholds", "thresholds.json"]);
    command.args(["--channels", "channels.json", "--drain-timeout", "10m", "--alert-spool", "alerts.db"]);
    command.env("HOOK_SECRET", SECRET).current_dir(bench.path("")).stderr(Stdio::piped());
    let mut child = command.spawn_guarded();
    let (mut connection, _) = slow.accept().unwrap();
    assert!(connection.read(&mut [0; 16]).unwrap() > 0);
    // Two of one kind might be taken for one.
    signal(&child, "TERM");
    signal(&child, "INT");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(said.contains("channel:ops: 1 alert waits for the next run"), "{said}");
}

/// How many alerts a run says that newer states superseded.
fn superseded(run: &assert_cmd::assert::Assert) -> u64 {
    let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
    let line = said.lines().find(|line| line.contains("not sent after the outage"));
    let count = line.and_then(|line| line.split("channel:ops: ").nth(1)?.split(' ').next()?.parse().ok());
    count.unwrap_or_default()
}

#[test]
fn after_an_outage_the_newest_state_alone_is_sent() {
    let bench = Bench::new(r#""Notify""#, &webhook(closed_port()));
    // Two runs during the outage; what the first one left is in the spool alone.
    let mut dropped = 0;
    for events in [5, 10] {
        let run = bench.publish(events).args(["--drain-timeout", "1s"]).assert().code(0);
        dropped += superseded(&run.stderr(contains("for the next run")));
    }
    let (port, received) = receiver(0);
    bench.file("channels.json", &webhook(port));
    let run = bench.publish(0).args(["--drain-timeout", "35s"]).assert().code(0);
    assert_eq!(dropped + superseded(&run), 14, "one of fifteen is sent");
    let body: serde_json::Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap().body).unwrap();
    let events = body["data"]["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{body}");
    assert_eq!(events[0]["alert"]["at"], 1_626_350_400 + 10 * 30, "the last of them: {body}");
    assert!(received.try_recv().is_err());

    // Once the channel works, each alert is sent.
    bench.publish(3).assert().code(0).stderr(contains("were not sent").not());
    let mut sent = 0;
    while sent < 3 {
        let body: serde_json::Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap().body).unwrap();
        sent += body["data"]["events"].as_array().unwrap().len();
    }
}

#[test]
fn what_fired_and_ended_in_an_outage_is_sent_as_resolved() {
    let bench = Bench::new(r#""Notify""#, &webhook(closed_port()));
    let threshold = std::fs::read_to_string(bench.path("thresholds.json")).unwrap();
    bench.file("thresholds.json", &threshold.replace("\"user_id\"", "\"repeat_interval\":\"30s\",\"user_id\""));
    let publish =
        |events: String| bench.publish(0).args(["--drain-timeout", "1s"]).write_stdin(events).assert().code(0);
    publish(lines("i", 5)).stderr(contains("channel:ops: 5 alerts wait"));
    let mut dropped = superseded(&publish(lines("i", 6).replace("12.5", "1.5")));
    let (port, received) = receiver(0);
    bench.file("channels.json", &webhook(port));
    dropped += superseded(&bench.publish(0).args(["--drain-timeout", "35s"]).assert().code(0));
    assert_eq!(dropped, 5, "one that fired and four repeats");
    let body: serde_json::Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap().body).unwrap();
    let events = body["data"]["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{body}");
    let alert = &events[0]["alert"];
    let (begin, end) = (1_626_350_400, 1_626_350_400 + 6 * 30);
    assert_eq!((&alert["kind"], &alert["since"], &alert["at"]), (&"resolved".into(), &begin.into(), &end.into()));
}

#[test]
fn a_queue_gets_every_alert_after_an_outage() {
    let queue = |to: &str| format!(r#"{{"channels":{{"ops":{{"queue":{{"to":"{to}"}}}}}}}}"#);
    let bench = Bench::new(r#""Notify""#, &queue(&format!("form://127.0.0.1:{}/alerts", closed_port())));
    bench.publish(3).args(["--drain-timeout", "1s"]).assert().code(0).stderr(contains("channel:ops: 3 alerts wait"));
    bench.file("channels.json", &queue("sqlite:alerts.db"));
    bench.publish(0).args(["--drain-timeout", "35s"]).assert().code(0).stderr(contains("were not sent").not());
    let read = formusage().current_dir(bench.path("")).args(["read", "--from", "sqlite:alerts.db"]).assert().code(0);
    let text = String::from_utf8_lossy(&read.get_output().stdout).into_owned();
    assert_eq!(text.matches("threshold_violation").count(), 3, "{text}");
}
