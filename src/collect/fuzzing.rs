//! Fuzzing of what the kernel says, of kept states and of the configuration: see [`crate::fuzzing`].

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Agent, CollectConfig, Continuation, InstanceTemplate, NamePattern, Now, Origin, Periods, Saved, ScopeSpec,
};
use crate::clock::Monotonic;
use crate::events::EventId;
use crate::transport::Destination;

const PERIODS: Periods =
    Periods { interval: Duration::from_secs(30), align: true, sample_interval: Duration::from_secs(1) };

/// Text of `/proc` and of control groups. Names in it are chosen by tenants.
#[cfg(target_os = "linux")]
pub fn kernel_text(bytes: &[u8]) {
    for mount in super::mountinfo::mounts(bytes) {
        assert!(mount.path.len() <= bytes.len() && !mount.number.contains(&b' '));
    }
    if let Ok(interfaces) = super::net_dev::interfaces(bytes) {
        for (name, _) in interfaces {
            assert!(!name.contains(&b'\n'));
        }
    }
    super::process::stat::fuzz_files(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    super::host::fuzz_files(text);
    super::cgroup::fuzz_files(text);
    super::drm::fuzz_client(text);
    assert!(super::machine::count_of(text).is_none_or(|count| count >= 0.0));
}

/// The kernel's answers about interfaces.
#[cfg(target_os = "linux")]
pub fn netlink(bytes: &[u8]) {
    super::namespace::fuzz_answer(bytes);
}

/// Names of any bytes as text in ids, which gives the names back: no two names have one spelling.
#[cfg(target_os = "linux")]
pub fn spelling(bytes: &[u8]) {
    let spelled = super::spelling::spelled(bytes);
    assert!(!spelled.chars().any(char::is_control));
    assert_eq!(super::spelling::unspelled(&spelled), bytes, "{spelled:?} gives another name back");
}

/// A kept state, of which `bytes` are the second line: its digest protects it from damage, not from a program's fault.
pub fn state(bytes: &[u8]) {
    let _ = Saved::decode(bytes);
    let Ok(body) = std::str::from_utf8(bytes) else { return };
    let digest = EventId::of(bytes);
    let head = format!(r#"{{"format":"formusage collect state","version":1,"digest":"{digest}"}}"#);
    let Ok(saved) = Saved::decode(format!("{head}\n{body}\n").as_bytes()) else { return };
    let here = saved.origin.clone();
    for boot in [here.boot.clone(), Some("another".to_owned())] {
        let here = Origin { boot, ..here.clone() };
        let at = |seconds| {
            let passed = Duration::from_secs(seconds);
            Now {
                monotonic: Monotonic::default() + passed,
                wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000) + passed,
            }
        };
        let Ok((_, continuation)) = saved.clone().continuation(&here, at(1_000)) else { continue };
        let mut agent = match continuation {
            Continuation::Same(agent) => Agent::resume(Vec::new(), PERIODS, agent, at(1_000)),
            Continuation::Rebooted(agent) => Agent::after_boot(Vec::new(), PERIODS, agent, at(1_000)),
        };
        let mut events = Vec::new();
        for seconds in [1_000, 1_001, 1_031] {
            events.extend(agent.tick(at(seconds)).map(|tick| tick.events).unwrap_or_default());
        }
        events.extend(agent.finish(at(1_032)).events);
        for metered in events {
            assert!(metered.event.period.start < metered.event.period.end, "{metered:?}");
        }
    }
}

/// The configuration of `collect`, and the texts in it.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = CollectConfig::parse(text, "collect.toml") {
        assert!(!error.problems().is_empty() && error.problems().iter().all(|problem| !problem.is_empty()));
    }
    if let Ok(scope) = text.parse::<ScopeSpec>() {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    let _ = (text.parse::<NamePattern>(), text.parse::<InstanceTemplate>());
    if let Ok(destination) = text.parse::<Destination>() {
        let shown = destination.to_string();
        assert_eq!(shown.parse(), Ok(destination), "{shown} leads elsewhere");
    }
}
