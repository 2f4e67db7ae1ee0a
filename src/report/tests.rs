//! Reports against a naive computation.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::events::tests::sample;
use crate::events::{UsageEvent, UsagePeriod, to_compact_json};

/// Just before a midnight, so that days are crossed.
const START: i64 = 1_626_393_600 - 60;

fn any_events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let one = (0u8..3, 0u8..2, 0i64..120, 1i64..20, 0u64..1000, 0u64..1 << 40).prop_map(
        |(instance, user, start, length, cpu, bytes)| {
            let mut event = sample();
            event.instance_id = format!("i{instance}");
            event.user_id = format!("u{user}");
            event.period = UsagePeriod { start: START + start, end: START + start + length };
            event.timestamp = event.period.end;
            event.metrics.cpu_seconds = cpu;
            #[allow(clippy::cast_precision_loss)]
            let mb = bytes as f64 / 1_048_576.0;
            event.metrics.network_egress_mb = mb;
            event
        },
    );
    proptest::collection::vec(one, 0..60)
}

fn report(events: &[UsageEvent], by: &[Dimension]) -> Report {
    let mut sums = Aggregator::new(Options { by: by.to_vec(), plots: true, ..Options::default() });
    let input = sums.input("test");
    for (line, event) in (1..).zip(events) {
        sums.add(event, to_compact_json(event).unwrap().as_bytes(), input, line);
    }
    sums.finish()
}

/// A report without what tells the order: which of two conflicting events came first.
fn told(report: &Report) -> serde_json::Value {
    let mut told = serde_json::to_value(report).unwrap();
    told["conflicts"]["list"] = serde_json::Value::Null;
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn agrees_with_a_naive_sum_in_any_order(events in any_events(), seed in any::<u64>(), again in 0usize..60) {
        let mut distinct: BTreeMap<String, &UsageEvent> = BTreeMap::new();
        for event in &events {
            distinct.insert(to_compact_json(event).unwrap(), event);
        }
        let all = [Dimension::Day, Dimension::Org, Dimension::User, Dimension::Instance];
        let found = report(&events, &all);
        let total = &found.total;
        prop_assert_eq!(total.events, distinct.len() as u64);
        prop_assert_eq!(found.repeats, (events.len() - distinct.len()) as u64);
        prop_assert_eq!(total.cpu_seconds, distinct.values().map(|it| u128::from(it.metrics.cpu_seconds)).sum::<u128>());
        prop_assert_eq!(total.network_egress_mb, distinct.values().map(|it| it.metrics.network_egress_mb).sum::<f64>());

        // Each second of each instance by itself.
        let mut seconds: BTreeMap<(&str, i64), u64> = BTreeMap::new();
        for event in distinct.values() {
            for second in event.period.start..event.period.end {
                *seconds.entry((&event.instance_id, second)).or_default() += 1;
            }
        }
        prop_assert_eq!(total.covered_seconds, seconds.len() as u64);
        prop_assert_eq!(total.overlap_seconds, seconds.values().map(|times| times - 1).sum::<u64>());
        let instances: BTreeSet<&str> = seconds.keys().map(|(instance, _)| *instance).collect();
        let gaps: u64 = instances.iter().map(|instance| {
            let own: Vec<i64> = seconds.keys().filter(|(of, _)| of == instance).map(|(_, second)| *second).collect();
            (own[own.len() - 1] - own[0] + 1).unsigned_abs() - own.len() as u64
        }).sum();
        prop_assert_eq!(total.gap_seconds, gaps);
        prop_assert_eq!((found.gaps.seconds, found.overlaps.seconds), (gaps, total.overlap_seconds));

        // Rows add up to the total, whatever they are told apart by.
        for by in [&all[..], &[Dimension::User], &[Dimension::Instance, Dimension::Day], &[]] {
            let divided = report(&events, by);
            let sum = |of: &dyn Fn(&Figures) -> u128| divided.rows().map(|row| of(&row.figures)).sum::<u128>();
            prop_assert_eq!(sum(&|it| it.cpu_seconds), total.cpu_seconds);
            prop_assert_eq!(sum(&|it| it.covered_seconds.into()), u128::from(total.covered_seconds));
            prop_assert_eq!(sum(&|it| it.gap_seconds.into()), u128::from(gaps));
            prop_assert_eq!(&divided.total, total);
        }

        // Neither order nor repeats show.
        let mut shuffled = events.clone();
        shuffled.extend(events.iter().take(again).cloned());
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let mut other = report(&shuffled, &all);
        other.repeats = found.repeats;
        prop_assert_eq!(told(&other), told(&found));
        prop_assert!(other.html(&[]).unwrap().ends_with("</html>\n"));
    }
}

/// Each line of 300 bytes made 20,786 rows.
#[test]
fn a_period_of_decades_is_a_row_and_exact_within_a_month() {
    const DAY: i64 = 86_400;
    let mut event = sample();
    event.period = UsagePeriod { start: 0, end: 20_000 * DAY };
    event.metrics.cpu_seconds = 20_000;
    let sum = |since: Option<i64>, until: Option<i64>| {
        let by = vec![Dimension::Day, Dimension::Instance];
        let mut sums = Aggregator::new(Options { by, since, until, ..Options::default() });
        let input = sums.input("test");
        sums.add(&event, b"{}", input, 1);
        sums.finish()
    };
    let whole = sum(None, None);
    assert_eq!((whole.rows().count(), whole.total.cpu_seconds), (1, 20_000));
    assert_eq!(whole.rows().next().unwrap().value(Dimension::Day), Some("1970-01-01"));
    assert_eq!(whole.implausible_periods.count, 1);
    let month = sum(Some(15_000 * DAY), Some(15_030 * DAY));
    assert_eq!((month.rows().count(), month.total.cpu_seconds), (30, 30));
    assert!(month.rows().all(|row| row.figures.cpu_seconds == 1));
}

/// Two events that lie decades apart made as many rows of the gap between them.
#[test]
fn a_gap_of_decades_is_of_its_first_day() {
    let mut early = sample();
    early.period = UsagePeriod { start: 0, end: 60 };
    let mut late = sample();
    late.period = UsagePeriod { start: 1_700_000_000, end: 1_700_000_060 };
    let report = report(&[early, late], &[Dimension::Day, Dimension::Instance]);
    assert_eq!(report.rows().count(), 2);
    assert_eq!(report.total.gap_seconds, 1_700_000_000 - 60);
}
