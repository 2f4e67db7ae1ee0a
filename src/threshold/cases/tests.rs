//! Cases that hold, that fail, and that can't be run.

use super::*;
use crate::threshold::ThresholdSet;

const FILE: &str = r#"{
  "thresholds": [{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Log",
    "user_id":"*","for":"5m","repeat_interval":"30m","no_data":"alert"}],
  "cases": [{
    "name": "an hour over the limit",
    "series": ["instance web-1: cpu_percent_avg 50x10 95x60 10x2, every 1m", "instance web-2 user al: cpu_percent_avg 10x72, every 1m"],
    "violations": [{"threshold":"cpu-high","instance":"web-1","at":"11m","to":"1h10m","value":95}],
    "alerts": [
      {"threshold":"cpu-high","instance":"web-1","kind":"pending","at":"11m"},
      {"threshold":"cpu-high","instance":"web-1","kind":"firing","at":"15m","value":95},
      {"threshold":"cpu-high","instance":"web-1","kind":"repeat","at":"45m"},
      {"threshold":"cpu-high","instance":"web-1","kind":"resolved","at":"1h11m"}],
    "states": [
      {"threshold":"cpu-high","instance":"web-1","at":"10m","state":"ok"},
      {"threshold":"cpu-high","instance":"web-1","at":"14m59s","state":"pending"},
      {"threshold":"cpu-high","instance":"web-1","at":"15m","state":"firing"},
      {"threshold":"cpu-high","instance":"web-2","at":"15m","state":"ok"}]
  }]
}"#;

fn run(change: impl FnOnce(&mut Case)) -> Result<CaseResult, CaseError> {
    let mut file: CaseFile = serde_json::from_str(FILE).unwrap();
    change(&mut file.cases[0]);
    file.cases[0].run(&ThresholdSet::new(file.thresholds).unwrap())
}

#[test]
fn a_case_that_holds() {
    assert_eq!(run(|_| {}).unwrap().differences, []);
    let file: CaseFile = serde_json::from_str(FILE).unwrap();
    let again: CaseFile = serde_json::from_str(&serde_json::to_string(&file).unwrap()).unwrap();
    assert_eq!(again, file);
}

#[test]
fn every_difference_is_told_from_both_sides() {
    let late = |case: &mut Case| {
        case.series[0] = "instance web-1: cpu_percent_avg 50x11 95x59 10x2, every 1m".into();
    };
    let result = run(late).unwrap();
    let what: Vec<_> = result.differences.iter().map(|it| (it.side, it.what.as_str())).collect();
    assert!(what.contains(&(Side::Expected, "cpu-high on web-1: firing at 15m with 95")), "{what:#?}");
    assert!(what.contains(&(Side::Found, "cpu-high on web-1: firing at 16m with 95 %")), "{what:#?}");
    assert!(what.contains(&(Side::Expected, "cpu-high on web-1: firing at 15m")), "{what:#?}");
    assert!(what.contains(&(Side::Found, "cpu-high on web-1: pending since 11m at 15m")), "{what:#?}");
    assert!(what.contains(&(Side::Expected, "cpu-high on web-1: 95 at 11m")), "{what:#?}");
    assert_eq!(run(|case| case.alerts = Some(Vec::new())).unwrap().differences.len(), 4);
    assert_eq!(run(|case| case.violations = Some(Vec::new())).unwrap().differences.len(), 60);
}

#[test]
fn silence_is_a_case_too() {
    let result = run(|case| {
        *case = Case {
            name: "silence".into(),
            series: vec!["instance web-1: cpu_percent_avg 10x3 _x2 10, every 1m".into()],
            until: Some("20m".parse().unwrap()),
            alerts: Some(Vec::new()),
            ..Case::default()
        };
    });
    let result = result.unwrap();
    assert_eq!(result.events, 4);
    assert!(result.differences[0].what.contains("no_data at 11m30s"), "{result:?}");
}

#[test]
fn a_case_heeds_the_silence_of_its_threshold() {
    let mut file: CaseFile = serde_json::from_str(FILE).unwrap();
    file.thresholds[0].no_data_after = Some("10m".parse().unwrap());
    let case = Case {
        name: "a short silence".into(),
        series: vec!["instance web-1: cpu_percent_avg 10x3 _x9 10, every 1m".into()],
        alerts: Some(Vec::new()),
        ..Case::default()
    };
    let differences = |file: CaseFile| case.run(&ThresholdSet::new(file.thresholds).unwrap()).unwrap().differences;
    assert_eq!(differences(file), []);
    assert_eq!(differences(serde_json::from_str(FILE).unwrap()).len(), 2, "no_data, and that it is over");
}

#[test]
fn what_can_not_be_run_says_why() {
    for (series, says) in [
        ("web-1: cpu_percent_avg 5", "expected one like"),
        ("instance a: cpu_percent 5", "did you mean `cpu_percent_avg`?"),
        ("instance a: cpu_percent_avg", "no values"),
        ("instance a: cpu_percent_avg 5y3", "is no value"),
        ("instance a: cpu_percent_avg -5", "at least 0"),
        ("instance a: cpu_seconds 0.5", "whole number"),
        ("instance a: cpu_percent_avg 5x9999999", "more than 1000000"),
        ("instance a: cpu_percent_avg 5x2, memory_gb 1x3", "has 3 values"),
        ("instance a: cpu_percent_avg 5, every 5", "did you mean 5s?"),
        ("instance a: cpu_percent_avg 5, every 0s", "empty"),
        ("instance a: every 5m", "no metric"),
    ] {
        let error = run(|case| case.series[0] = series.into()).unwrap_err().to_string();
        assert!(error.contains(says), "{series}: {error}");
    }
    let error = run(|case| case.states[0].threshold = "cpu".into()).unwrap_err().to_string();
    assert!(error.contains("there are cpu-high"), "{error}");
}

#[test]
fn values_step_and_periods_begin_where_they_are_told() {
    let events = series::events("instance a: memory_gb 1+0.5x3 _ 9, cpu_seconds 5x5, from 1m, every 10s", 100).unwrap();
    let seen: Vec<_> =
        events.iter().map(|it| (it.period.start, it.metrics.memory_gb, it.metrics.cpu_seconds)).collect();
    assert_eq!(seen, [(160, 1.0, 5), (170, 1.5, 5), (180, 2.0, 5), (200, 9.0, 5)]);
}
