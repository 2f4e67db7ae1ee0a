//! What the meter promises.

use super::*;
use crate::validate::{EventRules, is_valid};
use proptest::prelude::*;

const START: i64 = 1_626_350_400;

fn identity() -> Identity {
    Identity::new("i".into(), "u".into(), None).unwrap()
}

fn at(seconds: f64, cpu_millis: u64) -> Reading {
    Reading {
        at: Duration::from_secs_f64(seconds),
        cpu: Some(Duration::from_millis(cpu_millis)),
        cpus: 4.0,
        memory_total: 8 * BYTES_PER_GB,
        memory_used: Some(2 * BYTES_PER_GB),
        ..Reading::default()
    }
}

fn traffic(at: f64, interfaces: &[(&str, u64, u64)]) -> Reading {
    let network =
        interfaces.iter().map(|(name, sent, received)| ((*name).into(), Traffic { sent: *sent, received: *received }));
    Reading { at: Duration::from_secs_f64(at), network: Some(network.collect()), ..Reading::default() }
}

#[test]
fn a_period_of_half_load() {
    let mut meter = Meter::new(identity(), START, at(0.0, 5_000));
    meter.add(at(10.0, 25_000));
    let event = meter.close(START + 10).unwrap();
    assert_eq!((event.period.start, event.period.end, event.timestamp), (START, START + 10, START + 10));
    assert_eq!(event.metrics.cpu_seconds, 20);
    assert!((event.metrics.cpu_percent_avg - 50.0).abs() < 1e-9);
    assert!((event.metrics.memory_gb - 2.0).abs() < 1e-9);
    assert!((event.metrics.memory_percent - 25.0).abs() < 1e-9);
}

#[test]
fn what_rounding_leaves_over_is_carried() {
    let mut meter = Meter::new(identity(), START, at(0.0, 0));
    let mut seconds = Vec::new();
    for n in 1..=5u32 {
        meter.add(at(f64::from(n), u64::from(n) * 700));
        seconds.push(meter.close(START + i64::from(n)).unwrap().metrics.cpu_seconds);
    }
    assert_eq!(seconds, [0, 1, 1, 0, 1]);
}

#[test]
fn an_idle_instance_sends_zeros() {
    let mut meter = Meter::new(identity(), START, Reading::default());
    let event = meter.close(START + 30).unwrap();
    assert_eq!(event.metrics.cpu_seconds, 0);
    assert!(is_valid(&event, &EventRules::at(START + 30)));
}

#[test]
fn nothing_is_closed_that_has_no_length_and_nothing_is_lost() {
    let mut meter = Meter::new(identity(), START, at(0.0, 0));
    meter.add(at(0.5, 2_000));
    assert_eq!(meter.close(START), None);
    assert_eq!(meter.close(START - 3_600), None);
    meter.add(at(1.0, 3_000));
    assert_eq!(meter.close(START + 1).unwrap().metrics.cpu_seconds, 3);
}

#[test]
fn a_counter_that_goes_backwards_starts_anew() {
    let mut meter = Meter::new(identity(), START, at(0.0, 900_000));
    meter.add(at(1.0, 899_990));
    meter.add(at(2.0, 901_990));
    meter.add(at(3.0, 10));
    meter.add(at(4.0, 1_010));
    assert_eq!(meter.close(START + 4).unwrap().metrics.cpu_seconds, 3);
}

#[test]
fn interfaces_come_and_go() {
    const MB: u64 = BYTES_PER_MB;
    let mut meter = Meter::new(identity(), START, traffic(0.0, &[("eth0", 100 * MB, 0)]));
    meter.add(traffic(1.0, &[("eth0", 101 * MB, 2 * MB), ("eth1", 500 * MB, 500 * MB)]));
    meter.add(traffic(2.0, &[("eth1", 504 * MB, 500 * MB)]));
    meter.add(traffic(3.0, &[("eth0", 7 * MB, 0), ("eth1", 504 * MB, 508 * MB)]));
    meter.add(traffic(4.0, &[("eth0", 8 * MB, 0), ("eth1", 504 * MB, 508 * MB)]));
    let metrics = meter.close(START + 4).unwrap().metrics;
    assert!((metrics.network_egress_mb - 6.0).abs() < 1e-12, "{metrics:?}");
    assert!((metrics.network_ingress_mb - 10.0).abs() < 1e-12, "{metrics:?}");
}

#[test]
fn gauges_are_weighted_by_time() {
    let with = |at: f64, gb: Option<u64>| Reading {
        at: Duration::from_secs_f64(at),
        storage_used: gb.map(|gb| gb * BYTES_PER_GB),
        ..Reading::default()
    };
    let mut meter = Meter::new(identity(), START, with(0.0, Some(10)));
    meter.add(with(9.0, Some(10)));
    meter.add(with(10.0, Some(30)));
    meter.add(with(12.0, None));
    assert!((meter.close(START + 12).unwrap().metrics.storage_gb - (90.0 + 20.0 + 60.0) / 12.0).abs() < 1e-9);
}

#[test]
fn busy_gpus_add_up() {
    let with = |at: f64, gpus_busy: f64| Reading { at: Duration::from_secs_f64(at), gpus_busy, ..Reading::default() };
    let mut meter = Meter::new(identity(), START, with(0.0, 2.0));
    meter.add(with(10.0, 2.0));
    meter.add(with(20.0, f64::NAN));
    assert_eq!(meter.close(START + 20).unwrap().metrics.gpu_seconds, 30);
}

#[test]
fn gpu_time_is_counted_by_client() {
    let with = |at: u64, clients: &[(&str, u64, u64)]| {
        let time = |used, before| GpuTime { used: Duration::from_secs(used), before: Duration::from_secs(before) };
        let gpu = clients.iter().map(|(name, used, before)| ((*name).to_owned(), time(*used, *before))).collect();
        Reading { at: Duration::from_secs(at), gpu: Some(gpu), ..Reading::default() }
    };
    let mut meter = Meter::new(identity(), START, with(0, &[("a", 100, 0)]));
    // One that runs on, one that is new, one that was moved here.
    meter.add(with(10, &[("a", 105, 0), ("b", 3, 0), ("c", 50, 48)]));
    assert_eq!(meter.close(START + 10).unwrap().metrics.gpu_seconds, 5 + 3 + 2);
    // One is behind what it said, one is gone, another process goes on.
    meter.add(with(20, &[("a", 104, 0), ("c", 51, 48)]));
    let chain: Chain = serde_json::from_str(&serde_json::to_string(meter.chain()).unwrap()).unwrap();
    let mut meter = Meter::resume(identity(), chain);
    meter.add(with(30, &[("a", 110, 0), ("d", 4, 0)]));
    assert_eq!(meter.close(START + 30).unwrap().metrics.gpu_seconds, 1 + 6 + 4);
    // Another life: all is its own.
    meter.add_of_new_life(with(40, &[("a", 2, 0)]));
    assert_eq!(meter.close(START + 40).unwrap().metrics.gpu_seconds, 2);
    let born = Meter::from_birth(identity(), START, Duration::ZERO, with(5, &[("a", 2, 0)])).close(START + 5).unwrap();
    assert_eq!(born.metrics.gpu_seconds, 2);
}

#[test]
fn ids_are_checked() {
    for (id, why) in [("", "empty"), ("a\nb", "control"), (&"x".repeat(257), "257 bytes")] {
        let error = Identity::new("i".into(), id.into(), None).unwrap_err().to_string();
        assert!(error.contains("user id") && error.contains(why), "{error}");
        assert!(Identity::new("i".into(), "u".into(), Some(id.into())).is_err());
    }
}

proptest! {
    /// However a run is cut into periods and readings, the seconds and bytes of its parts are those of the whole.
    #[test]
    fn the_sum_of_the_parts_is_the_whole(steps in proptest::collection::vec((1u64..5_000, 0u64..20_000, 0u64..1 << 40, any::<bool>()), 1..60)) {
        let reading = |millis: u64, cpu: u64, bytes: u64| Reading {
            at: Duration::from_millis(millis),
            cpu: Some(Duration::from_millis(cpu)),
            cpus: 2.0,
            gpus_busy: 0.3,
            network: Some(BTreeMap::from([("e".to_owned(), Traffic { sent: bytes, received: 2 * bytes })])),
            ..Reading::default()
        };
        let mut meter = Meter::new(identity(), START, reading(0, 1_234, 99));
        let (mut millis, mut cpu, mut bytes) = (0, 1_234, 99);
        let mut events = Vec::new();
        for (passed, used, moved, closes) in &steps {
            millis += passed;
            cpu += used;
            bytes += moved;
            meter.add(reading(millis, cpu, bytes));
            if *closes {
                events.extend(meter.close(START + i64::try_from(millis / 1_000).unwrap()));
            }
        }
        events.extend(meter.close(START + i64::try_from(millis / 1_000 + 1).unwrap()));
        let seconds: u64 = events.iter().map(|event| event.metrics.cpu_seconds).sum();
        prop_assert_eq!(seconds, (cpu - 1_234) / 1_000);
        let gpu: u64 = events.iter().map(|event| event.metrics.gpu_seconds).sum();
        prop_assert!((gpu as f64 - 0.3 * millis as f64 / 1_000.0).abs() < 1.0);
        let sent: f64 = events.iter().map(|event| event.metrics.network_egress_mb * BYTES_PER_MB as f64).sum();
        prop_assert_eq!(sent, (bytes - 99) as f64);
        for pair in events.windows(2) {
            prop_assert_eq!(pair[0].period.end, pair[1].period.start);
        }
        for event in &events {
            prop_assert!(is_valid(event, &EventRules::at(event.timestamp)), "{:?}", event);
        }
    }

    /// Whatever the counters do, no event is absurd.
    #[test]
    fn no_reading_makes_an_event_absurd(
        readings in proptest::collection::vec((any::<u32>(), proptest::option::of(any::<u64>()), any::<f64>(), any::<f64>(), proptest::option::of(any::<u64>()), any::<u64>(), -5i64..50), 1..30),
    ) {
        let mut meter = Meter::new(identity(), START, Reading::default());
        let mut now = START;
        let mut end = START;
        for (millis, cpu, cpus, gpus_busy, memory_used, memory_total, passed) in readings {
            now += passed;
            let network = BTreeMap::from([("e".to_owned(), Traffic { sent: memory_total, received: u64::from(millis) })]);
            meter.add(Reading {
                at: Duration::from_millis(u64::from(millis)),
                cpu: cpu.map(|cpu| Duration::from_nanos(cpu >> 1)),
                cpus,
                gpus_busy,
                network: Some(network),
                began: BTreeMap::from([("e".to_owned(), Duration::from_secs(u64::from(millis)))]),
                namespaces: vec![],
                left_namespaces: vec![],
                memory_used,
                memory_total,
                storage_used: memory_used,
                gpu: cpu.map(|used| BTreeMap::from([("g".to_owned(), GpuTime { used: Duration::from_nanos(used), before: Duration::ZERO })])),
                not_metered: MetricSet::NONE,
            });
            if let Some(event) = meter.close(now) {
                prop_assert_eq!(event.period.start, end);
                end = event.period.end;
                prop_assert!(is_valid(&event, &EventRules::at(event.timestamp)), "{:?}", event);
            }
        }
    }
}
