//! What a refusal means: for the event that is refused, for those of its batch, for those of its instance, for the rest.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::event_service::{Service, TAKEN, events_of, holds, subjects};
use crate::support::{formusage_process, line};

/// A service that refuses with `status` each request that holds the first event of the instance `bad`.
fn refusing(status: u16) -> Service {
    let id = form_usage_events::events::EventId::of(line("bad", 0).as_bytes()).to_string();
    Service::start(move |request, _| {
        let refused = events_of(request).iter().any(|event| cloudevents::AttributesReader::id(event) == id);
        if refused { (status, "", "not this one") } else { TAKEN }
    })
}

/// How a run of `publish` ended.
struct Ended {
    code: Option<i32>,
    report: Value,
    stderr: String,
}

impl Ended {
    fn figure(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}: {}", self.report, self.stderr))
    }

    /// Delivered, dead and waiting, those of earlier runs included.
    fn totals(&self) -> (u64, u64, u64) {
        let resumed = |name: &str| self.report["resumed"][name].as_u64().unwrap_or(0);
        (
            self.figure("delivered") + resumed("delivered"),
            self.figure("dead") + resumed("dead"),
            self.figure("undelivered") + resumed("waiting"),
        )
    }
}

/// Rounds so far apart that a run is over before the second, unless there is a reason for one.
const APART: [&str; 7] =
    ["--initial-backoff", "2s", "--max-backoff", "10s", "--max-retries", "1", "--no-circuit-breaker"];

fn publish(state: &Path, service: &Service, options: &[&str], lines: &[String]) -> Ended {
    let mut publish = service.publish(&APART);
    publish.env("FORMUSAGE_STATE_DIR", state).args(options);
    let output = publish.write_stdin(lines.join("\n")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let ended = Ended { code: output.status.code(), report, stderr };
    let booked = ["delivered", "undelivered", "dead", "refused"].map(|name| ended.figure(name));
    assert_eq!(ended.figure("read"), booked.iter().sum::<u64>(), "{}", ended.report);
    ended
}

/// Two events of the instance `bad`, the first of which is refused, between those of four others.
fn mixed() -> Vec<String> {
    let mut lines: Vec<String> = (0..3).flat_map(|n| ["a", "b", "c", "d"].map(|instance| line(instance, n))).collect();
    lines.insert(2, line("bad", 0));
    lines.insert(9, line("bad", 1));
    lines
}

/// What was taken of each instance is a beginning of what was sent, but for the refused event.
fn assert_in_order(service: &Service, refused_is_gone: bool) {
    let taken = service.taken();
    for instance in ["a", "b", "c", "d", "bad"] {
        let came: Vec<String> = taken
            .iter()
            .filter(|event| cloudevents::AttributesReader::subject(*event) == Some(instance))
            .map(|event| cloudevents::AttributesReader::id(event).to_owned())
            .collect();
        let mut sent: Vec<String> = mixed().into_iter().filter(|it| it.contains(&format!("\"{instance}\""))).collect();
        if instance == "bad" {
            sent.remove(0);
            if !refused_is_gone {
                sent.clear();
            }
        }
        let ids = sent.iter().map(|it| form_usage_events::events::EventId::of(it.as_bytes()).to_string());
        assert_eq!(came, ids.collect::<Vec<_>>(), "{instance}");
    }
}

const WAYS: [[&str; 4]; 3] = [
    ["--cloudevents-mode", "batched", "--concurrency", "1"],
    ["--cloudevents-mode", "batched", "--concurrency", "4"],
    ["--cloudevents-mode", "structured", "--concurrency", "4"],
];

#[test]
fn event_refused_for_its_content_is_a_dead_letter_at_once() {
    for status in [400, 413, 422] {
        for way in WAYS {
            let (service, state) = (refusing(status), tempfile::tempdir().unwrap());
            let ended = publish(state.path(), &service, &way, &mixed());
            assert_eq!((ended.code, ended.totals()), (Some(1), (13, 1, 0)), "{status} {way:?}: {}", ended.report);
            assert_in_order(&service, true);
        }
    }
}

#[test]
fn event_that_alone_is_refused_is_a_dead_letter_after_so_many_runs() {
    for status in [401, 402, 403, 404, 405, 406, 407, 410, 411, 412, 414, 415, 417, 421, 428, 431, 451] {
        let way = WAYS[usize::from(status) % 3];
        let options = [&way[..], &["--poison-after", "3"]].concat();
        let (service, state) = (refusing(status), tempfile::tempdir().unwrap());
        let first = publish(state.path(), &service, &options, &mixed());
        // It waits, and the one behind it; all others went through.
        assert_eq!((first.code, first.totals()), (Some(1), (12, 0, 2)), "{status}: {} {}", first.report, first.stderr);
        assert!(first.stderr.contains("refused 3 times in this way is a dead letter"), "{}", first.stderr);
        assert_in_order(&service, false);
        for run in 1.. {
            let ended = publish(state.path(), &service, &options, &[line("e", run)]);
            if ended.totals().1 == 1 {
                assert_eq!((ended.code, ended.totals()), (Some(1), (2, 1, 0)), "{status}: {}", ended.report);
                let says = "refused 3 times while other events went through: ";
                assert!(ended.stderr.contains(says) && ended.stderr.contains(&status.to_string()), "{}", ended.stderr);
                break;
            }
            assert_eq!(
                (ended.code, ended.totals()),
                (Some(1), (1, 0, 2)),
                "{status}: {} {}",
                ended.report,
                ended.stderr
            );
            assert!(run < 4, "{status}: {}", ended.stderr);
        }
        assert_in_order(&service, true);
        let last = publish(state.path(), &service, &options, &[]);
        assert_eq!((last.code, last.totals()), (Some(0), (0, 0, 0)), "{status}: {}", last.stderr);
    }
}

/// Those behind a dead letter of their instance are refused as it was, which is no reason to call the token wrong.
#[test]
fn instance_that_is_refused_is_not_taken_for_the_destination() {
    for (status, way) in [401, 403, 451].into_iter().zip(WAYS) {
        let service = Service::start(move |request, _| if holds(request, "gone") { (status, "", "no") } else { TAKEN });
        let state = tempfile::tempdir().unwrap();
        let bad = (0..6).map(|n| line("gone", n));
        let others = (0..40).flat_map(|n| (0..2).map(move |k| line(&format!("vm-{n}"), k)));
        let lines: Vec<String> = bad.chain(others).collect();
        let options = [&way[..], &["--poison-after", "2"]].concat();
        let ended = publish(state.path(), &service, &options, &lines);
        assert_eq!(ended.code, Some(1), "{status} {way:?}: {} {}", ended.report, ended.stderr);
        assert_eq!(ended.totals().0, 80, "{status} {way:?}: {}", ended.report);
        assert!(!ended.stderr.contains("set up wrong"), "{}", ended.stderr);
        // Runs that have nothing new end in the same way, until the last of them is a dead letter.
        let codes: Vec<Option<i32>> = (0..14).map(|_| publish(state.path(), &service, &options, &[]).code).collect();
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 1))) && codes.ends_with(&[Some(0)]), "{codes:?}");
    }
}

#[test]
fn conflict_of_one_event_is_a_duplicate() {
    for way in WAYS {
        let (service, state) = (refusing(409), tempfile::tempdir().unwrap());
        let ended = publish(state.path(), &service, &way, &mixed());
        assert_eq!((ended.code, ended.totals()), (Some(0), (14, 0, 0)), "{way:?}: {} {}", ended.report, ended.stderr);
        assert_eq!(ended.figure("duplicates"), 1);
        assert_in_order(&service, true);
    }
}

#[test]
fn event_that_the_service_fails_waits_and_is_no_dead_letter() {
    for status in [408, 425, 429] {
        let (service, state) = (refusing(status), tempfile::tempdir().unwrap());
        let way = ["--cloudevents-mode", "structured", "--drain-timeout", "4s", "--poison-after", "1"];
        let ended = publish(state.path(), &service, &way, &mixed());
        assert_eq!((ended.code, ended.totals()), (Some(1), (12, 0, 2)), "{status}: {} {}", ended.report, ended.stderr);
        assert!(ended.figure("retries") > 0);
    }
}

#[test]
fn refusal_of_the_only_event_is_left_to_people() {
    for status in [403, 404, 451] {
        let (service, state) = (refusing(status), tempfile::tempdir().unwrap());
        for run in 0..4 {
            let lines = if run == 0 { vec![line("bad", 0)] } else { Vec::new() };
            let ended = publish(state.path(), &service, &["--poison-after", "1"], &lines);
            assert_eq!((ended.code, ended.totals()), (Some(2), (0, 0, 1)), "{status}: {}", ended.stderr);
            assert!(ended.stderr.contains(&status.to_string()) && ended.stderr.contains("check"), "{}", ended.stderr);
        }
        // Others show whose fault it is.
        let ended = publish(state.path(), &service, &["--poison-after", "1"], &[line("a", 0)]);
        assert_eq!((ended.code, ended.totals()), (Some(1), (1, 1, 0)), "{status}: {}", ended.stderr);
    }
}

/// Whatever its place among the others in the run in which it was refused first.
#[test]
fn refused_event_that_is_left_alone_is_a_dead_letter_after_so_many_empty_runs() {
    for place in [0, 2] {
        let (service, state) = (refusing(404), tempfile::tempdir().unwrap());
        let mut lines = vec![line("a", 0), line("b", 0)];
        lines.insert(place, line("bad", 0));
        let options = ["--concurrency", "1", "--cloudevents-mode", "structured", "--poison-after", "4"];
        let first = publish(state.path(), &service, &options, &lines);
        assert_eq!((first.code, first.totals()), (Some(1), (2, 0, 1)), "{} {}", first.report, first.stderr);
        assert!(!first.stderr.contains("check"), "{}", first.stderr);
        for run in 2.. {
            let ended = publish(state.path(), &service, &options, &[]);
            assert_eq!(ended.code, Some(1), "{place} {run}: {} {}", ended.report, ended.stderr);
            if ended.totals().1 == 1 {
                assert!(ended.stderr.contains("refused 4 times") && ended.stderr.contains("404"), "{}", ended.stderr);
                break;
            }
            assert!(run < 4, "{} {}", ended.report, ended.stderr);
            assert_eq!(ended.totals(), (0, 0, 1), "{} {}", ended.report, ended.stderr);
        }
        assert_eq!(publish(state.path(), &service, &options, &[]).code, Some(0));
        // Among new events that are all refused nobody is counted: it is the destination.
        let wrong = Service::start(|_, _| (404, "", ""));
        let ended = publish(state.path(), &wrong, &options, &[line("a", 1), line("b", 1)]);
        assert_eq!((ended.code, ended.totals()), (Some(2), (0, 0, 2)), "{} {}", ended.report, ended.stderr);
    }
}

#[test]
fn destination_that_refuses_everything_is_named_and_nothing_is_dead() {
    let lines: Vec<String> = (0..40).flat_map(|n| (0..5).map(move |k| line(&format!("vm-{n}"), k))).collect();
    for status in [401, 403, 404, 405, 410, 415, 451] {
        for way in WAYS {
            let (service, state) = (Service::start(move |_, _| (status, "", "")), tempfile::tempdir().unwrap());
            let options = [&way[..], &["--poison-after", "1"]].concat();
            let ended = publish(state.path(), &service, &options, &lines);
            assert_eq!((ended.code, ended.totals()), (Some(2), (0, 0, 200)), "{status} {way:?}: {}", ended.stderr);
            assert!(ended.stderr.contains("check") || status == 415, "{}", ended.stderr);
            // One event of each instance, and the halves of the first batches.
            assert!(service.requests().len() < 80, "{status} {way:?}: {} requests", service.requests().len());
        }
    }
}

#[test]
fn destination_that_begins_to_refuse_everything_buries_nothing() {
    let lines: Vec<String> = (0..20).flat_map(|k| (0..10).map(move |n| line(&format!("vm-{n}"), k))).collect();
    for way in WAYS {
        let service = Service::start(|_, n| if n < 12 { TAKEN } else { (401, "", "the token has expired") });
        let state = tempfile::tempdir().unwrap();
        let ended = publish(state.path(), &service, &[&way[..], &["--poison-after", "3"]].concat(), &lines);
        if ended.totals().0 < 200 {
            assert_eq!((ended.code, ended.figure("dead")), (Some(2), 0), "{way:?}: {} {}", ended.report, ended.stderr);
            assert!(ended.stderr.contains("the token has expired"), "{}", ended.stderr);
        }
    }
}

#[test]
fn instances_that_are_refused_hold_up_no_others_however_many() {
    // A tenant that the service does not know any more, with more instances than there are workers.
    let service =
        Service::start(|request, _| if holds(request, "gone-") { (404, "", "no such tenant") } else { TAKEN });
    let gone = (0..300).map(|n| line(&format!("gone-{n}"), 0));
    let lines: Vec<String> = gone.chain((0..20).map(|n| line(&format!("vm-{n}"), 0))).collect();
    let state = tempfile::tempdir().unwrap();
    let ended = publish(state.path(), &service, &["--concurrency", "4"], &lines);
    assert_eq!((ended.code, ended.totals()), (Some(1), (20, 0, 300)), "{} {}", ended.report, ended.stderr);
    assert!(subjects(&service.taken()).iter().all(|instance| instance.starts_with("vm-")));
}

#[test]
fn long_run_goes_on_past_a_refused_event_and_buries_it() {
    let (service, state) = (refusing(403), tempfile::tempdir().unwrap());
    let mut command = formusage_process();
    command.args(["publish", "--report", "json", "--to", &service.url(), "--poison-after", "3"]);
    command.args(["--initial-backoff", "1ms", "--max-backoff", "20ms"]);
    command.env("FORMUSAGE_STATE_DIR", state.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}\n{}", line("bad", 0), line("bad", 1)).unwrap();
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said = words.find(|it| it.contains("set up wrong")).unwrap();
    assert!(said.contains("403"), "{said}");
    // One after the other, so that each is a reason to count the next refusal.
    let requests = service.clone();
    let feeding = std::thread::spawn(move || {
        for n in 0..200 {
            let before = requests.requests().len();
            writeln!(input, "{}", line("a", n)).unwrap();
            requests.wait_for_requests(before + 1);
        }
        input
    });
    let dead = words.find(|it| it.contains("while other events went through")).unwrap();
    assert!(dead.contains("refused 3 times") && dead.contains("403"), "{dead}");
    drop(feeding.join().unwrap());
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["delivered"], &report["dead"]), (Some(1), &201.into(), &1.into()));
    assert_eq!(subjects(&service.taken()).iter().filter(|it| **it == "bad").count(), 1, "the one behind it went");
}

/// A service that takes its time for each refusal, of a tenant with more instances than a run tries in that time.
#[test]
fn crowd_that_is_refused_keeps_nobody_from_being_tried() {
    let refusing = |request: &_, _| if holds(request, "gone-") { (403, "", "no such tenant") } else { TAKEN };
    let service = Service::start_slow(std::time::Duration::from_millis(50), refusing);
    let gone = (0..300).map(|n| line(&format!("gone-{n}"), 0));
    let lines: Vec<String> = gone.chain((0..20).map(|n| line(&format!("vm-{n}"), 0))).collect();
    let state = tempfile::tempdir().unwrap();
    let options = ["--cloudevents-mode", "structured", "--drain-timeout", "3s"];
    let ended = publish(state.path(), &service, &options, &lines);
    assert_eq!((ended.code, ended.totals()), (Some(1), (20, 0, 300)), "{} {}", ended.report, ended.stderr);
    assert!(!ended.stderr.contains("check the token"), "{}", ended.stderr);
    // A job that runs again has others to deliver first.
    let more: Vec<String> = (0..20).map(|n| line(&format!("vm-{n}"), 1)).collect();
    let ended = publish(state.path(), &service, &options, &more);
    assert_eq!((ended.code, ended.totals().0), (Some(1), 20), "{} {}", ended.report, ended.stderr);
}

#[test]
fn last_of_a_batch_that_is_refused_is_told_from_the_destination() {
    for status in [401, 403, 404, 451] {
        let (service, state) = (refusing(status), tempfile::tempdir().unwrap());
        let ended = publish(state.path(), &service, &WAYS[0], &[line("a", 0), line("b", 0), line("bad", 0)]);
        assert_eq!((ended.code, ended.totals()), (Some(1), (2, 0, 1)), "{status}: {}", ended.stderr);
        assert!(!ended.stderr.contains("check"), "{}", ended.stderr);
    }
}

/// A job that runs again and again with a crowd that is refused and others that are new each time.
#[test]
fn crowd_that_is_refused_in_each_run_ends_as_dead_letters() {
    let service =
        Service::start(|request, _| if holds(request, "gone-") { (403, "", "no such tenant") } else { TAKEN });
    for way in WAYS {
        let state = tempfile::tempdir().unwrap();
        let options = [&way[..], &["--poison-after", "4"]].concat();
        let mut dead = 0;
        // A few have their first refusal counted late: nothing was sent behind them in the runs before.
        for run in 0..20 {
            if dead == 60 {
                break;
            }
            let mut lines: Vec<String> = (0..20).map(|n| line(&format!("vm-{n}"), run)).collect();
            if run == 0 {
                lines.splice(..0, (0..60).map(|n| line(&format!("gone-{n}"), 0)));
            }
            let before = service.requests().len();
            let ended = publish(state.path(), &service, &options, &lines);
            dead += ended.totals().1;
            assert_eq!(ended.totals().0, 20, "{way:?} {run}: {} {}", ended.report, ended.stderr);
            assert_eq!(ended.code, Some(1), "{way:?} {run}: {}", ended.stderr);
            // Each of them once, and halves of a batch, where nothing speaks against them.
            let requests = service.requests().len() - before;
            assert!(run == 0 || requests < 150, "{way:?} {run}: {requests} requests");
        }
        assert_eq!(dead, 60, "{way:?}");
    }
}

#[test]
fn destination_that_took_something_of_late_is_not_called_set_up_wrong() {
    let service =
        Service::start(|request, _| if holds(request, "gone-") { (403, "", "no such tenant") } else { TAKEN });
    let state = tempfile::tempdir().unwrap();
    let mut command = formusage_process();
    command.args(["publish", "--to", &service.url(), "--initial-backoff", "1ms", "--max-backoff", "20ms"]);
    command.env("FORMUSAGE_STATE_DIR", state.path());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut send = |lines: &[String]| writeln!(input, "{}", lines.join("\n")).unwrap();
    send(&[line("vm", 0), line("gone-0", 0)]);
    service.wait_for_requests(2);
    send(&[line("vm", 1)]);
    service.wait_for_requests(4);
    // From here on all that comes is refused, and tried again.
    send(&(1..30).map(|n| line(&format!("gone-{n}"), 0)).collect::<Vec<_>>());
    service.wait_for_requests(200);
    send(&[line("vm", 2)]);
    drop(input);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("set up wrong") && !stderr.contains("check the token"), "{stderr}");
}
