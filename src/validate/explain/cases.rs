//! Codes of files with tests of thresholds.

use super::Example::Cases;
use super::Explanation;
use crate::validate::{Code, Severity};

pub(super) const TABLE: &[Explanation] = &[Explanation {
    code: Code::InvalidSeries,
    severity: Severity::Error,
    what: "A series, which stands for events in short, makes no sense.",
    why: "Its case can't be run.",
    fix: "Name the instance, then metrics with their values: \"instance web-1: cpu_percent_avg 50x10 95x20, every 1m\".",
    gives: Cases("95x20", "95*20"),
    just_not: Cases("95x20", "95+0x20"),
}];
