//! Who comes to a network namespace that another instance is in: that one asks then where its threads are, which may have
//! come from it. Pure.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

/// Fewer namespaces than this are not looked through for those that nobody is in any more.
const FEW: usize = 64;

/// How often instances came to each namespace, by inode, of those that one is in.
#[derive(Debug, Default)]
pub(super) struct Joins {
    namespaces: HashMap<u64, Weak<Cell<u64>>>,
    /// With so many of them, those that nobody is in are forgotten.
    most: usize,
}

/// One instance's part of it.
#[derive(Debug)]
pub(super) struct Joined {
    count: Rc<Cell<u64>>,
    seen: u64,
}

impl Joins {
    /// An instance comes to the namespace.
    pub(super) fn join(&mut self, inode: u64) -> Joined {
        if self.namespaces.len() >= self.most.max(FEW) {
            self.namespaces.retain(|_, count| count.strong_count() > 0);
            self.most = 2 * self.namespaces.len();
        }
        let count = self.namespaces.get(&inode).and_then(Weak::upgrade).unwrap_or_default();
        self.namespaces.insert(inode, Rc::downgrade(&count));
        count.set(count.get().wrapping_add(1));
        Joined { seen: count.get(), count }
    }
}

impl Joined {
    /// Whether another instance came since this was asked last, or since this one came.
    pub(super) fn has_new(&mut self) -> bool {
        let count = self.count.get();
        std::mem::replace(&mut self.seen, count) != count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_a_namespace_learns_of_who_comes() {
        let mut joins = Joins::default();
        let mut first = joins.join(7);
        let mut other = joins.join(8);
        assert!(!first.has_new());
        let mut second = joins.join(7);
        assert!(first.has_new() && !first.has_new() && !second.has_new() && !other.has_new());
        drop((first, second));
        assert!(!joins.join(7).has_new());
        for inode in 100..10_000 {
            joins.join(inode);
        }
        assert!(joins.namespaces.len() <= 2 * FEW, "those that nobody is in are forgotten");
        joins.join(8);
        assert!(other.has_new());
    }
}
