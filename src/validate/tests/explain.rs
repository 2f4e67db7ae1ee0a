//! Every code has an input that gives it and one that just does not, and the explanations show them.

use std::io;

use super::RULES;
use crate::events::tests::sample;
use crate::validate::continuity::Continuity;
use crate::validate::explain::{Example, Explanation};
use crate::validate::{Bindings, Code, ContentOptions, ContentValidator, Finding, event_findings};

fn findings(example: &Example) -> Vec<Finding> {
    let options = ContentOptions { rules: RULES, strict: false, max_line_bytes: 1000, max_findings: u64::MAX };
    let mut validator = ContentValidator::new(options).with_period(30);
    if matches!(example, Example::Stream(_) | Example::Growing(_)) {
        validator = validator.with_continuity(Continuity::new(16));
    }
    if matches!(example, Example::Bound(..)) {
        validator = validator.with_bindings(Bindings::parse(Example::CHANNELS.as_bytes()).unwrap());
    }
    let mut found = Vec::new();
    let mut take = |located: crate::validate::Located<'_>| {
        found.push(located.finding.clone());
        Ok::<_, io::Error>(())
    };
    validator.validate("example", &*example.input(), &mut take).unwrap();
    validator.finish(&mut take).unwrap();
    found
}

#[test]
fn each_code_is_explained_once_and_its_examples_are_true() {
    let mut without_advice = Vec::new();
    for code in Code::ALL {
        let explanation = Explanation::of(*code).unwrap_or_else(|| panic!("{code} is not explained"));
        let found = findings(&explanation.gives);
        if *code == Code::NotFinite {
            let mut event = sample();
            event.metrics.memory_gb = f64::NAN;
            assert!(event_findings(&event, &RULES).iter().any(|finding| finding.code == *code));
        } else {
            let first = found.iter().find(|finding| finding.code == *code);
            let first = first.unwrap_or_else(|| panic!("{code}: {found:?}"));
            assert_eq!(first.severity, explanation.severity, "{code}");
            without_advice.extend((first.help.is_none() && first.expected.is_none()).then_some(*code));
            assert!(first.place.as_ref().is_some_and(|place| place.line > 0 && place.column > 0), "{first:?}");
        }
        let found = findings(&explanation.just_not);
        assert!(found.iter().all(|finding| finding.code != *code), "{code}: {found:?}");
        for text in [explanation.what, explanation.why, explanation.fix] {
            assert!(text.ends_with('.') && !text.contains("  "), "{text}");
        }
        assert!(explanation.gives.shown() != explanation.just_not.shown(), "{code}");
    }
    assert_eq!(Explanation::all().count(), Code::ALL.len());
    assert_eq!(without_advice, []);
}

#[test]
fn a_misspelt_code_is_told_its_right_name() {
    assert_eq!("period-gap".parse(), Ok(Code::PeriodGap));
    for (name, advice) in
        [("period_gaps", "did you mean \"period-gap\"?"), ("nonsense", "formusage validate --explain lists all codes")]
    {
        let error = name.parse::<Code>().unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
    }
}
