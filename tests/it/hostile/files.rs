//! What other users of the machine may read, lock, and plant.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{ServedQueue, SpawnGuarded as _, line, lines, not_run};

/// Another user of the machine.
const OTHER: u32 = 65_534;
const THRESHOLD: &str = r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":5}},"action":"Log","user_id":"*","clear_value":1}"#;

/// Runs the program with no umask at all.
fn run(folder: &Path, words: &[&str], input: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_formusage")]).args(words);
    command.env("FORMUSAGE_STATE_DIR", folder.join("state")).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn_guarded();
    // Who refuses its options reads no input.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    child.wait_with_output().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// All files in the folder and those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

/// Every command that keeps something, each with the file that it names.
const KEEPERS: [(&str, &[&str]); 5] = [
    ("state.json", &["collect", "--interval", "1s", "--count", "1", "--state", "state.json"]),
    ("alerts.json", &["check", "t.json", "--state", "alerts.json"]),
    ("events.db", &["publish", "--to", "sqlite:events.db"]),
    ("spool.db", &["publish", "--to", "form://127.0.0.1:9/u", "--spool", "spool.db", "--drain-timeout", "1s"]),
    ("dead.ndjson", &["publish", "--to", "file:/dev/null", "--dead-letter", "dead.ndjson"]),
];

#[test]
fn private_files_are_for_their_owner_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.json"), THRESHOLD).unwrap();
    for (name, words) in KEEPERS {
        run(folder.path(), words, &(lines("a", 2) + "garbage\n"));
        assert!(folder.path().join(name).exists(), "{words:?}");
    }
    std::fs::remove_file(folder.path().join("t.json")).unwrap();
    let all = files(folder.path());
    assert!(
        all.iter().any(|it| it.ends_with("alerts.json.lock")) && all.iter().any(|it| it.ends_with("state.json.lock"))
    );
    for file in all {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    run(folder.path(), &["publish", "--to", "file:out.ndjson"], &lines("a", 1));
    run(folder.path(), &["report", "--html", "page.html"], &lines("a", 1));
    assert_eq!((mode(&folder.path().join("out.ndjson")), mode(&folder.path().join("page.html"))), (0o666, 0o666));
}

#[test]
fn queue_and_its_log_are_narrowed_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("q.db");
    drop(ServedQueue::start(&db, &[], None));
    for file in files(folder.path()) {
        set_mode(&file, 0o666);
    }
    // Its first line is where it listens.
    let queue = ServedQueue::start(&db, &["--log", "error"], None);
    let body = br#"{"Write":{"content":[0,1],"topic":"usage_events"}}"#;
    queue.post("content-type: application/json\r\n", body);
    let all = files(folder.path());
    assert!(all.len() >= 3, "{all:?}");
    for file in all {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn file_that_others_could_open_is_narrowed_with_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.json"), THRESHOLD).unwrap();
    let input = lines("a", 2) + "garbage\n";
    for (name, words) in KEEPERS {
        run(folder.path(), words, &input);
        let file = folder.path().join(name);
        set_mode(&file, 0o644);
        let said = String::from_utf8(run(folder.path(), words, &input).stderr).unwrap();
        assert_eq!(mode(&file), 0o600, "{name}");
        assert_eq!(said.matches("could be opened by other users (mode 0644)").count(), 1, "{name}: {said}");
    }
}

/// A file that is not ours keeps its mode: the name may be a slip.
#[test]
fn file_of_another_program_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.txt");
    std::fs::write(&other, "of another program, and rather long so that it could be a database").unwrap();
    set_mode(&other, 0o644);
    for words in [
        &["publish", "--to", "sqlite:other.txt"][..],
        &["publish", "--to", "form://127.0.0.1:9/u", "--spool", "other.txt"],
    ] {
        assert_eq!(run(folder.path(), words, &lines("a", 1)).status.code(), Some(2), "{words:?}");
        assert_eq!(mode(&other), 0o644, "{words:?}");
    }
}

/// A folder that everybody can write, as /tmp is.
fn shared_folder() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        not_run("only root can make files of another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o1777);
    std::fs::write(folder.path().join("t.json"), THRESHOLD).unwrap();
    Some(folder)
}

fn plant_link(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    std::os::unix::fs::lchown(link, Some(OTHER), Some(OTHER)).unwrap();
}

fn plant_file(path: &Path) {
    std::fs::write(path, "").unwrap();
    std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).unwrap();
}

#[test]
fn planted_links_and_files_are_not_used_in_shared_folders() {
    let Some(folder) = shared_folder() else { return };
    let private = tempfile::tempdir().unwrap();
    let outputs = [
        ("out.ndjson", &["publish", "--to", "file:out.ndjson"][..]),
        ("page.html", &["report", "--html", "page.html"]),
    ];
    for (name, words) in KEEPERS.into_iter().chain(outputs) {
        let (path, victim) = (folder.path().join(name), private.path().join(name));
        plant_link(&victim, &path);
        let output = run(folder.path(), words, &(lines("a", 2) + "garbage\n"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!victim.exists(), "{name}: {said}");
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(&format!("{} is a symbolic link of user {OTHER}", path.display())), "{name}: {said}");
        std::fs::remove_file(&path).unwrap();
        if name == "page.html" {
            continue; // It takes the place of what is there.
        }
        plant_file(&path);
        let output = run(folder.path(), words, &(lines("a", 2) + "garbage\n"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "{name}: {said}");
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(&format!("{} belongs to user {OTHER}", path.display())), "{name}: {said}");
        std::fs::remove_file(&path).unwrap();
    }
}

/// Whoever makes the `-wal` and `-shm` of a database first can read and change what is committed.
#[test]
fn databases_are_not_kept_where_every_user_can_write() {
    let Some(folder) = shared_folder() else { return };
    for words in [
        &["publish", "--to", "sqlite:out.db"][..],
        &["publish", "--to", "form://127.0.0.1:9/u", "--spool", "s.db"],
        &["queue", "--listen", "127.0.0.1:0", "--db", "q.db"],
    ] {
        let output = run(folder.path(), words, &lines("a", 1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("a folder that every user can write"), "{said}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".db")), "{left:?}");
}

#[test]
fn what_is_planted_beside_a_state_holds_back_no_event() {
    let Some(folder) = shared_folder() else { return };
    let private = tempfile::tempdir().unwrap();
    for (name, words) in &KEEPERS[..2] {
        let victim = private.path().join(name);
        std::fs::write(&victim, "precious").unwrap();
        plant_link(&victim, &folder.path().join(format!("{name}.new")));
        let output = run(folder.path(), words, &lines("a", 2));
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() > 0, "{name}");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious", "{name}");
    }
}

#[test]
fn folder_behind_a_planted_link_is_not_used() {
    let Some(folder) = shared_folder() else { return };
    let private = tempfile::tempdir().unwrap();
    plant_link(private.path(), &folder.path().join("in"));
    let output = run(folder.path(), &["publish", "--to", "file:in/out.ndjson"], &lines("a", 1));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(files(private.path()).is_empty());
}

/// Whoever made it can put other files under every name in it, at any time.
#[test]
fn folders_planted_in_shared_folders_are_not_used() {
    let Some(folder) = shared_folder() else { return };
    for mode in [0o1777, 0o777] {
        set_mode(folder.path(), mode);
        for state in ["state", "state/of/root"] {
            let planted = folder.path().join("state");
            std::fs::create_dir_all(folder.path().join(state)).unwrap();
            std::os::unix::fs::chown(&planted, Some(OTHER), Some(OTHER)).unwrap();
            for words in [
                "collect --interval 1s --count 1 --state STATE/collect.state",
                "check t.json --state STATE/alerts.json",
                "publish --to form://127.0.0.1:9/u --drain-timeout 1s --spool STATE/spool.db",
                "publish --to file:STATE/out.ndjson",
                "queue --listen 127.0.0.1:0 --db STATE/q.db",
            ] {
                let words = words.replace("STATE", state);
                let output = run(folder.path(), &words.split(' ').collect::<Vec<_>>(), &lines("a", 1));
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{words}: {said}");
                let named = format!("the folder {} belongs to user {OTHER}", planted.display());
                assert!(said.contains(&named), "{words}: {said}");
            }
            let output = run(folder.path(), &["collect", "--interval", "1s", "--count", "1"], "");
            assert_eq!(output.status.code(), Some(2), "as the state directory: {output:?}");
            assert!(files(&planted).is_empty(), "{:?}", files(&planted));
            std::fs::remove_dir_all(&planted).unwrap();
        }
    }
    // A service's own folder that root looks into.
    set_mode(folder.path(), 0o755);
    std::fs::create_dir(folder.path().join("state")).unwrap();
    std::os::unix::fs::chown(folder.path().join("state"), Some(OTHER), Some(OTHER)).unwrap();
    let output = run(folder.path(), &["publish", "--to", "file:state/out.ndjson"], &lines("a", 1));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Runs the program in a folder that is open as descriptor 9 too, which `prepare` may do something to first.
fn run_inside(folder: &Path, prepare: &str, words: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 9<.; {prepare} exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_formusage")]);
    command.args(words.split(' ')).current_dir(folder).env("FORMUSAGE_STATE_DIR", "/proc/self/cwd/st");
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn folders_are_seen_through_links_of_the_kernel() {
    let Some(folder) = shared_folder() else { return };
    let planted = folder.path().join("planted");
    std::fs::create_dir(&planted).unwrap();
    std::os::unix::fs::chown(&planted, Some(OTHER), Some(OTHER)).unwrap();
    let own = tempfile::tempdir().unwrap();
    let by_root = |path: &Path| format!("/proc/self/root{}", path.display());
    for (link, own_link) in [
        ("/proc/self/cwd".to_owned(), "/proc/self/cwd".to_owned()),
        ("/proc/thread-self/cwd/.".to_owned(), "/proc/thread-self/cwd/.".to_owned()),
        (by_root(&planted), by_root(own.path())),
        ("/dev/fd/9".to_owned(), "/dev/fd/9".to_owned()),
        ("/proc/self/fd/9/in/..".to_owned(), "/proc/self/fd/9/in/..".to_owned()),
    ] {
        for words in ["collect --interval 1s --count 1 --state LINK/c.state", "publish --to file:LINK/out.ndjson"] {
            let words_of = |link: &str| words.replace("LINK", link);
            let output = run_inside(&planted, "", &words_of(&link));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{words} {link}: {said}");
            let named = format!("the folder {} belongs to user {OTHER}", planted.display());
            assert!(said.contains(&named), "{words} {link}: {said}");
            let output = run_inside(own.path(), "", &words_of(&own_link));
            assert_eq!(output.status.code(), Some(0), "{words} {own_link}: {output:?}");
        }
    }
    let output = run_inside(&planted, "", "collect --interval 1s --count 1");
    assert_eq!(output.status.code(), Some(2), "as the state directory: {output:?}");
    assert!(files(&planted).is_empty(), "{:?}", files(&planted));
    let gone = own.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let output = run_inside(&gone, "rmdir ../gone;", "publish --to file:/proc/self/cwd/out.ndjson");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("has no path here"), "{said}");
}

#[test]
fn links_of_an_operator_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.json"), THRESHOLD).unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    for (name, words) in KEEPERS {
        symlink(Path::new("real").join(name), folder.path().join(name)).unwrap();
        let output = run(folder.path(), words, &(lines("a", 2) + "garbage\n"));
        let real = folder.path().join("real").join(name);
        assert!(std::fs::metadata(&real).is_ok_and(|it| it.len() > 0), "{name}: {output:?}");
        assert!(folder.path().join(name).is_symlink(), "{name}");
    }
}

#[test]
fn devices_and_pipes_are_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["publish", "--to", "file:/dev/stdout"], &lines("a", 1));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), line("a", 0), "{output:?}");
    assert_eq!(run(folder.path(), &["publish", "--to", "file:/dev/null"], &lines("a", 1)).status.code(), Some(0));
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let mut reader = Command::new("cat").arg(folder.path().join("pipe")).stdout(Stdio::piped()).spawn_guarded();
    let output = run(folder.path(), &["publish", "--to", "file:pipe"], &lines("a", 1));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut read = String::new();
    std::io::Read::read_to_string(&mut reader.stdout.take().unwrap(), &mut read).unwrap();
    assert_eq!(read.trim_end(), line("a", 0));
}
