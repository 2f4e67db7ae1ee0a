//! CloudEvents 1.0 over HTTP: what usage-billing services take. One way only: nothing can be read back.
//!
//! | attribute | is |
//! | --- | --- |
//! | `specversion` | `1.0` |
//! | `id` | the event's id: 32 hex digits, a digest of its bytes |
//! | `source` | [`DEFAULT_SOURCE`], or what [`CloudEventsOptions::source`] says; the same on every host |
//! | `type` | `formusage.` and the event's type: `formusage.resource_usage` |
//! | `subject` | the `instance_id` |
//! | `time` | the `timestamp`, as RFC 3339 in UTC |
//! | `datacontenttype` | `application/json` |
//! | the data | the event's own bytes, untouched |
//!
//! Any 2xx is an acknowledgement of everything in the request (but 207, which says that the answer stands elsewhere);
//! the text of a reply decides nothing. A batch that is refused whole for one event in it is halved by who sends it.

mod address;
mod encoding;
mod options;
mod sink;

pub use address::HttpAddress;
pub use options::{CloudEventsMode, CloudEventsOptions, DEFAULT_SOURCE};
pub use sink::CloudEventsSink;
