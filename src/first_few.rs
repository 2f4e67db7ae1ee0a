//! The first few of many messages, and how many more there are: what one text of others can bring about millions of times
//! must neither fill the memory nor the log.

/// So many messages are kept.
pub(crate) const KEPT_MESSAGES: usize = 20;

/// Messages, of which the first [`KEPT_MESSAGES`] are kept and the others counted.
#[derive(Debug, Default)]
pub(crate) struct FirstFew {
    list: Vec<String>,
    left_out: u64,
}

impl FirstFew {
    /// Adds the message that `message` makes, which is not asked where it would not be kept.
    pub(crate) fn push_with(&mut self, message: impl FnOnce() -> String) {
        if self.list.len() < KEPT_MESSAGES { self.list.push(message()) } else { self.left_out += 1 }
    }

    /// Counts messages that nobody made.
    pub(crate) const fn leave_out(&mut self, count: u64) {
        self.left_out += count;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty() && self.left_out == 0
    }

    /// The messages that were kept, and how many were left out.
    pub(crate) fn into_parts(self) -> (Vec<String>, u64) {
        (self.list, self.left_out)
    }

    /// The messages, and behind them how many more `things` there are.
    pub(crate) fn into_list(self, things: &str) -> Vec<String> {
        let more = (self.left_out > 0).then(|| format!("and {} more {things}, not named here", self.left_out));
        self.list.into_iter().chain(more).collect()
    }
}
