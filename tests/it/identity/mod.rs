//! Who we are: credentials of NATS accounts, certificates of clients.

mod certificates;
mod credentials;
