//! Servers that keep their clients waiting.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use form_usage_events::threshold::{ThresholdReader, ThresholdSource};
use form_usage_events::transport::ConnectOptions;

/// What a server does with a request that it has accepted.
type Misbehaviour = fn(&mut TcpStream);

const MISBEHAVIOURS: [(&str, Misbehaviour); 4] = [
    ("never answers", |client| wait_for_client_to_leave(client)),
    ("stops in its head", |client| {
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
        wait_for_client_to_leave(client);
    }),
    ("drips", |client| {
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        let _ = client.set_read_timeout(Some(Duration::from_millis(50)));
        // Until the client leaves, a byte at a time.
        while client.write_all(b" ").is_ok() && !matches!(client.read(&mut [0]), Ok(0)) {}
    }),
    ("floods with 1xx", |client| while client.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {}),
];

fn wait_for_client_to_leave(client: &mut TcpStream) {
    let _ = client.read_to_end(&mut Vec::new());
}

/// The address of a server that treats its clients like this.
fn serve(misbehaviour: Misbehaviour) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let _ = client.read(&mut request);
                misbehaviour(&mut client);
            });
        }
    });
    address
}

#[test]
fn thresholds_server_is_waited_for_as_long_as_its_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, misbehaviour) in MISBEHAVIOURS {
        let source = ThresholdSource::parse(&format!("http://{}/t.json", serve(misbehaviour))).unwrap();
        let options = ConnectOptions { timeout: Duration::from_millis(300), ..ConnectOptions::default() };
        let polled = runtime.block_on(async {
            let mut reader = ThresholdReader::new(source, options).unwrap();
            tokio::time::timeout(Duration::from_secs(10), reader.poll()).await
        });
        let error = polled.unwrap_or_else(|_| panic!("a server that {name} is waited for")).unwrap_err();
        assert!(error.to_string().contains("thresholds can't be read from http://"), "{name}: {error}");
    }
}
