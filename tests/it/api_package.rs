//! The documented calls from a crate of its own, which names only the library's package.

use std::path::Path;
use std::process::Command;

const MANIFEST: &str = include_str!("../api/Cargo.toml");

/// What the calls do is tested by tests/api.rs here; that they need nothing else is a matter for the compiler.
#[test]
fn a_service_compiles_the_documented_calls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("api");
    std::fs::create_dir_all(&package).unwrap();
    let path = |path: &Path| format!("path = {:?}", path.display().to_string());
    let manifest = MANIFEST
        .replace("path = \"../..\"", &path(root))
        .replace("path = \"../api.rs\"", &path(&root.join("tests/api.rs")));
    // What has not changed keeps its time, so that nothing is compiled twice.
    if std::fs::read_to_string(package.join("Cargo.toml")).ok().as_ref() != Some(&manifest) {
        std::fs::write(package.join("Cargo.toml"), &manifest).unwrap();
    }
    // The same versions as here; cargo leaves out what this package does not need.
    std::fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["check", "--offline", "--quiet", "--tests", "--target-dir", "target"])
        .current_dir(&package)
        .env_remove("CARGO_TARGET_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
