//! Clients of `queue` and of the figures that send half a request, do not read, or are somebody else's web page.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use predicates::str::contains;
use serde_json::json;

use super::peak_memory;
use crate::form_queue::USAGE_EVENTS;
use crate::support::{RunningProcess, ServedQueue, SpawnGuarded as _, formusage, formusage_process, line};

const JSON: &str = "content-type: application/json\r\n";

const GET: &[u8] = b"GET /queue/usage_events/get HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";

/// The queue with so few descriptors that clients could take all of them.
fn with_few_files(db: &Path) -> ServedQueue {
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 128; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_formusage")]);
    command.args(["queue", "--listen", "127.0.0.1:0", "--db"]).arg(db).stderr(Stdio::piped());
    ServedQueue::of(command)
}

fn write(content: &[u8]) -> Vec<u8> {
    json!({"Write": {"content": content, "topic": USAGE_EVENTS}}).to_string().into_bytes()
}

#[test]
fn half_sent_requests_keep_nobody_out_of_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let queue = with_few_files(&folder.path().join("q.db"));
    for start in [
        "GET /queue/health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ",
        "POST /queue/write_local HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
        "POST /queue/write_local HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 2000000\r\n\r\n{",
        "",
    ] {
        let mut held = Vec::new();
        for n in 0..200_u32 {
            let mut connection = TcpStream::connect(&queue.address).unwrap();
            connection.write_all(start.as_bytes()).unwrap();
            held.push(connection);
            if n % 50 == 49 {
                assert_eq!(queue.get("/queue/health"), (200, "OK".to_owned()), "{start:?}");
                let answer = queue.post(JSON, &write(&n.to_be_bytes()));
                assert_eq!(answer, (200, "\"OpSuccess\"".to_owned()), "{start:?}");
            }
        }
    }
}

#[test]
fn half_sent_large_writes_hold_back_no_other_large_write() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let body = write(&vec![200; 100_000]);
    let head = format!(
        "POST /queue/write_local HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{JSON}content-length: {}\r\n\r\n",
        body.len()
    );
    let begin = |bytes: usize| {
        let mut connection = TcpStream::connect(&queue.address).unwrap();
        connection.write_all(&[head.as_bytes(), &body[..bytes]].concat()).unwrap();
        connection.set_read_timeout(Some(std::time::Duration::from_secs(15))).unwrap();
        connection
    };
    let mut held: Vec<_> = (0..40).map(|_| begin(70_000)).collect();
    // Long before they run into the limit of time of a request, which is thirty seconds.
    let mut reply = String::new();
    begin(body.len()).read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("\"OpSuccess\""), "{reply}");
    // Who had to give way is told to send it again.
    let mut reply = String::new();
    held[0].read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
}

#[test]
fn beginnings_of_large_writes_hold_back_no_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let body = write(&vec![200; 100_000]);
    let begin = |length: &str, bytes: &[u8]| {
        let mut connection = TcpStream::connect(&queue.address).unwrap();
        let head = format!(
            "POST /queue/write_local HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{JSON}{length}\r\n\r\n"
        );
        connection.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
        connection
    };
    let large = format!("content-length: {}", body.len());
    let held: Vec<_> = (0..200).map(|_| begin(&large, &body[..21])).collect();
    // Were they waited for in turn, a second for each sixteen, it would be twelve.
    let mut whole = begin(&large, &body);
    whole.set_read_timeout(Some(std::time::Duration::from_secs(6))).unwrap();
    let mut reply = String::new();
    whole.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("\"OpSuccess\""), "{reply}");
    // A small body of a length that is not known comes in too, whole.
    let small = write(b"\0small");
    let chunk = [format!("{:x}\r\n", small.len()).as_bytes(), &small, b"\r\n0\r\n\r\n"].concat();
    let mut reply = String::new();
    begin("transfer-encoding: chunked", &chunk).read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("\"OpSuccess\""), "{reply}");
    drop(held);
}

#[test]
fn readers_that_do_not_read_cost_neither_memory_nor_the_lists_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    // 10 MB as JSON, which neither side's socket holds.
    let content = vec![200; 130_000];
    for n in 0..18_u8 {
        let content = [&[n][..], &content].concat();
        assert_eq!(queue.post(JSON, &write(&content)), (200, "\"OpSuccess\"".to_owned()));
    }
    let mut held = Vec::new();
    for _ in 0..120 {
        let mut connection = TcpStream::connect(&queue.address).unwrap();
        connection.write_all(GET).unwrap();
        // It has begun: the list has a place, or is refused one.
        assert_eq!(connection.read(&mut [0; 1]).unwrap_or(1), 1);
        held.push(connection);
    }
    // As long as all lists have just begun, there is none that gives way.
    let whole = (0..100_000).map(|_| queue.get("/queue/usage_events/get")).find(|(status, _)| {
        assert!([200, 503].contains(status), "{status}");
        *status == 200
    });
    let (_, whole) = whole.expect("a reader that reads gets a place");
    // The list itself, and eighteen in it.
    assert!(whole.matches('[').count() == 19 && whole.ends_with("]]}"), "{} bytes", whole.len());
    assert_eq!(queue.post(JSON, &write(b"\0z")), (200, "\"OpSuccess\"".to_owned()));
    let peak = peak_memory(&queue.process).unwrap();
    assert!(peak < 400, "{peak} MiB");
    // Who was cut off in favour of the others, one of the first, can tell that its list is not whole.
    for mut connection in held.into_iter().take(3) {
        let mut list = Vec::new();
        connection.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let _ = connection.read_to_end(&mut list);
        assert!(list.ends_with(b"]}\r\n0\r\n\r\n") || !list.ends_with(b"\r\n0\r\n\r\n"), "a broken list seems whole");
    }
}

#[test]
fn queue_without_token_answers_no_web_page_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("q.db");
    let ask = |queue: &ServedQueue, headers: &str| {
        let body = write(b"\0forged");
        let head = format!(
            "POST /queue/write_local HTTP/1.1\r\n{headers}connection: close\r\n{JSON}content-length: {}\r\n\r\n",
            body.len()
        );
        queue.ask(&[head.as_bytes(), &body].concat())
    };
    let queue = ServedQueue::start(&db, &[], None);
    let port = queue.address.rsplit(':').next().unwrap();
    for (headers, named) in [
        (format!("host: evil.example:{port}\r\n"), "evil.example"),
        (format!("host: 127.0.0.1:{port}\r\norigin: https://evil.example\r\n"), "https://evil.example"),
        (format!("host: 127.0.0.1:{port}\r\norigin: null\r\n"), "null"),
        (format!("host: 127.0.0.1:{port}\r\nhost: evil.example\r\n"), ""),
        (String::new(), ""),
    ] {
        let (status, words) = ask(&queue, &headers);
        assert!([400, 403].contains(&status), "{headers:?}: {status} {words}");
        assert!(status == 400 || words.contains(named) && words.contains("FORMUSAGE_TOKEN"), "{headers:?}: {words}");
    }
    assert!(queue.get("/queue/usage_events/get").1.contains("Failure"), "nothing was written");
    for headers in
        [format!("host: localhost:{port}\r\norigin: http://localhost:8080\r\n"), "host: [::1]\r\n".to_owned()]
    {
        assert_eq!(ask(&queue, &headers).0, 200, "{headers:?}");
    }
    drop(queue);
    let guarded = ServedQueue::start(&db, &[], Some("sesame"));
    let headers = "host: queue.example\r\norigin: https://ops.example\r\nauthorization: Bearer sesame\r\n";
    assert_eq!(ask(&guarded, headers).0, 200, "who has the token may come by any name");
}

/// A publisher that serves its figures at `listen`; and where they are.
fn figures_at(folder: &Path, listen: &[&str]) -> (RunningProcess, String) {
    let mut command = formusage_process();
    command.current_dir(folder).args(["publish", "--to", "file:out", "--metrics-listen"]).args(listen);
    let mut process = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut said = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut said).unwrap();
    let address = said.split_once("http://").unwrap().1.split('/').next().unwrap().to_owned();
    (process, address)
}

#[test]
fn figures_on_loopback_are_for_no_web_page_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |address: &str, headers: &str| {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(format!("GET /metrics HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap();
        let mut reply = String::new();
        connection.read_to_string(&mut reply).unwrap();
        reply
    };
    let (process, address) = figures_at(folder.path(), &["127.0.0.1:0"]);
    for headers in ["host: evil.example\r\n", "host: localhost\r\norigin: https://evil.example\r\n", ""] {
        let reply = ask(&address, headers);
        assert!(reply.starts_with("HTTP/1.1 403") && reply.contains("--metrics-allow-remote"), "{headers:?}: {reply}");
    }
    assert!(ask(&address, "host: localhost:9\r\norigin: http://127.0.0.1\r\n").starts_with("HTTP/1.1 200"));
    drop(process);
    let (_process, address) = figures_at(folder.path(), &["0.0.0.0:0", "--metrics-allow-remote"]);
    let here = format!("127.0.0.1:{}", address.rsplit(':').next().unwrap());
    assert!(ask(&here, "host: metrics.example\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn figures_are_not_opened_to_the_network_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let publish = |options: &[&str]| {
        let mut command = formusage();
        command.current_dir(folder.path()).args(["publish", "--to", "file:out"]).args(options);
        command.write_stdin(line("i", 0) + "\n").assert()
    };
    let refused = publish(&["--metrics-listen", "0.0.0.0:0"]).code(2);
    refused.stderr(contains("reachable from other machines")).stderr(contains("--metrics-allow-remote"));
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap_or_default(), "", "nothing was sent");
    publish(&["--metrics-listen", "0.0.0.0:0", "--metrics-allow-remote"]).code(0);
    publish(&["--metrics-listen", "[::1]:0"]).code(0);
}

#[test]
fn half_sent_requests_keep_nobody_out_of_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, address) = figures_at(folder.path(), &["127.0.0.1:0"]);
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut connection = TcpStream::connect(&address).unwrap();
        connection.write_all(b"GET /metrics HTT").unwrap();
        held.push(connection);
    }
    let mut connection = TcpStream::connect(&address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    // Before any of the others runs into a limit of time, which takes ten seconds.
    connection.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("formusage_publish_events_read_total"), "{reply}");
}
