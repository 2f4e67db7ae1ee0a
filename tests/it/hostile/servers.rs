//! Servers and programs of others, and files that settings name: what comes from them has limits, and secrets that they
//! repeat are not shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::waits::servers::begin_starttls;
use crate::channels::Bench;
use crate::ping::servers::{issue, tcp, tls, tls_config};
use crate::support::{formusage, line};

/// The program with so little address space that what grows without a limit ends it.
fn in_little_memory() -> assert_cmd::Command {
    let own = formusage();
    let mut command = assert_cmd::Command::new("/bin/sh");
    command.args(["-c", "ulimit -v 1000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_formusage")]);
    for (name, value) in own.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.timeout(std::time::Duration::from_secs(60));
    command
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// A mail server that offers one way to log in and repeats what it was sent, as `echo` has it.
fn echo_credentials(connection: impl Read + Write, way: &str, echo: fn(&str) -> String) {
    let mut connection = BufReader::new(connection);
    let mut answer = "220 ready\r\n".to_owned();
    loop {
        let mut line = String::new();
        let sent = connection.get_mut().write_all(answer.as_bytes()).and_then(|()| connection.get_mut().flush());
        if sent.is_err() || !matches!(connection.read_line(&mut line), Ok(1..)) {
            return;
        }
        answer = match line.trim() {
            line if line.starts_with("EHLO") => format!("250-mail\r\n250 AUTH {way}\r\n"),
            "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n".to_owned(),
            // The user's name, of the two.
            line if line == STANDARD.encode("joe") => "334 UGFzc3dvcmQ6\r\n".to_owned(),
            line if line.starts_with("QUIT") => return,
            line => format!("535 5.7.8 no: {}\r\n", echo(line)),
        };
    }
}

#[test]
fn password_that_a_mail_server_repeats_is_not_shown() {
    const PASSWORD: &str = "correct-horse-77";
    let issued = issue("127.0.0.1", 2020, 2090);
    let as_sent: fn(&str) -> String = str::to_owned;
    let without_padding: fn(&str) -> String = |line| line.trim_end_matches('=').to_owned();
    let decoded: fn(&str) -> String = |line| {
        let bytes = STANDARD.decode(line.rsplit(' ').next().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap().replace('\0', " ")
    };
    for way in ["PLAIN", "LOGIN"] {
        for echo in [as_sent, without_padding, decoded] {
            let server = tls(&issued, move |connection| echo_credentials(connection, way, echo));
            let smtp = json!({ "host": "127.0.0.1", "port": server.port(), "tls": "implicit", "ca_file": "root.pem",
                "from": "meter@example.org", "to": ["ops@example.org"], "user": "joe", "password": { "file": "secret" } });
            let bench = Bench::new(r#""Notify""#, &json!({ "channels": { "ops": { "smtp": smtp } } }).to_string());
            bench.file("root.pem", &issued.root_pem);
            bench.file("secret", PASSWORD);
            let output = bench.channels(&["test", "ops"]).output().unwrap();
            let said = words(&output);
            assert!(output.status.code() == Some(1) && said.contains("535: 5.7.8 no: "), "{said}");
            let both = STANDARD.encode(format!("\0joe\0{PASSWORD}"));
            for form in [PASSWORD, STANDARD.encode(PASSWORD).trim_end_matches('='), both.trim_end_matches('=')] {
                assert!(!said.contains(form), "{way}: {said}");
            }
        }
    }
}

#[test]
fn mail_server_whose_line_never_ends_costs_no_memory() {
    fn flood(mut connection: impl Write) {
        let _ = connection.write_all(b"220-");
        let piece = [b'x'; 64 << 10];
        // Far more than there is memory for.
        for _ in 0..40_000 {
            if connection.write_all(&piece).is_err() {
                return;
            }
        }
    }
    let issued = issue("127.0.0.1", 2020, 2090);
    let config = tls_config(&issued);
    let behind_starttls = tcp(move |mut connection| {
        begin_starttls(&mut connection, b"");
        let tls = rustls::ServerConnection::new(config.clone()).unwrap();
        flood(rustls::StreamOwned::new(tls, connection));
    });
    let in_place_of_tls = tcp(|mut connection| {
        begin_starttls(&mut connection, b"");
        // The head of a handshake record, again and again.
        while connection.write_all(&b"\x16\x03\x03\x00\x04\x02\x00\xff\xff".repeat(10_000)).is_ok() {}
    });
    let servers = [
        ("none", tcp(flood), "it sent more than 256 KiB"),
        ("implicit", tls(&issued, flood), "it sent more than 256 KiB"),
        ("starttls", behind_starttls, "it sent more than 256 KiB"),
        ("starttls", in_place_of_tls, "message buffer full"),
    ];
    for (tls_mode, server, expected) in servers {
        let mut smtp = json!({ "host": "127.0.0.1", "port": server.port(), "tls": tls_mode,
            "from": "meter@example.org", "to": ["ops@example.org"] });
        if tls_mode != "none" {
            smtp["ca_file"] = "root.pem".into();
        }
        let bench = Bench::new(r#""Notify""#, &json!({ "channels": { "ops": { "smtp": smtp } } }).to_string());
        bench.file("root.pem", &issued.root_pem);
        let mut command = in_little_memory();
        command.current_dir(bench.path("")).args(["channels", "test", "ops", "--channels", "channels.json"]);
        let output = command.output().unwrap();
        let said = words(&output);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{tls_mode}: {said}");
    }
}

#[test]
fn answers_put_before_tls_are_not_taken_for_the_mail_servers() {
    let issued = issue("127.0.0.1", 2020, 2090);
    let config = tls_config(&issued);
    let server = tcp(move |mut connection| {
        // Somebody on the way adds what the server would say to EHLO, so that all later answers come one too early.
        begin_starttls(&mut connection, b"250 mail\r\n");
        let tls = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut connection = BufReader::new(rustls::StreamOwned::new(tls, connection));
        let mut line = String::new();
        // The server itself refuses every receiver.
        while matches!(connection.read_line(&mut line), Ok(1..)) {
            let answer = if line.starts_with("RCPT") { "550 nobody here\r\n" } else { "250 mail\r\n" };
            let _ = connection.get_mut().write_all(answer.as_bytes()).and_then(|()| connection.get_mut().flush());
            line.clear();
        }
    });
    let smtp = json!({ "host": "127.0.0.1", "port": server.port(), "tls": "starttls", "ca_file": "root.pem",
        "from": "meter@example.org", "to": ["ops@example.org"] });
    let bench = Bench::new(r#""Notify""#, &json!({ "channels": { "ops": { "smtp": smtp } } }).to_string());
    bench.file("root.pem", &issued.root_pem);
    let output = bench.channels(&["test", "ops"]).output().unwrap();
    let said = words(&output);
    assert!(output.status.code() == Some(1) && !said.contains("nobody here"), "{said}");
}

#[test]
fn program_that_floods_its_standard_error_costs_no_memory() {
    let flood = "echo the pager is off >&2; head -c 1500000000 /dev/zero >&2; exit 3";
    let channels = json!({ "channels": { "ops": { "exec": { "command": ["/bin/sh", "-c", flood] } } } });
    let bench = Bench::new(r#""Notify""#, &channels.to_string());
    let mut command = in_little_memory();
    command.args(["channels", "test", "ops", "--allow-exec", "--channels"]).arg(bench.path("channels.json"));
    let output = command.output().unwrap();
    let said = words(&output);
    assert!(output.status.code() == Some(1) && said.contains("exit status: 3: the pager is off"), "{said}");
    assert!(said.len() < 4_096, "{} bytes", said.len());
}

#[test]
fn program_that_forges_log_lines_is_shown_in_one_line() {
    let forge = r#"printf 'off\n2026-11-28T00:00:00Z ERROR all is lost\033[2J\n' >&2; exit 3"#;
    let channels = json!({ "channels": { "ops": { "exec": { "command": ["/bin/sh", "-c", forge] } } } });
    let bench = Bench::new(r#""Notify""#, &channels.to_string());
    let mut command = crate::support::formusage();
    command.args(["channels", "test", "ops", "--allow-exec", "--channels"]).arg(bench.path("channels.json"));
    let output = command.output().unwrap();
    let said = words(&output);
    assert!(said.contains(r"off\n2026-11-28T00:00:00Z ERROR all is lost\u{1b}[2J"), "{said}");
}

#[test]
fn ping_ends_where_a_nats_server_floods_it() {
    const INFO: &str = "INFO {\"version\":\"2.10\",\"headers\":true}\r\n";
    for (greeting, flood, step, found) in [
        ("", "x", "nats", "something that is no NATS"),
        (
            INFO,
            "PING\r\n",
            "permission",
            "the introduction was not answered: the server sends other things without end",
        ),
        (
            INFO,
            "MSG a 1 5\r\nhello\r\n",
            "permission",
            "the introduction was not answered: the server sends other things without end",
        ),
        (INFO, "MSG a 1 18446744073709551615\r\n", "permission", "something that is no NATS"),
    ] {
        let server = tcp(move |mut connection| {
            let mut reader = connection.try_clone().unwrap();
            std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
            let flood = flood.repeat(10_000);
            let _ = connection.write_all(greeting.as_bytes());
            while connection.write_all(flood.as_bytes()).is_ok() {}
        });
        let mut command = in_little_memory();
        command.args(["ping", "--timeout", "20s", "--format", "json", "--to", &format!("nats://{server}/s")]);
        let output = command.output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!("{flood:?}: {:?} {}", output.status, words(&output));
        });
        let last = report["addresses"][0]["steps"].as_array().unwrap().last().unwrap();
        assert_eq!((output.status.code(), &last["step"]), (Some(1), &step.into()), "{last}");
        assert!(last["found"].as_str().unwrap().contains(found), "{last}");
    }
}

#[test]
fn endless_files_of_settings_are_refused_with_their_limit() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    file("events", &line("i", 0));
    file(
        "t.json",
        r#"{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":5}},"action":"Log","user_id":"*"}"#,
    );
    file("c.json", r#"{"channels":{"ops":{"slack":{"url":{"file":"/dev/zero"}}}}}"#);
    let http = ["publish", "events", "--no-spool", "--to", "https://127.0.0.1:1/"];
    let nats = ["publish", "events", "--no-spool", "--to", "nats://127.0.0.1:1/s"];
    let thresholds = ["publish", "events", "--no-spool", "--to", "file:out", "--thresholds", "https://127.0.0.1:1/"];
    let cases: &[(&[&str], &[&str], &str)] = &[
        (&http, &["--token-file", "/dev/zero"], "64 KiB"),
        (&http, &["--header-file", "/dev/zero"], "64 KiB"),
        (&http, &["--ca-file", "/dev/zero"], "4 MiB"),
        (&http, &["--client-cert", "/dev/zero", "--client-key", "/dev/zero"], "4 MiB"),
        (&nats, &["--nats-creds", "/dev/zero"], "64 KiB"),
        (&nats, &["--ca-file", "/dev/zero"], "4 MiB"),
        (&thresholds, &["--thresholds-token-file", "/dev/zero"], "64 KiB"),
        (&["ping", "--to", "tls://127.0.0.1:1/s"], &["--ca-file", "/dev/zero"], "4 MiB"),
        (&["ping", "--to", "nats://127.0.0.1:1/s"], &["--nats-creds", "/dev/zero"], "64 KiB"),
        (&["queue", "--db", "q.db"], &["--token-file", "/dev/zero"], "64 KiB"),
        (&["check", "/dev/zero"], &["events"], "64 MiB"),
        (&["check", "t.json", "events"], &["--channels", "/dev/zero"], "8 MiB"),
        (&["check"], &["--test", "/dev/zero"], "64 MiB"),
        (&["validate", "t.json"], &["--channels", "/dev/zero"], "8 MiB"),
        (&["channels", "test", "ops"], &["--channels", "/dev/zero"], "8 MiB"),
        (&["channels", "test", "ops", "--channels"], &["c.json"], "64 KiB"),
        (&["collect", "--count", "1"], &["--config", "/dev/zero"], "16 MiB"),
    ];
    for (command, options, limit) in cases {
        let output = in_little_memory().current_dir(folder.path()).args(*command).args(*options).output().unwrap();
        let said = words(&output);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{command:?} {options:?}: {:?} {said}", output.status);
        assert!(said.contains("/dev/zero") && said.contains(limit), "{command:?} {options:?}: {said}");
    }
}
