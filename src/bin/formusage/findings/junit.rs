//! JUnit XML: one test suite a file, one test case a remark, for dashboards that know tests alone.
//!
//! Errors are failures. A warning is a test that passed and has something to say. A file without an error has one test
//! that passed, so that it is seen to have been looked at.

use form_usage_events::validate::Severity;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::remark::Remark;

/// Collects remarks, as many as are written.
#[derive(Debug)]
pub(crate) struct Suites {
    report: Report,
    /// The name of the test that passes where a file has no error.
    passes: &'static str,
}

impl Suites {
    pub(crate) fn new(name: &'static str, passes: &'static str) -> Self {
        Self { report: Report::new(name), passes }
    }

    pub(crate) fn add(&mut self, remark: &Remark<'_>) {
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
        } else if self.report.test_suites.iter().all(|suite| suite.name.as_str() != file || suite.failures == 0) {
            self.case(file, TestCase::new(self.passes, TestCaseStatus::success()));
        }
    }

    fn case(&mut self, file: &str, mut case: TestCase) {
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
