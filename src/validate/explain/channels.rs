//! Codes of channels files.

use super::Example::Channels;
use super::Explanation;
use crate::validate::{Code, Severity};

pub(super) const TABLE: &[Explanation] = &[
    Explanation {
        code: Code::PlainSecret,
        severity: Severity::Error,
        what: "A secret stands in the file itself: a password, a token, a signing secret, a URL that lets one write.",
        why: "Who reads the file, its history or its backups has it.",
        fix: "Name the environment variable or the file that holds it, and make a new one: this one may have been seen.",
        gives: Channels("{\"env\":\"PAGER_SECRET\"}", "\"whsec_…\""),
        just_not: Channels("{\"env\":\"PAGER_SECRET\"}", "{\"file\":\"/etc/formusage/pager\"}"),
    },
    Explanation {
        code: Code::CleartextPassword,
        severity: Severity::Error,
        what: "A password would be sent without encryption.",
        why: "Whoever is on the way reads it.",
        fix: "Set `tls` to \"starttls\" or \"implicit\", or leave `user` and `password` out.",
        gives: Channels("\"host\"", "\"tls\":\"none\",\"host\""),
        just_not: Channels("\"host\"", "\"tls\":\"implicit\",\"host\""),
    },
    Explanation {
        code: Code::InvalidAddress,
        severity: Severity::Error,
        what: "A text is no address of a mailbox.",
        why: "No mail would ever get there.",
        fix: "Write ops@example.org or Ops <ops@example.org>, one in each string.",
        gives: Channels("[\"ops@example.org\"]", "[\"ops@example.org, dev@example.org\"]"),
        just_not: Channels("[\"ops@example.org\"]", "[\"ops@example.org\",\"Dev <dev@example.org>\"]"),
    },
    Explanation {
        code: Code::InvalidUrl,
        severity: Severity::Error,
        what: "A text is no URL that can be used here.",
        why: "No alert would ever get there.",
        fix: "Write a URL with a scheme that the finding lists, and a host.",
        gives: Channels("https://pager", "pager"),
        just_not: Channels("https://pager", "http://pager"),
    },
    Explanation {
        code: Code::EmptyList,
        severity: Severity::Error,
        what: "A list that needs one entry at least is empty.",
        why: "A mail to nobody tells nobody, and a file without a case tests nothing.",
        fix: "Name somebody or something, or remove what needs it.",
        gives: Channels("[\"ops@example.org\"]", "[]"),
        just_not: Channels("[\"ops@example.org\"]", "[\"a@example.org\",\"b@example.org\"]"),
    },
];
