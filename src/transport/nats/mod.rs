//! NATS JetStream: both directions.
//!
//! An event is a message on the address's subject; its payload are the event's exact bytes and its `Nats-Msg-Id` is the
//! event's id, by which the stream takes it once within its window for duplicates.
//!
//! **Order.** A batch is published on one connection in its order, without waiting in between, and a connection that is
//! lost is never taken up again: what was published on it and got no acknowledgement is sent anew, from the first such
//! event on. After a failure one event goes ahead alone, and the others follow when it is taken. So what a stream has of
//! a batch is a beginning of it, and the events of an instance stay in order. Two exceptions remain, because JetStream
//! has no way to make one message depend on another where several publishers write: a stream that is full to the last
//! bytes may refuse an event and take a shorter one behind it, and one whose leadership is handed over (not lost, which
//! takes seconds) within the milliseconds of a batch may miss events in the middle of it. These follow later: nothing is
//! lost or doubled, and the events' periods tell their true order.

mod options;

#[cfg(any(feature = "nats", feature = "ping"))]
mod credentials;
#[cfg(feature = "nats")]
mod dial;
#[cfg(feature = "nats")]
mod failure;
#[cfg(feature = "nats")]
mod link;
#[cfg(feature = "nats")]
mod operations;
#[cfg(feature = "nats")]
mod relay;
#[cfg(any(feature = "nats", feature = "ping"))]
pub(crate) mod settings;
#[cfg(feature = "nats")]
mod sink;
#[cfg(feature = "nats")]
mod source;
#[cfg(feature = "nats")]
mod stream;

#[cfg(any(feature = "nats", feature = "ping"))]
pub(crate) use credentials::UserCredentials;
#[cfg(feature = "nats")]
pub(crate) use link::{Connector, Link};
pub use options::{NatsOptions, StreamOptions};
#[cfg(feature = "nats")]
pub(crate) use relay::Allowance;
#[cfg(feature = "nats")]
pub use sink::NatsSink;
#[cfg(feature = "nats")]
pub use source::NatsSource;
