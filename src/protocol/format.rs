//! The forms in which a stream carries the events of the log. Read [`Format`] first.

use serde::{Deserialize, Serialize};

/// What `data:` of a published event is, and how the ids of the stream are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The [`super::Envelope`], under the event's type; ids are spelled at length.
    #[default]
    Envelope,
    /// The payload alone, without `event:` if the type is the default of its address; ids are short.
    Data,
}

impl Format {
    /// The word in a query, a setting or a scenario.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::Data => "data",
        }
    }
}
