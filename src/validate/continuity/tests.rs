//! Streams of events and what is said about them.

use proptest::prelude::*;

use super::*;

/// Runs events of (instance, start, end, content) through, one a line; gives kind, line, other line.
fn follow(window: u32, events: &[(&str, i64, i64, u64)]) -> (Vec<(IncidentKind, u64, Option<u64>)>, ContinuityTotals) {
    let mut continuity = Continuity::new(window);
    let file = continuity.file("a");
    let mut told = Vec::new();
    let mut tell = |incident: Incident| {
        told.push((incident.kind, incident.place.line, incident.other.map(|(_, line)| line)));
    };
    for (line, (instance_id, start, end, digest)) in (1..).zip(events) {
        let metered = Metered { instance_id, start: *start, end: *end, digest: *digest, counters: Counters::default() };
        continuity.observe(&metered, &Here { file, line, column: 1, pointer: "" }, &mut tell);
    }
    continuity.finish(&mut tell);
    (told, *continuity.totals())
}

/// Events of instance `a`, all different, each 30 s long.
fn starts(starts: &[i64]) -> Vec<(&'static str, i64, i64, u64)> {
    (0..).zip(starts).map(|(n, start)| ("a", *start, start + 30, n)).collect()
}

#[test]
fn a_chain_has_nothing_to_say() {
    let events: Vec<_> = (0..100).flat_map(|n| ["a", "b"].map(|id| (id, n * 30, n * 30 + 30, n as u64))).collect();
    let (told, totals) = follow(16, &events);
    assert_eq!(told, []);
    let expected = ContinuityTotals { instances: 2, events: 200, covered_seconds: 6000, ..Default::default() };
    assert_eq!(totals, expected);
}

#[test]
fn a_gap_is_told_with_both_places() {
    let (told, totals) = follow(16, &starts(&[0, 30, 120, 150]));
    assert_eq!(told, [(IncidentKind::Gap, 3, Some(2))]);
    assert_eq!((totals.covered_seconds, totals.gap_seconds, totals.gaps), (120, 60, 1));
}

#[test]
fn a_gap_waits_for_a_late_event_as_long_as_the_window() {
    let late: Vec<i64> = vec![0, 60, 90, 120, 30];
    let (told, totals) = follow(4, &starts(&late));
    assert_eq!(told, [(IncidentKind::OutOfOrder, 5, Some(4))]);
    assert_eq!((totals.covered_seconds, totals.gap_seconds, totals.out_of_order), (150, 0, 1));
    let (told, totals) = follow(2, &starts(&late));
    // Told, and then filled: it is no gap in the sums.
    assert_eq!(told, [(IncidentKind::Gap, 2, Some(1)), (IncidentKind::OutOfOrder, 5, Some(4))]);
    assert_eq!((totals.covered_seconds, totals.gap_seconds), (150, 0));
}

#[test]
fn a_late_event_that_fills_a_part_leaves_the_rest() {
    let (told, totals) = follow(16, &[("a", 0, 30, 1), ("a", 120, 150, 2), ("a", 60, 90, 3)]);
    let gap = |line, other| (IncidentKind::Gap, line, Some(other));
    assert_eq!(told, [(IncidentKind::OutOfOrder, 3, Some(2)), gap(2, 1), gap(2, 1)]);
    assert_eq!((totals.gap_seconds, totals.covered_seconds, totals.gaps), (60, 90, 2));
}

#[test]
fn an_overlap_counts_what_is_metered_twice() {
    let (told, totals) = follow(16, &[("a", 0, 30, 1), ("a", 20, 50, 2), ("a", 50, 80, 3), ("a", 5, 10, 4)]);
    let overlap = |seconds, with_latest| IncidentKind::Overlap { seconds, with_latest };
    assert_eq!(told, [(overlap(10, true), 2, Some(1)), (overlap(5, false), 4, Some(3))]);
    assert_eq!((totals.covered_seconds, totals.overlap_seconds, totals.overlaps), (80, 15, 2));
}

#[test]
fn the_same_event_is_a_repeat_and_another_a_conflict() {
    let (told, totals) =
        follow(16, &[("a", 0, 30, 1), ("a", 30, 60, 2), ("a", 0, 30, 1), ("a", 0, 30, 9), ("a", 60, 90, 3)]);
    assert_eq!(told, [(IncidentKind::Repeat, 3, Some(1)), (IncidentKind::Conflict, 4, Some(1))]);
    assert_eq!((totals.repeats, totals.conflicts, totals.overlap_seconds, totals.covered_seconds), (1, 1, 30, 90));
}

#[test]
fn an_event_before_the_first_is_out_of_order() {
    let (told, totals) = follow(16, &starts(&[60, 30, 90, -5]));
    assert_eq!(told, [(IncidentKind::OutOfOrder, 2, Some(1))]);
    assert_eq!((totals.covered_seconds, totals.events), (90, 3));
    let (told, totals) = follow(16, &starts(&[90, 0, 120]));
    assert_eq!(told, [(IncidentKind::OutOfOrder, 2, Some(1)), (IncidentKind::Gap, 2, None)]);
    assert_eq!(totals.gap_seconds, 60);
}

#[test]
fn memory_of_gaps_is_bounded_and_what_is_forgotten_is_no_overlap() {
    let count = MAX_GAPS as i64 + 1000;
    let mut events: Vec<_> = (0..count).map(|n| ("a", n * 60, n * 60 + 30, n as u64)).collect();
    events.push(("a", 30, 60, u64::MAX));
    let (told, totals) = follow(16, &events);
    assert_eq!(told.iter().filter(|(kind, ..)| *kind == IncidentKind::Gap).count(), MAX_GAPS + 999);
    assert_eq!((totals.overlaps, totals.out_of_order), (0, 1));
}

#[test]
fn a_digest_does_not_depend_on_whitespace() {
    let compact = br#"{"a":"x y\" {","b":[1,2]}"#;
    let spaced = b"{ \"a\" : \"x y\\\" {\",\r\n\t\"b\":[ 1, 2 ] }, {\"c\":1}";
    assert_eq!(digest(compact), digest(spaced));
    assert_eq!(digest(br#"{"a":1}"#), digest(b"{\"a\": 1}\n"));
    assert_ne!(digest(br#"{"a":1}"#), digest(br#"{"a":2}"#));
    assert_ne!(digest(br#"{"a":"x y"}"#), digest(br#"{"a":"xy"}"#));
}

proptest! {
    /// Against sets of seconds, whatever the order.
    #[test]
    fn the_sums_are_those_of_the_seconds(
        window in 0u32..20,
        events in proptest::collection::vec((0i64..40, 1i64..6, 0u64..2), 0..60),
    ) {
        let events: Vec<_> = events.iter().map(|(start, length, digest)| ("a", *start, start + length, *digest)).collect();
        let (_, totals) = follow(window, &events);
        let mut seen: Vec<(i64, i64, u64)> = Vec::new();
        let (mut covered, mut twice) = (std::collections::BTreeSet::new(), 0);
        for (_, start, end, digest) in &events {
            // A repeat is one of the event that was first with its key.
            if seen.iter().find(|(s, e, _)| (s, e) == (start, end)).is_some_and(|(.., first)| first == digest) {
                continue;
            }
            if !seen.iter().any(|(s, e, _)| (s, e) == (start, end)) {
                seen.push((*start, *end, *digest));
            }
            twice += (*start..*end).filter(|second| !covered.insert(*second)).count() as u64;
        }
        let span = covered.last().map_or(0, |last| last - covered.first().unwrap() + 1) as u64;
        prop_assert_eq!(totals.covered_seconds, covered.len() as u64);
        prop_assert_eq!(totals.overlap_seconds, twice);
        prop_assert_eq!(totals.gap_seconds, span - covered.len() as u64);
    }

    #[test]
    fn neighbours_that_change_places_are_never_gaps_or_overlaps(swaps in proptest::collection::vec(0usize..98, 0..30)) {
        let mut order: Vec<i64> = (0..100).map(|n| n * 30).collect();
        swaps.iter().for_each(|at| order.swap(*at, at + 1));
        let (told, totals) = follow(100, &starts(&order));
        prop_assert!(told.iter().all(|(kind, ..)| *kind == IncidentKind::OutOfOrder));
        prop_assert_eq!((totals.gap_seconds, totals.overlap_seconds, totals.covered_seconds), (0, 0, 3000));
    }
}
