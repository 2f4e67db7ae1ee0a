//! `check --test`: tests of thresholds.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use form_usage_events::limited_read::read_limited;
use form_usage_events::threshold::cases::{CaseFile, CaseResult, Difference, Side};
use form_usage_events::threshold::{MAX_FILE_BYTES, ThresholdSet};
use form_usage_events::validate::{FirstFindings, Severity, first_case_findings};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::formats::notation_of;
use crate::cli::{CheckArgs, CheckFormat};
use crate::exit::Exit;
use crate::output::{Stdout, printable, say, stdout_is_terminal};

/// One case and where it stands.
#[derive(Serialize)]
struct Outcome<'a> {
    file: &'a str,
    passed: bool,
    #[serde(flatten)]
    result: &'a CaseResult,
}

/// Runs every case of every file.
pub(super) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let mut results: Vec<(String, CaseResult)> = Vec::new();
    let mut faults: Vec<String> = Vec::new();
    for path in &args.test {
        let name = path.display().to_string();
        let (file, set) = load(path, args).with_context(|| format!("{name} can't be run"))?;
        for case in &file.cases {
            match case.run(&set) {
                Ok(result) => results.push((name.clone(), result)),
                Err(why) => faults.push(format!("{name}: {why}")),
            }
        }
    }
    match faults.as_slice() {
        [] => {}
        [fault] => bail!("{fault}"),
        faults => {
            faults.iter().for_each(|fault| say(fault));
            bail!("{} cases can't be run, each named above", faults.len());
        }
    }
    let failed = results.iter().filter(|(_, result)| !result.passed()).count();
    let format = args.format.unwrap_or(if stdout_is_terminal() { CheckFormat::Table } else { CheckFormat::Ndjson });
    let mut stdout = Stdout::new(notation_of(format));
    let outcomes = || results.iter().map(|(file, result)| Outcome { file, passed: result.passed(), result });
    match format {
        CheckFormat::Table => stdout.text(&table(&results))?,
        CheckFormat::Ndjson => {
            outcomes().try_for_each(|outcome| stdout.line(serde_json::to_string(&outcome)?.as_bytes()))?;
        }
        CheckFormat::Json => {
            let totals = serde_json::json!({"cases": results.len(), "failed": failed});
            let document = serde_json::json!({"cases": outcomes().collect::<Vec<_>>(), "totals": totals});
            stdout.line(document.to_string().as_bytes())?;
        }
        CheckFormat::Junit => stdout.text(&junit(&results)?)?,
        CheckFormat::Github | CheckFormat::Sarif | CheckFormat::Nagios => {
            bail!("--test is written as table, json, ndjson or junit");
        }
    }
    stdout.flush()?;
    if format == CheckFormat::Table {
        let (all, cases) = (results.len(), if results.len() == 1 { "case" } else { "cases" });
        say(&match failed {
            0 => format!("{all} {cases} passed"),
            failed => format!("{failed} of {all} {cases} failed"),
        });
    }
    Ok(if failed == 0 { Exit::Success } else { Exit::Objection })
}

/// So many findings of a file of cases are named.
const FINDINGS_SHOWN: usize = 100;

/// The cases of a file, and the thresholds that it names, or those of the command line.
fn load(path: &Path, args: &CheckArgs) -> anyhow::Result<(CaseFile, ThresholdSet)> {
    let text = read_limited(path, MAX_FILE_BYTES).context("it can't be read")?;
    let FirstFindings { findings, errors_left_out: mut errors, warnings_left_out } =
        first_case_findings(&text, FINDINGS_SHOWN);
    let left_out = errors + warnings_left_out;
    for finding in findings {
        errors += u64::from(finding.severity == Severity::Error);
        say(&printable(&format!("{}:{finding}", path.display())));
    }
    if left_out > 0 {
        say(&format!("and {left_out} more, not named here"));
    }
    if errors > 0 {
        bail!(
            "{errors} fault{}, named above; `formusage schema cases` says what such a file looks like",
            if errors == 1 { "" } else { "s" }
        );
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let file: CaseFile = serde_json::from_slice(text).context("it is no file of cases")?;
    let access = crate::thresholds::access(&args.access)?;
    let mut configs = file.thresholds.clone();
    let beside = path.parent().unwrap_or(Path::new(""));
    let mut sources: Vec<PathBuf> = file.threshold_files.iter().map(|name| beside.join(name)).collect();
    if configs.is_empty() && sources.is_empty() {
        match &args.thresholds {
            Some(source) => sources.push(source.into()),
            None => {
                bail!("it names no thresholds; give it `thresholds` or `threshold_files`, or the command thresholds")
            }
        }
    }
    for source in sources {
        let source = source.to_str().context("the name of the thresholds is no text")?;
        configs.extend(crate::thresholds::load(source, access.clone())?.configs);
    }
    let set = ThresholdSet::new(configs).context("its thresholds can't be used")?;
    Ok((file, set))
}

fn table(results: &[(String, CaseResult)]) -> String {
    let mut text = String::new();
    for (file, result) in results {
        let verdict = if result.passed() { "ok    " } else { "FAILED" };
        text += &format!("{verdict}  {}  ({})\n", printable(&result.name), printable(file));
        text += &differences(&result.differences, "        ");
        for hint in &result.hints {
            text += &format!("        hint: {}\n", printable(hint));
        }
    }
    text
}

/// The differences by their lists: `-` expected and not found, `+` found and not expected.
fn differences(all: &[Difference], indent: &str) -> String {
    let mut text = String::new();
    let mut list = "";
    for it in all {
        if it.list != list {
            list = it.list;
            text += &format!("{indent}{list}: - expected, + found\n");
        }
        let sign = if it.side == Side::Expected { '-' } else { '+' };
        text += &format!("{indent}  {sign} {}\n", printable(&it.what));
    }
    text
}

fn junit(results: &[(String, CaseResult)]) -> anyhow::Result<String> {
    let mut report = quick_junit::Report::new("formusage check --test");
    let mut files: Vec<&String> = results.iter().map(|(file, _)| file).collect();
    files.dedup();
    for file in files {
        let mut suite = TestSuite::new(file.as_str());
        for (_, result) in results.iter().filter(|(it, _)| it == file) {
            let status = if result.passed() {
                TestCaseStatus::success()
            } else {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                let number = result.differences.len();
                status.set_message(format!("{number} difference{}", if number == 1 { "" } else { "s" }));
                let hints: String = result.hints.iter().map(|hint| format!("hint: {hint}\n")).collect();
                status.set_description(differences(&result.differences, "") + &hints);
                status
            };
            let mut case = TestCase::new(result.name.as_str(), status);
            case.set_classname(file.as_str());
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}
