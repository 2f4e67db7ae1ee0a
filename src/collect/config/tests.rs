use super::*;
use crate::collect::ScopeOptions;

fn parse(text: &str) -> CollectConfig {
    CollectConfig::parse(text, "c.toml").unwrap()
}

/// What is wrong with a text.
fn wrong(text: &str) -> Vec<String> {
    CollectConfig::parse(text, "c.toml").unwrap_err().problems().to_vec()
}

#[test]
fn a_file_says_what_the_command_line_says_and_more() {
    let config = parse(
        r#"
            interval = "1m"
            sample_interval = "500ms"
            align = false
            state = "s.json"
            user_id = "ops"
            labels = { region = "eu", tier = "none" }

            [[scope]]
            scope = "host"
            interfaces = ["eth*", "wlan0"]
            mounts = "/srv"

            [[scope]]
            scope = "cgroup:system.slice/docker-*.scope"
            instance_id = "{host}-{name}"
            user_id = "{name}"
            org_id = "acme"
            labels = { tier = "gold" }
        "#,
    );
    assert_eq!((config.interval, config.align), (Some(Duration::from_secs(60)), Some(false)));
    assert_eq!((config.sample_interval, config.state), (Some(Duration::from_millis(500)), Some("s.json".into())));
    let [host, groups] = &config.scopes[..] else { panic!("{:?}", config.scopes) };
    let host_options = ScopeOptions {
        user: Some("ops".parse().unwrap()),
        interfaces: vec!["eth*".parse().unwrap(), "wlan0".parse().unwrap()],
        mounts: vec!["/srv".parse().unwrap()],
        ..ScopeOptions::default()
    };
    assert_eq!((&host.spec, &host.options), (&ScopeSpec::Host, &host_options));
    let labels = |tier: &str| Labels::from([("region".into(), "eu".into()), ("tier".into(), tier.into())]);
    assert_eq!((&host.labels, &groups.labels), (&labels("none"), &labels("gold")), "a scope's own go first");
    assert_eq!(groups.name(), "cgroup:system.slice/docker-*.scope as {host}-{name}");
    assert_eq!(groups.options.user, Some("{name}".parse().unwrap()));
    assert_eq!(groups.options.org, Some("acme".parse().unwrap()));
    assert_eq!(parse("[[scope]]\nscope = \"host\"").scopes, [ScopeConfig::new(ScopeSpec::Host)]);
}

#[test]
fn all_that_is_wrong_is_said_with_its_place() {
    let text = "intervall = \"1s\"\n\
        interval = \"1500ms\"\n\
        sample_interval = 5\n\
        align = \"yes\"\n\
        labels = { \"é\" = 1 }\n\
        \n\
        [[scope]]\n\
        scope = \"hots\"\n\
        instanceid = \"x\"\n\
        \n\
        [[scope]]\n\
        user_id = \"{nmae}\"\n\
        labels = { tier = 1 }\n";
    let problems = wrong(text);
    let expected = [
        "c.toml:1:1: unknown key \"intervall\"; did you mean interval?",
        "c.toml:2:12: interval should be whole seconds",
        "c.toml:3:19: sample_interval should be a time",
        "c.toml:4:9: align should be true or false, and is \"yes\"",
        // In characters, not in bytes.
        "c.toml:5:18: labels.é should be a string",
        "c.toml:8:9: scope: ",
        "c.toml:9:1: unknown key \"instanceid\" in [[scope]]; did you mean instance_id?",
        "c.toml:11:1: [[scope]] has no scope; write scope = \"host\"",
        "c.toml:12:11: user_id: ",
        "c.toml:13:19: labels.tier should be a string, and is the number 1",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{expected}: {problem}");
    }
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    assert!(wrong("interval = \n[[scope]]")[0].starts_with("c.toml:1:"), "{:?}", wrong("interval = \n[[scope]]"));
    let twice = wrong("align = true\nalign = false\n[[scope]]\nscope = \"host\"");
    assert!(twice[0].starts_with("c.toml:2:1: this is no TOML: "), "{twice:?}");
}

#[test]
fn what_no_event_may_carry_is_said_with_its_place() {
    let text = "user_id = \"\"\n[[scope]]\nscope = \"host\"\ninstance_id = \"a\\u0007\"\norg_id = \"{host}\"\n";
    let expected = [
        "c.toml:1:11: user_id can't be \"\": it is empty; write an id",
        "c.toml:4:15: instance_id can't be \"a\\u{7}\": it holds control characters",
    ];
    let problems = wrong(text);
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{expected}: {problem}");
    }
}

#[test]
fn a_scope_knows_where_it_stands_and_is_the_same_elsewhere() {
    let host = "[[scope]]\nscope = \"host\"\n";
    let (here, there) = (parse(host).scopes.remove(0), parse(&format!("\n\n{host}")).scopes.remove(0));
    assert_eq!([here.shown(), there.shown()], ["host (c.toml:1:1)", "host (c.toml:3:1)"]);
    assert_eq!(here, there);
}

#[test]
fn a_misspelt_table_is_one_fault() {
    let problems = wrong("[[scopes]]\nscope = \"host\"\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("c.toml:1:3: unknown key \"scopes\"; did you mean scope?"), "{problems:?}");
    assert_eq!(wrong("elsewhere = 1").len(), 2, "nothing is metered by that");
}

#[test]
fn a_scope_there_is_and_each_once() {
    assert_eq!(wrong("").len(), 1);
    assert!(wrong("interval = \"1s\"")[0].contains("add a table: [[scope]]"));
    assert!(wrong("scope = \"host\"")[0].contains("tables, each under a line [[scope]]"));
    let host = "[[scope]]\nscope = \"host\"\n";
    let twice = wrong(&[host, host].concat());
    assert!(twice[0].contains("the scope host stands twice"), "{twice:?}");
    // Under other ids they are others; whether these ids meet is known at the first look.
    let other = "[[scope]]\nscope = \"host\"\ninstance_id = \"other\"\n";
    assert_eq!(parse(&[host, other].concat()).scopes.len(), 2);
}

#[test]
fn a_relative_state_is_beside_the_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "state = \"s.json\"\n[[scope]]\nscope = \"host\"\n").unwrap();
    assert_eq!(CollectConfig::load(&path).unwrap().state, Some(folder.path().join("s.json")));
    let missing = CollectConfig::load(&folder.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().ends_with("check the path"), "{missing}");
    std::fs::write(&path, b"state = \"\xff\"").unwrap();
    let binary = CollectConfig::load(&path).unwrap_err().to_string();
    assert!(binary.contains("no UTF-8 text"), "{binary}");
}

#[test]
fn places_in_a_large_file_are_right() {
    let mut text = String::new();
    let mut places = Vec::new();
    for number in 0..500 {
        text += "# é\n";
        let indent = "é = 1 ".len() * (number % 3);
        text += &" ".repeat(indent);
        places.push(format!("c.toml:{}:{}", 3 * number + 2, indent + 1));
        text += &format!("[[scope]]\nscope = \"cgroup:{number}\"\n");
    }
    let found: Vec<String> = parse(&text)
        .scopes
        .iter()
        .map(|scope| if let Asked::File(place) = &scope.options.asked { place.clone() } else { String::new() })
        .collect();
    assert_eq!(found, places);
}
