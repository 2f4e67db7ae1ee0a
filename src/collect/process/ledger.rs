//! The CPU time of a tree of processes, of which some end. Pure.
//!
//! A process that ends and is waited for adds its time to its parent's, so that the sum over the tree runs on. What is
//! seen in neither place is kept here:
//!
//! - a process whose parent does not wait for it (SIGCHLD ignored, SA_NOCLDWAIT), or whose parent is not of the tree any
//!   more: its time as last seen;
//! - one that was waited for between the look at its parent and the look at where it was: its time is *owed* by its
//!   parent until the next look, which finds it there. Parents have to be looked at before their children.
//!
//! A process whose parent ended too may have been waited for by that one, or have been adopted by any process above that
//! is a child subreaper or the first of a process namespace (prctl(2), pid_namespaces(7)), which nothing shows from
//! outside. So its time is taken for arrived wherever above it time arrived that nobody else owed. Where that was the
//! time of others, of children that no look saw, as much is missing until the debt itself arrives.

use std::collections::HashMap;

/// A process, told from all others: its number and when it started.
pub(super) type Id = (u32, u64);

/// What a look saw of a process. Times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) parent: u32,
    pub(super) own: u64,
    pub(super) waited: u64,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    parent: Option<Id>,
    own: u64,
    waited: u64,
    /// Time that should have come into `waited` by the next look.
    owed: Debts,
}

/// Time of processes that ended.
#[derive(Debug, Default, Clone, Copy)]
struct Debts {
    /// Of children: nobody else can have waited for them.
    of_children: u64,
    /// Of those below whose parent ended as well.
    of_orphans: u64,
}

impl Debts {
    const fn total(self) -> u64 {
        self.of_children + self.of_orphans
    }

    /// Pays as much as `arrived` suffices for, and takes it from there.
    fn pay(&mut self, arrived: &mut u64) {
        for debt in [&mut self.of_children, &mut self.of_orphans] {
            let paid = (*debt).min(*arrived);
            *debt -= paid;
            *arrived -= paid;
        }
    }

    /// The same, by time that arrived further above.
    fn pay_orphans(&mut self, arrived: &mut u64) {
        let paid = self.of_orphans.min(*arrived);
        self.of_orphans -= paid;
        *arrived -= paid;
    }
}

/// Of one process that goes on, what is owed from before the last look and since, and what arrived that pays none of it.
#[derive(Debug, Default, Clone, Copy)]
struct Balance {
    earlier: Debts,
    new: Debts,
    arrived: u64,
}

/// Adds up.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: HashMap<Id, Account>,
    /// Time that no living process shows any more.
    kept: u64,
    /// The last sum; one that goes back would be taken for a new start.
    sum: u64,
}

impl Ledger {
    /// Whether `id` was seen at the last look.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        self.accounts.keys().copied()
    }

    /// The time of the tree after a look, in ticks.
    pub(super) fn look(&mut self, seen: &HashMap<Id, Entry>) -> u64 {
        let by_number: HashMap<u32, Id> = seen.keys().map(|id| (id.0, *id)).collect();
        let before = std::mem::take(&mut self.accounts);
        let mut balances: HashMap<Id, Balance> = HashMap::new();
        for (id, account) in &before {
            if let Some(entry) = seen.get(id) {
                let balance = balances.entry(*id).or_default();
                balance.earlier = account.owed;
                balance.arrived = entry.waited.saturating_sub(account.waited);
                continue;
            }
            let own = account.own + account.waited;
            match living(account.parent, &before, seen) {
                Some(ancestor) => {
                    let debts = &mut balances.entry(ancestor).or_default().new;
                    if account.parent == Some(ancestor) {
                        debts.of_children += own;
                    } else {
                        debts.of_orphans += own;
                    }
                    debts.of_orphans += account.owed.total();
                }
                None => self.kept += own + account.owed.total(),
            }
        }
        settle(&mut balances, &before);
        let mut sum = 0u64;
        for (id, entry) in seen {
            let balance = balances.get(id).copied().unwrap_or_default();
            // What is left of the older debt will not come any more.
            self.kept += balance.earlier.total();
            let parent = by_number.get(&entry.parent).copied();
            let account = Account { parent, own: entry.own, waited: entry.waited, owed: balance.new };
            sum += entry.own + entry.waited + balance.new.total();
            self.accounts.insert(*id, account);
        }
        self.sum = self.sum.max(sum + self.kept);
        self.sum
    }
}

/// Pays what is owed by what arrived: the older debt first, by who owes it before those above.
fn settle(balances: &mut HashMap<Id, Balance>, before: &HashMap<Id, Account>) {
    for balance in balances.values_mut() {
        balance.earlier.pay(&mut balance.arrived);
        balance.new.pay(&mut balance.arrived);
    }
    let has_orphans = |balance: &Balance| balance.earlier.of_orphans + balance.new.of_orphans > 0;
    let mut indebted: Vec<Id> = balances.iter().filter(|(_, it)| has_orphans(it)).map(|(id, _)| *id).collect();
    // Always in the same order.
    indebted.sort_unstable();
    for id in indebted {
        let Some(mut balance) = balances.get(&id).copied() else { continue };
        let mut above = before.get(&id).and_then(|account| account.parent);
        while let Some(ancestor) = above
            && has_orphans(&balance)
        {
            if let Some(other) = balances.get_mut(&ancestor) {
                balance.earlier.pay_orphans(&mut other.arrived);
                balance.new.pay_orphans(&mut other.arrived);
            }
            above = before.get(&ancestor).and_then(|account| account.parent);
        }
        balances.insert(id, balance);
    }
}

/// The nearest ancestor that is still there.
fn living(mut parent: Option<Id>, before: &HashMap<Id, Account>, seen: &HashMap<Id, Entry>) -> Option<Id> {
    while let Some(id) = parent {
        if seen.contains_key(&id) {
            return Some(id);
        }
        parent = before.get(&id)?.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(entries: &[(u32, u32, u64, u64)]) -> HashMap<Id, Entry> {
        entries.iter().map(|&(number, parent, own, waited)| ((number, 0), Entry { parent, own, waited })).collect()
    }

    #[test]
    fn a_child_that_was_waited_for_is_in_its_parent() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.look(&seen(&[(1, 0, 10, 0), (2, 1, 50, 0)])), 60);
        // It ran 5 ticks more before its end.
        assert_eq!(ledger.look(&seen(&[(1, 0, 10, 55)])), 65);
        assert_eq!(ledger.look(&seen(&[(1, 0, 11, 55)])), 66);
    }

    #[test]
    fn a_child_that_nobody_waits_for_is_kept() {
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 10, 0), (2, 1, 50, 0)]));
        for own in [10, 11, 12] {
            assert_eq!(ledger.look(&seen(&[(1, 0, own, 0)])), own + 50);
        }
        // A later child that is waited for pays no old debt.
        assert_eq!(ledger.look(&seen(&[(1, 0, 12, 7)])), 12 + 50 + 7);
    }

    #[test]
    fn a_child_that_ends_in_the_middle_of_a_look_is_counted_once() {
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 10, 0), (2, 1, 50, 0)]));
        assert_eq!(ledger.look(&seen(&[(1, 0, 10, 0)])), 60, "owed");
        assert_eq!(ledger.look(&seen(&[(1, 0, 10, 52)])), 62, "arrived");
        assert_eq!(ledger.look(&seen(&[(1, 0, 10, 52)])), 62);
    }

    #[test]
    fn a_whole_branch_ends_between_two_looks() {
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 1, 0), (2, 1, 10, 5), (3, 2, 100, 0)]));
        // 2 waited for 3, and 1 for 2.
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 115)])), 116);
        // 2 ended first, and 3 was left to somebody else: 1 has the time of 2 alone.
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 1, 0), (2, 1, 10, 5), (3, 2, 100, 0)]));
        ledger.look(&seen(&[(1, 0, 1, 15)]));
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 15)])), 116);
    }

    #[test]
    fn a_process_that_left_the_tree_is_kept() {
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 1, 0), (2, 1, 10, 0), (3, 2, 100, 0)]));
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 10), (3, 999, 110, 0)])), 121, "adopted by another one");
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 10)])), 121, "and ended there");
    }

    /// A container's first process, whose children's children it adopts when their parent ends.
    #[test]
    fn an_orphan_that_was_adopted_and_waited_for_further_above_is_counted_once() {
        let mut ledger = Ledger::default();
        // 1 adopts; 2 is a shell that goes on, 3 its child, 4 the child of that.
        ledger.look(&seen(&[(1, 0, 1, 0), (2, 1, 1, 0), (3, 2, 10, 0), (4, 3, 100, 0)]));
        // 3 ends and is waited for by 2; 4 ends afterwards, adopted and waited for by 1.
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 100), (2, 1, 1, 10)])), 112);
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 100), (2, 1, 1, 10)])), 112);
        // A child whose parent goes on is that one's alone: what arrives above is of others.
        let mut ledger = Ledger::default();
        ledger.look(&seen(&[(1, 0, 1, 0), (2, 1, 1, 0), (3, 2, 10, 0)]));
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 7), (2, 1, 1, 0)])), 19, "2 waits for nobody");
        assert_eq!(ledger.look(&seen(&[(1, 0, 1, 7), (2, 1, 1, 0)])), 19);
    }

    proptest! {
        /// The same where processes end while they have children, which are adopted by the next subreaper above or leave
        /// the tree, and where some are never waited for: what was seen is counted, and nothing twice.
        #[test]
        fn trees_with_reapers_are_never_counted_twice(
            reapers in proptest::collection::vec(any::<bool>(), 4),
            steps in proptest::collection::vec((0u8..7, 0usize..8, 1u64..50), 1..200),
        ) {
            // Every fourth process is of one kind.
            let is_reaper = |number: u32| number == 1 && reapers[0] || reapers[number as usize % 4] && number.is_multiple_of(3);
            let mut alive: Vec<(u32, u32, u64, u64)> = vec![(1, 0, 0, 0)];
            let (mut next, mut true_sum, mut ledger) = (2, 0u64, Ledger::default());
            // Time in nobody's hands that a look may never have seen.
            let mut left = 0u64;
            for (step, which, ticks) in steps {
                let index = which % alive.len();
                match step {
                    0 | 1 => { alive[index].2 += ticks; true_sum += ticks; }
                    2 | 3 => { let parent = alive[index].0; alive.push((next, parent, 0, 0)); next += 1; }
                    4 if index > 0 => {
                        let (number, parent, own, waited) = alive.remove(index);
                        let mut adopter = parent;
                        while adopter != 0 && !is_reaper(adopter) {
                            adopter = alive.iter().find(|other| other.0 == adopter).map_or(0, |other| other.1);
                        }
                        for other in alive.iter_mut().filter(|other| other.1 == number) {
                            other.1 = adopter;
                        }
                        match alive.iter_mut().find(|other| other.0 == parent) {
                            // What runs under a number that is divided by seven is not waited for.
                            Some(parent) if !number.is_multiple_of(7) => parent.3 += own + waited,
                            _ => left += own + waited,
                        }
                    }
                    _ => {
                        let sum = ledger.look(&seen(&alive));
                        prop_assert!(sum <= true_sum, "{} of {}", sum, true_sum);
                    }
                }
            }
            ledger.look(&seen(&alive));
            let sum = ledger.look(&seen(&alive));
            prop_assert!(sum <= true_sum, "{} of {}", sum, true_sum);
            prop_assert!(sum + left >= true_sum, "{} and {} of {}", sum, left, true_sum);
        }

        /// Processes run, fork, end, are waited for at once or in the middle of a look: the sum is the kernel's.
        #[test]
        fn no_tick_is_lost_or_counted_twice(steps in proptest::collection::vec((0u8..6, 0usize..8, 1u64..50), 1..200)) {
            // (number, parent, own, waited); the first one never ends.
            let mut alive: Vec<(u32, u32, u64, u64)> = vec![(1, 0, 0, 0)];
            let (mut next, mut true_sum) = (2, 0u64);
            let mut ledger = Ledger::default();
            let mut last = 0;
            for (step, which, ticks) in steps {
                let index = which % alive.len();
                match step {
                    0 | 1 => { alive[index].2 += ticks; true_sum += ticks; }
                    2 => { let parent = alive[index].0; alive.push((next, parent, 0, 0)); next += 1; }
                    3 => {
                        // Ends and is waited for. Only those without children: orphans are another story.
                        let (number, parent, own, waited) = alive[index];
                        if index > 0 && alive.iter().all(|other| other.1 != number) {
                            alive.remove(index);
                            alive.iter_mut().find(|other| other.0 == parent).unwrap().3 += own + waited;
                        }
                    }
                    4 => {
                        let sum = ledger.look(&seen(&alive));
                        prop_assert_eq!(sum, true_sum);
                        last = sum;
                    }
                    _ => {
                        // A look in whose middle a process is waited for: its parent was looked at before.
                        let (number, parent, own, waited) = alive[index];
                        if index > 0 && alive.iter().all(|other| other.1 != number) {
                            let mut look = seen(&alive);
                            look.remove(&(number, 0));
                            let sum = ledger.look(&look);
                            prop_assert!(sum >= last && sum <= true_sum, "{} {} {}", last, sum, true_sum);
                            last = sum;
                            alive.remove(index);
                            alive.iter_mut().find(|other| other.0 == parent).unwrap().3 += own + waited;
                        }
                    }
                }
            }
            ledger.look(&seen(&alive));
            prop_assert_eq!(ledger.look(&seen(&alive)), true_sum);
        }
    }
}
