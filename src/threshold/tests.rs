//! Evaluation against a naive one, and the manager from outside.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::errors::UsageEventError;
use crate::events::tests::sample;
use crate::events::{MetricSet, UsageEvent};

fn threshold(id: &str, resource_type: ResourceType, threshold_type: ThresholdType) -> ThresholdConfig {
    ThresholdConfig::new(id, resource_type, threshold_type, ActionType::Log, ANY)
}

fn percent(id: &str, value: f64) -> ThresholdConfig {
    threshold(id, ResourceType::Cpu, ThresholdType::Percentage { value })
}

fn absolute(id: &str, resource: ResourceType, value: f64, unit: &str) -> ThresholdConfig {
    threshold(id, resource, ThresholdType::Absolute { value, unit: unit.into() })
}

fn violations(configs: Vec<ThresholdConfig>, event: &UsageEvent) -> Vec<ThresholdViolation> {
    ThresholdSet::new(configs).unwrap().violations(event)
}

fn ids(violations: &[ThresholdViolation]) -> Vec<&str> {
    violations.iter().map(|violation| violation.config.id.as_str()).collect()
}

#[test]
fn exceeded_means_strictly_greater() {
    let event = sample();
    assert!(violations(vec![percent("at", 12.5)], &event).is_empty());
    let found = violations(vec![percent("under", 10.0)], &event);
    assert_eq!((found[0].current_value, found[0].threshold_value, found[0].percentage), (12.5, 10.0, 25.0));
    assert_eq!((found[0].timestamp, found[0].instance_id.as_str()), (1_626_350_430, "instance-abc123"));
}

#[test]
fn every_resource_is_compared_in_every_unit() {
    use ResourceType::{Cpu, Gpu, Memory, NetworkEgress, NetworkIngress, Storage};
    let mut event = sample();
    event.metrics.cpu_seconds = 7200;
    event.metrics.gpu_seconds = 90;
    event.metrics.memory_gb = 4.0;
    event.metrics.storage_gb = 2048.0;
    event.metrics.network_egress_mb = 1536.0;
    event.metrics.network_ingress_mb = 0.5;
    for (resource, amount, unit) in [
        (Cpu, 7200.0, "s"),
        (Cpu, 120.0, "min"),
        (Cpu, 2.0, "h"),
        (Gpu, 90.0, "s"),
        (Gpu, 1.5, "min"),
        (Memory, 4294967296.0, "B"),
        (Memory, 4194304.0, "KiB"),
        (Memory, 4096.0, "MB"),
        (Memory, 4.0, "GB"),
        (Memory, 4.0, "GiB"),
        (Storage, 2.0, "TB"),
        (NetworkEgress, 1.5, "GB"),
        (NetworkIngress, 512.0, "KB"),
    ] {
        let at = absolute("at", resource, amount, unit);
        let under = absolute("under", resource, amount * 0.999, unit);
        let found = violations(vec![at, under], &event);
        assert_eq!(ids(&found), ["under"], "{resource} {amount} {unit}");
        assert_eq!(found[0].current_value, amount, "{resource} in {unit}");
    }
}

#[test]
fn violations_come_sorted_by_id_whatever_their_scope() {
    let mut configs: Vec<_> = ["d", "b", "a", "c", "other"].map(|id| percent(id, 1.0)).into();
    configs[0].user_id = "user_123456".into();
    configs[1].instance_id = Some("instance-abc123".into());
    configs[2].user_id = "user_123456".into();
    configs[2].instance_id = Some("instance-abc123".into());
    configs[4].user_id = "somebody-else".into();
    assert_eq!(ids(&violations(configs, &sample())), ["a", "b", "c", "d"]);
}

#[test]
fn what_cannot_be_compared_is_refused_all_at_once() {
    use ResourceType::{Gpu, Memory, Storage};
    let error = ThresholdSet::new(vec![
        threshold("no-capacity", Storage, ThresholdType::Percentage { value: 50.0 }),
        absolute("small-letters", Memory, 1.0, "gb"),
        absolute("bytes-of-time", Gpu, 1.0, "GB"),
        percent("over", 100.5),
        percent("nan", f64::NAN),
        percent("below", -1.0),
        percent("", 1.0),
        percent("twice", 1.0),
        percent("twice", 2.0),
    ])
    .unwrap_err();
    assert_eq!(error.messages().len(), 8, "{error:#?}");
    let text = error.to_string();
    for told in
        ["`no-capacity`", "did you mean `GB`", "`bytes-of-time`", "`over`", "`nan`", "`below`", "empty id", "`twice`"]
    {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn what_is_not_enabled_is_exceeded_by_nothing() {
    let disabled = ThresholdConfig { enabled: false, ..percent("off", 1.0) };
    let set = ThresholdSet::new(vec![percent("on", 1.0), disabled]).unwrap();
    assert_eq!(ids(&set.violations(&sample())), ["on"]);
    let told: Vec<_> = set.explain(&sample()).map(|why| why.reason.name()).collect();
    assert_eq!(told, ["disabled", "exceeded"]);
}

#[test]
fn percentages_stay_finite() {
    let mut event = sample();
    event.metrics.storage_gb = 1e300;
    let found = violations(
        vec![
            absolute("huge", ResourceType::Storage, 1e-300, "B"),
            absolute("never", ResourceType::Storage, f64::MAX, "TB"),
            absolute("zero", ResourceType::Memory, 0.0, "GB"),
        ],
        &event,
    );
    assert_eq!(ids(&found), ["huge", "zero"]);
    for violation in &found {
        let text = serde_json::to_string(violation).unwrap();
        assert_eq!(&serde_json::from_str::<ThresholdViolation>(&text).unwrap(), violation);
    }
    event.metrics.memory_gb = 0.0;
    assert!(violations(vec![absolute("zero", ResourceType::Memory, 0.0, "GB")], &event).is_empty());
}

#[test]
fn figures_that_are_no_numbers_exceed_nothing_and_infinite_ones_stay_printable() {
    let mut event = sample();
    event.metrics.cpu_percent_avg = f64::NAN;
    event.metrics.storage_gb = f64::INFINITY;
    let found = violations(vec![percent("nan", 0.0), absolute("infinite", ResourceType::Storage, 1.0, "GB")], &event);
    assert_eq!(ids(&found), ["infinite"]);
    assert!(found[0].current_value.is_finite() && found[0].percentage.is_finite());
}

#[test]
fn explanations_name_what_decided() {
    let mut configs = vec![
        percent("a-over", 10.0),
        absolute("b-within", ResourceType::Memory, 8.0, "GB"),
        percent("c-user", 1.0),
        percent("d-instance", 1.0),
    ];
    configs[2].user_id = "alice".into();
    configs[3].instance_id = Some("web-1".into());
    let set = ThresholdSet::new(configs).unwrap();
    let event = sample();
    let told: Vec<_> = set.explain(&event).map(|why| (why.reason.name(), why.to_string())).collect();
    let expected = [
        ("exceeded", "cpu_percent_avg is 12.5 %, over 10 %"),
        ("within", "memory_gb is 4.2 GB, not over 8 GB"),
        ("other_user", "applies to user `alice`, the event is of `user_123456`"),
        ("other_instance", "applies to instance `web-1`, the event is of `instance-abc123`"),
    ];
    assert_eq!(told, expected.map(|(name, text)| (name, text.to_owned())));
}

/// The table of resources, metrics and units, with nothing clever about it.
fn naive(configs: &[ThresholdConfig], event: &UsageEvent) -> Vec<String> {
    let m = &event.metrics;
    let mut exceeded = Vec::new();
    for config in configs {
        if config.user_id != "*" && config.user_id != event.user_id {
            continue;
        }
        if let Some(instance) = &config.instance_id
            && instance != "*"
            && *instance != event.instance_id
        {
            continue;
        }
        let (current, limit) = match (&config.threshold_type, config.resource_type) {
            (ThresholdType::Percentage { value }, ResourceType::Cpu) => (m.cpu_percent_avg, *value),
            (ThresholdType::Percentage { value }, _) => (m.memory_percent, *value),
            (ThresholdType::Absolute { value, unit }, resource) => {
                let in_unit = match unit.as_str() {
                    "s" => 1.0,
                    "min" => 60.0,
                    "h" => 3600.0,
                    "B" => 1.0,
                    "KB" | "KiB" => 1024.0,
                    "MB" | "MiB" => 1024.0 * 1024.0,
                    "GB" | "GiB" => 1024.0 * 1024.0 * 1024.0,
                    _ => 1024.0 * 1024.0 * 1024.0 * 1024.0,
                };
                let figure = match resource {
                    ResourceType::Cpu => m.cpu_seconds as f64,
                    ResourceType::Gpu => m.gpu_seconds as f64,
                    ResourceType::Memory => m.memory_gb * 1024.0 * 1024.0 * 1024.0,
                    ResourceType::Storage => m.storage_gb * 1024.0 * 1024.0 * 1024.0,
                    ResourceType::NetworkEgress => m.network_egress_mb * 1024.0 * 1024.0,
                    ResourceType::NetworkIngress => m.network_ingress_mb * 1024.0 * 1024.0,
                };
                (figure / in_unit, *value)
            }
        };
        if current > limit {
            exceeded.push(config.id.clone());
        }
    }
    exceeded.sort();
    exceeded
}

/// Figures that often meet each other exactly.
fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![(0..40u32).prop_map(|n| f64::from(n) / 4.0), 0.0..100.0f64]
}

fn who(star: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(star.to_owned()), 3 => "[abc]{1,2}"]
}

fn any_threshold() -> impl Strategy<Value = ThresholdConfig> {
    let kind = (0..6usize, any::<bool>(), any::<proptest::sample::Index>(), figure());
    (kind, who("*"), proptest::option::of(who("*")), "[a-z]{0,3}").prop_map(
        |((resource, as_percent, unit, value), user_id, instance_id, id)| {
            let resource = ResourceType::ALL[resource];
            let threshold_type = if as_percent && resource.percent_metric().is_some() {
                ThresholdType::Percentage { value }
            } else {
                ThresholdType::Absolute { value, unit: (*unit.get(resource.units())).into() }
            };
            ThresholdConfig { user_id, instance_id, ..threshold(&id, resource, threshold_type) }
        },
    )
}

fn small_event() -> impl Strategy<Value = UsageEvent> {
    let figures = (figure(), figure(), figure(), figure(), figure(), figure());
    (figures, 0..40_000u64, 0..400u64, who("a"), who("a")).prop_map(|(figures, cpu, gpu, user, instance)| {
        let mut event = sample();
        event.user_id = user;
        event.instance_id = instance;
        event.metrics.cpu_seconds = cpu;
        event.metrics.cpu_percent_avg = figures.0;
        event.metrics.memory_gb = figures.1;
        event.metrics.memory_percent = figures.2;
        event.metrics.storage_gb = figures.3;
        event.metrics.network_egress_mb = figures.4 * 1024.0;
        event.metrics.network_ingress_mb = figures.5;
        event.metrics.gpu_seconds = gpu;
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// 100 sets of 100 thresholds, 100 events each.
    #[test]
    fn agrees_with_a_naive_evaluation(
        mut configs in proptest::collection::vec(any_threshold(), 100),
        events in proptest::collection::vec(small_event(), 100),
    ) {
        for (number, config) in configs.iter_mut().enumerate() {
            config.id = format!("{}{number}", config.id);
        }
        let set = ThresholdSet::new(configs.clone()).unwrap();
        for event in &events {
            let expected = naive(&configs, event);
            let found = set.violations(event);
            prop_assert_eq!(set.concerns_any(&event.user_id, &event.instance_id, &event.metrics, MetricSet::NONE), !found.is_empty());
            prop_assert_eq!(ids(&found), expected.iter().map(String::as_str).collect::<Vec<_>>());
            for violation in &found {
                prop_assert!(violation.current_value > violation.threshold_value);
                prop_assert!(violation.percentage > 0.0 && violation.percentage.is_finite());
            }
            let explained: Vec<_> = set
                .explain(event)
                .filter(|why| matches!(why.reason, Reason::Exceeded { .. }))
                .map(|why| why.config.id.clone())
                .collect();
            prop_assert_eq!(explained, expected);
        }
    }
}

/// Values and units as people get them wrong.
fn doubtful_threshold() -> impl Strategy<Value = ThresholdConfig> {
    let value = prop_oneof![Just(-1.0), Just(-0.0), Just(0.0), Just(100.0), Just(100.5), Just(1e308), 0.0..200.0f64];
    let unit = proptest::sample::select(vec!["s", "min", "h", "B", "GB", "KiB", "gb", "PB", "", "%"]);
    let clear = proptest::option::weighted(0.3, prop_oneof![Just(-1.0), Just(0.0), Just(100.0), 0.0..200.0f64]);
    (0..6usize, any::<bool>(), value, unit, "[ab]{0,1}", clear).prop_map(
        |(resource, as_percent, value, unit, id, clear)| {
            let limit = if as_percent {
                ThresholdType::Percentage { value }
            } else {
                ThresholdType::Absolute { value, unit: unit.into() }
            };
            ThresholdConfig { clear_value: clear, ..threshold(&id, ResourceType::ALL[resource], limit) }
        },
    )
}

proptest! {
    /// A file that validates loads, so that nobody meets a refusal without its place.
    #[test]
    fn what_validates_can_be_compared(configs in proptest::collection::vec(doubtful_threshold(), 1..3)) {
        let text = serde_json::to_vec(&configs).unwrap();
        let findings = crate::validate::threshold_findings(&text);
        let valid = findings.iter().all(|finding| finding.severity == crate::validate::Severity::Warning);
        prop_assert_eq!(valid, ThresholdSet::new(configs).is_ok(), "{:#?}", findings);
    }
}

#[derive(Debug, Default)]
struct Recorder {
    seen: Mutex<Vec<String>>,
    fails_on: &'static str,
}

impl Notifier for Recorder {
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(violation.config.id.clone());
            if violation.config.id == self.fails_on {
                return Err(UsageEventError::Other("the mail server is down".into()));
            }
            Ok(())
        })
    }
}

fn with_actions() -> Vec<ThresholdConfig> {
    let mut configs: Vec<_> = ["a", "b", "c"].map(|id| percent(id, 1.0)).into();
    configs[0].action = ActionType::Notify;
    configs[2].action = ActionType::Action("scale-down".into());
    configs
}

#[tokio::test]
async fn a_failing_notification_is_told_and_the_others_are_still_made() {
    let recorder = Arc::new(Recorder { fails_on: "a", ..Recorder::default() });
    let manager = ThresholdManager::from_configs(with_actions()).unwrap().with_notifier(recorder.clone());
    let error = manager.check_event(&sample()).await.unwrap_err().to_string();
    assert!(error.contains("1 of 3") && error.contains("`a`: the mail server is down"), "{error}");
    assert_eq!(*recorder.seen.lock().unwrap(), ["a", "c"]);
}

#[tokio::test]
async fn the_default_notifier_takes_everything() {
    let manager = ThresholdManager::from_configs(with_actions()).unwrap();
    assert_eq!(ids(&manager.check_event(&sample()).await.unwrap()), ["a", "b", "c"]);
    manager.load_configs().await.unwrap();
    assert_eq!(manager.thresholds().len(), 3);
}

/// What is written to a log, for a test to read.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

#[cfg(feature = "cli")]
impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn a_logged_violation_has_its_figures_as_fields() {
    let mut configs = with_actions();
    configs[0].notification_channels = vec!["email".into(), "pager".into()];
    let manager = ThresholdManager::from_configs(configs).unwrap();
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    manager.check_event(&sample()).await.unwrap();
    drop(guard);
    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    // What is only logged comes first, then what the notifier makes a line of.
    let expected = [
        ("threshold", "a".into()),
        ("resource", "Cpu".into()),
        ("current", 12.5.into()),
        ("limit", 1.0.into()),
        ("unit", "%".into()),
        ("percent_over", 1150.0.into()),
        ("instance", "instance-abc123".into()),
        ("user", "user_123456".into()),
        ("time", 1_626_350_430.into()),
        ("follows", serde_json::Value::from("notify: email, pager")),
    ];
    for (field, value) in expected {
        assert_eq!(lines[1][field], value, "{field}");
    }
    assert_eq!(lines[0]["threshold"], "b");
    assert!(lines[0].get("follows").is_none());
    assert_eq!(lines[2]["follows"], "action: scale-down");
}

#[tokio::test]
async fn a_bad_source_leaves_the_old_set_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.json");
    let manager = ThresholdManager::new(file.to_str().unwrap().into());
    assert!(manager.event_violations(&sample()).is_empty());
    assert!(manager.load_configs().await.unwrap_err().to_string().contains("t.json"));

    std::fs::write(&file, serde_json::to_string(&percent("first", 1.0)).unwrap()).unwrap();
    manager.load_configs().await.unwrap();
    assert_eq!(ids(&manager.event_violations(&sample())), ["first"]);

    std::fs::write(&file, "[{]").unwrap();
    let error = manager.load_configs().await.unwrap_err().to_string();
    assert!(error.contains("t.json:1:"), "{error}");
    assert_eq!(ids(&manager.event_violations(&sample())), ["first"]);

    std::fs::write(&file, serde_json::to_string(&percent("second", 1.0)).unwrap()).unwrap();
    manager.load_configs().await.unwrap();
    assert_eq!(ids(&manager.event_violations(&sample())), ["second"]);
}

#[test]
fn loading_files_needs_no_runtime_and_loading_from_a_server_says_that_it_does() {
    for (source, says) in [("/nowhere/t.json", "check the path"), ("http://example.org/t.json", "a Tokio runtime")] {
        let manager = ThresholdManager::new(source.into());
        let mut loading = std::pin::pin!(manager.load_configs());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match loading.as_mut().poll(&mut context) {
            std::task::Poll::Ready(Err(error)) => assert!(error.to_string().contains(says), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_manager_is_shared_between_threads() {
    const fn shared<T: Send + Sync + 'static>() {}
    shared::<ThresholdManager>();
    shared::<ThresholdSet>();
}

#[test]
fn a_metric_that_was_not_metered_exceeds_nothing_and_is_within_nothing() {
    let mut event = sample();
    event.metrics.storage_gb = 500.0;
    let storage = |id, limit| absolute(id, ResourceType::Storage, limit, "GB");
    let set = ThresholdSet::new(vec![percent("cpu", 10.0), storage("big", 1000.0), storage("small", 1.0)]).unwrap();
    assert_eq!(ids(&set.violations(&event)), ["cpu", "small"]);
    let unknown = MeasuredEvent::new(&event, MetricSet::STORAGE);
    assert_eq!(ids(&set.violations(unknown)), ["cpu"], "the others are known");
    let reasons: Vec<_> = set.explain(unknown).map(|why| (why.config.id.as_str(), why.reason.name())).collect();
    assert_eq!(reasons, [("big", "not_metered"), ("cpu", "exceeded"), ("small", "not_metered")]);
    let words = set.explain(unknown).next().unwrap().to_string();
    assert!(words.starts_with("storage_gb was not metered"), "{words}");
    let lacks = |metrics| {
        let found = set.not_evaluated(&event.user_id, &event.instance_id, metrics);
        found.into_iter().map(|(config, metric)| (config.id.clone(), metric)).collect::<Vec<_>>()
    };
    assert_eq!(lacks(MetricSet::STORAGE), [("big".to_owned(), "storage_gb"), ("small".to_owned(), "storage_gb")]);
    assert_eq!(lacks(MetricSet::GPU), []);
    event.metrics.cpu_percent_avg = 0.0;
    let concerns = |metrics| set.concerns_any(&event.user_id, &event.instance_id, &event.metrics, metrics);
    assert!(concerns(MetricSet::NONE) && concerns(MetricSet::STORAGE), "somebody has to say it");
    event.metrics.storage_gb = 0.0;
    assert!(!set.concerns_any(&event.user_id, &event.instance_id, &event.metrics, MetricSet::GPU));
}

#[test]
fn a_set_refuses_texts_that_every_alert_would_carry() {
    let long = |bytes: usize| Some("x".repeat(bytes));
    let described = |bytes| ThresholdConfig { description: long(bytes), ..percent("a", 80.0) };
    assert!(ThresholdSet::new(vec![described(4096)]).is_ok());
    let refused = ThresholdSet::new(vec![described(4097), percent(&"b".repeat(1 << 20), 80.0)]).unwrap_err();
    assert!(refused.to_string().contains("`description` has 4097 bytes, expected at most 4096"), "{refused}");
    assert!(refused.to_string().len() < 1000, "an id is shown shortened");
}

#[test]
fn violations_share_the_text_of_their_threshold() {
    let set = ThresholdSet::new(vec![percent("a", 1.0)]).unwrap();
    let mut event = sample();
    event.metrics.cpu_percent_avg = 50.0;
    let (first, second) = (set.violations(&event), set.violations(&event));
    assert!(Arc::ptr_eq(&first[0].config, &second[0].config));
}
