//! Changes and alerts: an event of a node, a problem, and how severe they are.

use crate::tui::state::moment::Moment;
use crate::tui::text::sanitize::SafeText;

/// An entry of the list of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    pub(crate) tone: Tone,
    pub(crate) node: SafeText,
    pub(crate) text: String,
}

/// How severe a change or an alert is. The text says so too, so that colour is never the only sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Neutral,
    Warning,
    Bad,
}

/// A problem that exists now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) tone: Tone,
    /// A node's name, `cluster`, or the log's server.
    pub(crate) subject: SafeText,
    pub(crate) text: String,
    /// What the problem means, or what to do.
    pub(crate) advice: &'static str,
}
