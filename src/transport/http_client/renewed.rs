//! A client that is made anew every few minutes, since it keeps a connection for as long as that is busy: a name that
//! leads elsewhere by now is only asked for by a new connection.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use reqwest::Client;

use super::CONNECTION_LIFETIME;
use crate::clock::Monotonic;
use crate::transport::Failure;

type Build = Box<dyn Fn() -> Result<Client, Failure> + Send + Sync>;

pub(super) struct RenewedClient {
    build: Build,
    current: Mutex<(Client, Monotonic)>,
}

impl fmt::Debug for RenewedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedClient").finish_non_exhaustive()
    }
}

impl RenewedClient {
    /// A client as `build` makes it, now and whenever the last one is too old.
    pub(super) fn new(build: Build, now: Monotonic) -> Result<Self, Failure> {
        let current = Mutex::new((build()?, now));
        Ok(Self { build, current })
    }

    /// The client to use at `now`. Requests under way on the one before go on.
    pub(super) fn at(&self, now: Monotonic) -> Client {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(current.1) >= CONNECTION_LIFETIME
            && let Ok(client) = (self.build)()
        {
            *current = (client, now);
        }
        current.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers every request, and tells of each connection by a byte.
    async fn serve(connections: tokio::sync::mpsc::UnboundedSender<()>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let _ = connections.send(());
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while connection.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                    }
                });
            }
        });
        url
    }

    #[tokio::test]
    async fn a_busy_client_connects_anew_after_the_lifetime() {
        let (sender, mut connections) = tokio::sync::mpsc::unbounded_channel();
        let url = serve(sender).await;
        let build = || {
            let builder = Client::builder().no_proxy();
            #[cfg(feature = "tls")]
            let builder = {
                use crate::transport::tls::{Roots, client_config};
                builder.tls_backend_preconfigured(client_config(Roots::None, None)?)
            };
            Ok(builder.build().unwrap())
        };
        let client = RenewedClient::new(Box::new(build), Duration::ZERO).unwrap();
        let ask_at = async |seconds| {
            let sent = client.at(Duration::from_secs(seconds)).get(&url).send().await.unwrap();
            assert_eq!(sent.bytes().await.unwrap(), "");
        };
        let lifetime = CONNECTION_LIFETIME.as_secs();
        for seconds in [0, 1, lifetime - 1, lifetime, lifetime + 1, 2 * lifetime] {
            ask_at(seconds).await;
        }
        let mut count = 0;
        while connections.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
