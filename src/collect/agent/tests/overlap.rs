//! What two scopes have is billed once, and goes on without a gap.

use super::*;

fn pattern(name: &str, world: &Rc<RefCell<World>>) -> Source {
    let scope = Box::new(Fake { world: Rc::clone(world), is_pattern: true, ..Fake::default() });
    Source { scope, ..source(name, world) }
}

fn is_group(world: &Rc<RefCell<World>>, name: &str, path: &str) {
    world.borrow_mut().places.insert(name.into(), Place::Group(path.into()));
}

/// CPU seconds that were billed to each instance.
fn billed(events: &[(String, i64, i64, u64)]) -> BTreeMap<&str, u64> {
    let mut billed = BTreeMap::new();
    events.iter().for_each(|event| *billed.entry(event.0.as_str()).or_insert(0) += event.3);
    billed
}

#[test]
fn two_scopes_with_one_id_are_an_error_at_the_start_and_left_out_later() {
    let (world, other) = (world(&[("a", 1, 0)]), world(&[("a", 1, 0)]));
    let mut agent = Agent::new(vec![source("one", &world), source("two", &other)], periods(10), now(0));
    let error = agent.tick(now(0)).unwrap_err().to_string();
    assert!(error.contains("one and two both have an instance called \"a\""), "{error}");
    other.borrow_mut().instances.clear();
    let mut agent = Agent::new(vec![source("one", &world), source("two", &other)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&other, "a", 1, 5_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 0)]);
}

#[test]
fn one_group_is_billed_by_one_scope() {
    let (world, other) = (world(&[("a", 1, 0)]), world(&[("b", 1, 0)]));
    is_group(&world, "a", "x");
    is_group(&other, "b", "x");
    let both = || vec![source("one", &world), source("two", &other)];
    let error = Agent::new(both(), periods(10), now(0)).tick(now(0)).unwrap_err().to_string();
    let expected = "the control group x would be billed twice: as \"a\" by the scope one and as \"b\" by the scope two";
    assert!(error.contains(expected), "{error}");

    // Through a pattern it is the first scope's, whichever of them is one.
    for sources in [
        vec![pattern("one", &world), source("two", &other)],
        vec![source("one", &world), pattern("two", &other)],
        vec![pattern("one", &world), pattern("two", &other)],
    ] {
        let mut agent = Agent::new(sources, periods(10), now(0));
        tick(&mut agent, 0);
        assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 0)]);
    }

    // One that appears later is of the first scope, until that lets go of it.
    other.borrow_mut().instances.clear();
    let mut agent = Agent::new(both(), periods(10), now(0));
    tick(&mut agent, 0);
    set(&other, "b", 1, 5_000);
    set(&world, "a", 1, 2_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 2)]);
    let second = agent.scopes().nth(1).unwrap().0;
    agent.reconfigure(vec![Plan::Keep(second)], periods(10), now(12_000));
    set(&other, "b", 1, 6_000);
    tick(&mut agent, 13_000);
    set(&other, "b", 1, 8_000);
    let billed: u64 = tick(&mut agent, 20_000).iter().filter(|event| event.0 == "b").map(|event| event.3).sum();
    assert_eq!(billed, 3, "what was used under the first scope stays with that");
}

#[test]
fn an_instance_that_is_another_group_now_has_that_place_and_no_other() {
    for turned in [false, true] {
        let (world, other) = (world(&[("one", 1, 0)]), world(&[("b-two", 1, 0)]));
        is_group(&world, "one", "x/one");
        is_group(&other, "b-two", "y/two");
        let mut both = vec![source("a", &world), source("b", &other)];
        if turned {
            both.reverse();
        }
        let mut agent = Agent::new(both, periods(10), now(0));
        tick(&mut agent, 0);
        set(&world, "one", 1, 2_000);
        let mut events = tick(&mut agent, 5_000);
        // The group of the first scope ends, and one of the same name is made elsewhere, where both scopes see it.
        is_group(&world, "one", "y/one");
        is_group(&other, "b-one", "y/one");
        set(&world, "one", 2, 1_000);
        set(&other, "b-one", 2, 1_000);
        events.extend(tick(&mut agent, 6_000));
        set(&world, "one", 2, 4_000);
        set(&other, "b-one", 2, 4_000);
        events.extend(tick(&mut agent, 10_000));
        let expected: &[_] = if turned { &[("b-one", 4), ("one", 2)] } else { &[("one", 6)] };
        let is_billed: Vec<_> = billed(&events).into_iter().filter(|(_, cpu)| *cpu > 0).collect();
        assert_eq!(is_billed, expected, "{events:?}");

        // Nobody has the place that it left.
        is_group(&other, "b-x", "x/one");
        set(&other, "b-x", 1, 1_000);
        events = tick(&mut agent, 12_000);
        events.extend(tick(&mut agent, 20_000));
        assert_eq!(billed(&events).get("b-x"), Some(&1), "{events:?}");
    }
}

#[test]
fn what_two_scopes_had_goes_on_in_one_from_the_moment_at_which_the_other_is_dropped() {
    let (world, other) = (world(&[]), world(&[("c", 1, 500)]));
    let mut agent = Agent::new(vec![source("one", &world), source("two", &other)], periods(30), now(0));
    tick(&mut agent, 0);
    is_group(&world, "a", "g-z");
    is_group(&other, "b", "g-z");
    let burn = |cpu| {
        set(&world, "a", 1, cpu);
        set(&other, "b", 1, cpu);
        set(&other, "c", 1, 500 + cpu);
    };
    burn(1_000);
    let mut events = tick(&mut agent, 4_000);
    burn(3_000);
    let second = agent.scopes().nth(1).unwrap().0;
    events.extend(short(&agent.reconfigure(vec![Plan::Keep(second)], periods(30), now(6_000)).events));
    burn(5_000);
    events.extend(tick(&mut agent, 8_000));
    burn(9_000);
    events.extend(tick(&mut agent, 30_000));
    assert_eq!(events, [e("a", 0, 6, 3), e("b", 6, 30, 6), e("c", 0, 30, 9)], "what is kept is looked at twice at 6");
}

#[test]
fn a_group_and_one_below_it_are_both_billed() {
    let (world, other) = (world(&[("a", 1, 0)]), world(&[("b", 1, 0)]));
    is_group(&world, "a", "x");
    is_group(&other, "b", "x/y");
    let mut agent = Agent::new(vec![source("one", &world), source("two", &other)], periods(10), now(0));
    tick(&mut agent, 0);
    set(&world, "a", 1, 3_000);
    set(&other, "b", 1, 1_000);
    assert_eq!(tick(&mut agent, 10_000), [e("a", 0, 10, 3), e("b", 0, 10, 1)]);
}
