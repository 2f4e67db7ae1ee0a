//! Where settings come from and what they exclude: the command line, the environment, and what neither may say.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::{Answer, FormQueue};
use crate::support::{formusage, line, lines};

#[test]
fn the_command_line_wins_over_a_variable_that_it_excludes() {
    let (queue, folder) = (FormQueue::start(), tempfile::tempdir().unwrap());
    let spool = folder.path().join("spool.db");
    let publish = || {
        let mut command = formusage();
        command.args(["publish", "--to", &queue.url()]).write_stdin(line("a", 0));
        command
    };
    publish().arg("--no-spool").env("FORMUSAGE_SPOOL", &spool).assert().code(0);
    assert!(!spool.exists());
    publish().arg("--spool").arg(&spool).env("FORMUSAGE_NO_SPOOL", "true").assert().code(0);
    assert!(spool.exists());
    // On one level they still exclude each other.
    publish().arg("--spool").arg(&spool).arg("--no-spool").assert().code(2).stderr(contains("--no-spool"));
    publish().env("FORMUSAGE_SPOOL", &spool).env("FORMUSAGE_NO_SPOOL", "1").assert().code(2);
    // Also between levels, and for what every command takes.
    publish().arg("-q").env("FORMUSAGE_VERBOSE", "1").assert().code(0).stderr("");
}

#[test]
fn a_flag_in_the_environment_takes_the_usual_words_and_an_empty_variable_says_nothing() {
    for (word, dry) in
        [("1", true), ("yes", true), ("on", true), ("true", true), ("0", false), ("no", false), ("", false)]
    {
        let queue = FormQueue::start();
        let run = formusage()
            .args(["publish", "--no-spool", "--to", &queue.url()])
            .env("FORMUSAGE_DRY_RUN", word)
            .write_stdin(line("a", 0))
            .assert()
            .code(0);
        assert_eq!(run.get_output().stdout.is_empty(), !dry, "{word:?}");
        assert_eq!(queue.events().is_empty(), dry, "{word:?}");
    }
    let (queue, folder) = (FormQueue::start(), tempfile::tempdir().unwrap());
    formusage()
        .args(["publish", "--to", &queue.url()])
        .env("FORMUSAGE_TIMEOUT", "")
        .env("FORMUSAGE_SPOOL", "")
        .env("FORMUSAGE_STATE_DIR", folder.path())
        .write_stdin(line("a", 0))
        .assert()
        .code(0);
    assert!(folder.path().join("spool.db").exists());
}

#[test]
fn settings_are_refused_by_the_names_that_they_have_on_the_command_line() {
    formusage()
        .args(["publish", "--initial-backoff", "20s"])
        .assert()
        .code(2)
        .stderr(contains("--max-backoff is 10s; it must be at least --initial-backoff"));
    for command in ["ping", "read"] {
        formusage().args([command, "--timeout", "0s"]).assert().code(2).stderr(contains("at least 1ms"));
    }
    formusage()
        .args(["publish", "--to", "sqlite://joe:hunter2@h/x"])
        .assert()
        .code(2)
        .stderr(contains("names a host").and(contains("hunter2").not()));
}

#[test]
fn a_key_in_a_query_is_not_kept_in_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let to = "http://127.0.0.1:1/events?key=hunter2";
    let at = |words: &[&str]| {
        let mut command = formusage();
        command.env("FORMUSAGE_STATE_DIR", folder.path()).args(words);
        command
    };
    at(&["publish", "--drain-timeout", "10ms", "--to", to]).write_stdin(lines("a", 2)).assert().code(1);
    for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(7).any(|it| it == b"hunter2"), "{}", file.path().display());
    }
    at(&["spool", "export", "--to", to]).assert().code(0).stdout(lines("a", 2));
    at(&["spool", "export", "--to", "http://127.0.0.1:1/events?key=other"]).assert().code(0).stdout("");
}

#[test]
fn a_run_over_a_file_ends_where_the_spool_is_full_and_the_queue_dead() {
    let (queue, folder) = (FormQueue::start(), tempfile::tempdir().unwrap());
    queue.always(Answer::status(503));
    let input = folder.path().join("events.ndjson");
    std::fs::write(&input, lines("a", 2_000)).unwrap();
    let run = formusage()
        .env("FORMUSAGE_STATE_DIR", folder.path())
        .args(["publish", "--report", "json", "--spool-max-bytes", "200KB", "--drain-timeout", "200ms", "--to"])
        .arg(queue.url())
        .arg(&input)
        .assert()
        .code(2)
        .stderr(contains("is full").and(contains("lines were not taken; publish again from")));
    let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("read"), count("delivered") + count("undelivered") + count("dead") + count("refused"));
    let taken = usize::try_from(count("read")).unwrap();
    assert!(taken > 0 && taken < 2_000);
    assert_eq!(report["not_taken"]["lines"], 2_000 - taken);
    assert_eq!(report["not_taken"]["from"], format!("{}:{}", input.display(), taken + 1));
    // The rest completes it.
    queue.always(Answer::Take);
    let rest: String = lines("a", 2_000).split_inclusive('\n').skip(taken).collect();
    formusage()
        .env("FORMUSAGE_STATE_DIR", folder.path())
        .args(["publish", "--reset-timeout", "20ms", "--to", &queue.url()])
        .write_stdin(rest)
        .assert()
        .code(0);
    assert_eq!(queue.events().len(), 2_000);
}

#[test]
fn what_is_wrong_with_the_destination_is_said_once() {
    let (queue, folder) = (FormQueue::start(), tempfile::tempdir().unwrap());
    queue.always(Answer::status(404));
    let input = folder.path().join("events.ndjson");
    std::fs::write(&input, lines("a", 3)).unwrap();
    let run = formusage()
        .env("FORMUSAGE_STATE_DIR", folder.path())
        .args(["publish", "--to", &queue.url()])
        .arg(&input)
        .assert()
        .code(2);
    let said = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    assert_eq!(said.matches("404 Not Found").count(), 1, "{said}");
}

#[test]
fn a_variable_that_nothing_reads_is_named_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let secret = r#"{"channels":{"ops":{"slack":{"url":{"env":"FORMUSAGE_SLACK_URL"}}}}}"#;
    std::fs::write(folder.path().join("channels.json"), secret).unwrap();
    let list = |variables: &[(&str, &str)]| {
        let mut command = formusage();
        command.current_dir(folder.path()).args(["channels", "list", "--channels", "channels.json"]);
        command.env("FORMUSAGE_SLACK_URL", "http://127.0.0.1:1/x").envs(variables.iter().copied());
        command
    };
    // What another command or a channels file reads is known.
    list(&[("FORMUSAGE_LISTEN", "127.0.0.1:1"), ("FORMUSAGE_TOKEN", "x")]).assert().code(0).stderr("");
    let run = list(&[("FORMUSAGE_MAXRETRIES", "1")]).assert().code(0);
    let said = String::from_utf8(run.get_output().stderr.clone()).unwrap();
    let words = "unknown variable FORMUSAGE_MAXRETRIES; did you mean FORMUSAGE_MAX_RETRIES?";
    assert_eq!(said.matches(words).count(), 1, "{said}");
    list(&[("FORMUSAGE_MAXRETRIES", "1")]).arg("--quiet").assert().code(0).stderr("");
    list(&[("FORMUSAGE_MAXRETRIES", "")]).assert().code(0).stderr("");
}

#[test]
fn a_refused_value_is_named_by_its_variable() {
    let refused = |variable: &str, value: &str| formusage().arg("publish").env(variable, value).assert().code(2);
    refused("FORMUSAGE_MAX_RETRIES", "lots").stderr(contains("'lots' for 'FORMUSAGE_MAX_RETRIES (--max-retries <N>)'"));
    refused("FORMUSAGE_STRICT", "perhaps").stderr(contains("FORMUSAGE_STRICT (--strict)"));
    refused("FORMUSAGE_LOG_FORMAT", "xml").stderr(contains("FORMUSAGE_LOG_FORMAT (--log-format <LOG_FORMAT>)"));
    refused("FORMUSAGE_TO", "sqlite://joe:hunter2@h/x")
        .stderr(contains("FORMUSAGE_TO (--to <URL>)").and(contains("hunter2").not()));
    // What stands on the command line is to blame itself.
    let mut typed = formusage();
    typed.args(["publish", "--max-retries", "many"]).env("FORMUSAGE_MAX_RETRIES", "3");
    typed.assert().code(2).stderr(contains("'many' for '--max-retries <N>'"));
    let mut both = formusage();
    both.arg("publish").env("FORMUSAGE_SPOOL", "x").env("FORMUSAGE_NO_SPOOL", "1");
    both.assert().code(2).stderr(contains("FORMUSAGE_NO_SPOOL (--no-spool)").and(contains("FORMUSAGE_SPOOL")));
}
