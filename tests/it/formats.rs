//! What `validate` and `check` write for CI and monitoring, read back by parsers that are not ours.

use std::path::Path;

use quick_xml::events::Event;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{formusage, line};

/// A threshold file with ten different mistakes.
const TEN: &str = r#"[
  {"id": "a", "resource_type": "Cpuu", "threshold_type": {"Percentage": {"value": 80}}, "action": "Log", "user_id": "*"},
  {"id": "b", "resource_type": "Cpu", "threshold_type": {"Percentage": {"value": 180}}, "action": "Log", "user_id": "*"},
  {"id": "b", "resource_type": "Cpu", "threshold_type": {"Percentage": {"value": 80}}, "action": "Log", "user_id": "x"},
  {"id": "c", "resource_type": "Storage", "threshold_type": {"Percentage": {"value": 80}}, "action": "Log", "user_id": "*"},
  {"id": "d", "resource_type": "Memory", "threshold_type": {"Absolute": {"value": 4, "unit": "h"}}, "action": "Log", "user_id": "*"},
  {"id": "e", "resource_type": "Memory", "threshold_type": {"Absolute": {"value": 4, "unit": "Gigs"}}, "action": "Log", "user_id": "*"},
  {"id": "f", "resource_type": "Memory", "threshold_type": {"Percentage": {"value": 90}}, "action": "Notify", "user_id": "*"},
  {"id": "g", "resource_type": "Memory", "threshold_type": {"Percentage": {"value": 90}}, "action": "Log"},
  {"id": "h", "resource_type": "Memory", "threshold_type": {"Percentage": {"value": 90}}, "action": "Log", "usr_id": "*"},
  {"id": "i", "resource_type": "Memory", "threshold_type": {"Percentage": {"value": 90}}, "action": "Log", "user_id": "*"},
]
"#;

const CODES: [&str; 10] = [
    "unknown-variant",
    "out-of-range",
    "duplicate-id",
    "no-percentage",
    "unit-mismatch",
    "unknown-unit",
    "no-channels",
    "missing-field",
    "misspelt-field",
    "trailing-comma",
];

const LIMIT: &str = r#"{"id":"cpu, high: 10%","resource_type":"Cpu","threshold_type":{"Percentage":{"value":10.0}},"action":"Log","user_id":"*"}"#;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = formusage().current_dir(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Reads a workflow command as the runner does: properties and message, unescaped.
fn command(line: &str) -> (String, Vec<(String, String)>, String) {
    let unescape = |text: &str| {
        let text = text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",");
        text.replace("%25", "%")
    };
    let (head, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
    let (name, properties) = head.split_once(' ').unwrap();
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap();
        (key.to_owned(), unescape(value))
    };
    (name.to_owned(), properties.split(',').map(pair).collect(), unescape(message))
}

/// Elements and attributes of an XML document.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut found = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                let attributes = element.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let value = quick_xml::escape::unescape(std::str::from_utf8(&attribute.value).unwrap()).unwrap();
                    (String::from_utf8(attribute.key.0.to_vec()).unwrap(), value.into_owned())
                });
                let name = String::from_utf8(element.name().0.to_vec()).unwrap();
                found.push((name, attributes.collect()));
            }
            Event::Eof => return found,
            _ => {}
        }
    }
}

fn attribute<'a>(attributes: &'a [(String, String)], name: &str) -> &'a str {
    attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

fn valid_sarif(text: &str) -> Value {
    let log: Value = serde_json::from_str(text).unwrap();
    // Two patterns of the published schema are no regular expressions: they close a bracket that they never opened.
    let schema = include_str!("../fixtures/sarif-2.1.0.schema.json").replace("{2}]?$", "{2}$");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());
    log
}

#[test]
fn ten_mistakes_are_ten_findings_with_place_and_fix() {
    let folder = folder(&[("t.json", TEN)]);
    let (code, stdout, _) = run(folder.path(), &["validate", "t.json"]);
    assert_eq!(code, Some(1));
    let rows: Vec<Value> = stdout.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let codes: Vec<_> = rows.iter().map(|row| row["code"].as_str().unwrap()).collect();
    assert_eq!(codes, CODES);
    for (line, row) in (2..).zip(&rows) {
        assert_eq!(row["place"]["line"], line, "{row}");
        assert!(row["place"]["column"].as_u64().unwrap() > 0);
        assert!(row["help"].is_string() || row["expected"].is_string() || row["code"] == "missing-field", "{row}");
    }
}

#[test]
fn sarif_is_valid_by_its_schema_and_has_the_places() {
    let folder = folder(&[("a b.json", TEN), ("e.ndjson", "{\"event_type\":\"caf\u{e9}\" \u{1}}\n")]);
    let (code, stdout, _) =
        run(folder.path(), &["validate", "--format", "sarif", "a b.json", "e.ndjson", "missing.json"]);
    assert_eq!(code, Some(2));
    let log = valid_sarif(&stdout);
    let run_ = &log["runs"][0];
    let results = run_["results"].as_array().unwrap();
    for (result, code) in results.iter().zip(CODES) {
        assert_eq!(result["ruleId"], code);
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run_["tool"]["driver"]["rules"][index]["id"], code);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.json");
        let region = &place["region"];
        assert!(region["endColumn"].as_u64() > region["startColumn"].as_u64(), "{region}");
    }
    assert_eq!(run_["invocations"][0]["executionSuccessful"], false);
    let why = run_["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].as_str().unwrap();
    assert!(why.contains("missing.json"), "{why}");
    // Without findings it is valid too.
    let (code, stdout, _) = run(folder.path(), &["validate", "--format", "sarif", "--ignore", "empty", "-"]);
    assert_eq!(code, Some(0));
    assert_eq!(valid_sarif(&stdout)["runs"][0]["results"], Value::Array(Vec::new()));
}

#[test]
fn fingerprints_stay_when_lines_move() {
    let one = TEN.replace("[\n", "[\n\n\n\n");
    let folder = folder(&[("t.json", TEN)]);
    let prints = |_: &str| {
        let (_, stdout, _) = run(folder.path(), &["validate", "--format", "sarif", "t.json"]);
        let results = valid_sarif(&stdout)["runs"][0]["results"].as_array().unwrap().clone();
        let mut prints: Vec<String> = results
            .iter()
            .map(|result| result["partialFingerprints"]["formusage/v1"].as_str().unwrap().into())
            .collect();
        prints.sort_unstable();
        prints
    };
    let before = prints("before");
    std::fs::write(folder.path().join("t.json"), one).unwrap();
    assert_eq!(prints("after"), before);
    let mut different = before.clone();
    different.dedup();
    assert_eq!(different.len(), 10);
}

#[test]
fn github_shows_every_finding_at_its_place() {
    let folder = folder(&[("t,1:%.json", TEN)]);
    let (code, stdout, _) = run(folder.path(), &["validate", "--format", "github", "t,1:%.json"]);
    assert_eq!(code, Some(1));
    for (line, code) in stdout.lines().zip(CODES) {
        let (name, properties, message) = command(line);
        assert_eq!(name, "error");
        assert_eq!(attribute(&properties, "file"), "t,1:%.json");
        assert_eq!(attribute(&properties, "title"), code);
        let number = |name| attribute(&properties, name).parse::<u64>().unwrap();
        assert!(number("line") > 1 && number("endColumn") > number("col"), "{properties:?}");
        assert!(!message.is_empty());
    }
    assert_eq!(stdout.lines().count(), 10);
}

#[test]
fn junit_is_one_suite_a_file() {
    let folder = folder(&[("t.json", TEN), ("ok.json", LIMIT), ("w.json", "[]")]);
    let (code, stdout, _) =
        run(folder.path(), &["validate", "--format", "junit", "t.json", "ok.json", "w.json", "no.json"]);
    assert_eq!(code, Some(2));
    let found = elements(&stdout);
    let suites: Vec<_> =
        found.iter().filter(|(name, _)| name == "testsuite").map(|(_, attributes)| attributes).collect();
    let row = |attributes: &[(String, String)]| {
        ["name", "tests", "failures", "errors"].map(|name| attribute(attributes, name).to_owned())
    };
    let rows: Vec<_> = suites.iter().map(|attributes| row(attributes)).collect();
    let expected = [
        ["t.json", "10", "10", "0"],
        ["w.json", "2", "0", "0"],
        ["ok.json", "1", "0", "0"],
        ["no.json", "1", "0", "1"],
    ];
    assert_eq!(rows, expected.map(|row| row.map(str::to_owned)));
    let types: Vec<_> = found
        .iter()
        .filter(|(name, _)| name == "failure")
        .map(|(_, attributes)| attribute(attributes, "type"))
        .collect();
    assert_eq!(types, CODES);
}

#[test]
fn check_speaks_the_same_formats() {
    let events = format!("{}\nno event\n{}\n", line("a", 0), line("b", 0).replace("12.5", "5.0"));
    let folder = folder(&[("limit.json", LIMIT), ("e.ndjson", &events)]);
    let check = |format: &str| run(folder.path(), &["check", "limit.json", "e.ndjson", "--format", format]);
    let (code, stdout, _) = check("sarif");
    assert_eq!(code, Some(2));
    let log = valid_sarif(&stdout);
    let rules: Vec<_> =
        log["runs"][0]["results"].as_array().unwrap().iter().map(|result| result["ruleId"].as_str().unwrap()).collect();
    assert_eq!(rules, ["cpu, high: 10%", "invalid-event"]);
    let (_, stdout, _) = check("github");
    let (name, properties, message) = command(stdout.lines().next().unwrap());
    assert_eq!((name.as_str(), attribute(&properties, "title")), ("error", "cpu, high: 10%"));
    assert_eq!((attribute(&properties, "file"), attribute(&properties, "line")), ("e.ndjson", "1"));
    assert_eq!(message, "Cpu of a (user user_123456) is 12.5 %, over the limit of 10 % at 2021-07-15T12:00:30Z");
    let (_, stdout, _) = check("junit");
    let found = elements(&stdout);
    assert_eq!(found.iter().filter(|(name, _)| name == "failure").count(), 2);
    let (code, _, stderr) = run(folder.path(), &["check", "limit.json", "e.ndjson", "--explain", "--format", "sarif"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--explain is written as"), "{stderr}");
}

#[test]
fn nagios_is_one_line_with_performance_data() {
    let critical = LIMIT.replace("\"user_id\"", "\"severity\":\"critical\",\"user_id\"");
    let (low, high) = (line("a", 0).replace("12.5", "5.0"), line("a", 1));
    let files =
        [("limit.json", LIMIT), ("critical.json", &critical), ("low", &low), ("high", &high), ("bad", "no event\n")];
    let folder = folder(&files);
    for (limit, events, code, begins) in [
        ("limit.json", "low", 0, "FORMUSAGE OK - no threshold is exceeded in 1 event |"),
        ("limit.json", "high", 1, "FORMUSAGE WARNING - 1 violation in 1 of 1 event; cpu, high: 10% 12.5 % of 10 % |"),
        ("critical.json", "high", 2, "FORMUSAGE CRITICAL - "),
        ("limit.json", "bad", 3, "FORMUSAGE UNKNOWN - "),
        ("limit.json", "missing", 3, "FORMUSAGE UNKNOWN - "),
        ("missing.json", "low", 3, "FORMUSAGE UNKNOWN - "),
    ] {
        let (found, stdout, _) = run(folder.path(), &["check", limit, events, "--format", "nagios"]);
        assert_eq!(found, Some(code), "{limit} {events}: {stdout}");
        assert!(stdout.starts_with(begins) && stdout.lines().count() == 1, "{stdout}");
    }
    let (_, stdout, _) = run(folder.path(), &["check", "limit.json", "high", "--format", "nagios"]);
    let (_, data) = stdout.trim_end().split_once(" | ").unwrap();
    assert_eq!(data, "events=1 violations=1;0;;0 invalid_lines=0;0;;0 'cpu, high: 10%'=12.5%;10;;0");
}

#[test]
fn nagios_has_the_figures_of_every_threshold() {
    let limit = |id: &str, value: u8, more: &str| {
        format!(
            r#"{{"id":"{id}","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":{value}}}}},"action":"Log","user_id":"*"{more}}}"#
        )
    };
    let limits = [
        limit("cpu='a'", 90, r#","severity":"critical""#),
        limit("cpu_'a'", 80, r#","severity":"info""#),
        limit("states", 70, r#","for":"5m""#),
        limit("others", 60, r#","instance_id":"z""#),
        limit("off", 1, r#","enabled":false"#),
        limit("exceeded", 10, ""),
    ];
    let limits = format!("[{}]", limits.join(","));
    let events = [line("a", 0).replace("12.5", "5.0"), line("b", 0), line("a", 1).replace("12.5", "7.5")].join("\n");
    let folder = folder(&[("limits.json", &limits), ("events", &events)]);
    let (code, stdout, _) = run(folder.path(), &["check", "limits.json", "events", "--format", "nagios"]);
    assert_eq!(code, Some(1), "{stdout}");
    let (_, data) = stdout.trim_end().split_once(" | ").unwrap();
    let figures: Vec<_> = data.split(" '").skip(1).collect();
    assert_eq!(
        figures,
        [
            "cpu__a_'=12.5%;;90;0",
            "cpu__a__2'=12.5%;80;;0",
            "exceeded'=12.5%;10;;0",
            "others'=U;60;;0",
            "states'=12.5%;70;;0",
        ]
    );
}

#[test]
fn sarif_of_check_explains_every_rule() {
    let plain = LIMIT.replace("cpu, high: 10%", "plain");
    let described = LIMIT.replace("\"user_id\"", "\"description\":\"Above it, jobs are slow.\",\"user_id\"");
    let folder = folder(&[("limits.json", &format!("[{plain},{described}]")), ("e.ndjson", &(line("a", 0) + "\n"))]);
    let (code, stdout, _) = run(folder.path(), &["check", "limits.json", "e.ndjson", "--format", "sarif"]);
    assert_eq!(code, Some(1));
    let log = valid_sarif(&stdout);
    let driver = &log["runs"][0]["tool"]["driver"];
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 3);
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(rule[text]["text"].as_str().is_some_and(|text| text.ends_with('.')), "{rule}");
        }
    }
    let help = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap()["help"]["text"].as_str().unwrap();
    assert!(help("plain").contains("every instance of every user") && help("plain").contains("10 %"));
    assert!(help("cpu, high: 10%").starts_with("Above it, jobs are slow. "));
    // An URI that does not exist would lead nowhere.
    assert!(driver["informationUri"].as_str().is_none_or(|uri| uri.starts_with("https://")));
}

#[test]
fn no_event_at_all_is_said() {
    let folder = folder(&[("limit.json", LIMIT), ("empty", ""), ("bad", "no event\n")]);
    for format in ["table", "ndjson", "nagios"] {
        let (code, stdout, stderr) = run(folder.path(), &["check", "limit.json", "empty", "--format", format]);
        assert_eq!(code, Some(0), "{stdout} {stderr}");
        assert!(stderr.contains("no event was read"), "{stderr}");
    }
    let output = formusage().current_dir(folder.path()).args(["check", "limit.json"]).write_stdin("").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no event was read"));
    let (_, _, stderr) = run(folder.path(), &["check", "limit.json", "bad"]);
    assert!(!stderr.contains("no event was read"), "{stderr}");
}
