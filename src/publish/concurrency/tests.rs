use super::simulation::{Input, Queue, Simulation};
use super::*;
use proptest::prelude::*;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// The Form queue: one write at a time, and each further connection makes all of them a little slower.
const SLOW: Queue = Queue { drag: 0.002, ..Queue::new(1, 0.05, 0.002) };
/// 40,000 a second, one after the other.
const FAST: Queue = Queue::new(1, 25e-6, 0.4e-3);
/// 40,000 a second, side by side.
const WIDE: Queue = Queue::new(48, 1.2e-3, 0.2e-3);

fn simulation(input: Input, seed: u64) -> Simulation {
    Simulation::new(Concurrency::auto(Concurrency::DEFAULT_MAX), input, 1, seed)
}

fn endless(seed: u64) -> Simulation {
    simulation(Input::Endless, seed)
}

/// What `queue` takes at the best of all fixed limits.
fn best(queue: Queue, seconds: f64) -> f64 {
    let rate = |limit| {
        let mut fixed = Simulation::new(Concurrency::fixed(limit), Input::Endless, 1, 1);
        fixed.run(queue, seconds).rate(seconds / 4.0, seconds)
    };
    [1, 2, 4, 8, 16, 32, 64, 128, 256].map(rate).into_iter().fold(0.0, f64::max)
}

#[test]
fn a_slow_queue_gets_few_attempts_at_a_time_and_none_waits_for_long() {
    let best = best(SLOW, 600.0);
    for seed in SEEDS {
        for queue in [SLOW, Queue { random: false, ..SLOW }] {
            let mut it = endless(seed);
            it.run(queue, 1_200.0);
            let (rate, slowest) = (it.rate(0.0, 1_200.0), it.latency(0.0, 1_200.0, 1.0));
            assert!(rate >= 0.95 * best, "{rate} of {best}");
            assert!(it.latency(0.0, 1_200.0, 0.99) < 1.5);
            assert!(slowest < 6.0, "{slowest}");
        }
    }
}

#[test]
fn a_fast_queue_has_its_level_within_a_second() {
    let wide64 = Queue::new(64, 1e-3, 0.2e-3);
    for queue in [FAST, WIDE, wide64, Queue { random: false, ..wide64 }] {
        let best = best(queue, 0.4);
        for seed in SEEDS {
            let mut it = endless(seed);
            it.run(queue, 3.0);
            assert!(it.rate(1.0, 3.0) >= 0.9 * best, "{} of {best}", it.rate(1.0, 3.0));
            assert!(it.rate(0.0, 1.0) >= 0.75 * best, "{} of {best}", it.rate(0.0, 1.0));
        }
    }
}

#[test]
fn a_near_queue_gets_many_at_a_time_though_fewer_would_do() {
    // 100,000 a second, one after the other: 64 at a time wait for less than a millisecond.
    let near = Queue::new(1, 10e-6, 0.1e-3);
    // The same one, slower for each further attempt: 64 at a time would cost it two thirds.
    let touchy = Queue { drag: 0.03, ..near };
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(near, 3.0);
        assert!(it.limits(1.0, 3.0).0 >= 24, "{:?}", it.limits(1.0, 3.0));
        let best = best(touchy, 0.4);
        let mut it = endless(seed);
        it.run(touchy, 3.0);
        assert!(it.rate(1.0, 3.0) >= 0.85 * best, "{} of {best}", it.rate(1.0, 3.0));
    }
}

#[test]
fn where_writes_share_a_commit_more_at_a_time_is_better() {
    // At 256 at a time a commit takes 10 ms.
    let queue = Queue { together: Some(20e-6), ..Queue::new(1, 5e-3, 0.2e-3) };
    let best = best(queue, 2.0);
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(queue, 5.0);
        assert!(it.rate(1.0, 5.0) >= 0.9 * best, "{} of {best}", it.rate(1.0, 5.0));
    }
}

#[test]
fn a_stall_now_and_then_does_not_lower_it_for_long() {
    let stall = 0.03;
    for queue in [FAST, WIDE] {
        for seed in SEEDS {
            let mut it = endless(seed);
            for _ in 0..10 {
                it.run(queue, 0.5 - stall).run(Queue { servers: 0, ..queue }, stall);
            }
            let best = 40_000.0 * (1.0 - 2.0 * stall);
            assert!(it.rate(1.0, 5.0) >= 0.9 * best, "{} of {best}", it.rate(1.0, 5.0));
        }
    }
}

#[test]
fn a_far_destination_gets_all_that_the_bound_allows() {
    // 256 attempts at a time of 50 ms each are 5,120 a second.
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(Queue::new(1_000, 50e-3, 0.2e-3), 30.0);
        assert!(it.rate(10.0, 30.0) >= 0.9 * 5_120.0, "{}", it.rate(10.0, 30.0));
    }
}

#[test]
fn changes_of_speed_are_followed() {
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(FAST, 3.0).run(SLOW, 120.0).run(FAST, 3.0).run(WIDE, 3.0).run(SLOW, 60.0);
        assert!(it.rate(3.0, 123.0) >= 18.0);
        assert!(it.latency(63.0, 123.0, 0.99) < 1.5);
        assert!(it.rate(124.0, 126.0) >= 36_000.0);
        assert!(it.rate(127.0, 129.0) >= 36_000.0);
        assert!(it.latency(3.0, 189.0, 1.0) < 20.0);
    }
}

#[test]
fn a_destination_that_turns_slow_is_not_run_into_its_time_limit() {
    // From the bound of 256 at a time straight to 20 a second: the attempts under way alone take 13 s.
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(Queue::new(1_000, 50e-3, 0.2e-3), 30.0).run(SLOW, 120.0);
        assert!(it.latency(30.0, 150.0, 1.0) < 25.0, "{}", it.latency(30.0, 150.0, 1.0));
        assert!(it.limits(120.0, 150.0).1 <= 16);
    }
}

#[test]
fn an_outage_is_made_up_for() {
    for seed in SEEDS {
        let mut it = endless(seed);
        it.run(WIDE, 2.0).run(Queue { failing: 1.0, ..WIDE }, 0.5).run(WIDE, 2.0);
        assert!(it.rate(3.0, 4.5) >= 0.9 * 39_000.0, "{}", it.rate(3.0, 4.5));
    }
}

#[test]
fn failures_that_do_not_depend_on_the_load_leave_it_alone() {
    // 20 ms away: 64 at a time are 3,200 a second.
    let far = Queue { random: false, ..Queue::new(1_000, 20e-3, 0.2e-3) };
    let endless = |seed| Simulation::new(Concurrency::auto(64), Input::Endless, 1, seed);
    for failing in [0.05, 0.1, 0.3, 0.5] {
        for seed in SEEDS {
            // A failed attempt leaves its place to the next one at once.
            let mut it = endless(seed);
            it.run(Queue { failing, ..far }, 4.0);
            assert!(it.rate(2.0, 4.0) >= 1_600.0, "{failing}: {} {:?}", it.rate(2.0, 4.0), it.limits(2.0, 4.0));
            // Where they begin later, too.
            let mut it = endless(seed);
            it.run(far, 2.0).run(Queue { failing, ..far }, 2.0);
            assert!(it.rate(2.0, 4.0) >= 1_600.0, "{failing}: {} {:?}", it.rate(2.0, 4.0), it.limits(2.0, 4.0));
        }
    }
}

#[test]
fn a_destination_that_refuses_too_many_at_a_time_is_asked_for_fewer() {
    // With a wish to be left alone, and as a failure like others.
    for (stay_away, most_refused) in [(Some(1e-3), 0.01), (None, 0.05)] {
        for seed in SEEDS {
            let mut it = endless(seed);
            it.run(Queue { most: 20, stay_away, ..Queue::new(64, 1e-3, 0.2e-3) }, 10.0);
            let refused = it.ended.iter().filter(|ended| !ended.ok).count() as f64 / it.ended.len() as f64;
            assert!(it.rate(2.0, 10.0) >= 0.6 * 17_000.0, "{}", it.rate(2.0, 10.0));
            assert!(refused < most_refused, "{refused}");
        }
    }
}

#[test]
fn a_quota_is_used_up_whether_or_not_the_destination_says_for_how_long_to_stay_away() {
    for most in [100, 1_000] {
        for seed in SEEDS {
            // 20 ms away: it takes 2 or 20 at a time to use the quota up.
            let queue = Queue { quota: Some((most, 1.0)), ..Queue::new(1_000, 20e-3, 0.2e-3) };
            let mut it = endless(seed);
            it.run(Queue { stay_away: Some(1.0), ..queue }, 20.0);
            // Who is refused early in a span stays away for a part of the next one.
            assert!(it.rate(5.0, 20.0) >= 0.45 * most as f64, "{most}: {}", it.rate(5.0, 20.0));
            let mut it = endless(seed);
            it.run(queue, 10.0);
            // The simulation goes on at once after a failure, which a publisher does not.
            assert!(it.rate(2.0, 10.0) >= 0.3 * most as f64, "{most}: {}", it.rate(2.0, 10.0));
        }
    }
}

#[test]
fn what_the_input_leaves_unused_does_not_raise_it() {
    let inputs = [Input::Random(2_000.0), Input::Random(5.0), Input::Bursts(30, 1.0), Input::Bursts(3, 0.1)];
    for input in inputs {
        for seed in SEEDS {
            let mut it = simulation(input, seed);
            it.run(WIDE, 30.0);
            assert!(it.limits(0.0, 30.0).1 <= 16);
        }
    }
}

#[test]
fn events_count_not_attempts() {
    let mut it = Simulation::new(Concurrency::auto(64), Input::Endless, 500, 1);
    it.run(Queue { random: false, ..Queue::new(4, 10e-3, 1e-3) }, 20.0);
    assert!(it.rate(2.0, 20.0) >= 0.95 * 400.0);
    assert!(it.limits(2.0, 20.0).1 <= 12);
}

#[test]
fn few_failures_among_many_attempts_say_nothing_about_the_load() {
    let mut concurrency = Concurrency::auto(64);
    for n in 1..=1_000u64 {
        let sample = if n % 20 == 0 { Sample::Failed } else { Sample::Answered { events: 1 } };
        concurrency.attempt_ended(Duration::from_millis(n), Duration::from_millis(1), sample, 4);
        assert!(concurrency.limit() >= 2);
    }
}

#[test]
fn overload_halves_it_once_a_round_trip_and_so_does_an_answer_that_took_too_long() {
    let at = Duration::from_secs;
    let mut concurrency = Concurrency::auto(64).with_time_limit(at(6));
    // All four began before the first of them ended.
    for end in 10..14 {
        concurrency.attempt_ended(at(end), at(end - 8), Sample::Overloaded, 4);
    }
    assert_eq!(concurrency.limit(), 2);
    concurrency.attempt_ended(at(20), at(3), Sample::Answered { events: 1 }, 2);
    assert_eq!(concurrency.limit(), 1);
    concurrency.attempt_ended(at(30), at(3), Sample::Overloaded, 1);
    assert_eq!(concurrency.limit(), 1);
}

#[test]
fn a_wish_to_be_left_alone_halves_it_only_where_it_comes_soon() {
    let ms = Duration::from_millis;
    let mut concurrency = Concurrency::auto(4);
    let answered = |concurrency: &mut Concurrency, from: u64, count: u64| {
        for n in 0..count {
            concurrency.attempt_ended(ms(from + n), ms(1), Sample::Answered { events: 1 }, 4);
        }
    };
    answered(&mut concurrency, 100, 50);
    // All four were under way when the first was refused.
    for n in 0..4 {
        concurrency.attempt_ended(ms(200 + n), ms(10), Sample::AskedToWait, 4);
    }
    assert_eq!(concurrency.limit(), 4);
    answered(&mut concurrency, 1_300, 10);
    concurrency.attempt_ended(ms(1_400), ms(10), Sample::AskedToWait, 4);
    assert_eq!(concurrency.limit(), 2);
}

#[test]
fn failures_alone_do_not_lower_it() {
    let mut concurrency = Concurrency::auto(64);
    let ms = Duration::from_millis;
    for n in 0..400 {
        concurrency.attempt_ended(ms(1_000 + n), ms(2), Sample::Failed, 4);
        assert!(concurrency.limit() >= 4);
    }
}

#[test]
fn a_number_stays_what_it_is() {
    let mut concurrency = Concurrency::fixed(7).with_time_limit(Duration::ZERO);
    concurrency.attempt_ended(Duration::ZERO, Duration::MAX, Sample::Overloaded, 1);
    assert_eq!(concurrency.limit(), 7);
    assert_eq!(Concurrency::fixed(0).limit(), 1);
    assert_eq!(Concurrency::auto(0).limit(), 1);
}

fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        8 => prop_oneof![9 => 0usize..1_000, 1 => any::<usize>()].prop_map(|events| Sample::Answered { events }),
        1 => Just(Sample::Failed),
        1 => Just(Sample::AskedToWait),
        1 => Just(Sample::Overloaded),
    ]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![9 => (0u64..200_000_000).prop_map(Duration::from_nanos), 1 => any::<Duration>()]
}

proptest! {
    #[test]
    fn any_history_leaves_it_within_its_bounds(
        max in prop_oneof![0usize..300, any::<usize>()],
        time_limit in duration(),
        attempts in proptest::collection::vec((duration(), duration(), sample(), any::<usize>()), 0..40),
        repeat in 1usize..100,
    ) {
        let mut concurrency = Concurrency::auto(max).with_time_limit(time_limit);
        let mut now = Duration::ZERO;
        for (passed, latency, sample, in_flight) in attempts {
            for _ in 0..repeat {
                now = now.saturating_add(passed);
                concurrency.attempt_ended(now, latency, sample, in_flight);
                prop_assert!((1..=max.max(1)).contains(&concurrency.limit()));
            }
        }
        // A clock that goes back is no reason to panic either.
        concurrency.attempt_ended(Duration::ZERO, Duration::ZERO, Sample::Answered { events: 1 }, 0);
    }
}
