//! What tests of the spool have in common: a spool at a fixed time, and events told apart by their starts.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::events::tests::sample;
use crate::transport::BatchLimits;

/// No limit.
pub(super) const ALL: BatchLimits = BatchLimits { events: usize::MAX, bytes: usize::MAX };

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

pub(super) fn open(path: &Path) -> Spool {
    let clock = Arc::new(ManualClock::at_unix(1_626_350_430));
    Spool::open(path, "form://h/t", SpoolOptions::default(), clock).unwrap()
}

pub(super) fn event(instance: &str, n: i64) -> NewItem {
    let mut event = sample();
    event.instance_id = instance.to_owned();
    event.period.start = n;
    NewItem::Event(NewEvent { encoded: EncodedEvent::encode(event).unwrap(), source: "test".into(), line: None })
}

pub(super) async fn take(spool: &Spool, instance: &str, numbers: std::ops::Range<i64>) {
    spool.take(numbers.map(|n| event(instance, n)).collect()).await.unwrap();
}

pub(super) fn starts(fetched: &Fetched) -> Vec<i64> {
    fetched.events.iter().map(|it| it.encoded.event().period.start).collect()
}

pub(super) fn acknowledge(spool: &Spool, fetched: &Fetched) {
    fetched.events.iter().for_each(|it| spool.delivered(it.seq, it.encoded.id()));
}
