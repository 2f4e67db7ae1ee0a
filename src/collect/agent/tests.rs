//! What the agent promises: sums that are the kernel's, periods that are contiguous, whatever the clocks, the scopes and
//! the processes do.

mod namespaces;
mod overlap;
mod short_lived;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::collect::{Observed, Origin, Place, Reading, Saved};
use crate::events::UsageEvent;
use crate::validate::{EventRules, is_valid};

const START: u64 = 1_626_350_400;

/// A machine with instances that burn CPU, of which each has a life and a counter in milliseconds.
#[derive(Debug, Default)]
struct World {
    instances: BTreeMap<String, (u32, u64)>,
    broken: bool,
    /// What of the machine they are, where that matters.
    places: BTreeMap<String, Place>,
}

#[derive(Debug, Clone, Default)]
struct Fake {
    world: Rc<RefCell<World>>,
    known: BTreeMap<String, u32>,
    looked: bool,
    is_pattern: bool,
}

impl Scope for Fake {
    fn is_pattern(&self) -> bool {
        self.is_pattern
    }

    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let world = self.world.borrow();
        if world.broken {
            return Err(CollectError("broken".into()));
        }
        let mut seen = Vec::new();
        for (name, (life, cpu)) in &world.instances {
            let born = self.looked && self.known.get(name) != Some(life);
            let reading = Reading {
                at,
                cpu: Some(Duration::from_millis(*cpu)),
                cpus: 4.0,
                memory_total: 1,
                ..Reading::default()
            };
            seen.push(Observed {
                instance: name.clone(),
                life: format!("{name}:{life}"),
                born,
                user: None,
                org: None,
                place: world.places.get(name).cloned().unwrap_or_default(),
                reading,
            });
        }
        self.known = world.instances.iter().map(|(name, (life, _))| (name.clone(), *life)).collect();
        self.looked = true;
        Ok(seen)
    }
}

fn now(millis: u64) -> Now {
    let off = Duration::from_millis(millis);
    Now { monotonic: off, wall: UNIX_EPOCH + Duration::from_secs(START) + off }
}

fn periods(interval: u64) -> Periods {
    Periods { interval: Duration::from_secs(interval), align: true, sample_interval: Duration::from_secs(1) }
}

fn source(name: &str, world: &Rc<RefCell<World>>) -> Source {
    let scope = Box::new(Fake { world: Rc::clone(world), ..Fake::default() });
    Source { name: name.into(), scope, owner: Owner { user: "u".into(), ..Owner::default() } }
}

fn world(instances: &[(&str, u32, u64)]) -> Rc<RefCell<World>> {
    let instances = instances.iter().map(|(name, life, cpu)| ((*name).to_owned(), (*life, *cpu))).collect();
    Rc::new(RefCell::new(World { instances, ..World::default() }))
}

fn set(world: &Rc<RefCell<World>>, name: &str, life: u32, cpu: u64) {
    world.borrow_mut().instances.insert(name.into(), (life, cpu));
}

/// An event in short: instance, start and end from START on, CPU seconds.
fn short(events: &[Metered]) -> Vec<(String, i64, i64, u64)> {
    let start = i64::try_from(START).unwrap();
    let one = |it: &Metered| {
        let UsageEvent { instance_id, period, metrics, .. } = &it.event;
        (instance_id.clone(), period.start - start, period.end - start, metrics.cpu_seconds)
    };
    events.iter().map(one).collect()
}

fn e(instance: &str, start: i64, end: i64, cpu: u64) -> (String, i64, i64, u64) {
    (instance.into(), start, end, cpu)
}

fn tick(agent: &mut Agent, millis: u64) -> Vec<(String, i64, i64, u64)> {
    short(&agent.tick(now(millis)).unwrap().events)
}

/// The agent's state as another process reads it.
fn kept(agent: &Agent) -> Snapshot {
    let origin = Origin { host: "h".into(), boot: Some("b".into()) };
    Saved::decode(&Saved::encode(&origin, &[], &agent.snapshot()).unwrap()).unwrap().agent
}

#[test]
fn the_first_look_is_at_a_whole_second_and_what_was_before_is_not_ours() {
    let world = world(&[("a", 1, 50_000)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(300));
    assert_eq!(agent.wait(), Duration::from_millis(700));
    assert_eq!(tick(&mut agent, 400), []);
    assert!(!agent.has_begun());
    assert_eq!(tick(&mut agent, 1_001), []);
    set(&world, "a", 1, 59_500);
    assert_eq!(tick(&mut agent, 10_001), [e("a", 1, 10, 9)]);
    set(&world, "a", 1, 60_000);
    assert_eq!(short(&agent.finish(now(12_300)).events), [e("a", 10, 13, 1)]);
}

#[test]
fn instances_come_and_go_and_come_back() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    assert_eq!(tick(&mut agent, 0), []);
    set(&world, "b", 7, 2_500);
    assert_eq!(tick(&mut agent, 5_000), []);
    set(&world, "b", 7, 4_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 0), e("b", 0, 10, 4)], "all of b is ours");
    set(&world, "b", 7, 5_700);
    assert_eq!(tick(&mut agent, 12_000), []);
    world.borrow_mut().instances.remove("b");
    assert_eq!(tick(&mut agent, 15_000), [e("b", 10, 12, 1)], "up to the last look");
    // Another life under the same name, which began after the look before.
    set(&world, "b", 8, 1_400);
    assert_eq!(tick(&mut agent, 18_000), []);
    assert_eq!(tick(&mut agent, 20_000), [e("a", 10, 20, 0), e("b", 15, 20, 2)], "0.7 were left over");
    // A life that ends between two looks and is followed by another one.
    set(&world, "b", 9, 1_000);
    assert_eq!(tick(&mut agent, 25_000), []);
    assert_eq!(tick(&mut agent, 30_000), [e("a", 20, 30, 0), e("b", 20, 30, 1)]);
}

#[test]
fn what_one_look_missed_goes_on_and_is_not_billed_twice() {
    let world = world(&[("a", 1, 100_000)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 103_000);
    tick(&mut agent, 3_000);
    let gone = world.borrow_mut().instances.remove("a").unwrap();
    assert_eq!(tick(&mut agent, 5_000), [e("a", 0, 3, 3)]);
    world.borrow_mut().instances.insert("a".into(), gone);
    set(&world, "a", 1, 107_000);
    tick(&mut agent, 7_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 3, 10, 4)]);
}

#[test]
fn a_scope_that_fails_keeps_its_periods_open() {
    let (world, other) = (world(&[("a", 1, 0)]), world(&[("b", 1, 0)]));
    let mut agent = Agent::new(vec![source("s", &world), source("t", &other)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 2_000);
    tick(&mut agent, 4_000);
    world.borrow_mut().broken = true;
    assert_eq!(tick(&mut agent, 10_000), [e("b", 0, 10, 0)]);
    set(&world, "a", 1, 15_000);
    world.borrow_mut().broken = false;
    assert_eq!(tick(&mut agent, 20_000), [e("a", 0, 20, 15), e("b", 10, 20, 0)]);
    set(&world, "a", 1, 16_000);
    tick(&mut agent, 21_000);
    world.borrow_mut().broken = true;
    assert_eq!(short(&agent.finish(now(25_000)).events), [e("b", 20, 25, 0), e("a", 20, 21, 1)], "what was seen");
}

#[test]
fn missed_edges_make_one_longer_period() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 3_600_000);
    assert_eq!(tick(&mut agent, 3_605_000), [e("a", 0, 3_600, 3_600)]);
    agent.hold(true);
    assert_eq!(tick(&mut agent, 3_610_000), [], "nobody takes events");
    agent.hold(false);
    assert_eq!(tick(&mut agent, 3_632_000), [e("a", 3_600, 3_630, 0)]);
}

#[test]
fn another_process_goes_on_and_the_gap_is_an_event_of_its_own() {
    let world = world(&[("a", 1, 1_000), ("gone", 1, 0), ("reborn", 1, 500)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 5_600);
    set(&world, "gone", 1, 1_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 4), e("gone", 0, 10, 1), e("reborn", 0, 10, 0)]);
    set(&world, "gone", 1, 3_000);
    tick(&mut agent, 12_000);
    // Killed here; its state was kept by chance.
    let kept = kept(&agent);
    assert_eq!(kept.instances(), 3);
    world.borrow_mut().instances.remove("gone");
    set(&world, "a", 1, 9_200);
    set(&world, "reborn", 2, 3_000);
    set(&world, "new", 1, 2_000);
    let mut agent = Agent::resume(vec![source("s", &world)], periods(10), kept, now(31_500));
    assert_eq!(agent.wait(), Duration::from_millis(500));
    assert_eq!(
        tick(&mut agent, 32_000),
        [e("reborn", 10, 12, 0), e("a", 10, 32, 4), e("new", 12, 32, 2), e("reborn", 12, 32, 3), e("gone", 10, 12, 2)]
    );
    set(&world, "a", 1, 9_800);
    assert_eq!(tick(&mut agent, 40_000)[0], e("a", 32, 40, 0));
    set(&world, "a", 1, 10_000);
    assert_eq!(tick(&mut agent, 50_000)[0], e("a", 40, 50, 1));
}

#[test]
fn a_scope_that_the_process_before_did_not_meter_starts_with_its_first_look() {
    let (world, other) = (world(&[("a", 1, 0)]), world(&[("b", 1, 900_000)]));
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    let kept = kept(&agent);
    let mut agent = Agent::resume(vec![source("t", &other)], periods(10), kept, now(5_000));
    assert_eq!(tick(&mut agent, 5_000), []);
    assert_eq!(tick(&mut agent, 10_000), [e("b", 5, 10, 0)]);
}

#[test]
fn after_a_boot_nothing_is_subtracted_and_nothing_seen_is_lost() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 4_000);
    tick(&mut agent, 6_000);
    let kept = kept(&agent);
    set(&world, "a", 2, 70_000);
    // A clock without a battery.
    let booted = |millis: u64| Now { monotonic: Duration::from_millis(millis), wall: UNIX_EPOCH };
    let mut agent = Agent::after_boot(vec![source("s", &world)], periods(10), kept, booted(100));
    assert_eq!(short(&agent.tick(booted(100)).unwrap().events), [e("a", 0, 6, 4)]);
    set(&world, "a", 2, 71_000);
    assert_eq!(short(&agent.tick(booted(4_200)).unwrap().events), [e("a", 6, 10, 1)]);
}

#[test]
fn another_configuration_leaves_no_gap() {
    let (world, other) = (world(&[("a", 1, 0), ("c", 1, 0)]), world(&[("b", 1, 0)]));
    let mut agent = Agent::new(vec![source("s", &world), source("t", &other)], periods(10), now(0));
    tick(&mut agent, 0);
    let ids: Vec<ScopeId> = agent.scopes().map(|(id, ..)| id).collect();
    set(&world, "a", 1, 2_000);
    set(&other, "b", 1, 1_000);
    // The first one is billed to another one from now on, the second goes on, a third is new.
    let moved = Source { owner: Owner { user: "v".into(), ..Owner::default() }, ..source("s", &world) };
    let third = source("u", &self::world(&[("d", 1, 8_000)]));
    let plan = vec![Plan::Open(moved), Plan::Keep(ids[1]), Plan::Open(third)];
    let reloaded = agent.reconfigure(plan, periods(5), now(3_000)).events;
    assert_eq!(short(&reloaded), [e("a", 0, 3, 2), e("c", 0, 3, 0)]);
    set(&world, "a", 1, 3_000);
    set(&other, "b", 1, 2_000);
    let events = agent.tick(now(5_000)).unwrap().events;
    assert_eq!(short(&events), [e("a", 3, 5, 1), e("b", 0, 5, 2), e("c", 3, 5, 0), e("d", 3, 5, 0)]);
    assert_eq!((events[0].event.user_id.as_str(), events[1].event.user_id.as_str()), ("v", "u"));
    let plan = vec![Plan::Keep(ids[1])];
    assert_eq!(agent.reconfigure(plan, periods(5), now(6_000)).events.len(), 3);
    assert_eq!(agent.current().count(), 1);
}

#[test]
fn many_lives_within_a_second_share_it_and_none_ends_after_the_second_that_runs() {
    let world = world(&[]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    let id = agent.scopes().next().unwrap().0;
    let mut events = Vec::new();
    for life in 0..40u32 {
        let at = 10 + u64::from(life) * 75;
        set(&world, "a", life, 50);
        events.extend(short(&agent.glance(&[id], now(at)).events));
        set(&world, "a", life, 60);
        events.extend(short(&agent.glance(&[id], now(at + 30)).events));
        world.borrow_mut().instances.clear();
        events.extend(short(&agent.tick(now(at + 50)).unwrap().events));
        let ceiling = i64::try_from((at + 50).div_ceil(1_000)).unwrap();
        assert!(events.iter().all(|event| event.2 <= ceiling), "{at}: {events:?}");
    }
    events.extend(short(&agent.finish(now(2_990)).events));
    assert!(events.iter().all(|event| event.2 <= 3), "{events:?}");
    assert!(events.windows(2).all(|pair| pair[0].2 <= pair[1].1), "{events:?}");
    assert_eq!(events.iter().map(|event| event.3).sum::<u64>(), 2, "40 lives of 0.06 s: {events:?}");
}

#[test]
fn a_reload_waits_for_a_whole_second_from_now_and_another_name_starts_where_the_old_one_ended() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(30), now(0));
    tick(&mut agent, 0);
    let ms = Duration::from_millis;
    let waits = [0, 400, 1_000, 2_300, 7_000].map(|passed| agent.until_whole_second(ms(passed)));
    assert_eq!(waits, [ms(1_000), ms(600), ms(0), ms(700), ms(0)]);
    // Far too late for a whole second.
    let renamed = self::world(&[("b", 1, 0)]);
    let reloaded = agent.reconfigure(vec![Plan::Open(source("t", &renamed))], periods(30), now(2_500));
    let mut events = short(&reloaded.events);
    events.extend(tick(&mut agent, 3_000));
    events.extend(tick(&mut agent, 30_000));
    assert_eq!(events, [e("a", 0, 3, 0), e("b", 3, 30, 0)]);
}

/// A clock without a battery that a time server sets after some seconds: nobody is billed for the years between.
#[test]
fn a_clock_that_is_set_ahead_leaves_a_gap_and_no_longer_period() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 4_000);
    let years = 3 * 365 * 86_400;
    let set_ahead = |millis: u64| Now { wall: now(millis).wall + Duration::from_secs(years), ..now(millis) };
    let closed = agent.tick(set_ahead(7_300)).unwrap();
    assert_eq!((short(&closed.events), closed.closed), (vec![e("a", 0, 7, 4)], false));
    assert_eq!(closed.events[0].labels.get("clock_set").map(String::as_str), Some("+94608000 s"));
    set(&world, "a", 1, 6_000);
    let start = i64::try_from(years).unwrap();
    let next = agent.tick(set_ahead(10_000)).unwrap().events;
    assert_eq!(short(&next), [e("a", start + 7, start + 10, 2)]);
    assert_eq!(next[0].labels.get("clock_set"), None);
}

#[test]
fn a_clock_that_is_set_ahead_while_nobody_meters_leaves_a_gap_too() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    tick(&mut agent, 0);
    let kept = kept(&agent);
    set(&world, "a", 1, 9_000);
    let set_ahead = |millis: u64| Now { wall: now(millis).wall + Duration::from_secs(3_600), ..now(millis) };
    let mut agent = Agent::resume(vec![source("s", &world)], periods(10), kept, set_ahead(20_000));
    assert_eq!(short(&agent.tick(set_ahead(20_000)).unwrap().events), [e("a", 0, 20, 9)]);
    set(&world, "a", 1, 12_000);
    assert_eq!(short(&agent.tick(set_ahead(30_000)).unwrap().events), [e("a", 3_620, 3_630, 3)]);
}

#[test]
fn a_duration_ends_after_the_time_that_passed_whatever_the_clock_is_set_to() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    agent.end_after(Duration::from_secs(20));
    tick(&mut agent, 0);
    let set_ahead = |millis: u64| Now { wall: now(millis).wall + Duration::from_secs(3_600), ..now(millis) };
    assert_eq!(short(&agent.tick(set_ahead(5_000)).unwrap().events), [e("a", 0, 5, 0)]);
    assert_eq!(short(&agent.tick(set_ahead(10_000)).unwrap().events), [e("a", 3_605, 3_610, 0)]);
    assert!(!agent.is_over());
    assert_eq!(short(&agent.tick(set_ahead(21_000)).unwrap().events), [e("a", 3_610, 3_620, 0)]);
    assert!(agent.is_over());
}

#[test]
fn a_duration_ends_it() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(10), now(0));
    agent.end_after(Duration::from_secs(13));
    assert_eq!(tick(&mut agent, 0), []);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 0)]);
    assert!(!agent.is_over());
    assert_eq!(agent.wait(), Duration::from_secs(1));
    assert_eq!(tick(&mut agent, 25_000), [e("a", 10, 13, 0)]);
    assert!(agent.is_over());
}

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    /// So many milliseconds pass, in which the instance with this number burns so much.
    Pass(u64, usize, u64),
    /// A look too many.
    Glance,
    /// The instance with this number ends and begins anew.
    Reborn(usize, u64),
    /// The process is killed and another one goes on with the state as it is, after so many milliseconds.
    Restart(u64),
    /// The wall clock is set by so many milliseconds.
    Set(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..9_000, 0usize..3, 0u64..20_000).prop_map(|(passed, which, burnt)| Step::Pass(passed, which, burnt)),
        1 => Just(Step::Glance),
        1 => (0usize..3, 0u64..5_000).prop_map(|(which, burnt)| Step::Reborn(which, burnt)),
        1 => (0u64..20_000).prop_map(Step::Restart),
        1 => prop_oneof![-20_000_000_000i64..10_000_000_000, -2_000_000_000_000i64..2_000_000_000_000].prop_map(Step::Set),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// However a run is cut into looks, periods, lives and processes, and whatever the wall clock does: the sum of the
    /// events is what was burnt while it was looked at, periods are contiguous but where the clock was set ahead, they are
    /// no longer than the time that passed (but for a second where it was set), and every event is valid.
    #[test]
    fn the_events_are_the_whole_and_contiguous(steps in steps(), interval in 1u64..20) {
        let names = ["a", "b", "c"];
        let world = world(&[("a", 1, 77_000), ("b", 1, 0), ("c", 1, 1)]);
        let (mut monotonic, mut wall) = (5_000u64, i64::try_from(START * 1_000).unwrap());
        let clocks = |monotonic: u64, wall: i64| {
            let off = Duration::from_millis(wall.unsigned_abs());
            let wall: SystemTime = if wall < 0 { UNIX_EPOCH - off } else { UNIX_EPOCH + off };
            Now { monotonic: Duration::from_millis(monotonic), wall }
        };
        let mut agent = Agent::new(vec![source("s", &world)], periods(interval), clocks(monotonic, wall));
        let mut events = agent.tick(clocks(monotonic, wall)).unwrap().events;
        let mut burnt = [0u64; 3];
        let (mut begun, mut sets) = (None, 0);
        for step in steps {
            if agent.has_begun() {
                begun.get_or_insert(monotonic);
            }
            match step {
                Step::Pass(passed, which, used) => {
                    monotonic += passed;
                    wall += i64::try_from(passed).unwrap();
                    world.borrow_mut().instances.get_mut(names[which]).unwrap().1 += used;
                    burnt[which] += used;
                    events.extend(agent.tick(clocks(monotonic, wall)).unwrap().events);
                }
                Step::Glance => {
                    let id = agent.scopes().next().unwrap().0;
                    events.extend(agent.glance(&[id], clocks(monotonic, wall)).events);
                }
                Step::Reborn(which, used) => {
                    let life = world.borrow().instances[names[which]].0;
                    set(&world, names[which], life + 1, used);
                    burnt[which] += used;
                    // A life that no look sees is nobody's.
                    monotonic += 1;
                    wall += 1;
                    events.extend(agent.tick(clocks(monotonic, wall)).unwrap().events);
                }
                Step::Restart(passed) => {
                    let kept = kept(&agent);
                    monotonic += passed;
                    wall += i64::try_from(passed).unwrap();
                    let from = clocks(monotonic, wall);
                    agent = Agent::resume(vec![source("s", &world)], periods(interval), kept, from);
                    let wait = u64::try_from(agent.wait().as_micros().div_ceil(1_000)).unwrap();
                    monotonic += wait;
                    wall += i64::try_from(wait).unwrap();
                    events.extend(agent.tick(clocks(monotonic, wall)).unwrap().events);
                    prop_assert!(agent.has_begun());
                }
                Step::Set(by) => {
                    wall = wall.saturating_add(by);
                    sets += 1;
                }
            }
            let ceiling = agent.line.ceiling();
            prop_assert!(events.iter().all(|it| it.event.period.end <= ceiling));
        }
        monotonic += 1_000;
        events.extend(agent.finish(clocks(monotonic, wall)).events);
        let passed = i64::try_from((monotonic - begun.unwrap_or(monotonic)).div_ceil(1_000)).unwrap();
        for (name, burnt) in names.iter().zip(burnt) {
            let of: Vec<&UsageEvent> = events.iter().map(|it| &it.event).filter(|it| it.instance_id == *name).collect();
            let seconds: u64 = of.iter().map(|it| it.metrics.cpu_seconds).sum();
            prop_assert_eq!(seconds, burnt / 1_000, "{}", name);
            prop_assert!(of.windows(2).all(|pair| pair[0].period.end <= pair[1].period.start));
            let gaps = of.windows(2).filter(|pair| pair[0].period.end < pair[1].period.start).count();
            prop_assert!(gaps <= sets, "{} gaps, set {} times", gaps, sets);
            let metered: i64 = of.iter().map(|it| it.period.end - it.period.start).sum();
            prop_assert!(metered <= passed + i64::try_from(sets).unwrap() + 1, "{} of {} s", metered, passed);
            for event in of {
                prop_assert!(is_valid(event, &EventRules::at(event.timestamp)), "{:?}", event);
            }
        }
    }
}

#[test]
fn samples_come_at_random_moments_one_in_each_interval() {
    let world = world(&[("a", 1, 0)]);
    let mut agent = Agent::new(vec![source("s", &world)], periods(3), now(0));
    tick(&mut agent, 0);
    let mut millis = 0;
    let mut sample = |random: f64| {
        agent.plan_sample(random);
        millis += u64::try_from(agent.wait().as_millis()).unwrap();
        (millis, tick(&mut agent, millis))
    };
    assert_eq!([0.25, 0.9, 0.75].map(&mut sample), [(250, vec![]), (1_900, vec![]), (2_750, vec![])]);
    assert_eq!(sample(0.5), (3_000, vec![e("a", 0, 3, 0)]), "the end of a period stays where it is");
    assert_eq!(sample(0.1), (3_500, vec![]), "and puts off no sample");
    assert_eq!(sample(0.0), (4_000, vec![]));
}
