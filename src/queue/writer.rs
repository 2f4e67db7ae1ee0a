//! The one thread that writes: it commits what came in together, then answers all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::transport::EventStore;

/// How many writes may wait; further requests wait to be taken.
const WAITING: usize = 1_024;
/// The most that is committed together.
const COMMIT_MESSAGES: usize = 1_000;
const COMMIT_BYTES: usize = 8 << 20;

/// A write, and whom to tell.
struct Job {
    topic: String,
    content: Vec<u8>,
    done: oneshot::Sender<Result<(), String>>,
}

/// A handle to the writing thread.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    healthy: Arc<AtomicBool>,
}

/// Starts the thread. It ends when every handle is gone.
pub(super) fn start(store: EventStore) -> (Writer, JoinHandle<()>) {
    let (jobs, waiting) = mpsc::channel(WAITING);
    let healthy = Arc::new(AtomicBool::new(true));
    let health = healthy.clone();
    let thread = std::thread::spawn(move || run(store, waiting, &health));
    (Writer { jobs, healthy }, thread)
}

impl Writer {
    /// Whether the last commit succeeded.
    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Writes a message; on disk when this returns.
    pub(super) async fn write(&self, topic: String, content: Vec<u8>) -> Result<(), String> {
        const GONE: &str = "the queue is ending";
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { topic, content, done }).await.map_err(|_| GONE.to_owned())?;
        answer.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }
}

fn run(mut store: EventStore, mut waiting: mpsc::Receiver<Job>, healthy: &AtomicBool) {
    while let Some(first) = waiting.blocking_recv() {
        let mut bytes = first.content.len();
        let mut jobs = vec![first];
        while jobs.len() < COMMIT_MESSAGES && bytes < COMMIT_BYTES {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += job.content.len();
            jobs.push(job);
        }
        let messages: Vec<(&str, &[u8])> =
            jobs.iter().map(|job| (job.topic.as_str(), job.content.as_slice())).collect();
        let result = store.append(&messages, SystemClock.unix_seconds());
        healthy.store(result.is_ok(), Ordering::Relaxed);
        let answer = result.map(|_| ()).map_err(|error| error.to_string());
        if let Err(reason) = &answer {
            tracing::error!(%reason, writes = jobs.len(), "nothing could be written");
        }
        for job in jobs {
            // Whoever hung up will ask again, and be told that it is known.
            let _ = job.done.send(answer.clone());
        }
    }
    if let Err(error) = store.checkpoint() {
        tracing::debug!(%error, "the log of the store was not folded in");
    }
}
