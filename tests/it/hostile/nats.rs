//! NATS servers that flood their clients: what they can fill has a limit, and honest servers behind them are found.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;

use super::peak_memory;
use crate::nats_server::NatsServer;
use crate::support::{SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

const GREETING: &str = "INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.10.0\",\"host\":\"127.0.0.1\",\
    \"port\":1,\"max_payload\":18446744073709551615,\"headers\":true,\"jetstream\":true,\"proto\":1}\r\n";
/// How long a client may take to be at its server on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a flood may cost the client's memory.
const MOST_MIB: u64 = 32;

/// How a server floods: after its greeting and the client's introduction, or at once.
#[derive(Debug, Clone, Copy)]
struct Flood {
    is_greeted: bool,
    /// What it says first, and what it repeats then.
    once: &'static str,
    again: &'static str,
    /// What the client says of it.
    said: &'static str,
}

const FAR_MORE: &str = "far more than it was asked for";
const NO_NATS: &str = "does not speak NATS";

/// A line without an end and operations without one.
const FLOODS: [Flood; 8] = [
    Flood { is_greeted: true, once: "", again: "x", said: "a line of more than 256 KiB" },
    Flood { is_greeted: true, once: "", again: "PING\r\n", said: FAR_MORE },
    Flood { is_greeted: true, once: "", again: "INFO {\"connect_urls\":[\"10.0.0.1:4222\"]}\r\n", said: FAR_MORE },
    Flood { is_greeted: true, once: "", again: "MSG a 1 5\r\nhello\r\n", said: FAR_MORE },
    Flood { is_greeted: true, once: "MSG a 1 1000000000\r\n", again: "x", said: "a message of 1000000000 bytes" },
    Flood {
        is_greeted: true,
        once: "MSG a 1 18446744073709551615\r\n",
        again: "x",
        said: "a message of 18446744073709551615",
    },
    // The client's library panics at it.
    Flood { is_greeted: true, once: "", again: "-ERR\r\n", said: "a line that is no operation of NATS" },
    Flood { is_greeted: true, once: "", again: "-ERR 'Slow down'\r\n", said: "Slow down" },
];

/// Those that no NATS server begins with.
const FOREIGN: [Flood; 2] = [
    Flood { is_greeted: false, once: "", again: "x", said: NO_NATS },
    Flood { is_greeted: false, once: "INFO {\"server_id\":\"", again: "x", said: NO_NATS },
];

/// Serves clients like this; for each there are two messages before it is flooded, and one when it has left.
fn serve(flood: Flood) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = sync_channel(0);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            drench(&mut client, flood, &sender);
        }
    });
    (address, receiver)
}

fn drench(client: &mut TcpStream, flood: Flood, events: &SyncSender<()>) {
    if flood.is_greeted {
        let _ = client.write_all(GREETING.as_bytes());
        let mut said = Vec::new();
        while !said.ends_with(b"PING\r\n") {
            let mut byte = [0];
            if !matches!(client.read(&mut byte), Ok(1)) {
                return;
            }
            said.push(byte[0]);
        }
        let _ = client.write_all(b"PONG\r\n");
    }
    // Once the client's first message is heard, who measures has the time that it needs.
    let _ = events.send(());
    let _ = events.send(());
    // Nothing that the client says is read from here on.
    let piece = flood.again.repeat((256 << 10) / flood.again.len());
    let _ = client.write_all(flood.once.as_bytes());
    while client.write_all(piece.as_bytes()).is_ok() {}
    let _ = events.send(());
}

#[test]
fn nats_server_that_floods_costs_little_memory() {
    let commands = [
        ("publish --drain-timeout 3s --timeout 20s --to nats://ADDRESS/s", true),
        ("read --follow --timeout 20s --from nats://ADDRESS/s", false),
    ];
    for (words, keeps) in commands {
        for flood in FLOODS {
            let (address, events) = serve(flood);
            let mut command = formusage_process();
            command.args(words.replace("ADDRESS", &address.to_string()).split(' '));
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut process = command.spawn_guarded();
            let mut input = process.stdin.take().unwrap();
            let _ = input.write_all((line("web-1", 0) + "\n").as_bytes());
            events.recv_timeout(PATIENCE).unwrap();
            let before = peak_memory(&process).unwrap();
            events.recv_timeout(PATIENCE).unwrap();
            events.recv_timeout(PATIENCE).unwrap();
            // A refusal of the destination ends what reads.
            let after = peak_memory(&process).unwrap_or(before);
            assert!(after < before + MOST_MIB, "{words}, {flood:?}: {before} MiB before, {after} MiB after");
            if process.try_wait().unwrap().is_none() {
                signal(&process, "TERM");
            }
            // It may be trying again just now.
            drop(events);
            let output = process.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("panicked"), "{words}, {flood:?}: {said}");
            if keeps {
                // Whichever limit it crossed first.
                let names = said.contains(flood.said) || said.contains("far more than it was asked for");
                assert!(output.status.code() == Some(1) && names, "{words}, {flood:?}: {said}");
            }
        }
    }
}

#[test]
fn flood_in_place_of_a_nats_greeting_is_no_nats() {
    for flood in FOREIGN {
        for words in ["publish --to nats://ADDRESS/s", "read --from nats://ADDRESS/s", "check nats://ADDRESS/limits"] {
            let (address, events) = serve(flood);
            let words = words.replace("ADDRESS", &address.to_string());
            std::thread::spawn(move || events.iter().for_each(drop));
            let mut command = formusage();
            command.args(words.split(' ')).write_stdin(lines("web-1", 1));
            command.assert().code(2).stderr(contains(NO_NATS).and(contains("panicked").not()));
        }
    }
}

#[test]
fn events_go_on_to_an_honest_nats_server_behind_a_flood() {
    for flood in [FLOODS[0], FLOODS[1], FLOODS[6]] {
        let honest = NatsServer::start();
        let behind = SocketAddr::from(([127, 0, 0, 1], honest.port));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}/s", listener.local_addr().unwrap());
        let (sender, events) = sync_channel(0);
        std::thread::spawn(move || events.iter().for_each(drop));
        std::thread::spawn(move || {
            for (n, mut client) in listener.incoming().flatten().enumerate() {
                match n {
                    0 | 1 => drench(&mut client, flood, &sender),
                    _ => pass_on(client, behind),
                }
            }
        });
        let mut command = formusage();
        command.args(["publish", "--create-stream", "--to", &url]).write_stdin(lines("web-1", 300));
        command.assert().code(0);
        let read = formusage().args(["read", "--from", &honest.url("/s")]).output().unwrap();
        assert_eq!(String::from_utf8(read.stdout).unwrap(), lines("web-1", 300), "{flood:?}");
    }
}

/// Joins the client to the server behind.
fn pass_on(client: TcpStream, server: SocketAddr) {
    let server = TcpStream::connect(server).unwrap();
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::thread::spawn(move || std::io::copy(&mut { server }, &mut { client }));
}
