//! JUnit XML: one test suite a file, one test case a remark, for dashboards that know tests alone.
//!
//! Errors are failures. A warning is a test that passed and has something to say. A file without an error has one test
//! that passed, so that it is seen to have been looked at.

use form_usage_events::validate::Severity;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::remark::Remark;

/// So many test cases are listed at most, since counts stand before them and all are held until then. The first error of
/// each file is always listed.
const MOST_CASES: usize = 10_000;

/// Collects remarks, at most [`MOST_CASES`] and one error of each file.
#[derive(Debug)]
pub(crate) struct Suites {
    report: Report,
    /// The name of the test that passes where a file has no error.
    passes: &'static str,
    cases: usize,
    /// Remarks that are counted and not listed.
    left_out: usize,
}

impl Suites {
    pub(crate) fn new(name: &'static str, passes: &'static str) -> Self {
        Self { report: Report::new(name), passes, cases: 0, left_out: 0 }
    }

    pub(crate) fn add(&mut self, remark: &Remark<'_>) {
        let needs_error = || !self.has_failures(remark.file) && remark.severity == Severity::Error;
        if self.cases >= MOST_CASES && !needs_error() {
            self.left_out += 1;
            return;
        }
        let case = match remark.severity {
            Severity::Error => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(remark.message).set_type(remark.rule).set_description(remark.plain());
                TestCase::new(name(remark), status)
            }
            Severity::Warning => {
                let mut case = TestCase::new(name(remark), TestCaseStatus::success());
                case.set_system_out(remark.plain());
                case
            }
        };
        self.case(remark.file, case);
    }

    /// Adds a test that could not be made.
    pub(crate) fn skip(&mut self, remark: &Remark<'_>) {
        if self.cases >= MOST_CASES {
            self.left_out += 1;
            return;
        }
        let mut status = TestCaseStatus::skipped();
        status.set_message(remark.message).set_type(remark.rule);
        self.case(remark.file, TestCase::new(format!("{} is evaluated", remark.rule), status));
    }

    /// A file that was looked at; `failure` says why it could not be read.
    pub(crate) fn file(&mut self, file: &str, failure: Option<&str>) {
        if let Some(why) = failure {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(why).set_type("unreadable");
            self.case(file, TestCase::new("can be read", status));
        } else if !self.has_failures(file) {
            self.case(file, TestCase::new(self.passes, TestCaseStatus::success()));
        }
    }

    fn has_failures(&self, file: &str) -> bool {
        self.report.test_suites.iter().any(|suite| suite.name.as_str() == file && suite.failures > 0)
    }

    fn case(&mut self, file: &str, mut case: TestCase) {
        self.cases += 1;
        case.set_classname(file);
        // What comes for one file mostly comes together.
        let suites = &mut self.report.test_suites;
        let at = suites.iter().rposition(|suite| suite.name.as_str() == file);
        let at = at.unwrap_or_else(|| {
            suites.push(TestSuite::new(file));
            suites.len() - 1
        });
        if let Some(suite) = suites.get_mut(at) {
            suite.add_test_case(case);
        }
    }

    /// The document.
    pub(crate) fn end(&mut self) -> anyhow::Result<String> {
        if self.left_out > 0 {
            let mut status = TestCaseStatus::skipped();
            status.set_message(format!(
                "{} more are not listed, since this document lists {MOST_CASES}; --format ndjson lists all",
                self.left_out
            ));
            self.case("further findings", TestCase::new("all are listed", status));
        }
        let suites = std::mem::take(&mut self.report.test_suites);
        suites.into_iter().for_each(|suite| {
            self.report.add_test_suite(suite);
        });
        Ok(self.report.to_string()?)
    }
}

fn name(remark: &Remark<'_>) -> String {
    match (remark.line, remark.column) {
        (0, _) => remark.rule.to_owned(),
        (line, 0) => format!("{} at line {line}", remark.rule),
        (line, column) => format!("{} at line {line}, column {column}", remark.rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_lists_so_many_and_an_error_of_each_file() {
        let mut suites = Suites::new("formusage validate", "is valid");
        let remark = |file| Remark { rule: "empty-id", ..crate::findings::unreadable(file, "`id` is empty") };
        (0..MOST_CASES + 500).for_each(|_| suites.add(&remark("a.json")));
        (0..3).for_each(|_| suites.add(&remark("b.json")));
        for file in ["a.json", "b.json"] {
            suites.file(file, None);
        }
        assert_eq!(suites.cases, MOST_CASES + 1);
        let text = suites.end().unwrap();
        assert!(text.contains("b.json") && text.contains("502 more are not listed") && !text.contains("is valid"));
    }
}
