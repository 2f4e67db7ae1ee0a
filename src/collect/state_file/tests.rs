use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::collect::{Agent, Periods};

const START: u64 = 1_626_350_400;

fn now(seconds: u64) -> Now {
    Now { monotonic: Duration::from_secs(seconds), wall: at(seconds) }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(START + seconds)
}

fn here() -> Origin {
    Origin { host: "h".into(), boot: Some("b".into()) }
}

/// A state that was kept so many seconds after the start.
fn kept(origin: &Origin, closing: &[String], seconds: u64) -> Vec<u8> {
    let interval = Duration::from_secs(10);
    let periods = Periods { interval, align: true, sample_interval: interval };
    let agent = Agent::new(Vec::new(), periods, now(seconds));
    Saved::encode(origin, closing, &agent.snapshot()).unwrap()
}

/// A folder with a state file that holds these bytes.
fn holding(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.json");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn open(path: &Path, seconds: u64) -> Opened {
    StateFile::open(path, &here(), now(seconds)).unwrap()
}

/// Opens what holds these bytes, which can't be gone on with; gives why.
fn put_aside(bytes: &[u8]) -> StateFault {
    let (_folder, path) = holding(bytes);
    let opened = open(&path, 100);
    assert!(opened.continuation.is_none() && opened.closing.is_empty());
    let (aside, fault) = opened.put_aside.unwrap();
    assert_eq!(aside, with_suffix(&path, &format!(".aside-{}", START + 100)));
    assert_eq!(std::fs::read(&aside).unwrap(), bytes, "nothing is deleted");
    assert_eq!(std::fs::read(&path).unwrap(), PLACEHOLDER);
    fault
}

#[test]
fn what_is_saved_is_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a/b/s.json");
    let opened = open(&path, 0);
    assert!(opened.continuation.is_none() && opened.put_aside.is_none());
    opened.file.save(&kept(&here(), &[], 5)).unwrap();
    assert_eq!(opened.file.path(), path);
    drop(opened);
    let opened = open(&path, 10);
    assert!(matches!(opened.continuation, Some(Continuation::Same(_))), "{opened:?}");
    drop(opened);

    let reborn = Origin { boot: Some("c".into()), ..here() };
    let opened = StateFile::open(&path, &reborn, now(10)).unwrap();
    assert!(matches!(opened.continuation, Some(Continuation::Rebooted(_))), "{opened:?}");
    drop(opened);
    let unknown = Origin { boot: None, ..here() };
    let opened = StateFile::open(&path, &unknown, now(10)).unwrap();
    assert!(matches!(opened.continuation, Some(Continuation::Rebooted(_))), "where boots have no names");
}

#[test]
fn a_damaged_state_is_put_aside() {
    let whole = kept(&here(), &["{\"a\":1}".into()], 5);
    let mut cases = vec![Vec::new(), b"\xff\xfe\n".to_vec(), b"no state\n".to_vec(), b"{}\n{}\n".to_vec()];
    // Cut off anywhere, as by a power cut on a file system that keeps no order.
    cases.extend((1..whole.len()).step_by(37).map(|end| whole[..end].to_vec()));
    cases.push(whole[..whole.len() - 1].to_vec());
    // A bit that fell over, in the events.
    let mut flipped = whole.clone();
    let at = String::from_utf8(whole).unwrap().find("closing").unwrap();
    flipped[at + 12] ^= 1;
    cases.push(flipped);
    for bytes in cases {
        let fault = put_aside(&bytes);
        assert!(matches!(fault, StateFault::Damaged(_)), "{fault}: {:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn states_of_a_newer_version_another_host_and_the_future_are_put_aside() {
    let text = String::from_utf8(kept(&here(), &[], 5)).unwrap();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert_ne!(text, newer);
    assert_eq!(put_aside(newer.as_bytes()), StateFault::Newer(2));
    let other = Origin { host: "other".into(), ..here() };
    assert_eq!(put_aside(&kept(&other, &[], 5)), StateFault::OtherHost("other".into()));
    // In the same boot the monotonic clock has only one way to go.
    assert!(matches!(put_aside(&kept(&here(), &[], 101)), StateFault::Future(_)));
    // Of another boot there is the wall clock alone, which may have been wrong by a day.
    let before = Origin { boot: Some("a".into()), ..here() };
    let two_days = 2 * 24 * 3600;
    assert!(matches!(put_aside(&kept(&before, &[], two_days)), StateFault::Future(_)));
    let (_folder, path) = holding(&kept(&before, &[], 3600));
    assert!(open(&path, 100).put_aside.is_none(), "an hour ahead is a clock that was set");
}

/// From a backup, or by a tool that keeps folders alike: what was metered since would be billed again.
#[test]
fn an_older_copy_that_is_put_back_is_put_aside() {
    let (_folder, path) = holding(&kept(&here(), &[], 5));
    let opened = open(&path, 10);
    assert!(opened.continuation.is_some(), "nothing is known of what was saved last");
    opened.file.save(&kept(&here(), &[], 11)).unwrap();
    let copy = std::fs::read(&path).unwrap();
    opened.file.save(&kept(&here(), &[], 12)).unwrap();
    drop(opened);
    std::fs::write(&path, &copy).unwrap();
    let opened = open(&path, 25);
    assert_eq!(opened.put_aside.as_ref().unwrap().1, StateFault::OlderCopy);
    assert!(opened.continuation.is_none());
    opened.file.save(&kept(&here(), &[], 26)).unwrap();
    drop(opened);
    assert!(open(&path, 27).continuation.is_some(), "the new one is gone on with");

    std::fs::write(&path, &copy).unwrap();
    std::fs::remove_file(with_suffix(&path, ".lock")).unwrap();
    assert!(open(&path, 28).continuation.is_some(), "who removes the lock asks for it");
}

#[test]
fn several_are_put_aside_in_one_second() {
    let (_folder, path) = holding(b"one");
    let first = open(&path, 7).put_aside.unwrap().0;
    std::fs::write(&path, b"two").unwrap();
    let second = open(&path, 7).put_aside.unwrap().0;
    assert_ne!(first, second);
    assert_eq!((std::fs::read(first).unwrap(), std::fs::read(second).unwrap()), (b"one".to_vec(), b"two".to_vec()));
}

/// Who dies between the save and the write leaves events that the next one writes with the very same bytes, since their
/// id is a digest of them.
#[test]
fn closing_events_come_back_byte_for_byte() {
    let lines = ["{\"b\": 1.50 ,\"a\":\"\\u00e4 ä \\\"\"}".to_owned(), String::new(), "{\"n\":1e2}".to_owned()];
    let (folder, path) = holding(b"");
    std::fs::remove_file(&path).unwrap();
    let file = open(&path, 0).file;
    file.save(&kept(&here(), &lines, 5)).unwrap();
    drop(file);
    // Its successor dies before it writes, and another one's write of the state ends half way.
    assert_eq!(open(&path, 6).closing, lines);
    std::fs::write(with_suffix(&path, ".new"), b"half of").unwrap();
    let opened = open(&path, 7);
    assert_eq!(opened.closing, lines);
    // Once they are written, no more.
    opened.file.save(&kept(&here(), &[], 8)).unwrap();
    drop(opened);
    assert_eq!(open(&path, 9).closing, Vec::<String>::new());
    assert!(!with_suffix(&path, ".new").exists());
    drop(folder);
}

#[test]
fn one_at_a_time_has_it() {
    let (_folder, path) = holding(&kept(&here(), &[], 5));
    let first = open(&path, 10);
    let refused = StateFile::open(&path, &here(), now(10)).unwrap_err();
    assert!(matches!(refused, StateFileError::InUse { .. }), "{refused}");
    let words = refused.to_string();
    assert!(words.contains("--state") && words.contains("--no-state"), "{words}");
    drop(first);
    assert!(open(&path, 10).continuation.is_some());
}

#[cfg(unix)]
#[test]
fn one_at_a_time_has_it_whatever_becomes_of_the_lock_and_of_its_names() {
    let in_use = |path: &Path| {
        let refused = StateFile::open(path, &here(), now(10)).unwrap_err();
        assert!(matches!(refused, StateFileError::InUse { .. }), "{refused}");
    };
    let (folder, path) = holding(&kept(&here(), &[], 5));
    let first = open(&path, 10);
    let lock = with_suffix(&path, ".lock");
    std::fs::remove_file(&lock).unwrap();
    in_use(&path);
    first.file.save(&kept(&here(), &[], 6)).unwrap();
    std::fs::remove_file(&lock).unwrap();
    in_use(&path);

    // Another name, of the state as it is and as it was.
    let other = folder.path().join("other.json");
    std::fs::hard_link(&path, &other).unwrap();
    in_use(&other);
    first.file.save(&kept(&here(), &[], 7)).unwrap();
    in_use(&other);
    std::fs::remove_file(&other).unwrap();
    drop(first);
    std::fs::hard_link(&path, &other).unwrap();
    let refused = StateFile::open(&path, &here(), now(10)).unwrap_err();
    assert!(matches!(refused, StateFileError::OtherNames { .. }), "{refused}");
    std::fs::remove_file(&other).unwrap();
    assert!(open(&path, 10).continuation.is_some());
}

#[cfg(unix)]
#[test]
fn a_state_that_another_took_before_it_was_there_is_left_to_that() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.json");
    let first = open(&path, 0);
    std::fs::remove_file(with_suffix(&path, ".lock")).unwrap();
    let refused = StateFile::open(&path, &here(), now(0)).unwrap_err();
    assert!(matches!(refused, StateFileError::InUse { .. }), "{refused}");
    std::fs::remove_file(with_suffix(&path, ".lock")).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = open(&path, 0);
    let lost = first.file.save(&kept(&here(), &[], 5)).unwrap_err();
    assert!(matches!(lost, StateFileError::InUse { .. }), "{lost}");
    second.file.save(&kept(&here(), &[], 5)).unwrap();
    // The lock was moved away with all else, and nobody has it.
    std::fs::remove_file(with_suffix(&path, ".lock")).unwrap();
    std::fs::remove_file(&path).unwrap();
    second.file.save(&kept(&here(), &[], 6)).unwrap();
    assert!(StateFile::open(&path, &here(), now(10)).is_err());
}

#[test]
fn what_can_t_be_a_state_file_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let refused = StateFile::open(folder.path(), &here(), now(0)).unwrap_err().to_string();
    assert!(refused.contains("no regular file") && refused.contains("--state"), "{refused}");
    let beneath = folder.path().join("file/s.json");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let refused = StateFile::open(&beneath, &here(), now(0)).unwrap_err().to_string();
    assert!(refused.contains("--no-state"), "{refused}");
}

#[cfg(unix)]
#[test]
fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("own/s.json");
    open(&path, 0).file.save(&kept(&here(), &[], 5)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn what_an_earlier_run_left_half_written_is_no_hindrance() {
    let (_folder, path) = holding(&kept(&here(), &[], 5));
    let fresh = with_suffix(&path, ".new");
    std::fs::write(&fresh, "half").unwrap();
    let opened = open(&path, 10);
    assert!(matches!(opened.continuation, Some(Continuation::Same(_))) && !fresh.exists(), "{opened:?}");
    drop(opened);
    std::fs::create_dir(&fresh).unwrap();
    let opened = open(&path, 20);
    opened.file.save(&kept(&here(), &[], 20)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), kept(&here(), &[], 20), "a folder in the way is gone past");
}

#[test]
fn name_of_the_state_is_taken_from_the_start() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s.json");
    let opened = open(&path, 0);
    assert!(opened.continuation.is_none() && opened.put_aside.is_none());
    assert!(std::fs::create_dir(&path).is_err(), "nobody else can put a folder there");
    drop(opened);
    // Killed before the first save.
    let opened = open(&path, 1);
    assert!(opened.continuation.is_none() && opened.put_aside.is_none());
    opened.file.save(&kept(&here(), &[], 2)).unwrap();
    drop(opened);
    assert!(open(&path, 3).continuation.is_some());
}

#[test]
fn failed_saves_leave_no_new_file_behind() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let opened = open(&path, 0);
    // Neither name can be used: the usual new one is a folder, and so is the state itself.
    std::fs::create_dir_all(folder.path().join("state.new/in")).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(path.join("in")).unwrap();
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let before = names();
    let failed = opened.file.save(b"{}").unwrap_err();
    assert!(matches!(failed, StateFileError::Io { .. }), "{failed}");
    assert_eq!(names(), before);
}

#[test]
fn a_state_that_is_too_large_is_put_aside_unread() {
    for (beginning, length, why) in [(BEGINNING, MAX_BYTES + 1, "256 MiB"), (b"[[", 2 << 20, "begins with")] {
        let (_folder, path) = holding(beginning);
        std::fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
        let fault = open(&path, 1).put_aside.unwrap().1;
        assert!(matches!(&fault, StateFault::Damaged(what) if what.contains(why)), "{fault}");
    }
}
