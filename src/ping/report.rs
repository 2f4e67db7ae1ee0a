//! What a probe found, over all its rounds.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::certificate::TlsFacts;
use super::step::{Problem, Status, Step, Taken};

/// The whole report: one part for each address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PingReport {
    /// The destination, as a URL without secrets.
    pub destination: String,
    /// No step failed anywhere.
    pub ok: bool,
    /// The rounds that were made.
    pub rounds: u32,
    /// Whether writes were tried.
    pub write: bool,
    /// Every address that a name resolved to, in the order of the resolver; a name that does not resolve stands here
    /// without an address.
    pub addresses: Vec<AddressReport>,
}

/// What was found at one address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AddressReport {
    /// The host as the URL names it; the path where the destination is a file.
    pub host: String,
    /// Address and port; none where the name does not resolve, and for files.
    pub address: Option<SocketAddr>,
    /// The steps in the order in which they were taken, up to the one that failed.
    pub steps: Vec<StepReport>,
}

impl AddressReport {
    /// The step that failed, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.status == Status::Failed)
    }
}

/// One step at one address, over all rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Which one.
    pub step: Step,
    /// The gravest of all rounds.
    pub status: Status,
    /// In how many rounds it was tried.
    pub tried: u32,
    /// In how many of them it failed.
    pub failed: u32,
    /// What was found, in words, in the last round with this status.
    pub detail: String,
    /// How long it took; none where it was not tried.
    #[serde(flatten)]
    pub timing: Option<Timing>,
    /// What is wrong and what to do, where something is.
    #[serde(flatten)]
    pub problem: Option<Problem>,
    /// The certificate, where one was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFacts>,
    /// Seconds that the other side's clock is ahead of ours, give or take a second; negative where it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_difference_seconds: Option<f64>,
}

/// How long a step took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    /// The shortest.
    pub min_ms: f64,
    /// The one in the middle.
    pub median_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

impl Timing {
    /// By nearest rank; none of none.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        // Whole microseconds: more digits would say nothing.
        let milliseconds = |time: &Duration| time.as_micros() as f64 / 1e3;
        let rank = |percent: usize| {
            let rank = (times.len() * percent).div_ceil(100).max(1);
            times.get(rank - 1).map(milliseconds)
        };
        Some(Self { min_ms: times.first().map(milliseconds)?, median_ms: rank(50)?, p99_ms: rank(99)? })
    }
}

/// The rounds so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) rounds: u32,
    addresses: Vec<Address>,
}

#[derive(Debug)]
struct Address {
    host: String,
    address: Option<SocketAddr>,
    steps: Vec<Vec<Taken>>,
}

impl Tally {
    /// Adds the steps of one round at one address.
    pub(super) fn add(&mut self, host: &str, address: Option<SocketAddr>, taken: Vec<Taken>) {
        let known = self.addresses.iter().position(|known| known.host == host && known.address == address);
        let index = known.unwrap_or_else(|| {
            self.addresses.push(Address { host: host.to_owned(), address, steps: Vec::new() });
            self.addresses.len() - 1
        });
        let Some(into) = self.addresses.get_mut(index) else { return };
        let mut behind = 0;
        for step in taken {
            let known = into.steps.iter().position(|known| known.first().is_some_and(|first| first.step == step.step));
            let at = known.unwrap_or_else(|| {
                // A step that an earlier round did not reach comes behind the one that this round took before it.
                into.steps.insert(behind, Vec::new());
                behind
            });
            if let Some(list) = into.steps.get_mut(at) {
                list.push(step);
            }
            behind = at + 1;
        }
    }

    pub(super) fn report(&self, destination: String, write: bool) -> PingReport {
        let addresses: Vec<AddressReport> = self
            .addresses
            .iter()
            .map(|address| AddressReport {
                host: address.host.clone(),
                address: address.address,
                steps: address.steps.iter().filter_map(|taken| step_report(taken)).collect(),
            })
            .collect();
        let ok = addresses.iter().all(|address| address.failure().is_none());
        PingReport { destination, ok, rounds: self.rounds, write, addresses }
    }
}

fn step_report(taken: &[Taken]) -> Option<StepReport> {
    let gravest = taken.iter().max_by_key(|taken| taken.status)?;
    let count = |found: usize| u32::try_from(found).unwrap_or(u32::MAX);
    Some(StepReport {
        step: gravest.step,
        status: gravest.status,
        tried: count(taken.iter().filter(|taken| taken.status != Status::Skipped).count()),
        failed: count(taken.iter().filter(|taken| taken.status == Status::Failed).count()),
        detail: gravest.detail.clone(),
        timing: Timing::of(taken.iter().filter_map(|taken| taken.elapsed).collect()),
        problem: gravest.problem.clone(),
        tls: gravest.tls.clone(),
        clock_difference_seconds: gravest.clock_difference,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(step: Step, status: Status, ms: u64) -> Taken {
        let elapsed = Some(Duration::from_millis(ms));
        Taken { step, status, elapsed, detail: format!("{ms}"), problem: None, tls: None, clock_difference: None }
    }

    #[test]
    fn nearest_ranks() {
        let timing = |count: u64| Timing::of((1..=count).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!(timing(1), Timing { min_ms: 1.0, median_ms: 1.0, p99_ms: 1.0 });
        assert_eq!(timing(4), Timing { min_ms: 1.0, median_ms: 2.0, p99_ms: 4.0 });
        assert_eq!(timing(200), Timing { min_ms: 1.0, median_ms: 100.0, p99_ms: 198.0 });
        assert_eq!(Timing::of(Vec::new()), None);
    }

    #[test]
    fn the_gravest_round_stands_and_the_order_is_that_of_the_steps() {
        let mut tally = Tally::default();
        tally.add("h", None, vec![taken(Step::Name, Status::Ok, 1), taken(Step::Tcp, Status::Failed, 9)]);
        tally.add(
            "h",
            None,
            vec![
                taken(Step::Name, Status::Ok, 3),
                taken(Step::Tcp, Status::Ok, 2),
                taken(Step::Tls, Status::Ok, 2),
                taken(Step::Http, Status::Ok, 4),
            ],
        );
        let report = tally.report("x".into(), false);
        let steps: Vec<_> = report.addresses[0].steps.iter().map(|step| (step.step.name(), step.status)).collect();
        assert_eq!(steps, [("name", Status::Ok), ("tcp", Status::Failed), ("tls", Status::Ok), ("http", Status::Ok)]);
        let tcp = &report.addresses[0].steps[1];
        assert_eq!((report.ok, tcp.tried, tcp.failed, tcp.detail.as_str()), (false, 2, 1, "9"));
    }
}
