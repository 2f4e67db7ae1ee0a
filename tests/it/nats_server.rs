//! The real `nats-server`, on free ports of this machine, with its store in a temporary folder.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{RunningProcess, SpawnGuarded as _};
use async_nats::jetstream;
use tempfile::TempDir;

/// One server; killed when dropped.
pub(crate) struct NatsServer {
    process: RunningProcess,
    pub(crate) name: String,
    pub(crate) port: u16,
    folder: TempDir,
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl NatsServer {
    /// One with JetStream.
    pub(crate) fn start() -> Self {
        Self::with("jetstream { store_dir: STORE }")
    }

    /// One with these settings; `STORE` stands for its folder.
    pub(crate) fn with(settings: &str) -> Self {
        Self::launch("alone", free_port(), settings)
    }

    fn launch(name: &str, port: u16, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("{:?}", folder.path().join("store").display().to_string());
        let text = format!(
            "listen: 127.0.0.1:{port}\nserver_name: {name}\nlogtime: false\n{}\n",
            settings.replace("STORE", &store)
        );
        let path = folder.path().join("server.conf");
        std::fs::write(&path, text).unwrap();
        let mut server = Self { process: Self::spawn(&path), name: name.to_owned(), port, folder };
        server.wait_until_ready();
        server
    }

    fn spawn(config: &Path) -> RunningProcess {
        let program = ["nats-server", "/usr/sbin/nats-server"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok())
            .expect("nats-server is not installed (tests/run installs it on Debian)");
        Command::new(program).arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn_guarded()
    }

    fn wait_until_ready(&mut self) {
        let mut log = BufReader::new(self.process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Server is ready") {
            assert_ne!(log.read_line(&mut said).unwrap(), 0, "nats-server ended: {said}");
        }
        // What it says from now on must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    }

    /// Three servers that keep streams together.
    pub(crate) fn cluster() -> Vec<Self> {
        let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let list: Vec<_> = routes.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect();
        let settings = |port| {
            format!(
                "jetstream {{ store_dir: STORE }}\ncluster {{ name: c, listen: 127.0.0.1:{port}, routes: [{}] }}",
                list.join(",")
            )
        };
        routes
            .iter()
            .enumerate()
            .map(|(n, &port)| Self::launch(&format!("n{n}"), free_port(), &settings(port)))
            .collect()
    }

    /// `nats://HOST:PORT` and what follows.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("nats://127.0.0.1:{}{rest}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again with what it has stored.
    pub(crate) fn restart(&mut self) {
        self.process = Self::spawn(&self.folder.path().join("server.conf"));
        self.wait_until_ready();
    }

    /// The server's own administration.
    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.url("")).await.unwrap())
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
