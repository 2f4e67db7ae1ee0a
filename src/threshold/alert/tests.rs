//! The states against a naive reading of the rules, over restarts, and through every kind of silence.

use proptest::prelude::*;

use super::*;
use crate::events::tests::sample;
use crate::events::{MetricSet, UsageEvent, UsagePeriod};
use crate::threshold::{
    ANY, ActionType, MeasuredEvent, NoData, ResourceType, ThresholdConfig, ThresholdSet, ThresholdType,
};
use crate::units::TimeSpan;

const START: i64 = 1_626_350_400;

/// `cpu_percent_avg` over 80, with states.
fn cpu(id: &str) -> ThresholdConfig {
    let limit = ThresholdType::Percentage { value: 80.0 };
    let config = ThresholdConfig::new(id, ResourceType::Cpu, limit, ActionType::Log, ANY);
    ThresholdConfig { no_data: Some(NoData::Keep), ..config }
}

const fn span(seconds: u32) -> Option<TimeSpan> {
    Some(TimeSpan::from_seconds(seconds))
}

fn set(configs: impl Into<Vec<ThresholdConfig>>) -> ThresholdSet {
    ThresholdSet::new(configs.into()).unwrap()
}

/// The event of an instance's `n`th period of 30 s.
fn event(instance: &str, n: i64, cpu: f64) -> UsageEvent {
    let mut event = sample();
    event.instance_id = instance.into();
    event.metrics.cpu_percent_avg = cpu;
    event.period = UsagePeriod { start: START + 30 * n, end: START + 30 * (n + 1) };
    event.timestamp = event.period.end;
    event
}

/// An alert in short: threshold, instance, kind, and the seconds from [`START`] at which it happened.
type Short = (String, String, AlertKind, i64);

fn short(alert: &ThresholdAlert) -> Short {
    let violation = &alert.violation;
    (violation.config.id.clone(), violation.instance_id.clone(), alert.kind, alert.at - START)
}

fn kinds(alerts: &[ThresholdAlert]) -> Vec<(AlertKind, i64)> {
    alerts.iter().map(|alert| (alert.kind, alert.at - START)).collect()
}

fn run(
    states: &mut AlertStates,
    set: &ThresholdSet,
    events: impl IntoIterator<Item = UsageEvent>,
) -> Vec<ThresholdAlert> {
    events.into_iter().flat_map(|event| states.observe(set, &event)).collect()
}

/// Through the record's JSON and back.
fn restarted(states: &AlertStates, set: &ThresholdSet) -> AlertStates {
    let text = serde_json::to_vec(&AlertRecord::of(states, set, Vec::new())).unwrap();
    let (mut again, old) = AlertRecord::parse(&text).unwrap().restore().unwrap();
    assert_eq!(again.reload(&old, set), [], "nothing has changed");
    again
}

/// The issue's own example: an hour over the limit.
#[test]
fn an_hour_over_the_limit_is_told_once_repeated_once_and_resolved() {
    let set = set([ThresholdConfig { hold: span(300), repeat_interval: span(1_800), ..cpu("cpu-high") }]);
    let expected =
        [(AlertKind::Pending, 30), (AlertKind::Firing, 300), (AlertKind::Repeat, 2_100), (AlertKind::Resolved, 3_630)];
    for restart_at in [None, Some(0), Some(5), Some(9), Some(10), Some(70), Some(119), Some(120)] {
        let mut states = AlertStates::new(1);
        let mut told = Vec::new();
        for n in 0..125 {
            if restart_at == Some(n) {
                states = restarted(&states, &set);
            }
            told.extend(states.observe(&set, &event("web-1", n, if n < 120 { 95.0 } else { 40.0 })));
        }
        assert_eq!(kinds(&told), expected, "restart at {restart_at:?}");
        assert_eq!(told[1].since, START);
        assert_eq!((told[3].violation.current_value, told[3].peak, told[3].reason), (40.0, 95.0, None));
        let mut ids: Vec<_> = told.iter().map(|alert| &alert.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4, "every change has an id of its own");
    }
}

#[test]
fn one_event_within_the_limit_ends_what_is_pending() {
    let set = set([ThresholdConfig { hold: span(120), ..cpu("c") }]);
    let mut states = AlertStates::new(1);
    let figures = [90.0, 90.0, 90.0, 80.0, 90.0, 90.0, 90.0, 90.0];
    let told = run(&mut states, &set, (0..).zip(figures).map(|(n, cpu)| event("a", n, cpu)));
    assert_eq!(kinds(&told), [(AlertKind::Pending, 30), (AlertKind::Pending, 150), (AlertKind::Firing, 240)]);
}

#[test]
fn a_missing_event_is_bridged_and_a_longer_gap_is_not() {
    let set = set([ThresholdConfig { hold: span(120), ..cpu("c") }]);
    for (periods, expected) in [
        ([0, 1, 3], vec![(AlertKind::Pending, 30), (AlertKind::Firing, 120)]),
        ([0, 1, 4], vec![(AlertKind::Pending, 30), (AlertKind::Pending, 150)]),
    ] {
        let told = run(&mut AlertStates::new(1), &set, periods.map(|n| event("a", n, 90.0)));
        assert_eq!(kinds(&told), expected);
    }
}

#[test]
fn what_fires_goes_on_until_the_clear_value() {
    let set = set([ThresholdConfig { clear_value: Some(60.0), ..cpu("c") }]);
    let figures = [81.0, 70.0, 60.5, 95.0, 60.0, 70.0, 81.0];
    let told = run(&mut AlertStates::new(1), &set, (0..).zip(figures).map(|(n, cpu)| event("a", n, cpu)));
    let expected = [(AlertKind::Firing, 30), (AlertKind::Resolved, 150), (AlertKind::Firing, 210)];
    assert_eq!(kinds(&told), expected);
    assert_eq!(told[1].peak, 95.0);
    assert_ne!(told[0].id, told[2].id);
}

#[test]
fn what_is_no_number_resolves_nothing() {
    let set = set([cpu("c")]);
    let mut states = AlertStates::new(1);
    let told = run(&mut states, &set, [event("a", 0, 90.0), event("a", 1, f64::NAN)]);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30)]);
}

#[test]
fn late_and_repeated_events_change_nothing_and_are_counted() {
    let set = set([cpu("c")]);
    let mut states = AlertStates::new(1);
    let told = run(
        &mut states,
        &set,
        [event("a", 5, 90.0), event("a", 5, 10.0), event("a", 4, 10.0), event("b", 4, 90.0), event("b", 4, 90.0)],
    );
    assert_eq!(kinds(&told), [(AlertKind::Firing, 180), (AlertKind::Firing, 150)]);
    let counts = states.counts();
    assert_eq!((counts.firing, counts.late, counts.repeated), (2, 1, 2));
}

/// `a` is over the limit once and then silent, while `b` goes on.
fn silence(no_data: NoData, repeat_interval: Option<TimeSpan>, periods: i64) -> (AlertStates, Vec<ThresholdAlert>) {
    let set = set([ThresholdConfig { no_data: Some(no_data), repeat_interval, ..cpu("c") }]);
    let mut states = AlertStates::new(1);
    let mut told = states.observe(&set, &event("a", 0, 90.0));
    for n in 0..periods {
        told.extend(states.observe(&set, &event("b", n, 10.0)));
    }
    told.retain(|alert| alert.violation.instance_id == "a");
    (states, told)
}

#[test]
fn an_instance_that_falls_silent_is_never_well_without_a_word() {
    let (states, told) = silence(NoData::Keep, None, 100);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30)]);
    assert_eq!(states.status("c", "a").unwrap().state, AlertState::Firing);

    let (_, told) = silence(NoData::Keep, span(1_200), 100);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30), (AlertKind::Repeat, 1_230), (AlertKind::Repeat, 2_430)]);
    assert_eq!(told[1].reason, Some(AlertReason::Silent));

    let (states, told) = silence(NoData::Resolve, None, 100);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30), (AlertKind::Resolved, 360)]);
    assert_eq!(told[1].reason, Some(AlertReason::Silent));
    assert_eq!(states.status("c", "a"), None);

    let (states, told) = silence(NoData::Alert, None, 100);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30), (AlertKind::NoData, 360)]);
    assert_eq!(told[1].since, START + 30, "where the silence began");
    assert_eq!(states.status("c", "a").unwrap().state, AlertState::NoData);

    let (states, told) = silence(NoData::Alert, None, 7 * 2_880 + 20);
    assert_eq!(told.last().unwrap().reason, Some(AlertReason::Forgotten));
    assert_eq!(states.status("c", "a"), None);
}

#[test]
fn data_that_are_back_end_the_silence() {
    let (mut states, _) = silence(NoData::Alert, None, 100);
    let set = set([ThresholdConfig { no_data: Some(NoData::Alert), ..cpu("c") }]);
    let told = states.clone().observe(&set, &event("a", 100, 90.0));
    assert_eq!((told[0].kind, told[0].reason, told[0].since), (AlertKind::Repeat, Some(AlertReason::DataBack), START));
    let told = states.observe(&set, &event("a", 100, 10.0));
    assert_eq!((told[0].kind, told[0].reason), (AlertKind::Resolved, Some(AlertReason::DataBack)));
    // From here on its silence would be told, though all was well.
    let told = run(&mut states, &set, (100..120).map(|n| event("b", n, 10.0)));
    assert_eq!(kinds(&told), [(AlertKind::NoData, 3_030 + 330)]);
    let told = states.observe(&set, &event("a", 130, 90.0));
    let reasons: Vec<_> = told.iter().map(|alert| (alert.kind, alert.reason)).collect();
    assert_eq!(reasons, [(AlertKind::Resolved, Some(AlertReason::DataBack)), (AlertKind::Firing, None)]);
}

#[test]
fn a_gap_between_the_events_of_a_lone_instance_is_a_silence_too() {
    let config = ThresholdConfig { no_data: Some(NoData::Alert), ..cpu("c") };
    let told = run(&mut AlertStates::new(1), &set([config]), [event("a", 0, 90.0), event("a", 20, 10.0)]);
    assert_eq!(kinds(&told), [(AlertKind::Firing, 30), (AlertKind::NoData, 600), (AlertKind::Resolved, 630)]);
}

/// After a pause of the whole stream nobody is silent who had no chance to speak.
#[test]
fn a_threshold_may_say_how_long_a_silence_counts() {
    let config = ThresholdConfig { no_data: Some(NoData::Alert), ..cpu("c") };
    // One that speaks for a period every ten minutes, beside one that speaks all the time.
    let events = || {
        (0..200).flat_map(|n| (n % 20 == 0).then(|| event("rare", n, 5.0)).into_iter().chain([event("busy", n, 5.0)]))
    };
    let told = |no_data_after| {
        let set = set([ThresholdConfig { no_data_after, ..config.clone() }]);
        run(&mut AlertStates::new(1), &set, events())
    };
    assert!(told(None).len() > 10, "as it was: silent and back every time");
    assert_eq!(told(span(900)), []);
    let told = told(span(60));
    assert_eq!(kinds(&told)[0], (AlertKind::NoData, 120), "the silence began at 30 s and counts after a minute");
    // By the wall clock and at the end of a run it is the same.
    let patient = set([ThresholdConfig { no_data_after: span(900), ..config }]);
    let mut states = AlertStates::new(1);
    run(&mut states, &patient, [event("rare", 0, 5.0)]);
    let mut states = restarted(&states, &patient);
    assert_eq!(states.conclude(&patient, START + 30 + 900), []);
    assert_eq!(kinds(&states.conclude(&patient, START + 30 + 901)), [(AlertKind::NoData, 931)]);
}

#[test]
fn a_pause_of_the_whole_stream_is_nobodys_silence() {
    let set = set([ThresholdConfig { no_data: Some(NoData::Resolve), ..cpu("c") }]);
    let mut states = AlertStates::new(1);
    let mut told = run(&mut states, &set, [event("a", 0, 90.0), event("b", 0, 90.0)]);
    states = restarted(&states, &set);
    told.extend(run(&mut states, &set, [event("b", 300, 10.0), event("b", 301, 10.0)]));
    assert!(told.iter().all(|alert| alert.violation.instance_id == "b" || alert.kind == AlertKind::Firing), "{told:?}");
    // Instance by instance, as in files behind each other.
    let mut states = AlertStates::new(1);
    let one = run(&mut states, &set, (0..200).map(|n| event("a", n, 90.0)));
    let other = run(&mut states, &set, (0..200).map(|n| event("b", n, 90.0)));
    assert_eq!((kinds(&one), kinds(&other)), (vec![(AlertKind::Firing, 30)], vec![(AlertKind::Firing, 30)]));
}

#[test]
fn the_wall_clock_finds_a_silence_of_all() {
    let set = set([ThresholdConfig { no_data: Some(NoData::Alert), ..cpu("c") }]);
    let mut states = AlertStates::new(1);
    assert_eq!(states.tick(&set, 1_000_000), []);
    states.observe(&set, &event("a", 0, 10.0));
    // A machine that was suspended hears nothing; a clock that is set back counts for nothing.
    assert_eq!(states.tick(&set, 1_090_000), []);
    assert_eq!(states.tick(&set, 900_000), []);
    let mut told = Vec::new();
    for second in 1..=300 {
        told.extend(states.tick(&set, 900_000 + second));
    }
    assert_eq!(kinds(&told), [(AlertKind::NoData, 30 + 301)]);
    assert_eq!(restarted(&states, &set).tick(&set, 2_000_000), []);
}

/// A job that runs now and then has no stream whose time goes on, and yet no silence is well without a word.
#[test]
fn the_clock_finds_at_the_end_of_a_run_who_was_not_heard() {
    let set = set([ThresholdConfig { no_data: Some(NoData::Alert), ..cpu("c") }]);
    let mut first = AlertStates::new(1);
    run(&mut first, &set, [event("a", 0, 10.0), event("b", 0, 90.0)]);
    assert_eq!(first.conclude(&set, START + 9_000), [], "the run that heard them leaves it to their own time");
    assert_eq!([331, 330].map(|passed| first.quiet(&set, START + passed)), [2, 0]);

    let mut states = restarted(&first, &set);
    assert_eq!(states.conclude(&set, START + 30 + 300), [], "not yet");
    assert_eq!(states.quiet(&set, START + 9_000), 0, "it heard nothing");
    let told = states.conclude(&set, START + 30 + 301);
    assert_eq!(kinds(&told), [(AlertKind::NoData, 331), (AlertKind::NoData, 331)]);
    assert_eq!((told[0].since, &*told[0].violation.instance_id), (START + 30, "a"));
    assert_eq!(restarted(&states, &set).conclude(&set, START + 900), [], "told once");
    let told = run(&mut restarted(&states, &set), &set, [event("a", 40, 10.0), event("b", 40, 90.0)]);
    let reasons: Vec<_> = told.iter().map(|alert| (alert.kind, alert.reason)).collect();
    let back = Some(AlertReason::DataBack);
    assert_eq!(reasons, [(AlertKind::Resolved, back), (AlertKind::Repeat, back)]);

    // One that speaks does not speak for the other, and what came twice is not news.
    let mut states = restarted(&first, &set);
    run(&mut states, &set, [event("b", 0, 90.0), event("a", 1, 10.0)]);
    let told = states.conclude(&set, START + 3_600);
    assert_eq!(told.iter().map(short).collect::<Vec<_>>(), [("c".into(), "b".into(), AlertKind::NoData, 3_600)]);

    // An archive is judged by its own time; a clock that is behind says nothing.
    let mut states = restarted(&first, &set);
    assert_eq!(states.clone().conclude(&set, START - 9_000), []);
    run(&mut states, &set, [event("a", 1, 10.0)]);
    assert_eq!(states.conclude(&set, START + 8 * 86_400), []);
}

#[test]
fn a_job_that_stood_still_for_long_forgets_nothing_by_the_clock() {
    for (no_data, day, week) in [
        (NoData::Keep, None, None),
        (NoData::Resolve, Some(AlertKind::Resolved), None),
        (NoData::Alert, Some(AlertKind::NoData), Some(AlertKind::NoData)),
    ] {
        let set = set([ThresholdConfig { no_data: Some(no_data), ..cpu("c") }]);
        let mut states = AlertStates::new(1);
        run(&mut states, &set, [event("a", 0, 90.0)]);
        let told = |days: i64| restarted(&states, &set).conclude(&set, START + days * 86_400).pop().map(|it| it.kind);
        assert_eq!((told(1), told(8)), (day, week), "{no_data:?}");
    }
}

#[test]
fn new_thresholds_keep_what_did_not_change_and_say_what_ends() {
    let old = set(["a", "b", "c", "d", "e"].map(cpu));
    let mut states = AlertStates::new(1);
    run(&mut states, &old, [event("x", 0, 90.0)]);
    let raised = ThresholdType::Percentage { value: 95.0 };
    let new = set([
        ThresholdConfig { description: Some("words".into()), ..cpu("a") },
        ThresholdConfig { enabled: false, ..cpu("b") },
        ThresholdConfig { resource_type: ResourceType::Memory, ..cpu("c") },
        ThresholdConfig { threshold_type: raised, ..cpu("d") },
    ]);
    for mut states in [states.clone(), restarted(&states, &old)] {
        let told = states.reload(&old, &new);
        let reasons: Vec<_> = told.iter().map(|it| (&*it.violation.config.id, it.kind, it.reason.unwrap())).collect();
        assert_eq!(
            reasons,
            [
                ("b", AlertKind::Resolved, AlertReason::ThresholdDisabled),
                ("c", AlertKind::Resolved, AlertReason::ThresholdChanged),
                ("e", AlertKind::Resolved, AlertReason::ThresholdRemoved),
            ]
        );
        // The raised limit is no longer exceeded.
        let told = run(&mut states, &new, [event("x", 1, 90.0)]);
        assert_eq!(told.iter().map(short).collect::<Vec<_>>(), [("d".into(), "x".into(), AlertKind::Resolved, 60)]);
        assert_eq!(states.active().len(), 1);
    }
}

#[test]
fn records_that_are_none_are_told_apart() {
    let states = AlertStates::new(1);
    let sound = serde_json::to_value(AlertRecord::of(&states, &set([]), Vec::new())).unwrap();
    let parse = |value: &serde_json::Value| AlertRecord::parse(value.to_string().as_bytes());
    assert!(parse(&sound).unwrap().restore().is_ok());
    assert_eq!(parse(&serde_json::json!({"id": "x"})).unwrap_err(), RecordError::Foreign);
    let mut newer = sound.clone();
    newer["version"] = 2.into();
    assert_eq!(parse(&newer).unwrap_err(), RecordError::Newer(2));
    let text = sound.to_string();
    for end in 1..text.len() {
        assert!(AlertRecord::parse(&text.as_bytes()[..end]).is_err());
    }
    let mut bad = sound;
    bad["seen"] = "zz".into();
    assert!(matches!(parse(&bad).unwrap().restore(), Err(RecordError::Damaged(_))));
}

/// The rules read literally, over the whole history of one instance: no state is carried but what fires.
fn naive(config: &ThresholdConfig, events: &[UsageEvent], instance: &str) -> Vec<Short> {
    let mut accepted: Vec<&UsageEvent> = Vec::new();
    let of_it = |event: &&UsageEvent| event.instance_id == instance && config.applies_to(&event.user_id, instance);
    for event in events.iter().filter(of_it) {
        if accepted.iter().all(|before| before.period.end < event.period.end) {
            accepted.push(event);
        }
    }
    let limit = config.threshold_type.value();
    let over = |event: &UsageEvent| event.metrics.cpu_percent_avg > limit;
    let mut told = Vec::new();
    let mut tell = |kind, at: i64| told.push((config.id.clone(), instance.to_owned(), kind, at - START));
    let mut fires: Option<i64> = None;
    let mut after = 0;
    for (index, event) in accepted.iter().enumerate() {
        let end = event.period.end;
        if let Some(told_at) = fires {
            if event.metrics.cpu_percent_avg <= config.clear_value.unwrap_or(limit) {
                tell(AlertKind::Resolved, end);
                (fires, after) = (None, index + 1);
            } else if config.repeat_interval.is_some_and(|every| end - told_at >= every.seconds()) {
                tell(AlertKind::Repeat, end);
                fires = Some(end);
            }
            continue;
        }
        if !over(event) {
            continue;
        }
        let mut first = index;
        while first > after
            && over(accepted[first - 1])
            && accepted[first].period.start - accepted[first - 1].period.end <= 30
        {
            first -= 1;
        }
        if end - accepted[first].period.start >= config.hold.unwrap_or_default().seconds() {
            tell(AlertKind::Firing, end);
            fires = Some(end);
        } else if first == index {
            tell(AlertKind::Pending, end);
        }
    }
    told
}

fn any_config() -> impl Strategy<Value = ThresholdConfig> {
    let spans = (proptest::option::of(0..8u32), proptest::option::of(0..20u32));
    (spans, proptest::option::of(0..4u32), 1..4u32, 0..3usize, 0..3usize).prop_map(
        |((hold, repeat), clear, limit, user, instance)| ThresholdConfig {
            threshold_type: ThresholdType::Percentage { value: f64::from(limit * 20) },
            hold: hold.map(|n| TimeSpan::from_seconds(n * 30)),
            repeat_interval: repeat.map(|n| TimeSpan::from_seconds(n * 30)),
            clear_value: clear.map(|n| f64::from(n.min(limit) * 20)),
            user_id: ["*", "*", "user_123456"][user].into(),
            instance_id: ["*", "a", "b"].get(instance).map(|&id| id.into()),
            ..cpu("")
        },
    )
}

/// Rounds of 30 s in which each of two instances says something or, twice at most, nothing; then some events come late
/// or again.
fn any_events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let figure = prop_oneof![3 => Just(90.0), 2 => (0..6u32).prop_map(|n| f64::from(n * 20).min(100.0))];
    let rounds = proptest::collection::vec((figure.clone(), figure, 0..10usize), 1..80);
    let moved = proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>()), 0..6);
    (rounds, moved).prop_map(|(rounds, moved)| {
        let mut events = Vec::new();
        let mut silent = [0; 2];
        for (n, (a, b, silence)) in (0..).zip(rounds) {
            for (index, (instance, cpu)) in [("a", a), ("b", b)].into_iter().enumerate() {
                if silence == index && silent[index] < 2 {
                    silent[index] += 1;
                } else {
                    silent[index] = 0;
                    events.push(event(instance, n, cpu));
                }
            }
        }
        for (from, to) in moved {
            if !events.is_empty() {
                let again = events[from.index(events.len())].clone();
                events.insert(to.index(events.len()), again);
            }
        }
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_a_naive_reading_whenever_it_is_restarted(
        mut configs in proptest::collection::vec(any_config(), 1..5),
        events in any_events(),
        restarts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
    ) {
        for (number, config) in configs.iter_mut().enumerate() {
            config.id = format!("t{number}");
        }
        let set = set(configs.clone());
        let mut expected: Vec<Short> = Vec::new();
        for config in &configs {
            for instance in ["a", "b"].into_iter().filter(|it| config.only_instance().is_none_or(|only| only == *it)) {
                expected.extend(naive(config, &events, instance));
            }
        }
        expected.sort();
        let restarts: Vec<_> = restarts.iter().map(|index| index.index(events.len().max(1))).collect();
        let mut told = Vec::new();
        let (mut states, mut unbroken) = (AlertStates::new(3), AlertStates::new(3));
        for (index, event) in events.iter().enumerate() {
            if restarts.contains(&index) {
                states = restarted(&states, &set);
            }
            let now = states.observe(&set, event);
            prop_assert_eq!(&now, &unbroken.observe(&set, event), "a restart changes nothing");
            prop_assert!(now.is_sorted_by_key(|alert| alert.violation.config.id.clone()), "{:?}", now);
            told.extend(now.iter().map(short));
        }
        told.sort();
        prop_assert_eq!(told, expected);
        prop_assert_eq!(states.counts(), unbroken.counts());
    }

    /// Whatever policy there is, and however long the silences are: a restart changes nothing, and each instance and
    /// threshold goes through its states in an order that makes sense.
    #[test]
    fn silences_are_told_alike_over_restarts(
        steps in proptest::collection::vec((0..3usize, 0..200i64, 0..2u32), 1..60),
        policies in proptest::collection::vec((0..3usize, proptest::option::of(1..50u32)), 1..4),
        restart in any::<proptest::sample::Index>(),
    ) {
        let configs: Vec<_> = policies.iter().enumerate().map(|(number, (policy, repeat))| ThresholdConfig {
            no_data: Some(NoData::ALL[*policy]),
            repeat_interval: repeat.map(|n| TimeSpan::from_seconds(n * 60)),
            ..cpu(&format!("t{number}"))
        }).collect();
        let set = set(configs);
        let (mut states, mut unbroken) = (AlertStates::new(3), AlertStates::new(3));
        let mut n = 0;
        let mut open = std::collections::HashMap::new();
        for (index, (instance, gap, over)) in steps.iter().enumerate() {
            if index == restart.index(steps.len()) {
                states = restarted(&states, &set);
            }
            n += if *gap > 150 { *gap } else { 1 };
            let event = event(["a", "b", "c"][*instance], n, f64::from(over * 90));
            let now = states.observe(&set, &event);
            prop_assert_eq!(&now, &unbroken.observe(&set, &event));
            for alert in now {
                let key = (alert.violation.config.id.clone(), alert.violation.instance_id.clone());
                let is_open = open.get(&key).copied().unwrap_or(false);
                match alert.kind {
                    AlertKind::Firing => prop_assert!(!is_open, "{:?}", alert),
                    AlertKind::Repeat | AlertKind::Resolved => prop_assert!(is_open, "{:?}", alert),
                    _ => {}
                }
                open.insert(key, alert.kind != AlertKind::Resolved);
            }
        }
        prop_assert_eq!(states.active(), unbroken.active());
    }
}

/// What is not known neither begins nor ends anything, and nobody is silent who says so.
#[test]
fn a_metric_that_was_not_metered_neither_fires_nor_clears() {
    let config =
        ThresholdConfig { hold: span(60), no_data: Some(NoData::Alert), no_data_after: span(60), ..cpu("cpu") };
    let set = set([config]);
    let mut states = AlertStates::new(1);
    let mut hear = |n: i64, cpu: Option<f64>| {
        let event = event("web", n, cpu.unwrap_or_default());
        let not_metered = if cpu.is_some() { MetricSet::NONE } else { MetricSet::CPU };
        kinds(&states.observe(&set, MeasuredEvent::new(&event, not_metered)))
    };
    assert_eq!(hear(0, None), []);
    assert_eq!(hear(1, Some(90.0)), [(AlertKind::Pending, 60)]);
    assert_eq!(hear(2, None), [], "it neither fires nor ends what is pending");
    assert_eq!(hear(3, Some(90.0)), [(AlertKind::Firing, 120)]);
    for n in 4..20 {
        assert_eq!(hear(n, None), [], "it fires on, and the instance is not silent");
    }
    assert_eq!(hear(20, Some(10.0)), [(AlertKind::Resolved, 630)]);
    assert_eq!(hear(21, None), []);
}
