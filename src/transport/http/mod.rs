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
//! The status alone decides; the text of a reply is for people. A batch that is refused for one event in it is halved by
//! who sends it, until that one is alone.
//!
//! | status | means |
//! | --- | --- |
//! | 2xx but 207 | everything in the request is acknowledged (207 says that the answer stands elsewhere) |
//! | 408, 425, 429, 5xx | the service can't take it now: tried again |
//! | 400, 413, 422 | the event can't be delivered: a dead letter |
//! | 409 | the event is there already: delivered. So is one that gets 422 after an attempt whose reply never came |
//! | 207, 3xx, other 4xx | the destination is set up wrong, where every event gets it; where others go through, the event is to blame, and a dead letter after `--poison-after` rounds |

mod address;
mod encoding;
mod options;
mod sink;

pub use address::HttpAddress;
pub use options::{CloudEventsMode, CloudEventsOptions, DEFAULT_SOURCE};
pub use sink::CloudEventsSink;
