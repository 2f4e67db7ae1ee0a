//! From the thread that reads, which may block, to the task that publishes.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::intake::Intake;

/// How many lines may be read ahead of the pipeline.
pub(super) const READ_AHEAD: usize = 256;

/// The end of the channel in front of a pipeline at which a thread of its own puts in what it reads.
#[derive(Debug)]
pub struct Feed {
    sender: mpsc::Sender<Intake>,
    runtime: Handle,
}

impl Feed {
    /// A channel for 256 lines, or 16 MiB of longer ones. To be called within the runtime of the pipeline.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Intake>) {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        (Self { sender, runtime: Handle::current() }, receiver)
    }

    /// Puts `group` in, once there is room for all of it: two threads that wake each other for every line would do little
    /// else. Blocks until then; not to be called within a runtime.
    ///
    /// # Errors
    /// What is left of the group, where nobody takes any more.
    pub fn put(&self, mut group: Vec<Intake>) -> Result<(), Vec<Intake>> {
        while !group.is_empty() {
            let others = group.split_off(group.len().min(READ_AHEAD));
            // Of long lines few are held: they wait until enough of the channel is free.
            let slots = group.iter().map(slots).sum::<usize>().min(READ_AHEAD);
            let Ok(permits) = self.runtime.block_on(self.sender.reserve_many(slots)) else {
                group.extend(others);
                return Err(group);
            };
            permits.zip(group).for_each(|(permit, item)| permit.send(item));
            group = others;
        }
        Ok(())
    }
}

/// How many free places of the channel an item waits for: about one for each KiB.
pub(super) fn slots(item: &Intake) -> usize {
    (item.size() >> 10).clamp(1, READ_AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: usize) -> Vec<Intake> {
        (0..count).map(|n| Intake::Broken(n.to_string())).collect()
    }

    #[tokio::test]
    async fn groups_of_any_size_arrive_whole_and_what_nobody_takes_comes_back() {
        let (feed, mut receiver) = Feed::channel();
        let putting = std::thread::spawn(move || {
            feed.put(items(600)).unwrap();
            feed.put(items(600)).unwrap_err().len()
        });
        for item in items(600) {
            assert_eq!(receiver.recv().await, Some(item));
        }
        drop(receiver);
        let left = tokio::task::spawn_blocking(|| putting.join().unwrap()).await.unwrap();
        assert!(left > 0 && left <= 600, "{left}");
    }
}
