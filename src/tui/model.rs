//! Everything that the console knows and shows. `update` changes it, `view` draws it, nothing else holds state.
//! Read [`Model`] first.

use std::time::Duration;

use ratatui::layout::Size;

use super::column::Sorting;
use super::message::Moment;
use super::picture::Picture;
use super::theme::Theme;
use super::url::NodeUrl;

/// The state of the console.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// What comes in, whether it is shown or not.
    pub(crate) live: Picture,
    /// What is shown instead, while the user pauses.
    pub(crate) frozen: Option<Box<Picture>>,
    /// Since when, on the console's clock.
    pub(crate) paused_at: Duration,
    pub(crate) theme: Theme,
    pub(crate) size: Size,
    pub(crate) focus: Pane,
    pub(crate) is_zoomed: bool,
    pub(crate) is_help_open: bool,
    /// First line of the help overlay, for terminals that are too low for all of it.
    pub(crate) help_line: usize,
    pub(crate) sorting: Sorting,
    /// The selected node, by what never changes. `None` stands for the first one.
    pub(crate) selected: Option<NodeUrl>,
    /// First row of the table of nodes that is shown.
    pub(crate) first_node: usize,
    /// First line of the changes that is shown.
    pub(crate) first_change: usize,
    pub(crate) span: Span,
}

/// A part of the screen that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pane {
    #[default]
    Nodes,
    Charts,
    Detail,
    Changes,
}

/// How much time the charts show, in steps of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Span {
    Shortest,
    #[default]
    Short,
    Long,
    Longest,
}

impl Model {
    /// Before anything happened.
    pub(crate) fn new(urls: &[NodeUrl], interval: Duration, theme: Theme) -> Self {
        Self {
            live: Picture::new(urls, interval),
            frozen: None,
            paused_at: Duration::ZERO,
            theme,
            size: Size::default(),
            focus: Pane::default(),
            is_zoomed: false,
            is_help_open: false,
            help_line: 0,
            sorting: Sorting::default(),
            selected: None,
            first_node: 0,
            first_change: 0,
            span: Span::default(),
        }
    }

    /// What is shown.
    pub(crate) fn picture(&self) -> &Picture {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// The moment that it is, whatever is shown.
    pub(crate) fn now(&self) -> Moment {
        self.live.now
    }

    /// The row of the selected node among the sorted ones.
    pub(crate) fn selected_row(&self) -> usize {
        let Some(selected) = &self.selected else { return 0 };
        self.sorting.sort(self.picture()).iter().position(|node| node.url == *selected).unwrap_or(0)
    }
}

impl Pane {
    const ALL: [Self; 4] = [Self::Nodes, Self::Charts, Self::Detail, Self::Changes];

    pub(crate) fn next(self) -> Self {
        self.step(1)
    }

    pub(crate) fn previous(self) -> Self {
        self.step(Self::ALL.len() - 1)
    }

    fn step(self, by: usize) -> Self {
        let index = Self::ALL.iter().position(|pane| *pane == self).unwrap_or(0);
        Self::ALL[(index + by) % Self::ALL.len()]
    }
}

impl Span {
    /// Steps of the history.
    pub(crate) fn steps(self) -> usize {
        match self {
            Self::Shortest => 60,
            Self::Short => 120,
            Self::Long => 300,
            Self::Longest => 900,
        }
    }

    pub(crate) fn longer(self) -> Self {
        match self {
            Self::Shortest => Self::Short,
            Self::Short => Self::Long,
            Self::Long | Self::Longest => Self::Longest,
        }
    }

    pub(crate) fn shorter(self) -> Self {
        match self {
            Self::Shortest | Self::Short => Self::Shortest,
            Self::Long => Self::Short,
            Self::Longest => Self::Long,
        }
    }
}
