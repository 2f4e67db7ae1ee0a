//! Where the commands have to agree, and what is said first.

use predicates::str::{contains, is_match};

use crate::support::{formusage, line, lines};

/// An event with `member` as a field that is not known.
fn event_with(member: &str) -> String {
    let event = line("a", 0);
    format!("{},{member}}}\n", event.strip_suffix('}').unwrap())
}

#[test]
fn check_and_validate_agree_on_fields_that_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let thresholds = folder.path().join("thresholds.json");
    let threshold =
        r#"{"id":"x","resource_type":"Cpu","threshold_type":{"Percentage":{"value":99}},"action":"Log","user_id":"*"}"#;
    std::fs::write(&thresholds, threshold).unwrap();
    let deep = format!("\"x\":{}{}", "[".repeat(500), "]".repeat(500));
    let faulty = [deep.as_str(), r#""x":1,"x":2"#, r#""x":{"y":1,"y":2}"#, r#""x":1e999"#, r#""x":"\ud800""#];
    for (members, valid) in [(&[r#""x":[1,{"y":null}]"#][..], true), (&faulty[..], false)] {
        for member in members {
            let run = |command: &mut assert_cmd::Command| {
                command.write_stdin(event_with(member)).output().unwrap().status.code()
            };
            assert_eq!(run(formusage().arg("validate")), Some(i32::from(!valid)), "{member}");
            let code = if valid { 0 } else { 2 };
            assert_eq!(run(formusage().arg("check").arg(&thresholds)), Some(code), "{member}");
        }
    }
}

#[test]
fn a_queue_whose_file_cannot_be_used_does_not_say_that_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let queue =
        |db: &std::path::Path| formusage().args(["queue", "--listen", "127.0.0.1:0", "--db"]).arg(db).assert().code(2);
    queue(folder.path()).stderr(is_match("^error: .*is a directory.*\n$").unwrap());
    let missing = queue(&folder.path().join("no/such/q.db"));
    let said = String::from_utf8(missing.get_output().stderr.clone()).unwrap();
    assert_eq!(said.matches("unable to open").count(), 1, "{said}");
}

#[test]
fn a_suggested_unit_fits_the_resource() {
    let threshold = r#"{"id":"x","resource_type":"Cpu","threshold_type":{"Absolute":{"value":1,"unit":"GBB"}},"action":"Log","user_id":"*"}"#;
    let assert =
        formusage().arg("validate").write_stdin(threshold).assert().code(1).stdout(contains("one of s, min, h"));
    let said = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(!said.contains("did you mean"), "{said}");
}

/// What a crash leaves at the end of a file must not hold back what stands before it and behind it.
#[test]
fn a_line_of_zeros_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("file:{}", folder.path().join("out").display());
    let input = lines("a", 2) + "\0\0\0\n" + &lines("b", 2);
    let publish = formusage().args(["publish", "--to", &to, "--report", "json"]).write_stdin(input).assert().code(1);
    publish.stdout(contains(r#""read":5,"delivered":4"#)).stdout(contains(r#""refused":1"#));
}

#[test]
fn what_a_queue_answers_is_quoted_short_and_on_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = std::io::Read::read(&mut connection, &mut request);
        let body = format!(r#"{{"Failure":{{"reason":"no\n\u001b[31m{}"}}}}"#, "x".repeat(5000));
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let _ = std::io::Write::write_all(&mut connection, format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes());
    });
    let read = formusage().args(["read", "--from", &format!("form://{address}/t")]).assert().code(2);
    let said = String::from_utf8(read.get_output().stderr.clone()).unwrap();
    assert!(said.lines().count() == 1 && said.len() < 600 && !said.contains('\u{1b}'), "{said:?}");
}
