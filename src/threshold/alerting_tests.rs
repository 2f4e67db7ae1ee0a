//! The manager with states: who is told, what a failure and a restart make of it, and new thresholds.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::errors::UsageEventError;
use crate::events::tests::sample;
use crate::events::{UsageEvent, UsagePeriod};

/// Remembers what it was told, and fails as long as it is to.
#[derive(Debug, Default)]
struct Inbox {
    told: Mutex<Vec<(String, AlertKind)>>,
    calls: Mutex<usize>,
    down: Mutex<bool>,
}

impl Inbox {
    fn kinds(&self) -> Vec<AlertKind> {
        self.told.lock().unwrap().iter().map(|(_, kind)| *kind).collect()
    }
}

impl Notifier for Inbox {
    fn notify<'a>(&'a self, _: &'a ThresholdViolation) -> Notified<'a> {
        unreachable!("alerts come in groups")
    }

    fn notify_alerts<'a>(&'a self, alerts: &'a [ThresholdAlert]) -> AlertsNotified<'a> {
        Box::pin(async move {
            *self.calls.lock().unwrap() += 1;
            let down = *self.down.lock().unwrap();
            let one = |alert: &ThresholdAlert| {
                if down {
                    return Err(UsageEventError::Other("the mail server is down".into()));
                }
                self.told.lock().unwrap().push((alert.id.clone(), alert.kind));
                Ok(())
            };
            alerts.iter().map(one).collect()
        })
    }
}

fn config(id: &str) -> ThresholdConfig {
    let limit = ThresholdType::Percentage { value: 80.0 };
    let plain = ThresholdConfig::new(id, ResourceType::Cpu, limit, ActionType::Notify, ANY);
    ThresholdConfig { notification_channels: vec!["mail".into()], ..plain }
}

fn stateful(id: &str) -> ThresholdConfig {
    ThresholdConfig { hold: Some("5m".parse().unwrap()), repeat_interval: Some("30m".parse().unwrap()), ..config(id) }
}

fn event(n: i64, cpu: f64) -> UsageEvent {
    let mut event = sample();
    event.metrics.cpu_percent_avg = cpu;
    event.period = UsagePeriod { start: 30 * n, end: 30 * (n + 1) };
    event
}

fn manager(configs: Vec<ThresholdConfig>, inbox: &Arc<Inbox>) -> (ThresholdManager, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_unix(1_626_350_430));
    let manager = ThresholdManager::from_configs(configs).unwrap().with_notifier(inbox.clone());
    (manager.with_clock(clock.clone()), clock)
}

async fn send(manager: &ThresholdManager, periods: std::ops::Range<i64>, cpu: f64) {
    for n in periods {
        manager.check_event(&event(n, cpu)).await.unwrap();
    }
}

const HOUR: [AlertKind; 3] = [AlertKind::Firing, AlertKind::Repeat, AlertKind::Resolved];

#[tokio::test]
async fn an_hour_is_told_three_times_also_over_restarts() {
    for restarts in [vec![], vec![5], vec![10, 11, 70, 119, 120]] {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Arc::new(Inbox::default());
        let begin = || {
            let (manager, _) = manager(vec![stateful("cpu")], &inbox);
            assert_eq!(manager.keep_states(folder.path().join("alerts.json")).unwrap(), None);
            manager
        };
        let mut running = begin();
        for n in 0..122 {
            if restarts.contains(&n) {
                running.finish().await.unwrap();
                drop(running);
                running = begin();
            }
            send(&running, n..n + 1, if n < 120 { 95.0 } else { 10.0 }).await;
        }
        assert_eq!(inbox.kinds(), HOUR, "{restarts:?}");
    }
}

/// Killed without a chance to save: what was told is told again under the same id, or not at all; nothing is forgotten.
#[tokio::test]
async fn a_crash_forgets_nothing_and_what_is_told_again_has_the_same_id() {
    for crash_at in [5, 9, 10, 11, 70, 71, 120, 121] {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Arc::new(Inbox::default());
        let path = folder.path().join("alerts.json");
        let copy = folder.path().join("copy.json");
        let (mut running, mut clock) = manager(vec![stateful("cpu")], &inbox);
        running.keep_states(path.clone()).unwrap();
        for n in 0..122 {
            if n == crash_at {
                // The file as it is now, without what a drop might write.
                let _ = std::fs::copy(&path, &copy);
                (running, clock) = manager(vec![stateful("cpu")], &inbox);
                running.keep_states(copy.clone()).unwrap();
            }
            clock.advance(Duration::from_secs(30));
            send(&running, n..n + 1, if n < 120 { 95.0 } else { 10.0 }).await;
        }
        let mut told = inbox.told.lock().unwrap().clone();
        told.dedup();
        assert_eq!(told.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(), HOUR, "crash at {crash_at}");
    }
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    let inbox = Arc::new(Inbox::default());
    *inbox.down.lock().unwrap() = true;
    let (running, clock) = manager(vec![stateful("cpu"), config("plain")], &inbox);
    running.keep_states(path.clone()).unwrap();
    let mut failed = Vec::new();
    for n in 0..12 {
        failed.extend(running.check_event(&event(n, 95.0)).await.err());
    }
    assert!(failed.iter().all(|error| error.to_string().contains("the mail server is down")));
    assert_eq!(failed.len(), 12, "the violations without states");
    // In the pause nobody is asked.
    let calls = *inbox.calls.lock().unwrap();
    running.tick().await.unwrap();
    assert_eq!(*inbox.calls.lock().unwrap(), calls);
    clock.advance(Duration::from_secs(60));
    running.tick().await.unwrap_err();
    assert_eq!(*inbox.calls.lock().unwrap(), calls + 1);
    running.finish().await.unwrap_err();
    drop(running);

    *inbox.down.lock().unwrap() = false;
    let (running, _) = manager(vec![stateful("cpu"), config("plain")], &inbox);
    running.keep_states(path).unwrap();
    running.tick().await.unwrap();
    assert_eq!(inbox.kinds(), [AlertKind::Firing], "and no violation of the past");
}

#[tokio::test]
async fn events_of_one_moment_are_told_in_one_call() {
    let inbox = Arc::new(Inbox::default());
    let at_once = ThresholdConfig { repeat_interval: Some("30m".parse().unwrap()), ..config("now") };
    let (manager, _) = manager(vec![at_once, config("plain")], &inbox);
    for instance in ["a", "b", "c"] {
        let violations = manager.observe(&UsageEvent { instance_id: instance.into(), ..event(0, 95.0) });
        assert_eq!(violations.len(), 2);
    }
    manager.hand_over_news().await.unwrap();
    assert_eq!((*inbox.calls.lock().unwrap(), inbox.kinds().len()), (1, 6));
    manager.hand_over_news().await.unwrap();
    assert_eq!(*inbox.calls.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_removed_threshold_resolves_with_the_reason_also_while_nothing_ran() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    let inbox = Arc::new(Inbox::default());
    let (running, _) = manager(vec![stateful("a"), stateful("b")], &inbox);
    running.keep_states(path.clone()).unwrap();
    send(&running, 0..10, 95.0).await;
    running.put_in_force(ThresholdSet::new(vec![stateful("b")]).unwrap());
    running.hand_over_news().await.unwrap();
    running.finish().await.unwrap();
    drop(running);
    let (running, _) = manager(Vec::new(), &inbox);
    running.keep_states(path).unwrap();
    running.finish().await.unwrap();
    assert_eq!(inbox.kinds(), [AlertKind::Firing, AlertKind::Firing, AlertKind::Resolved, AlertKind::Resolved]);
}

#[tokio::test]
async fn no_file_is_made_where_nothing_has_states() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    let inbox = Arc::new(Inbox::default());
    let (manager, _) = manager(vec![config("plain")], &inbox);
    manager.keep_states(path.clone()).unwrap();
    send(&manager, 0..3, 95.0).await;
    manager.finish().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    manager.put_in_force(ThresholdSet::new(vec![stateful("b")]).unwrap());
    send(&manager, 3..6, 95.0).await;
    manager.finish().await.unwrap();
    assert!(path.exists());
}

fn write(path: &Path, configs: &[ThresholdConfig]) {
    std::fs::write(path, serde_json::to_vec(configs).unwrap()).unwrap();
}

/// Waits until the thresholds in force are these; the test's own time limit is the limit.
async fn until(manager: &ThresholdManager, ids: &[&str]) {
    while manager.thresholds().configs().map(|config| config.id.clone()).collect::<Vec<_>>() != ids {
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn changes_of_files_folders_and_links_take_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    for (at, id) in [(&one, "a"), (&two, "b")] {
        std::fs::create_dir(at).unwrap();
        write(&at.join("t.json"), &[config(id)]);
    }
    let source = folder.path().join("current");
    #[cfg(unix)]
    std::os::unix::fs::symlink("one", &source).unwrap();
    let manager = ThresholdManager::new(source.to_str().unwrap().into());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut reader = manager.reader().unwrap().unwrap();
    assert!(manager.load_changes(&mut reader).await.unwrap());
    let (reload, stop) = (Notify::new(), CancellationToken::new());
    let edit = async {
        // As a Kubernetes volume does it.
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("two", folder.path().join("new")).unwrap();
            std::fs::rename(folder.path().join("new"), &source).unwrap();
            until(&manager, &["b"]).await;
        }
        // A file more, a file over another one, a file in place, a file less.
        write(&source.join("u.json"), &[config("c")]);
        until(&manager, &["b", "c"]).await;
        write(&folder.path().join("v"), &[config("d")]);
        std::fs::rename(folder.path().join("v"), source.join("u.json")).unwrap();
        until(&manager, &["b", "d"]).await;
        write(&source.join("u.json"), &[config("e")]);
        until(&manager, &["b", "e"]).await;
        std::fs::remove_file(source.join("u.json")).unwrap();
        until(&manager, &["b"]).await;
        // What can't be used leaves the old in force, and what is mended counts.
        std::fs::write(source.join("t.json"), "{").unwrap();
        reload.notify_one();
        write(&source.join("w.json"), &[config("f")]);
        SystemClock.sleep(Duration::from_millis(700)).await;
        assert_eq!(manager.thresholds().len(), 1);
        write(&source.join("t.json"), &[config("g")]);
        until(&manager, &["f", "g"]).await;
        stop.cancel();
    };
    tokio::join!(watch(&manager, reader, &reload, &*clock, &stop), edit);
}

/// Two managers of one file of states, as two jobs that overlap have them: the first one keeps it.
fn overlapping(inbox: &Arc<Inbox>, path: &Path) -> (ThresholdManager, (ThresholdManager, Arc<ManualClock>)) {
    let fires_at_once = ThresholdConfig { clear_value: Some(50.0), ..config("cpu") };
    let (first, _) = manager(vec![fires_at_once.clone()], inbox);
    assert!(first.keep_states_within(path.into(), Duration::from_secs(10)).unwrap().is_none());
    let second = manager(vec![fires_at_once], inbox);
    assert!(second.0.keep_states_within(path.into(), Duration::from_secs(10)).unwrap().is_none());
    (first, second)
}

#[tokio::test]
async fn overlapping_jobs_notify_once_of_what_fires() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Arc::new(Inbox::default());
    let (first, (second, clock)) = overlapping(&inbox, &folder.path().join("alerts.json"));
    send(&first, 0..1, 95.0).await;
    send(&second, 1..2, 95.0).await;
    assert_eq!(inbox.kinds(), [AlertKind::Firing], "the second job would tell of another beginning");
    assert_eq!(second.observe(&event(2, 20.0)).len(), 0);
    first.finish().await.unwrap();
    first.release_states();
    second.await_states().await;
    second.finish().await.unwrap();
    assert_eq!(inbox.kinds(), [AlertKind::Firing, AlertKind::Resolved]);
    assert!(clock.monotonic() < Duration::from_secs(1), "it did not wait longer than needed");
}

#[tokio::test]
async fn states_that_stay_elsewhere_hold_up_no_alert_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Arc::new(Inbox::default());
    let (_first, (second, clock)) = overlapping(&inbox, &folder.path().join("alerts.json"));
    let began = clock.monotonic();
    send(&second, 1..2, 95.0).await;
    assert!(inbox.kinds().is_empty());
    second.await_states().await;
    let waited = clock.monotonic() - began;
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
    second.hand_over_news().await.unwrap();
    assert_eq!(inbox.kinds(), [AlertKind::Firing]);
    // Who ends at once does not wait, and loses nothing either.
    let (third, _) = manager(vec![ThresholdConfig { clear_value: Some(50.0), ..config("cpu") }], &inbox);
    third.keep_states_within(folder.path().join("alerts.json"), Duration::from_secs(10)).unwrap();
    send(&third, 2..3, 95.0).await;
    third.finish().await.unwrap();
    assert_eq!(inbox.kinds(), [AlertKind::Firing; 2]);
}

#[tokio::test]
async fn a_second_publisher_goes_on_from_what_the_first_one_told() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Arc::new(Inbox::default());
    let (first, (second, _)) = overlapping(&inbox, &folder.path().join("alerts.json"));
    second.await_states().await;
    send(&first, 0..1, 95.0).await;
    send(&second, 1..3, 95.0).await;
    assert_eq!(inbox.kinds(), [AlertKind::Firing], "the second one knows a later beginning");
    // Both see the end, and tell of it under one id.
    send(&first, 3..4, 20.0).await;
    send(&second, 3..4, 20.0).await;
    let told = inbox.told.lock().unwrap().clone();
    assert_eq!(told[1], told[2], "{told:?}");
    assert_eq!(told[1].1, AlertKind::Resolved);
}

#[tokio::test]
async fn a_flood_of_violations_is_counted_and_hides_no_state() {
    let log = |id: String| {
        let limit = ThresholdType::Percentage { value: 80.0 };
        ThresholdConfig::new(id, ResourceType::Cpu, limit, ActionType::Log, ANY)
    };
    let mut configs: Vec<_> = (0..1_000).map(|n| log(format!("plain-{n}"))).collect();
    configs.push(ThresholdConfig { clear_value: Some(10.0), ..log("stateful".to_owned()) });
    let (manager, clock) = manager(configs, &Arc::default());
    send(&manager, 0..3, 95.0).await;
    let left_out = || manager.alerting.lock().log.left_out();
    assert_eq!(left_out(), (2_900, 0), "a hundred violations are logged, and the state that fires");
    clock.advance(Duration::from_secs(60));
    send(&manager, 3..4, 95.0).await;
    assert_eq!(left_out(), (900, 0), "those of the minute before were named in one line");
    manager.finish().await.unwrap();
    assert_eq!(left_out(), (0, 0));
}
