//! Who is to blame for a refusal: the event, or the service or set-up that refuses every event. Pure.
//!
//! A refused event is a suspect. It is to blame where events that were sent off after it go through; where nothing does,
//! nobody can tell. Rounds are numbered in the order in which they are sent off, so that an event that was on its way
//! before the destination began to refuse everything is no evidence.

use std::collections::HashMap;

/// A round's number, all of which are even: the odd one before it says that something comes before what the round brings.
pub(super) type RoundNumber = u64;

/// Events that were refused, each known by the round that it was first refused in, and what went through meanwhile.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// The number of the round that was sent off last.
    last: RoundNumber,
    /// The latest round in which the destination took something.
    taken: RoundNumber,
    suspects: HashMap<RoundNumber, Suspect>,
    /// The round in which the youngest suspect was first refused, of those whose instance is not known to be refused.
    youngest: RoundNumber,
    /// The round that was sent off last when the first refusal of a suspect was heard, of those refused as if the
    /// destination were set up wrong.
    heard: Option<RoundNumber>,
    /// Something was sent after that and went through: there are events that are refused while others are not.
    is_proven: bool,
    /// How many suspects are of an instance that is known to be refused.
    known: usize,
}

/// What is known of a refusal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    /// It is as if the destination were set up wrong, which no waiting mends.
    pub(super) is_final: bool,
    /// The event, or one of its instance, was refused before while others went through: it says nothing about the
    /// destination.
    pub(super) is_known: bool,
}

#[derive(Debug)]
struct Suspect {
    /// Up to which round the events that went through have been held against it.
    counted: RoundNumber,
    /// It was refused as if the destination were set up wrong, which no waiting mends.
    is_final: bool,
    /// How often it was refused.
    times: u32,
    /// [`Refusal::is_known`], when it was first refused.
    is_known: bool,
    /// One of its refusals was counted.
    is_counted: bool,
}

impl Suspects {
    /// A round is sent off; its number.
    pub(super) const fn begin_round(&mut self) -> RoundNumber {
        self.last += 2;
        self.last
    }

    /// The destination took something in `round`.
    pub(super) fn note_taken(&mut self, round: RoundNumber) {
        self.taken = self.taken.max(round);
        self.is_proven |= self.heard.is_some_and(|heard| round > heard);
    }

    /// A part of a batch went through after the batch was refused whole.
    pub(super) const fn note_proof(&mut self) {
        self.is_proven = true;
    }

    /// An event was refused in a round, for the first time in `first`. Whether that counts against it: others went through
    /// since it last did.
    pub(super) fn refuse(&mut self, first: RoundNumber, refusal: Refusal) -> bool {
        let Refusal { is_final, is_known } = refusal;
        // A proof about those that are settled says nothing about the next one; what was refused whole has its own.
        self.is_proven &= !self.suspects.is_empty() || first % 2 == 1;
        let suspects = &mut self.suspects;
        let suspect = suspects.entry(first).or_insert_with(|| {
            self.known += usize::from(is_known);
            if !is_known {
                self.youngest = self.youngest.max(first);
            }
            Suspect { counted: first, is_final, times: 0, is_known, is_counted: false }
        });
        suspect.is_final = is_final;
        if is_final {
            self.heard.get_or_insert(self.last);
        }
        suspect.times = suspect.times.saturating_add(1);
        let counts = self.taken > suspect.counted;
        suspect.counted = suspect.counted.max(self.taken);
        counts
    }

    /// The event first refused in `first` is settled, or failed in another way.
    pub(super) fn clear(&mut self, first: RoundNumber) {
        let suspect = self.suspects.remove(&first);
        self.known -= usize::from(suspect.is_some_and(|suspect| suspect.is_known));
        if self.suspects.is_empty() {
            (self.heard, self.is_proven) = (None, false);
        }
    }

    /// How many suspects there are.
    pub(super) fn len(&self) -> usize {
        self.suspects.len()
    }

    /// Whether nothing has gone through since an event was refused: it may be the destination.
    pub(super) fn may_be_everything(&self) -> bool {
        self.suspects.len() > self.known && self.taken <= self.youngest
    }

    /// Whether the destination took something after it had refused one of them: it does refuse single events.
    pub(super) const fn are_told_apart(&self) -> bool {
        self.is_proven
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

    /// Whether a further refusal of the event first refused in `first` would count.
    pub(super) fn has_more_to_show(&self, first: RoundNumber) -> bool {
        self.suspects.get(&first).is_some_and(|suspect| self.taken > suspect.counted)
    }

    /// A refusal of the event first refused in `first` was counted.
    pub(super) fn note_counted(&mut self, first: RoundNumber) {
        if let Some(suspect) = self.suspects.get_mut(&first) {
            suspect.is_counted = true;
        }
    }

    /// Whether the event first refused in `first` was refused as if the destination were set up wrong, and no refusal of it
    /// was counted.
    pub(super) fn is_uncounted(&self, first: RoundNumber) -> bool {
        self.suspects.get(&first).is_some_and(|suspect| suspect.is_final && !suspect.is_counted)
    }

    /// Whether another refusal of the event first refused in `first` would say nothing new: it is as if the destination
    /// were set up wrong, and nothing went through since the last one.
    pub(super) fn shows_nothing(&self, first: RoundNumber) -> bool {
        self.suspects.get(&first).is_some_and(|suspect| suspect.is_final && self.taken <= suspect.counted)
    }

    /// Whether one of them was refused before, while others went through.
    pub(super) const fn include_known(&self) -> bool {
        self.known > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Refusal = Refusal { is_final: true, is_known: false };
    const KNOWN: Refusal = Refusal { is_final: true, is_known: true };

    #[test]
    fn refusal_counts_once_for_what_went_through_since() {
        let mut suspects = Suspects::default();
        let (first, other) = (suspects.begin_round(), suspects.begin_round());
        assert!(!suspects.refuse(first, UNKNOWN), "nothing else was sent");
        assert!(suspects.may_be_everything() && !suspects.have_more_to_show());
        suspects.note_taken(other);
        assert!(!suspects.may_be_everything() && suspects.have_more_to_show());
        assert!(suspects.refuse(first, UNKNOWN) && !suspects.refuse(first, UNKNOWN));
        let third = suspects.begin_round();
        suspects.note_taken(third);
        assert!(suspects.refuse(first, UNKNOWN));
    }

    #[test]
    fn event_of_an_instance_that_is_refused_says_nothing_about_the_destination() {
        let mut suspects = Suspects::default();
        let (other, behind) = (suspects.begin_round(), suspects.begin_round());
        suspects.note_taken(other);
        assert!(!suspects.refuse(behind, KNOWN));
        assert!(!suspects.may_be_everything() && suspects.are_final());
        let unknown = suspects.begin_round();
        suspects.refuse(unknown, UNKNOWN);
        assert!(suspects.may_be_everything());
        suspects.clear(unknown);
        suspects.clear(behind);
        assert!(!suspects.may_be_everything());
    }

    #[test]
    fn what_was_sent_before_is_no_evidence() {
        let mut suspects = Suspects::default();
        let (before, first) = (suspects.begin_round(), suspects.begin_round());
        suspects.note_taken(before);
        assert!(!suspects.refuse(first, UNKNOWN) && suspects.may_be_everything());
        assert!(!suspects.are_told_apart());
    }

    #[test]
    fn proof_about_one_that_is_settled_says_nothing_about_the_next() {
        let mut suspects = Suspects::default();
        let batch = suspects.begin_round();
        // One of the batch was a dead letter at once, and the others went through.
        suspects.note_taken(batch);
        suspects.note_proof();
        let later = suspects.begin_round();
        suspects.refuse(later, UNKNOWN);
        assert!(suspects.may_be_everything() && !suspects.are_told_apart());
        // The next batch was refused whole, and a part of it was taken after that.
        suspects.clear(later);
        let batch = suspects.begin_round();
        suspects.note_taken(batch);
        suspects.note_proof();
        suspects.refuse(batch - 1, UNKNOWN);
        assert!(suspects.are_told_apart() && !suspects.may_be_everything());
    }

    #[test]
    fn destination_that_stops_taking_is_told_from_an_event() {
        let mut suspects = Suspects::default();
        let rounds: Vec<RoundNumber> = (0..4).map(|_| suspects.begin_round()).collect();
        assert!(!suspects.refuse(rounds[0], UNKNOWN));
        suspects.note_taken(rounds[1]);
        assert!(suspects.refuse(rounds[0], UNKNOWN) && !suspects.may_be_everything());
        // From here on everything is refused.
        assert!(!suspects.refuse(rounds[2], UNKNOWN) && !suspects.refuse(rounds[3], UNKNOWN));
        assert!(suspects.may_be_everything() && !suspects.have_more_to_show());
        // All of that was on its way at once.
        assert!(!suspects.are_told_apart());
        let later = suspects.begin_round();
        suspects.note_taken(later);
        assert!(suspects.are_told_apart());
        suspects.clear(rounds[2]);
        suspects.clear(rounds[3]);
        assert_eq!(suspects.len(), 1);
    }
}
