//! The CPU time of a tree of processes, of which some end. Pure.
//!
//! A process that ends and is waited for adds its time to its parent's, so that the sum over the tree runs on. What is
//! seen in neither place is kept here:
//!
//! - a process whose parent does not wait for it (SIGCHLD ignored, SA_NOCLDWAIT), or whose parent is not of the tree any
//!   more: its time as last seen;
//! - one that was waited for between the look at its parent and the look at where it was: its time is *owed* by its
//!   parent until the next look, which finds it there. Parents have to be looked at before their children.

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
    /// Time of children that should have come into `waited` by the next look.
    owed: u64,
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
        let mut gone: HashMap<Id, u64> = HashMap::new();
        for (id, account) in &before {
            if seen.contains_key(id) {
                continue;
            }
            let total = account.own + account.waited + account.owed;
            match living(account.parent, &before, seen) {
                Some(ancestor) => *gone.entry(ancestor).or_default() += total,
                None => self.kept += total,
            }
        }
        let mut sum = 0u64;
        for (id, entry) in seen {
            let mut owed = gone.get(id).copied().unwrap_or(0);
            if let Some(account) = before.get(id) {
                let arrived = entry.waited.saturating_sub(account.waited);
                // The older debt first: what is left of it will not come any more.
                self.kept += account.owed.saturating_sub(arrived);
                owed = owed.saturating_sub(arrived.saturating_sub(account.owed));
            }
            let account =
                Account { parent: by_number.get(&entry.parent).copied(), own: entry.own, waited: entry.waited, owed };
            sum += entry.own + entry.waited + owed;
            self.accounts.insert(*id, account);
        }
        self.sum = self.sum.max(sum + self.kept);
        self.sum
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

    proptest! {
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
