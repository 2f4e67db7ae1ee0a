//! Instances that begin and end within one period, thousands of them: billed to the second, in few events.

use super::*;
use crate::collect::LostCpu;
use crate::collect::remainder::MAX_SHORT_LIVED;

/// A scope whose sums have an id.
#[derive(Debug)]
struct Groups(Fake, Vec<LostCpu>);

impl Scope for Groups {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        self.0.read(at)
    }

    fn take_lost_cpu(&mut self) -> Vec<LostCpu> {
        std::mem::take(&mut self.1)
    }

    fn substitute_id(&self, place: &Place) -> Option<String> {
        if let Place::Group(path) = place { Some(format!("h/{}", path.len())) } else { None }
    }
}

fn groups(world: &Rc<RefCell<World>>) -> Source {
    let scope = Box::new(Groups(Fake { world: Rc::clone(world), ..Fake::default() }, Vec::new()));
    Source { name: "s".into(), scope, owner: Owner { user: "u".into(), ..Owner::default() } }
}

/// Adds `count` groups, each of which has used `cpu` milliseconds of CPU time.
fn add_groups(world: &Rc<RefCell<World>>, prefix: &str, count: usize, cpu: u64) {
    (0..count).for_each(|number| set(world, &format!("{prefix}{number}"), 1, cpu));
}

fn remove(world: &Rc<RefCell<World>>, prefix: &str) {
    world.borrow_mut().instances.retain(|name, _| !name.starts_with(prefix));
}

fn seconds(events: &[Metered]) -> u64 {
    events.iter().map(|it| it.event.metrics.cpu_seconds).sum()
}

fn sums(events: &[Metered]) -> Vec<&Metered> {
    events.iter().filter(|it| it.event.instance_id.ends_with("short-lived")).collect()
}

#[test]
fn what_exceeds_the_number_is_one_event_and_no_second_is_lost() {
    let world = world(&[("long", 1, 0)]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    add_groups(&world, "g", 3 * MAX_SHORT_LIVED, 700);
    agent.tick(now(2_000)).unwrap();
    remove(&world, "g");
    let mut events = agent.tick(now(4_000)).unwrap().events;
    assert_eq!(events.len(), MAX_SHORT_LIVED);
    // A crash in between loses nothing of it.
    let mut agent = Agent::resume(vec![groups(&world)], periods(10), kept(&agent), now(5_000));
    events.extend(agent.tick(now(5_000)).unwrap().events);
    events.extend(agent.tick(now(10_000)).unwrap().events);
    let [sum] = sums(&events)[..] else { panic!("{:?}", sums(&events)) };
    assert_eq!(sum.event.user_id, "u");
    assert_eq!((&*sum.labels["scope"], &*sum.labels["short_lived_instances"]), ("s", "2000"));
    assert!(is_valid(&sum.event, &EventRules::at(sum.event.timestamp)), "{sum:?}");
    events.extend(agent.finish(now(11_000)).events);
    // The thousand that had events of their own leave what rounding took from them.
    let own = events.iter().filter(|it| it.event.instance_id.starts_with('g')).count();
    assert_eq!((own, seconds(&events)), (MAX_SHORT_LIVED, 2_100));
}

#[test]
fn in_one_run_the_sum_is_exact() {
    let world = world(&[("long", 1, 0)]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    add_groups(&world, "g", MAX_SHORT_LIVED + 7, 333);
    agent.tick(now(2_000)).unwrap();
    remove(&world, "g");
    let mut events = agent.finish(now(4_500)).events;
    assert_eq!(seconds(&events), (333 * (MAX_SHORT_LIVED as u64 + 7)) / 1_000);
    assert_eq!((events.len(), sums(&events).len()), (MAX_SHORT_LIVED + 2, 1));
    events.retain(|it| it.event.instance_id == "long");
    assert_eq!(short(&events), [e("long", 0, 5, 0)]);
}

#[test]
fn while_nobody_takes_events_they_are_bounded() {
    let world = world(&[("long", 1, 0)]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    agent.hold(true);
    let (mut events, mut used) = (Vec::new(), 0);
    for look in 1..20 {
        let prefix = format!("g{look}-");
        add_groups(&world, &prefix, 300, 1_500);
        used += 300 * 1_500;
        events.extend(agent.tick(now(look * 2_000)).unwrap().events);
        remove(&world, &prefix);
        events.extend(agent.tick(now(look * 2_000 + 1_000)).unwrap().events);
    }
    assert_eq!(events.len(), MAX_SHORT_LIVED);
    agent.hold(false);
    events.extend(agent.tick(now(41_000)).unwrap().events);
    assert_eq!(sums(&events).len(), 1);
    assert_eq!(seconds(&events), used / 1_000);
}

#[test]
fn those_that_had_an_event_before_have_a_last_one_of_their_own() {
    let world = world(&[]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    add_groups(&world, "g", 3 * MAX_SHORT_LIVED, 5_000);
    agent.tick(now(2_000)).unwrap();
    let mut events = agent.tick(now(10_000)).unwrap().events;
    remove(&world, "g");
    events.extend(agent.tick(now(12_000)).unwrap().events);
    assert!(sums(&events).is_empty());
    assert!(events.iter().all(|it| it.event.metrics.cpu_seconds == 5 || it.event.period.start > 10));
    assert_eq!(seconds(&events), 15_000);
}

#[test]
fn what_rounding_left_over_of_those_that_are_gone_is_billed() {
    let world = world(&[("a", 1, 0), ("b", 1, 0)]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    set(&world, "a", 1, 600);
    set(&world, "b", 1, 700);
    let mut events = agent.tick(now(10_000)).unwrap().events;
    world.borrow_mut().instances.clear();
    events.extend(agent.tick(now(12_000)).unwrap().events);
    assert_eq!(seconds(&events), 0);
    events.extend(agent.tick(now(20_000)).unwrap().events);
    assert_eq!((sums(&events).len(), seconds(&events)), (1, 1));
    assert_eq!(sums(&events)[0].labels.get("short_lived_instances"), None, "each had events of its own");
}

/// Thirty jobs of a third of a second, one after the other, are nine seconds of whoever runs them.
#[test]
fn many_short_jobs_are_billed_to_the_second() {
    let world = world(&[]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    let mut events = agent.tick(now(0)).unwrap().events;
    for job in 0..30u64 {
        let name = format!("job{job}");
        set(&world, &name, 1, 0);
        events.extend(agent.tick(now(job * 1_000 + 200)).unwrap().events);
        set(&world, &name, 1, 300);
        events.extend(agent.tick(now(job * 1_000 + 600)).unwrap().events);
        remove(&world, &name);
        events.extend(agent.tick(now(job * 1_000 + 700)).unwrap().events);
    }
    events.extend(agent.finish(now(31_000)).events);
    assert_eq!(seconds(&events), 9);
    assert_eq!(events.iter().map(|it| &*it.event.user_id).collect::<std::collections::BTreeSet<_>>().len(), 1);
}

#[test]
fn lost_cpu_time_is_billed_with_the_sum_of_the_scope() {
    let world = world(&[("long", 1, 0)]);
    let lost = |user: Option<&str>, millis| LostCpu {
        user: user.map(str::to_owned),
        org: None,
        used: Duration::from_millis(millis),
        cpus: 2.0,
    };
    let all = vec![lost(None, 1_500), lost(None, 1_600), lost(Some("v"), 2_000)];
    let scope = Box::new(Groups(Fake { world: Rc::clone(&world), ..Fake::default() }, all));
    let source = Source { name: "s".into(), scope, owner: Owner { user: "u".into(), ..Owner::default() } };
    let mut agent = Agent::new(vec![source], periods(10), now(1_000));
    let mut events = agent.tick(now(1_000)).unwrap().events;
    events.extend(agent.tick(now(10_000)).unwrap().events);
    let mut billed: Vec<(&str, u64)> =
        sums(&events).iter().map(|it| (it.event.user_id.as_str(), it.event.metrics.cpu_seconds)).collect();
    billed.sort_unstable();
    assert_eq!(billed, [("u", 3), ("v", 2)]);
}

#[test]
fn instances_that_lived_long_and_ended_are_forgotten_where_they_are_many() {
    const AT_ONCE: usize = 1_000;
    let world = world(&[("long", 1, 0)]);
    let mut agent = Agent::new(vec![groups(&world)], periods(10), now(0));
    agent.tick(now(0)).unwrap();
    let origin = Origin { host: "h".into(), boot: Some("b".into()) };
    let size = |agent: &Agent| Saved::encode(&origin, &[], &agent.snapshot()).unwrap().len();
    let (mut first, mut billed) = (0, 0);
    for turn in 0..8 {
        add_groups(&world, &format!("g{turn}-"), AT_ONCE, 1_000);
        // Over the end of a period, so that each has events of its own.
        billed += seconds(&agent.tick(now(turn * 10_000 + 9_000)).unwrap().events);
        billed += seconds(&agent.tick(now(turn * 10_000 + 11_000)).unwrap().events);
        remove(&world, "g");
        billed += seconds(&agent.tick(now(turn * 10_000 + 12_000)).unwrap().events);
        if turn == 0 {
            first = size(&agent);
        }
    }
    let last = size(&agent);
    billed += seconds(&agent.finish(now(90_000)).events);
    assert_eq!(billed, 8 * AT_ONCE as u64);
    assert!(last < 6 * first, "{first} bytes after the first thousand, {last} after eight");
}
