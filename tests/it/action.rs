//! The shell of the workflow action, run as it stands.

use std::path::Path;
use std::process::Command;

/// The script of the step of this name.
fn step(name: &str) -> String {
    let action =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/action/action.yml")).unwrap();
    let (_, rest) = action.split_once(&format!("- name: {name}\n")).unwrap();
    let (_, script) = rest.split_once("run: |\n").unwrap();
    let lines = script.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
    lines.map(|line| line.trim_start_matches("        ").to_owned() + "\n").collect()
}

#[test]
fn findings_are_annotations_or_a_file_wherever_the_log_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("thresholds")).unwrap();
    std::fs::write(path("thresholds/a.json"), "[{\"id\":").unwrap();
    std::fs::write(path("step.sh"), step("Validate")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_formusage")).parent().unwrap().display().to_string();
    let run = |format: &str, output: &str| {
        std::fs::write(path("log"), "what was logged before\n").unwrap();
        std::fs::write(path("outputs"), "").unwrap();
        let log = std::fs::OpenOptions::new().append(true).open(path("log")).unwrap();
        // As runners start it.
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "step.sh"]).current_dir(folder.path());
        command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap())).env("GITHUB_OUTPUT", path("outputs"));
        command.env("FILES", "thresholds/").env("ARGS", "--strict").env("FORMAT", format).env("OUTPUT", output);
        let status = command.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
        assert_eq!(std::fs::read_to_string(path("outputs")).unwrap(), "exit-code=1\n");
        (status.code(), std::fs::read_to_string(path("log")).unwrap())
    };
    let (code, log) = run("github", "");
    assert_eq!(code, Some(1));
    assert!(
        log.starts_with("what was logged before\n") && log.contains("::error file=thresholds/a.json,line=1"),
        "{log}"
    );
    let (code, log) = run("sarif", "found.sarif");
    assert_eq!(code, Some(1));
    assert!(
        !log.contains("$schema") && std::fs::read_to_string(path("found.sarif")).unwrap().contains("$schema"),
        "{log}"
    );
}

#[test]
fn files_are_words_of_all_lines_and_patterns_and_never_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = r#"[{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Log","user_id":"*"}]"#;
    std::fs::create_dir_all(path("thresholds")).unwrap();
    std::fs::create_dir_all(path("other/deep")).unwrap();
    std::fs::write(path("thresholds/good.json"), good).unwrap();
    std::fs::write(path("bad.json"), "[{\"id\":").unwrap();
    std::fs::write(path("other/deep/with space.JSON"), "[{\"id\":").unwrap();
    std::fs::write(path("step.sh"), step("Validate")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_formusage")).parent().unwrap().display().to_string();
    let run = |files: &str| {
        std::fs::write(path("outputs"), "").unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "step.sh"]).current_dir(folder.path());
        command.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap())).env("GITHUB_OUTPUT", path("outputs"));
        command.env("FILES", files).env("ARGS", "--period\n30s\n").env("FORMAT", "github").env("OUTPUT", "");
        let output = command.output().unwrap();
        let code = output.status.code().unwrap();
        assert_eq!(std::fs::read_to_string(path("outputs")).unwrap(), format!("exit-code={code}\n"));
        (code, String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run("thresholds/"), (0, String::new()));
    for (files, named) in [
        ("thresholds/\nbad.json\n", "file=bad.json"),
        ("bad.json\nthresholds/", "file=bad.json"),
        ("b*.json", "file=bad.json"),
        ("**/*.JSON", "file=other/deep/with space.JSON"),
    ] {
        let (code, log) = run(files);
        assert!(code == 1 && log.contains(&format!("::error {named},line=1")), "{files}: {code} {log}");
    }
    let (code, log) = run("thresholds/ missing/*.json");
    assert!(code == 2 && log.contains("missing/*.json"), "{code} {log}");
    for nothing in ["", " \n"] {
        let (code, log) = run(nothing);
        assert!(code == 2 && log.starts_with("::error title=formusage::") && log.contains("files"), "{code} {log}");
    }
}
