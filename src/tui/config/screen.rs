//! The six screens, in the order of the number keys that open them.

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Screen {
    #[default]
    Overview,
    Connections,
    Events,
    Bench,
    Broker,
    Alerts,
}

impl Screen {
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Connections, Self::Events, Self::Bench, Self::Broker, Self::Alerts];

    /// The number key that opens it.
    pub(crate) fn number(self) -> usize {
        Self::ALL.iter().position(|screen| *screen == self).map_or(1, |index| index + 1)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Connections => "Connections",
            Self::Events => "Events",
            Self::Bench => "Bench",
            Self::Broker => "Broker",
            Self::Alerts => "Alerts",
        }
    }

    /// Its name on narrow terminals.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::Connections => "Conns",
            other => other.name(),
        }
    }

    /// The screen whose name begins with this text, in any case.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let begins = |screen: &Self| !text.is_empty() && screen.name().to_lowercase().starts_with(&text);
        Self::ALL.into_iter().find(begins)
    }
}
