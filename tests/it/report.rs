//! `formusage report`: sums, findings, formats, and the page.

use std::path::Path;

use form_usage_events::events::{UsageEvent, UsagePeriod};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::documents::assert_current;
use crate::support::{event, formusage, line, lines};

fn report(options: &[&str]) -> assert_cmd::Command {
    let mut command = formusage();
    command.arg("report").args(options);
    command
}

fn text(event: &UsageEvent) -> String {
    serde_json::to_string(event).unwrap() + "\n"
}

/// The whole document.
fn document(options: &[&str], input: &str) -> Value {
    let output = report(options).args(["--format", "json"]).write_stdin(input).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// A small day of two users on three instances: a gap, a period across midnight, GPU time.
fn small_day() -> String {
    let mut text = String::new();
    let midnight = 1_626_393_600; // 2021-07-16
    for n in 0..6 {
        for (instance, user, org) in
            [("web-1", "alice", Some("acme")), ("web-2", "alice", Some("acme")), ("gpu-1", "bob", None)]
        {
            if instance == "web-2" && (2..4).contains(&n) {
                continue;
            }
            let mut event = event(instance, 0);
            event.user_id = user.into();
            event.org_id = org.map(Into::into);
            event.period.start = midnight - 6600 + 1200 * n;
            event.period.end = event.period.start + 1200;
            event.timestamp = event.period.end;
            #[allow(clippy::cast_precision_loss)]
            let step = n as f64;
            event.metrics.cpu_seconds = 101 + n.unsigned_abs();
            event.metrics.cpu_percent_avg = 10.0 + 15.0 * step;
            event.metrics.memory_gb = 2.0 + step / 4.0;
            event.metrics.network_egress_mb = 15.2 + step;
            event.metrics.gpu_seconds = if instance == "gpu-1" { 599 } else { 0 };
            text += &self::text(&event);
        }
    }
    text
}

const THRESHOLDS: &str = r#"[{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Log","user_id":"*"},
{"id":"memory-cap","resource_type":"Memory","threshold_type":{"Absolute":{"value":3072,"unit":"MB"}},"action":"Log","user_id":"alice"}]"#;

/// The documents that are kept show what a change does to a report.
#[test]
fn a_small_day_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let thresholds = folder.path().join("thresholds.json");
    std::fs::write(&thresholds, THRESHOLDS).unwrap();
    for (format, file) in [("csv", "day.csv"), ("json", "day.json"), ("html", "day.html"), ("table", "day.txt")] {
        let output = report(&["--format", format, "--thresholds"]).arg(&thresholds).write_stdin(small_day()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_current(&format!("tests/fixtures/report/{file}"), &String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn days_have_their_share_and_add_up_to_the_whole() {
    let mut across = event("a", 0);
    across.period.start = 1_626_393_600 - 10;
    across.period.end = across.period.start + 30;
    across.timestamp = across.period.end;
    across.metrics.cpu_seconds = 100;
    let found = document(&["--by", "day"], &text(&across));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["day"], &rows[1]["day"]), (&json!("2021-07-15"), &json!("2021-07-16")));
    assert_eq!((&rows[0]["cpu_seconds"], &rows[1]["cpu_seconds"]), (&json!(33), &json!(67)));
    assert_eq!((&rows[0]["covered_seconds"], &rows[1]["covered_seconds"]), (&json!(10), &json!(20)));
    assert_eq!((&rows[0]["events"], &rows[1]["events"]), (&json!(1), &json!(0)));
    assert_eq!(found["total"]["network_egress_mb"], json!(15.2));
    assert_eq!(found["total"]["memory_gb_hours"], json!(4.2 * 30.0 / 3600.0));
    let east = document(&["--by", "day", "--tz", "+02:00"], &text(&across));
    assert_eq!(east["rows"].as_array().unwrap().len(), 1);
    assert_eq!((&east["rows"][0]["day"], &east["tz"]), (&json!("2021-07-16"), &json!("+02:00")));
}

#[test]
fn order_does_not_show() {
    let day = small_day();
    let mut backwards: Vec<&str> = day.lines().collect();
    backwards.reverse();
    assert_eq!(document(&[], &day), document(&[], &backwards.join("\n")));
}

#[test]
fn since_and_until_take_what_is_due_between_them() {
    let found = document(&["--since", "2021-07-15T12:00:15", "--until", "1626350445"], &lines("a", 4));
    let total = &found["total"];
    assert_eq!((&total["events"], &total["cpu_seconds"], &found["outside"]), (&json!(2), &json!(30), &json!(2)));
    assert_eq!(total["covered_seconds"], json!(30));
    for (options, words) in [
        (&["--since", "yesterday"][..], "is no time"),
        (&["--since", "2021-07-16", "--until", "2021-07-15"], "nothing lies between"),
        (&["--tz", "Mars/Olympus"], "no time zone"),
        (&["--fail-on", "thresholds"], "needs --thresholds"),
    ] {
        report(options).write_stdin("").assert().code(2).stderr(contains(words));
    }
}

#[test]
fn repeats_count_once_and_conflicts_are_named_with_both_places() {
    let spaced = line("a", 1).replace(':', ": ");
    let repeats = format!("{}{spaced}\n{}\n", lines("a", 3), line("a", 0));
    report(&["--by", "none"])
        .write_stdin(repeats)
        .assert()
        .code(0)
        .stdout(contains("\"events\":3,\"covered_seconds\":90").and(contains("\"cpu_seconds\":90")))
        .stderr(contains("2 repeats left out"));

    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.ndjson"), folder.path().join("b.ndjson"));
    std::fs::write(&first, lines("a", 3)).unwrap();
    let mut other = event("a", 1);
    other.metrics.cpu_seconds = 7;
    std::fs::write(&second, text(&other)).unwrap();
    let files = [first.to_str().unwrap(), second.to_str().unwrap()];
    report(&files).assert().code(1).stderr(
        contains(format!("{}:1: conflict: {}:2 has another event of instance \"a\"", files[1], files[0]))
            .and(contains("1 conflict; 30 s metered more than once (1 overlap)")),
    );
    report(&files).args(["--fail-on", "none"]).assert().code(0);
    let found = document(&files, "");
    assert_eq!((&found["total"]["cpu_seconds"], &found["conflicts"]["count"]), (&json!(97), &json!(1)));
    assert_eq!(found["conflicts"]["list"][0]["first"], json!({"input": files[0], "line": 2}));
    assert_eq!(found["conflicts"]["list"][0]["second"], json!({"input": files[1], "line": 1}));
}

#[test]
fn gaps_and_overlaps_are_found_whatever_the_order() {
    let mut long = event("a", 5);
    long.period.end += 45;
    long.timestamp = long.period.end;
    let input = [line("a", 6), line("a", 0), text(&long).trim().to_owned(), line("b", 9), line("a", 1)].join("\n");
    let found = document(&["--by", "instance"], &input);
    let start = 1_626_350_400;
    assert_eq!(
        found["gaps"],
        json!({"count": 1, "seconds": 90, "list": [{"instance_id": "a", "start": start + 60, "end": start + 150}]})
    );
    assert_eq!(
        found["overlaps"],
        json!({"count": 1, "seconds": 30, "list": [{"instance_id": "a", "start": start + 180, "end": start + 210}]})
    );
    assert_eq!(found["rows"][0]["covered_seconds"], json!(60 + 75));
    report(&["--fail-on", "gaps"]).write_stdin(input).assert().code(1);
    report(&["--fail-on", "gaps"]).write_stdin(lines("a", 4)).assert().code(0);
}

#[test]
fn what_is_no_event_is_named_and_the_rest_is_summed_up() {
    let input =
        format!("{}no event\n{}", lines("a", 2), line("a", 2).replace("\"cpu_seconds\":30", "\"cpu_seconds\":-1"));
    report(&["--by", "none"]).write_stdin(input).assert().code(2).stdout(contains("\"cpu_seconds\":60")).stderr(
        contains("<stdin>:3:1: error").and(contains("<stdin>:4:")).and(contains("2 invalid lines not in the sums")),
    );
    report(&["no-such-file"]).assert().code(2).stderr(contains("can't open no-such-file"));
    report(&[]).write_stdin("").assert().code(0).stdout("").stderr(contains("0 events"));
    assert_eq!(document(&[], "")["span"], json!(null));
    report(&["--format", "html"]).write_stdin("").assert().code(0).stdout(contains("0 events of 0 instances"));
}

#[test]
fn reads_from_a_destination() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("u.db").display());
    formusage().args(["publish", "--to", &url]).write_stdin(lines("a", 5)).assert().code(0);
    report(&["--by", "user", "--from", &url])
        .assert()
        .code(0)
        .stdout(contains("\"user_id\":\"user_123456\",\"events\":5"));
    report(&["--from", "sqlite:/nowhere/u.db"]).assert().code(2).stderr(contains("does not exist"));
}

/// The sums of a tool that users check with: to the last digit where it is exact, and to a millionth of a millionth
/// where it rounds after each term.
#[test]
fn totals_are_those_of_a_plain_sum() {
    let events: Vec<UsageEvent> = (0..2000)
        .map(|n| {
            let mut event = event("a", n);
            #[allow(clippy::cast_precision_loss)]
            let n = n as f64;
            event.metrics.network_egress_mb = (n * 104_729.0).floor() / 1_048_576.0;
            event.metrics.memory_gb = 3.0 + (n / 7.0).sin();
            event
        })
        .collect();
    let input: String = events.iter().map(text).collect();
    let total = &document(&[], &input)["total"];
    let sum = |of: &dyn Fn(&UsageEvent) -> f64| events.iter().map(of).sum::<f64>();
    assert_eq!(total["cpu_seconds"], json!(60_000));
    assert_eq!(total["network_egress_mb"].as_f64(), Some(sum(&|event| event.metrics.network_egress_mb)));
    let hours = sum(&|event| event.metrics.memory_gb * 30.0) / 3600.0;
    assert!((total["memory_gb_hours"].as_f64().unwrap() / hours - 1.0).abs() < 1e-12);
}

#[test]
fn the_page_is_whole_and_safe() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("out.html");
    let thresholds = folder.path().join("thresholds.json");
    let evil = "<script>alert('x')</script>\"&";
    std::fs::write(&thresholds, THRESHOLDS.replace("cpu-high", "<b>'cpu'&")).unwrap();
    let mut events = String::new();
    for n in 0..4 {
        let mut event = event(evil, n);
        event.user_id = "<img src=x onerror=alert(1)>".into();
        event.org_id = Some("</style><script>".into());
        event.metrics.cpu_percent_avg = 90.0;
        events += &text(&event);
        events += &(line("other", n * 2) + "\n");
    }
    report(&["--thresholds", thresholds.to_str().unwrap(), "--html", page.to_str().unwrap()])
        .write_stdin(events)
        .assert()
        .code(0)
        .stdout("");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"), "{html}");
    assert!(
        html.contains("&lt;img src=x onerror") && html.contains("cpu&#39;&amp;") && html.contains("cpu&apos;&amp;")
    );
    for forbidden in
        ["<script", "<img", "<b>'", "onerror=alert(1)>", "http://", "https://", "url(", "@import", "\u{202e}"]
    {
        let allowed = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        assert!(!allowed.contains(forbidden), "{forbidden}");
    }
    assert_eq!(std::fs::read_dir(Path::new(&folder.path())).unwrap().count(), 2, "nothing is left beside the page");
    report(&["--html", "/nowhere/out.html"]).write_stdin("").assert().code(2).stderr(contains("/nowhere/out.html"));
}

#[test]
fn report_names_its_range_and_that_until_excludes_a_day() {
    let day = small_day();
    let options = ["--by", "none", "--since", "2021-07-15", "--until", "2021-07-16"];
    report(&options).write_stdin(day.clone()).assert().code(0).stderr(
        contains(", from 2021-07-15T00:00:00Z until before 2021-07-16T00:00:00Z")
            .and(contains("--until 2021-07-16 is the first second of that day, which is not in the report"))
            .and(contains("--until 2021-07-17 includes the day")),
    );
    let found = document(&options[2..], &day);
    assert_eq!(
        found["range"],
        json!({"start": 1_626_307_200, "end": 1_626_393_600, "from": "2021-07-15T00:00:00Z", "before": "2021-07-16T00:00:00Z"})
    );
    // Without options it goes from the first event to the last.
    let found = document(&["--tz", "+02:00"], &day);
    assert_eq!(found["range"]["from"], json!("2021-07-16T00:10:00+02:00"));
    report(&["--since", "2021-07-15", "--until", "2021-07-15"])
        .write_stdin(day.clone())
        .assert()
        .code(2)
        .stderr(contains("for the whole of that day write --until 2021-07-16"));
    // A time that is no date is taken as it stands.
    let exact = ["--until", "2021-07-16T00:00"];
    report(&exact).write_stdin(day).assert().code(0).stderr(contains("includes the day").not());
}

#[test]
fn expect_full_makes_missing_ends_of_the_range_gaps() {
    // b begins late and dies early.
    let input = lines("a", 6) + &line("b", 2) + "\n" + &line("b", 3) + "\n";
    let start = 1_626_350_400;
    let found = document(&[], &input);
    assert_eq!(found["gaps"]["count"], json!(0));
    assert_eq!((&found["late_starts"], &found["early_ends"]), (&json!(1), &json!(1)));
    report(&["--fail-on", "gaps"]).write_stdin(input.clone()).assert().code(0).stderr(contains(
        "1 instance begins after its start and 1 instance ends before its end, which is no gap; use --expect-full to count it \
         as one",
    ));

    let found = document(&["--expect-full", "--by", "instance"], &input);
    assert_eq!(
        found["gaps"],
        json!({"count": 2, "seconds": 120, "list": [
            {"instance_id": "b", "start": start, "end": start + 60},
            {"instance_id": "b", "start": start + 120, "end": start + 180},
        ]})
    );
    let rows = found["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["gap_seconds"], &rows[1]["gap_seconds"]), (&json!(0), &json!(120)));
    report(&["--expect-full", "--fail-on", "gaps"])
        .write_stdin(input.clone())
        .assert()
        .code(1)
        .stderr(contains("120 s not metered (2 gaps)").and(contains("use --expect-full").not()));

    // A range that was asked for: all meters died before its end.
    let asked = ["--expect-full", "--since", "2021-07-15T12:00", "--until", "2021-07-15T12:10"];
    let found = document(&asked, &input);
    assert_eq!(found["gaps"]["seconds"], json!(600 - 180 + 60 + 600 - 120));
    // What a live meter has not told yet is not missing; what it has not told for long is.
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let told = |ago: i64| {
        let periods = (1..=10).map(|n| UsagePeriod { start: now - ago - 30 * n, end: now - ago - 30 * (n - 1) });
        periods.map(|period| text(&UsageEvent { period, timestamp: period.end, ..event("a", 0) })).collect::<String>()
    };
    let missing = |ago: i64| {
        let found = document(&["--expect-full", "--until", "9999-01-01"], &told(ago));
        found["gaps"]["seconds"].as_i64().unwrap()
    };
    assert_eq!(missing(20), 0);
    assert!((140..200).contains(&missing(200)), "{}", missing(200));
    // Nothing is missing in a future that nobody can have metered.
    let found = document(&["--expect-full", "--until", "9999-01-01"], &lines("a", 2));
    let missing = found["gaps"]["seconds"].as_i64().unwrap();
    assert!((100_000_000..5_000_000_000).contains(&missing), "{missing}");
}

#[test]
fn report_names_periods_that_are_probably_wrong() {
    let mut from_zero = event("vm-1", 0);
    from_zero.period.start = 0;
    report(&["--by", "none"]).write_stdin(text(&from_zero) + &lines("a", 2)).assert().code(0).stderr(contains(
        "warning: instance \"vm-1\" has a period from 1970-01-01T00:00:00Z to 2021-07-15T12:00:30Z (18823 days), which is in \
         the sums",
    ));
    let found = document(&["--by", "none"], &text(&from_zero));
    assert_eq!(
        found["implausible_periods"],
        json!({"count": 1, "list": [{"instance_id": "vm-1", "start": 0, "end": 1_626_350_430}]})
    );
    assert_eq!(document(&[], &lines("a", 2))["implausible_periods"]["count"], json!(0));
}

/// What a row takes is what decides whether a fleet fits: sums are kept small, and rows are written one by one.
#[test]
fn many_rows_are_written_in_every_format() {
    let input: String = (0..12_000).map(|n| line(&format!("i-{n}"), n % 7) + "\n").collect();
    for format in ["table", "csv", "ndjson", "json"] {
        let output = report(&["--format", format]).write_stdin(input.clone()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("i-11999"), "{format}");
        if format != "json" {
            let expected = match format {
                "table" => 12_002,
                "csv" => 12_001,
                _ => 12_000,
            };
            assert_eq!(text.lines().count(), expected, "{format}");
        }
    }
}

/// The cells of the line that begins with `first`.
fn row<'t>(table: &'t str, first: &str) -> Vec<&'t str> {
    table.lines().find(|line| line.starts_with(first)).unwrap().split_whitespace().collect()
}

#[test]
fn what_was_not_metered_is_shown_as_unknown_and_never_as_0() {
    let mut nothing = event("web-1", 0);
    nothing.metrics.storage_gb = 0.0;
    let named = |event: &UsageEvent, names: &str| {
        text(event).trim_end().strip_suffix('}').unwrap().to_owned() + &format!(",\"not_metered\":[{names}]}}\n")
    };
    let input =
        named(&nothing, "\"storage_gb\"") + &named(&event("web-2", 0), "\"cpu_seconds\"") + &text(&event("web-3", 0));
    let output = report(&["--by", "instance", "--format", "table"]).write_stdin(input.as_str()).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!((row(&table, "web-1")[1], row(&table, "web-1")[3]), ("30", "?"), "{table}");
    assert_eq!((row(&table, "web-2")[1], row(&table, "web-2")[3]), ("\u{2265}30", "0.214"), "{table}");
    assert_eq!((row(&table, "web-3")[1], row(&table, "total")[1]), ("30", "\u{2265}90"), "{table}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("could not be measured (cpu_seconds, storage_gb)"), "{said}");
    let document = document(&["--by", "instance"], &input);
    assert_eq!(document["total"]["not_metered"], json!(["cpu_seconds", "storage_gb"]));
    let peaks: Vec<bool> = (0..3).map(|at| document["rows"][at]["peaks"]["storage_gb"].is_null()).collect();
    assert_eq!(peaks, [true, false, false], "{document}");
    let csv = report(&["--by", "instance", "--format", "csv"]).write_stdin(input.as_str()).output().unwrap();
    let csv = String::from_utf8(csv.stdout).unwrap();
    let ends: Vec<&str> = csv.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(ends, ["not_metered", "storage_gb", "cpu_seconds", ""], "{csv}");
    let cells = |line: usize| csv.lines().nth(line).unwrap().split(',').collect::<Vec<_>>();
    let column = cells(0).iter().position(|name| *name == "peak_storage_gb").unwrap();
    assert_eq!(cells(1)[column..column + 3], ["", "", ""], "{csv}");
    assert_ne!(cells(2)[column], "", "{csv}");
    for (instance, code) in [("web-1", 1), ("web-2", 1), ("web-3", 0)] {
        let lines: String =
            input.lines().filter(|line| line.contains(instance)).map(|line| format!("{line}\n")).collect();
        report(&["--fail-on", "not-metered"]).write_stdin(lines).assert().code(code);
    }
}

#[test]
fn a_peak_that_was_not_metered_is_unknown() {
    let mut unknown = event("web-1", 0);
    (unknown.metrics.memory_gb, unknown.metrics.memory_percent) = (0.0, 0.0);
    let line = text(&unknown);
    let input = line.trim_end().strip_suffix('}').unwrap().to_owned() + ",\"not_metered\":[\"memory_gb\"]}\n";
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let output = report(&["--by", "instance", "--format", "table", "--html", page.to_str().unwrap()])
        .write_stdin(input)
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("?") && !table.contains("0.0 GB"), "{table}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<dd>?<i>GB·h</i>") && page.contains("<td class=\"n\">?</td>"), "{page}");
    assert!(!page.contains("0 GB<small>"), "{page}");
}
