//! NATS credentials files, against a server whose operator issues accounts, which issue users.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};

use crate::nats_server::NatsServer;
use crate::support::{formusage, lines};

/// A JWT of NATS, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &str, name: &str, end: Option<i64>, nats: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let mut claims = json!({"jti": name, "iat": 1_600_000_000, "iss": issuer.public_key(), "name": name, "sub": subject, "nats": nats});
    if let Some(end) = end {
        claims["exp"] = end.into();
    }
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// A server with an operator, and the account whose users may use its JetStream.
struct Realm {
    server: NatsServer,
    account: KeyPair,
    folder: tempfile::TempDir,
}

impl Realm {
    fn start() -> Self {
        let (operator, system, account) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
        let limits = |stored: i64| {
            json!({"type": "account", "version": 2, "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
                "leaf": -1, "mem_storage": stored, "disk_storage": stored, "streams": stored, "consumer": stored}})
        };
        let own = operator.public_key();
        let itself = jwt(&operator, &own, "O", None, &json!({"type": "operator", "version": 2}));
        let [system_jwt, account_jwt] = [(&system, "SYS", 0), (&account, "METERS", -1)]
            .map(|(account, name, stored)| jwt(&operator, &account.public_key(), name, None, &limits(stored)));
        let settings = format!(
            "jetstream {{ store_dir: STORE }}\noperator: {itself}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {system}: {system_jwt}, {account}: {account_jwt} }}",
            system = system.public_key(),
            account = account.public_key(),
        );
        Self { server: NatsServer::with(&settings), account, folder: tempfile::tempdir().unwrap() }
    }

    /// A user's credentials file, as nsc writes it, and the two secrets in it.
    fn credentials(&self, file: &str, issuer: &KeyPair, end: Option<i64>) -> (PathBuf, [String; 2]) {
        let user = KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let (jwt, seed) = (jwt(issuer, &user.public_key(), "meter", end, &claims), user.seed().unwrap());
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        let path = self.folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        (path, [jwt, seed])
    }

    fn url(&self) -> String {
        self.server.url("/usage_events?stream=USAGE")
    }
}

fn run(words: &[&str], credentials: &Path) -> assert_cmd::Command {
    let mut command = formusage();
    command.args(words).arg("--nats-creds").arg(credentials);
    command
}

#[test]
fn who_has_a_credentials_file_publishes_reads_and_pings() {
    let realm = Realm::start();
    let (path, _) = realm.credentials("meter.creds", &realm.account, None);
    let url = realm.url();
    run(&["publish", "--to", &url, "--create-stream"], &path).write_stdin(lines("a", 3)).assert().code(0).stderr("");
    run(&["read", "--from", &url], &path).assert().code(0).stdout(lines("a", 3)).stderr("");
    let ping = run(&["ping", "--to", &url, "--write", "--format", "table"], &path).assert().code(0);
    ping.stdout(contains("the server lets us in").and(contains("USAGE: 3 messages")));
    // From the environment too, as every option.
    formusage()
        .args(["read", "--from", &url])
        .env("FORMUSAGE_NATS_CREDS", &path)
        .assert()
        .code(0)
        .stdout(lines("a", 3));
}

#[test]
fn what_the_server_does_not_take_is_named_with_its_file_and_not_shown() {
    let realm = Realm::start();
    let url = realm.url();
    let (expired, first) = realm.credentials("expired.creds", &realm.account, Some(1_600_000_100));
    // Of an account that the server does not know.
    let (foreign, second) = realm.credentials("foreign.creds", &KeyPair::new_account(), None);
    for (path, secrets, says) in [
        (&expired, first, "expired.creds expired at 2020-09-13T12:28:20Z"),
        (&foreign, second, "foreign.creds are not accepted"),
    ] {
        for words in [&["publish", "--to", &url][..], &["read", "--from", &url], &["ping", "--to", &url]] {
            let code = if words[0] == "ping" { 1 } else { 2 };
            let run = run(words, path).args(["-vv", "--log", "trace"]).write_stdin(lines("a", 1)).assert().code(code);
            let said = format!("{:?}", run.get_output());
            assert!(said.contains(says), "{words:?}: {said}");
            assert!(secrets.iter().all(|secret| !said.contains(secret)), "{words:?}: {said}");
        }
    }
}

#[test]
fn a_file_that_holds_no_credentials_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meter.creds");
    std::fs::write(&path, "hush").unwrap();
    let url = "nats://127.0.0.1:1/usage_events";
    for words in [["publish", "--to", url], ["read", "--from", url], ["ping", "--to", url]] {
        run(&words, &path).write_stdin("").assert().code(2).stderr(
            contains("meter.creds holds no credentials")
                .and(contains("nsc generate creds"))
                .and(contains("hush").not()),
        );
    }
}
