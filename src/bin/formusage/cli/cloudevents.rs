//! What a command that sends CloudEvents takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use form_usage_events::transport::http::DEFAULT_SOURCE;
use form_usage_events::transport::{CloudEventsMode, CloudEventsOptions};

/// How events go to `https:` and `http:`.
#[derive(Debug, Args)]
pub(crate) struct CloudEventsArgs {
    /// How an event becomes a request, where --to is https: or http:
    #[arg(
        long,
        value_enum,
        value_name = "MODE",
        env = "FORMUSAGE_CLOUDEVENTS_MODE",
        default_value_t,
        help_heading = "CloudEvents"
    )]
    cloudevents_mode: Mode,
    /// The source attribute, a URI reference; the same on every host, so that an event sent by two is known as one
    #[arg(
        long,
        value_name = "URI",
        env = "FORMUSAGE_CLOUDEVENTS_SOURCE",
        default_value = DEFAULT_SOURCE,
        help_heading = "CloudEvents"
    )]
    cloudevents_source: String,
    /// A file of further headers, such as an API key: a line for each, "Name: value"
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_HEADER_FILE", help_heading = "CloudEvents")]
    header_file: Option<PathBuf>,
}

/// How an event becomes a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// One a request, its attributes as headers
    Binary,
    /// One a request, with its attributes in one JSON object
    Structured,
    /// Up to a hundred a request, as a JSON array
    #[default]
    Batched,
}

impl CloudEventsArgs {
    /// The same for the library, with what the header file holds.
    pub(crate) fn options(&self) -> anyhow::Result<CloudEventsOptions> {
        let mode = match self.cloudevents_mode {
            Mode::Binary => CloudEventsMode::Binary,
            Mode::Structured => CloudEventsMode::Structured,
            Mode::Batched => CloudEventsMode::Batched,
        };
        let headers = self.header_file.as_deref().map(crate::secret::headers).transpose()?.unwrap_or_default();
        Ok(CloudEventsOptions { mode, source: Some(self.cloudevents_source.clone()), headers })
    }
}
