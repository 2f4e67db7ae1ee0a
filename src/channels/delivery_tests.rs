//! A channel that nobody answers keeps no other one from its alerts.

use std::sync::Arc;
use std::time::Duration;

use super::{AlertDelivery, ChannelsConfig};
use crate::clock::{Clock, SystemClock};
use crate::threshold::{
    ANY, ActionType, ResourceType, ThresholdAlert, ThresholdConfig, ThresholdType, ThresholdViolation,
};

/// Alerts for `channels`, a few kilobytes each.
fn alerts(channels: &[&str], count: i64) -> Vec<ThresholdAlert> {
    let limit = ThresholdType::Percentage { value: 80.0 };
    let mut config = ThresholdConfig::new("cpu", ResourceType::Cpu, limit, ActionType::Notify, ANY);
    config.notification_channels = channels.iter().map(|&name| name.to_owned()).collect();
    config.description = Some("x".repeat(4_000));
    let config = Arc::new(config);
    let violation = |at| ThresholdViolation {
        config: config.clone(),
        current_value: 95.0,
        threshold_value: 80.0,
        percentage: 18.75,
        timestamp: at,
        instance_id: "web-1".to_owned(),
        user_id: "alice".to_owned(),
    };
    (0..count).map(|at| ThresholdAlert::of_violation(violation(at))).collect()
}

#[tokio::test]
async fn channel_that_hangs_drops_its_own_alerts_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.db").display().to_string();
    let text = format!(
        r#"{{"channels":{{"hangs":{{"queue":{{"to":"form://127.0.0.1:9/alerts"}}}},"good":{{"queue":{{"to":"sqlite:{good}"}}}}}}}}"#
    );
    let config = ChannelsConfig::parse("channels.json", text.as_bytes()).unwrap();
    let (clock, patience): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Duration::from_secs(1));
    let spool = folder.path().join("alerts.db");
    let delivery = AlertDelivery::start_within(1 << 20, &config, false, &spool, patience, &clock).unwrap();
    let notifier = delivery.notifier();
    for group in alerts(&["hangs"], 400).chunks(20) {
        assert!(notifier.notify_alerts(group).await.iter().all(Result::is_ok));
    }
    let both = alerts(&["hangs", "good"], 10);
    assert!(notifier.notify_alerts(&both).await.iter().all(Result::is_ok));
    let dropped = delivery.dropped();
    let mut reports = delivery.finish().await;
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    let [good, hangs] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((good.delivered, good.dropped, good.waiting), (10, 0, 0), "{good:?}");
    assert!(hangs.dropped >= 10 && hangs.dropped == dropped && hangs.waiting + hangs.dropped == 410, "{hangs:?}");
}
