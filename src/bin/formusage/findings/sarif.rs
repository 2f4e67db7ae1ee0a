//! SARIF 2.1.0: what code scanning, editors and dashboards read. Written as it comes, in flat memory.

use std::borrow::Cow;
use std::collections::HashMap;

use form_usage_events::plain_text::printable_json;
use form_usage_events::validate::Severity;
use serde_json::{Value, json};
use sha3::{Digest as _, Sha3_256};

use super::remark::{Remark, Rule, uri};

/// Writes a log with one run.
#[derive(Debug)]
pub(crate) struct Log {
    rules: HashMap<String, usize>,
    /// How many results have the same fingerprint so far.
    seen: HashMap<[u8; 16], u64>,
    results: u64,
}

impl Log {
    /// A log whose results refer to `rules`, and how it begins.
    pub(crate) fn begin(rules: &[Rule]) -> (Self, String) {
        let index = rules.iter().enumerate().map(|(at, rule)| (rule.id.clone(), at)).collect();
        let rules: Vec<Value> = rules.iter().map(descriptor).collect();
        let mut driver = json!({
            "name": "formusage",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "version": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        });
        // An absolute URI by the standard; none is written before the project has one.
        if let Some(uri) =
            [env!("CARGO_PKG_HOMEPAGE"), env!("CARGO_PKG_REPOSITORY")].into_iter().find(|uri| !uri.is_empty())
        {
            driver["informationUri"] = uri.into();
        }
        let text = format!(
            "{{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{{\"tool\":{{\
             \"driver\":{driver}}},\"columnKind\":\"unicodeCodePoints\",\"results\":["
        );
        (Self { rules: index, seen: HashMap::new(), results: 0 }, text)
    }

    /// The text for a remark.
    pub(crate) fn result(&mut self, remark: &Remark<'_>) -> String {
        let uri = uri(remark.file);
        let mut region = serde_json::Map::new();
        if remark.line > 0 {
            region.insert("startLine".into(), remark.line.into());
            if remark.column > 0 {
                region.insert("startColumn".into(), remark.column.into());
                if remark.width > 0 {
                    region.insert("endColumn".into(), (remark.column + remark.width).into());
                }
            }
        }
        let mut physical = json!({"artifactLocation": {"uri": uri}});
        if !region.is_empty() {
            physical["region"] = region.into();
        }
        let mut location = json!({"physicalLocation": physical});
        if !remark.pointer.is_empty() {
            location["logicalLocations"] = json!([{"fullyQualifiedName": remark.pointer, "kind": "member"}]);
        }
        let mut result = json!({
            "ruleId": remark.rule,
            "level": level(remark.severity),
            "message": {"text": without_links(&remark.words())},
            "locations": [location],
            "partialFingerprints": {"formusage/v1": self.fingerprint(remark, &uri)},
        });
        if let Some(index) = self.rules.get(remark.rule) {
            result["ruleIndex"] = (*index).into();
        }
        let comma = if self.results == 0 { "\n" } else { ",\n" };
        self.results += 1;
        format!("{comma}{}", printable_json(&result.to_string()))
    }

    /// How it ends. `failures` are files that could not be read, and why.
    pub(crate) fn end(&self, failures: &[(&str, &str)]) -> String {
        let notification = |(file, why): &(&str, &str)| {
            json!({
                "level": "error",
                "message": {"text": without_links(why)},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(file)}}}],
            })
        };
        let invocation = json!({
            "executionSuccessful": failures.is_empty(),
            "toolExecutionNotifications": failures.iter().map(notification).collect::<Vec<_>>(),
        });
        let line_end = if self.results == 0 { "" } else { "\n" };
        let invocation = printable_json(&invocation.to_string()).into_owned();
        format!("{line_end}],\"invocations\":[{invocation}]}}]}}\n")
    }

    /// The same for the same fault wherever the lines around it move: of its rule, file, pointer and line of text.
    fn fingerprint(&mut self, remark: &Remark<'_>, uri: &str) -> String {
        let what = if remark.text.is_empty() { remark.message } else { remark.text };
        let mut hash = Sha3_256::new();
        for part in [remark.rule, uri, remark.pointer, what] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest = hash.finalize();
        let mut key = [0; 16];
        key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        let count = self.seen.entry(key).or_default();
        *count += 1;
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{hex}:{count}")
    }
}

/// `text` with no link in it: viewers make one of `[text](address)` (SARIF 2.1.0, section 3.11.6).
fn without_links(text: &str) -> Cow<'_, str> {
    if !text.contains("](") {
        return text.into();
    }
    let escape = |char: char| matches!(char, '\\' | '[' | ']').then_some('\\').into_iter().chain([char]);
    text.chars().flat_map(escape).collect::<String>().into()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn descriptor(rule: &Rule) -> Value {
    // GitHub's code scanning demands all of these but the configuration.
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": format!("{} {}", rule.what, rule.more)},
        "help": {"text": rule.more},
        "defaultConfiguration": {"level": level(rule.severity)},
    })
}

#[cfg(test)]
mod tests {
    use super::without_links;

    #[test]
    fn text_of_others_makes_no_link() {
        assert_eq!(without_links("[a](https://evil.example)"), r"\[a\](https://evil.example)");
        assert_eq!(without_links("an array [1] is no link"), "an array [1] is no link");
    }
}
