//! Network namespaces that several instances are in: each byte is billed once, whoever comes and goes when.

use super::*;
use crate::collect::{CollectError, Traffic};
use crate::events::MetricSet;
use crate::units::BYTES_PER_MB;

/// A network namespace with one interface.
#[derive(Debug, Clone)]
struct Namespace {
    inode: u64,
    sent: u64,
    /// When it was made, in milliseconds.
    began: u64,
}

/// What stands for a namespace that the group left, but for a socket.
const LEFT: usize = 1_000;
/// The same of a group without any process.
const LEFT_BY_ALL: usize = 2_000;

/// Control groups, by path, each with a number of its life and the namespaces that it is in; and namespaces.
#[derive(Debug, Default)]
struct Networks {
    groups: BTreeMap<String, (u32, Vec<usize>)>,
    namespaces: Vec<Namespace>,
    /// The names of interfaces that count, and the keys of those that a scope was told to choose.
    patterns: Vec<String>,
    chosen: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Groups {
    networks: Rc<RefCell<Networks>>,
    known: BTreeMap<String, u32>,
    looked: bool,
}

impl Scope for Groups {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let networks = self.networks.borrow();
        let observed = networks.groups.iter().map(|(path, (life, inside))| {
            let (mut network, mut began, mut namespaces) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
            let mut left_namespaces = Vec::new();
            for which in inside {
                let namespace = &networks.namespaces[which % LEFT];
                if *which >= LEFT {
                    left_namespaces.push(namespace.inode);
                }
                if *which >= LEFT_BY_ALL {
                    continue;
                }
                let name = format!("/2@{}", namespace.inode);
                network.insert(name.clone(), Traffic { sent: namespace.sent, received: 0 });
                // Not known better than so.
                began.insert(name, Duration::from_millis(namespace.began + 400));
                namespaces.push(namespace.inode);
            }
            namespaces.sort_unstable();
            Observed {
                instance: path.clone(),
                life: format!("{path}:{life}"),
                born: self.looked && self.known.get(path) != Some(life),
                user: None,
                org: None,
                place: Place::Group(path.as_str().into()),
                reading: Reading {
                    at,
                    network: Some(network),
                    began,
                    namespaces,
                    left_namespaces,
                    ..Reading::default()
                },
            }
        });
        let observed = observed.collect();
        self.known = networks.groups.iter().map(|(path, (life, _))| (path.clone(), *life)).collect();
        self.looked = true;
        Ok(observed)
    }

    fn interface_patterns(&self) -> Vec<String> {
        self.networks.borrow().patterns.clone()
    }

    fn choose_interfaces(&mut self, keys: &[String], _at: Monotonic) {
        self.networks.borrow_mut().chosen.push(keys.to_vec());
    }
}

fn groups(networks: &Rc<RefCell<Networks>>) -> Source {
    let scope = Groups { networks: Rc::clone(networks), known: BTreeMap::new(), looked: false };
    Source { name: "s".into(), scope: Box::new(scope), owner: Owner { user: "u".into(), ..Owner::default() } }
}

/// The megabytes that each instance was billed.
fn billed(events: &[Metered]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for event in events {
        let sent = event.event.metrics.network_egress_mb;
        assert!(sent >= 0.0 && sent.fract() == 0.0, "{sent}");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let sent = sent as u64;
        *sums.entry(event.event.instance_id.clone()).or_default() += sent;
    }
    sums
}

/// A machine whose groups are metered, second by second.
struct Run {
    networks: Rc<RefCell<Networks>>,
    agent: Agent,
    second: u64,
    events: Vec<Metered>,
}

impl Run {
    fn start() -> Self {
        let networks = Rc::new(RefCell::new(Networks::default()));
        let agent = Agent::new(vec![groups(&networks)], periods(10), now(100_000));
        Self { networks, agent, second: 100, events: Vec::new() }
    }

    /// A new namespace, made halfway to the next sample, which is a second after the last one.
    fn namespace(&self, inode: u64) -> usize {
        let namespaces = &mut self.networks.borrow_mut().namespaces;
        namespaces.push(Namespace { inode, sent: 0, began: self.second * 1_000 - 500 });
        namespaces.len() - 1
    }

    fn pass(&self, namespace: usize, megabytes: u64) {
        self.networks.borrow_mut().namespaces[namespace].sent += megabytes * BYTES_PER_MB;
    }

    /// The group is in these namespaces.
    fn enter(&self, group: &str, life: u32, inside: &[usize]) {
        self.networks.borrow_mut().groups.insert(group.into(), (life, inside.to_vec()));
    }

    fn remove(&self, group: &str) {
        self.networks.borrow_mut().groups.remove(group);
    }

    fn sample(&mut self) {
        let tick = self.agent.tick(now(self.second * 1_000)).unwrap();
        self.events.extend(tick.events);
        self.second += 1;
    }

    /// Another process goes on with the state, so many seconds later.
    fn restart(&mut self, later: u64) {
        self.second += later;
        let kept = kept(&self.agent);
        self.agent = Agent::resume(vec![groups(&self.networks)], periods(10), kept, now(self.second * 1_000));
        self.sample();
    }

    fn end(mut self) -> BTreeMap<String, u64> {
        self.sample();
        self.events.extend(self.agent.finish(now(self.second * 1_000)).events);
        billed(&self.events)
    }
}

fn sums(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(group, megabytes)| ((*group).to_owned(), *megabytes)).collect()
}

#[test]
fn a_namespace_of_two_groups_is_billed_to_the_first_and_then_to_the_other() {
    for restarts in [false, true] {
        let mut run = Run::start();
        run.enter("b", 1, &[]);
        run.sample();
        let pod = run.namespace(7);
        run.enter("b", 1, &[pod]);
        run.sample();
        run.enter("a", 1, &[pod]);
        run.pass(pod, 10);
        run.sample();
        run.pass(pod, 20);
        if restarts {
            run.restart(30);
        }
        run.sample();
        run.pass(pod, 100);
        run.remove("b");
        if restarts {
            run.restart(30);
        }
        run.sample();
        run.sample();
        run.pass(pod, 1_000);
        assert_eq!(run.end(), sums(&[("a", 1_100), ("b", 30)]), "restarts: {restarts}");
    }
}

#[test]
fn a_container_that_restarts_in_its_pod_is_billed_from_where_the_one_before_ended() {
    for (next, restarts) in [("pod/2", false), ("pod/1", false), ("pod/2", true), ("pod/1", true)] {
        let mut run = Run::start();
        run.sample();
        let pod = run.namespace(7);
        run.enter("pod/1", 1, &[pod]);
        run.pass(pod, 77);
        run.sample();
        run.sample();
        run.remove("pod/1");
        if restarts {
            run.restart(60);
        }
        run.sample();
        run.pass(pod, 5);
        run.enter(next, 2, &[pod]);
        if restarts {
            run.restart(60);
        }
        run.sample();
        run.sample();
        let billed = run.end();
        assert_eq!(billed.values().sum::<u64>(), 82, "{next}, restarts: {restarts}: {billed:?}");
    }
}

#[test]
fn a_namespace_that_nobody_metered_begins_at_zero_where_it_is_younger_than_the_group() {
    let mut run = Run::start();
    let old = run.namespace(7);
    run.pass(old, 77);
    run.sample();
    run.sample();
    let young = run.namespace(8);
    run.pass(young, 5);
    run.enter("old", 1, &[old]);
    run.enter("young", 1, &[young]);
    run.sample();
    run.pass(old, 1);
    // One that was started while nobody looked, with its namespace and with an old one.
    let kept = kept(&run.agent);
    run.second += 60;
    let unseen = run.namespace(9);
    run.pass(unseen, 8);
    run.enter("unseen", 1, &[unseen]);
    run.second += 60;
    run.agent = Agent::resume(vec![groups(&run.networks)], periods(10), kept, now(run.second * 1_000));
    run.sample();
    run.sample();
    assert_eq!(run.end(), sums(&[("old", 1), ("unseen", 8), ("young", 5)]));
}

#[test]
fn a_process_that_moves_takes_no_traffic_along() {
    let mut run = Run::start();
    run.enter("a", 1, &[]);
    run.enter("b", 1, &[]);
    run.sample();
    let own = run.namespace(7);
    run.enter("a", 1, &[own]);
    run.sample();
    run.pass(own, 3);
    run.sample();
    run.enter("a", 1, &[]);
    run.enter("b", 1, &[own]);
    run.pass(own, 8);
    run.sample();
    run.sample();
    assert_eq!(run.end(), sums(&[("a", 3), ("b", 8)]));
}

#[test]
fn an_owner_without_a_thread_in_the_namespace_gives_way() {
    let mut run = Run::start();
    run.enter("a", 1, &[]);
    run.enter("b", 1, &[]);
    run.sample();
    let own = run.namespace(7);
    run.enter("a", 1, &[own]);
    run.pass(own, 3);
    run.sample();
    run.enter("a", 1, &[own + LEFT]);
    run.pass(own, 10);
    run.sample();
    run.sample();
    run.enter("b", 1, &[own]);
    run.pass(own, 100);
    run.sample();
    run.sample();
    run.pass(own, 1_000);
    run.sample();
    let billed = run.end();
    assert!(billed["a"] + billed["b"] == 1_113 && billed["b"] >= 1_000, "{billed:?}");
}

#[test]
fn a_namespace_with_the_number_of_another_one_is_billed_in_full() {
    let mut run = Run::start();
    run.sample();
    let first = run.namespace(7);
    run.enter("a", 1, &[first]);
    run.pass(first, 5);
    run.sample();
    run.remove("a");
    (0..3).for_each(|_| run.sample());
    let next = run.namespace(7);
    run.enter("b", 1, &[next]);
    run.pass(next, 9);
    run.sample();
    assert_eq!(run.end(), sums(&[("a", 5), ("b", 9)]));
}

#[test]
fn a_group_within_another_is_in_the_figures_of_that_one() {
    let mut run = Run::start();
    run.sample();
    let own = run.namespace(7);
    for group in ["slice", "slice/a", "slice/b"] {
        run.enter(group, 1, &[own]);
    }
    run.pass(own, 5);
    run.sample();
    run.sample();
    assert_eq!(run.end(), sums(&[("slice", 5), ("slice/a", 5), ("slice/b", 0)]));
}

#[test]
fn a_namespace_whose_owner_is_forgotten_does_not_begin_at_zero() {
    let mut run = Run::start();
    run.enter("long", 1, &[]);
    run.sample();
    let own = run.namespace(7);
    run.enter("a", 1, &[own]);
    run.pass(own, 5);
    run.sample();
    run.remove("a");
    run.sample();
    run.second += 3_600;
    run.sample();
    run.sample();
    run.enter("long", 1, &[own]);
    run.sample();
    run.pass(own, 1);
    assert_eq!(run.end(), sums(&[("a", 5), ("long", 1)]));
}

#[test]
fn a_socket_in_a_namespace_that_was_left_before_a_restart_is_not_metered() {
    for (left, ends) in [(LEFT, false), (LEFT_BY_ALL, false), (0, true), (0, false)] {
        let mut run = Run::start();
        run.enter("a", 1, &[]);
        run.enter("b", 1, &[]);
        run.sample();
        let own = run.namespace(7);
        run.enter("a", 1, &[own]);
        run.pass(own, 3);
        run.sample();
        run.enter("a", 1, &[own + left]);
        run.sample();
        let left = left > 0;
        if left || ends {
            // No process is there by which another process could find it.
            run.enter("a", 1, &[]);
        }
        run.restart(1);
        (0..12).for_each(|_| run.sample());
        run.restart(1);
        (0..12).for_each(|_| run.sample());
        let flags = |who: &str| {
            let events = run.events.iter().filter(|event| event.event.instance_id == who);
            let flags = events.map(|event| event.not_metered.intersects(MetricSet::NETWORK));
            let flags: Vec<bool> = flags.collect();
            (flags.iter().any(|is| *is), flags.last().copied())
        };
        assert_eq!(flags("a"), (left || ends, Some(left)), "left: {left}, ends: {ends}");
        assert_eq!(flags("b"), (false, Some(false)));
        // Where another instance has the number, it is another namespace, or that one is billed for it.
        run.enter("b", 1, &[own]);
        run.events.clear();
        (0..22).for_each(|_| run.sample());
        let last = run.events.iter().rfind(|event| event.event.instance_id == "a").unwrap();
        assert!(!last.not_metered.intersects(MetricSet::NETWORK), "left: {left}, ends: {ends}");
    }
}

#[test]
fn interfaces_that_a_pattern_chose_are_chosen_after_a_restart_by_the_same_pattern() {
    let mut run = Run::start();
    run.networks.borrow_mut().patterns = vec!["eth*".to_owned()];
    run.sample();
    let own = run.namespace(7);
    run.enter("a", 1, &[own]);
    run.sample();
    assert!(run.networks.borrow().chosen.is_empty());
    run.restart(1);
    let chosen = std::mem::take(&mut run.networks.borrow_mut().chosen);
    assert_eq!(chosen, [vec!["/2@7".to_owned()], vec![]], "for the first sample alone");
    let kept = kept(&run.agent);
    run.networks.borrow_mut().patterns = vec!["up*".to_owned()];
    run.second += 1;
    run.agent = Agent::resume(vec![groups(&run.networks)], periods(10), kept, now(run.second * 1_000));
    run.sample();
    assert!(run.networks.borrow().chosen.is_empty(), "another pattern chooses anew");
}

#[derive(Debug, Clone)]
enum Step {
    /// So many megabytes pass the namespace.
    Pass(usize, u64),
    /// The group is made, with the namespaces that it is in, or goes elsewhere.
    Enter(usize, Vec<usize>),
    /// The group is removed.
    Remove(usize),
    /// The namespace is replaced by another one with the same number, where nobody is in it.
    Replace(usize),
    Sample,
    /// The process ends; the next one begins so many seconds later.
    Restart(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let inside = proptest::collection::vec(0usize..2, 0..3);
    let step = prop_oneof![
        6 => (0usize..2, 1u64..8).prop_map(|(which, megabytes)| Step::Pass(which, megabytes)),
        4 => (0usize..GROUPS.len(), inside).prop_map(|(which, inside)| Step::Enter(which, inside)),
        2 => (0usize..GROUPS.len()).prop_map(Step::Remove),
        1 => (0usize..2).prop_map(Step::Replace),
        6 => Just(Step::Sample),
        1 => (0u64..2_000).prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

const GROUPS: [&str; 4] = ["a", "b", "c", "c/d"];
/// What a megabyte of the second namespace is taken for, so that a sum tells what passed each.
const SECOND: u64 = 1 << 20;

proptest! {
    /// Whatever order groups, their processes, namespaces, samples and restarts come in: what all groups that do not
    /// contain one another are billed of a namespace is never more than what passed it.
    #[test]
    fn no_namespace_is_billed_twice(steps in steps()) {
        let mut run = Run::start();
        let mut passed = [0u64; 2];
        let namespaces = [run.namespace(7), run.namespace(8)];
        let mut lives = 0;
        run.sample();
        for step in steps {
            match step {
                Step::Pass(which, megabytes) => {
                    let megabytes = if which == 0 { megabytes } else { megabytes * SECOND };
                    run.pass(namespaces[which], megabytes);
                    passed[which] += megabytes;
                }
                Step::Enter(which, mut inside) => {
                    inside.sort_unstable();
                    inside.dedup();
                    let inside: Vec<usize> = inside.into_iter().map(|which| namespaces[which]).collect();
                    let path = GROUPS[which];
                    let known = run.networks.borrow().groups.get(path).map(|(life, _)| *life);
                    lives += u32::from(known.is_none());
                    run.enter(path, known.unwrap_or(lives), &inside);
                }
                Step::Remove(which) => run.remove(GROUPS[which]),
                Step::Replace(which) => {
                    let mut networks = run.networks.borrow_mut();
                    let is_used = networks.groups.values().any(|(_, inside)| inside.contains(&namespaces[which]));
                    if !is_used {
                        let namespace = &mut networks.namespaces[namespaces[which]];
                        (namespace.sent, namespace.began) = (0, run.second * 1_000 - 500);
                    }
                }
                Step::Sample => run.sample(),
                Step::Restart(later) => run.restart(later),
            }
        }
        let billed = run.end();
        for apart in [["a", "b", "c"], ["a", "b", "c/d"]] {
            let sum: u64 = apart.iter().filter_map(|group| billed.get(*group)).sum();
            prop_assert!(sum % SECOND <= passed[0], "{} of {} MB: {:?}", sum % SECOND, passed[0], billed);
            prop_assert!(sum / SECOND <= passed[1] / SECOND, "{:?} of {:?} MB", billed, passed);
        }
    }
}
