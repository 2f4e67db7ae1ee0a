//! The reader against serde_json, and every fault that it names.

use proptest::prelude::*;

use super::*;
use crate::validate::{Code, Finding};

/// What reading `text` finds, in the order of finding.
fn findings(text: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = Text::new(text, 1, &mut |finding| found.push(finding));
    let root = read(&text, &mut |finding| found.push(finding));
    assert!(root.is_some() || !found.is_empty(), "no tree and no reason");
    found
}

/// The tree, as serde_json has it.
fn to_serde(node: &Node<'_>) -> serde_json::Value {
    match &node.value {
        Value::Null | Value::Broken => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap(),
        Value::String(text) => text.to_string().into(),
        Value::Array(items) => items.iter().map(to_serde).collect(),
        Value::Object(members) => {
            members.iter().map(|member| (member.key.to_string(), to_serde(&member.node))).collect()
        }
    }
}

fn shown(text: &str) -> Vec<(&'static str, u64, u64, String)> {
    let findings = findings(text.as_bytes());
    let row = |finding: Finding| {
        let place = finding.place.unwrap();
        (finding.code.as_str(), place.line, place.column, place.pointer)
    };
    findings.into_iter().map(row).collect()
}

#[test]
fn each_fault_has_its_name_and_its_place() {
    for (text, code, line, column, pointer) in [
        ("", "empty", 1, 1, ""),
        (" \n ", "empty", 1, 1, ""),
        ("{\"a\":1,}", "trailing-comma", 1, 7, ""),
        ("[1,\n 2,\n]", "trailing-comma", 2, 3, ""),
        ("{\"a\": // why\n1}", "comment", 1, 7, ""),
        ("{\"a\": /* why */ 1}", "comment", 1, 7, ""),
        ("# why\n{}", "comment", 1, 1, ""),
        ("{} /* why", "unclosed", 1, 4, ""),
        ("{\"a\":[1,2", "unclosed", 1, 6, "/a"),
        ("{\"a\":{\"b\":1", "unclosed", 1, 6, "/a"),
        ("{\"a", "unclosed", 1, 2, ""),
        ("{\"a\":\"x\n\"}", "unclosed", 1, 6, "/a"),
        ("{\"a\":[1}", "unclosed", 1, 8, "/a"),
        ("{}{}", "trailing-text", 1, 3, ""),
        ("{}]", "trailing-text", 1, 3, ""),
        ("{} x", "trailing-text", 1, 4, ""),
        ("[\"\\ud800\"]", "lone-surrogate", 1, 3, "/0"),
        ("[\"\\udc00x\"]", "lone-surrogate", 1, 3, "/0"),
        ("[\"\\ud800\\ud800\\udc00\"]", "lone-surrogate", 1, 3, "/0"),
        ("[\"a\0b\"]", "control-character", 1, 4, "/0"),
        ("[\0]", "control-character", 1, 2, "/0"),
        ("{\"a\":1,\"é\":2,\"a\":3}", "duplicate-key", 1, 14, "/a"),
        ("[1e999]", "number-too-large", 1, 2, "/0"),
        ("[01]", "invalid-json", 1, 2, "/0"),
        ("[+1]", "invalid-json", 1, 2, "/0"),
        ("[.5]", "invalid-json", 1, 2, "/0"),
        ("[1.]", "invalid-json", 1, 2, "/0"),
        ("[1_000]", "invalid-json", 1, 2, "/0"),
        ("[0x10]", "invalid-json", 1, 2, "/0"),
        ("[NaN]", "invalid-json", 1, 2, "/0"),
        ("[-Infinity]", "invalid-json", 1, 2, "/0"),
        ("[None]", "invalid-json", 1, 2, "/0"),
        ("[True]", "invalid-json", 1, 2, "/0"),
        ("[abc]", "invalid-json", 1, 2, "/0"),
        ("{a:1}", "invalid-json", 1, 2, ""),
        ("{'a':1}", "invalid-json", 1, 2, ""),
        ("{\"a\"=1}", "invalid-json", 1, 5, ""),
        ("{\"a\" 1}", "invalid-json", 1, 6, ""),
        ("{\"a\":}", "invalid-json", 1, 6, "/a"),
        ("{\"a\"", "unclosed", 1, 1, ""),
        ("{\"a\":", "unclosed", 1, 1, ""),
        ("{,}", "invalid-json", 1, 2, ""),
        ("[1 2]", "invalid-json", 1, 3, ""),
        ("[1 : 2]", "invalid-json", 1, 3, ""),
        ("[\"a\\xb\"]", "invalid-json", 1, 4, "/0"),
        ("[\"\\u12g4\"]", "invalid-json", 1, 3, "/0"),
        ("[“x”]", "invalid-json", 1, 2, "/0"),
        ("\u{feff}{}", "invalid-json", 1, 1, ""),
        ("{1:2}", "invalid-json", 1, 2, ""),
    ] {
        let found = shown(text);
        assert_eq!(found.first(), Some(&(code, line, column, pointer.to_owned())), "{text:?}: {found:?}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err() || code == "duplicate-key", "{text:?}");
    }
}

#[test]
fn comments_alone_are_named_as_comments_alone() {
    assert_eq!(shown("# one").len(), 1);
}

#[test]
fn reads_on_behind_what_leaves_no_doubt() {
    let found = shown("{\n  // one\n  a: 'x',\n  \"b\": [1, 2,],\n  \"c\": True\n  \"d\": 1,\n}");
    let codes: Vec<_> = found.iter().map(|(code, line, ..)| (*code, *line)).collect();
    assert_eq!(
        codes,
        [
            ("comment", 2),
            ("invalid-json", 3),
            ("invalid-json", 3),
            ("trailing-comma", 4),
            ("invalid-json", 5),
            ("invalid-json", 5),
            ("trailing-comma", 6),
        ]
    );
}

#[test]
fn single_quotes_are_named_once_for_a_document() {
    let found = findings(b"{'a': 'x', 'b': ['y', 'z']}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].help.as_deref(), Some("JSON strings are in double quotes"));
}

#[test]
fn an_opening_bracket_is_named_where_it_stands() {
    let found = findings(b"{\n \"a\": [1, 2\n}");
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("line 2, column 7"), "{}", found[0]);
}

#[test]
fn nesting_is_bounded() {
    let deep = |depth: usize| findings(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
    assert_eq!(deep(128), []);
    assert_eq!(deep(129)[0].code, Code::TooDeep);
    assert_eq!(deep(10_000)[0].code, Code::TooDeep);
    assert_eq!(findings("[".repeat(10_000).as_bytes()).len(), 1);
    assert_eq!(findings("{\"a\":".repeat(10_000).as_bytes()).len(), 1);
}

#[test]
fn long_values_are_shortened_and_tame() {
    let text = format!("\"{}\"", "x\\u001b".repeat(1000));
    let text = Text::new(text.as_bytes(), 1, &mut |_| {});
    let shown = read(&text, &mut |_| {}).unwrap().describe();
    assert!(shown.starts_with(r#"the string "x\u{1b}x"#) && shown.len() < 300, "{shown}");
}

/// JSON, and near misses of it.
fn json_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just("\"a\":"),
        Just("\"b\""),
        Just("\\u00e9"),
        Just("\\ud83d\\ude00"),
        Just("\\ud83d"),
        Just("\\n"),
        Just("é"),
        Just("😀"),
        Just("1"),
        Just("-"),
        Just("0"),
        Just("."),
        Just("e"),
        Just("+"),
        Just("true"),
        Just("null"),
        Just(" "),
        Just("\n"),
        Just("//"),
        Just("'"),
        Just("\u{1}"),
        Just("[]"),
        Just("{}"),
        Just("-0.5e3"),
        Just("1e400"),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn accepts_what_serde_json_accepts(text in json_like()) {
        let found = findings(text.as_bytes());
        let accepted = found.iter().all(|finding| finding.code == Code::DuplicateKey);
        prop_assert_eq!(accepted, serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{:?}", found);
    }

    #[test]
    fn no_bytes_make_it_panic_or_run_off(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let valid = serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        prop_assert_eq!(findings(&bytes).is_empty(), valid);
    }
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let text = Text::new(text.as_bytes(), 1, &mut |finding| panic!("{finding}"));
        let root = read(&text, &mut |finding| panic!("{finding}")).unwrap();
        // Through text once more: what serde_json makes of a float's digits is its own.
        let expected: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
        prop_assert_eq!(to_serde(&root), expected);
    }
}
