//! Who is to blame for a refusal: the event, or the service or set-up that refuses every event. Pure.
//!
//! A refused event is a suspect. It is to blame where events that were sent off after it go through; where nothing does,
//! nobody can tell. Rounds are numbered in the order in which they are sent off, so that an event that was on its way
//! before the destination began to refuse everything is no evidence.

use std::collections::HashMap;

/// A round's number, from 1 on.
pub(super) type RoundNumber = u64;

/// Events that were refused, each known by the round that it was first refused in, and what went through meanwhile.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Rounds sent off so far.
    rounds: RoundNumber,
    /// The latest round in which the destination took something.
    taken: RoundNumber,
    suspects: HashMap<RoundNumber, Suspect>,
    /// The round in which the youngest suspect was first refused.
    youngest: RoundNumber,
}

#[derive(Debug)]
struct Suspect {
    /// Up to which round the events that went through have been held against it.
    counted: RoundNumber,
    /// It was refused as if the destination were set up wrong, which no waiting mends.
    is_final: bool,
    /// How often it was refused.
    times: u32,
}

impl Suspects {
    /// A round is sent off; its number.
    pub(super) const fn begin_round(&mut self) -> RoundNumber {
        self.rounds += 1;
        self.rounds
    }

    /// The destination took something in `round`.
    pub(super) fn note_taken(&mut self, round: RoundNumber) {
        self.taken = self.taken.max(round);
    }

    /// An event was refused in a round, for the first time in `first`; `is_final` where it was as if the destination were
    /// set up wrong. Whether that counts against it: others went through since it last did.
    pub(super) fn refuse(&mut self, first: RoundNumber, is_final: bool) -> bool {
        self.youngest = self.youngest.max(first);
        let suspect = self.suspects.entry(first).or_insert(Suspect { counted: first, is_final, times: 0 });
        suspect.is_final = is_final;
        suspect.times = suspect.times.saturating_add(1);
        let counts = self.taken > suspect.counted;
        suspect.counted = suspect.counted.max(self.taken);
        counts
    }

    /// The event first refused in `first` is settled, or failed in another way.
    pub(super) fn clear(&mut self, first: RoundNumber) {
        self.suspects.remove(&first);
    }

    /// How many suspects there are.
    pub(super) fn len(&self) -> usize {
        self.suspects.len()
    }

    /// Whether nothing has gone through since an event was refused: it may be the destination.
    pub(super) fn may_be_everything(&self) -> bool {
        !self.suspects.is_empty() && self.taken <= self.youngest
    }

    /// Whether all of them were refused as if the destination were set up wrong.
    pub(super) fn are_final(&self) -> bool {
        self.suspects.values().all(|suspect| suspect.is_final)
    }

    /// Whether each of them was refused more than once.
    pub(super) fn were_tried_again(&self) -> bool {
        self.suspects.values().all(|suspect| suspect.times > 1)
    }

    /// Whether a further refusal of one of them would count.
    pub(super) fn have_more_to_show(&self) -> bool {
        self.suspects.values().any(|suspect| self.taken > suspect.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_counts_once_for_what_went_through_since() {
        let mut suspects = Suspects::default();
        let (first, other) = (suspects.begin_round(), suspects.begin_round());
        assert!(!suspects.refuse(first, true), "nothing else was sent");
        assert!(suspects.may_be_everything() && !suspects.have_more_to_show());
        suspects.note_taken(other);
        assert!(!suspects.may_be_everything() && suspects.have_more_to_show());
        assert!(suspects.refuse(first, true) && !suspects.refuse(first, true));
        let third = suspects.begin_round();
        suspects.note_taken(third);
        assert!(suspects.refuse(first, true));
    }

    #[test]
    fn what_was_sent_before_is_no_evidence() {
        let mut suspects = Suspects::default();
        let (before, first) = (suspects.begin_round(), suspects.begin_round());
        suspects.note_taken(before);
        assert!(!suspects.refuse(first, true) && suspects.may_be_everything());
    }

    #[test]
    fn destination_that_stops_taking_is_told_from_an_event() {
        let mut suspects = Suspects::default();
        let rounds: Vec<RoundNumber> = (0..4).map(|_| suspects.begin_round()).collect();
        assert!(!suspects.refuse(rounds[0], true));
        suspects.note_taken(rounds[1]);
        assert!(suspects.refuse(rounds[0], true) && !suspects.may_be_everything());
        // From here on everything is refused.
        assert!(!suspects.refuse(rounds[2], true) && !suspects.refuse(rounds[3], true));
        assert!(suspects.may_be_everything() && !suspects.have_more_to_show());
        suspects.clear(rounds[2]);
        suspects.clear(rounds[3]);
        assert_eq!(suspects.len(), 1);
    }
}
