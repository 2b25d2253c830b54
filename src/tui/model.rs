//! Everything that the console knows and shows. `update` changes it, `view` draws it, nothing else holds state.
//! Read [`Model`] first.

use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Size;

use super::column::Sorting;
use super::dialog::Dialog;
use super::editor::Editor;
use super::keymap::Keymap;
use super::listing::{ListQuery, Listing};
use super::message::{Access, Message, Moment};
use super::picture::Picture;
use super::run::Run;
use super::screen::Screen;
use super::tail::{Tail, TailQuery};
use super::theme::Theme;
use super::url::NodeUrl;

/// What the list of slow readers asks for.
pub(crate) const SLOW_FILTER: &str = "lag>0";

/// The state of the console.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// What comes in, whether it is shown or not.
    pub(crate) live: Picture,
    /// What is shown instead, while the user pauses.
    pub(crate) frozen: Option<Box<Frozen>>,
    pub(crate) theme: Theme,
    pub(crate) keymap: Arc<Keymap>,
    pub(crate) size: Size,
    pub(crate) screen: Screen,
    pub(crate) focus: Pane,
    pub(crate) is_zoomed: bool,
    pub(crate) is_help_open: bool,
    /// First line of the help overlay, for terminals that are too low for all of it.
    pub(crate) help_line: usize,
    /// What is selected is shown in full, beside or below its list.
    pub(crate) is_open: bool,
    pub(crate) sorting: Sorting,
    /// The selected node, by what never changes. `None` stands for the first one.
    pub(crate) selected: Option<NodeUrl>,
    /// First row of the table of nodes that is shown.
    pub(crate) first_node: usize,
    /// First line of the changes that is shown.
    pub(crate) first_change: usize,
    /// First line of the alerts that is shown.
    pub(crate) first_alert: usize,
    pub(crate) span: Span,
    pub(crate) listing: Listing,
    /// Readers that are behind, for the alerts.
    pub(crate) slow: Listing,
    pub(crate) tail: Tail,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) flash: Option<Flash>,
    pub(crate) access: Access,
    /// The node that was asked last what the token is worth, and when.
    pub(crate) checked: Option<(NodeUrl, Duration)>,
    /// The bench run that is followed.
    pub(crate) run: Option<Run>,
    pub(crate) source: Source,
    pub(crate) has_mouse: bool,
    /// Names in the list are marks, which no node knows.
    pub(crate) is_masked: bool,
    /// What was asked for last, so that only changes become effects.
    pub(crate) asked_list: Option<ListQuery>,
    pub(crate) asked_tail: Option<TailQuery>,
    /// When the tail was on the screen last, on the console's clock.
    pub(crate) tail_shown: Duration,
}

/// Where messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    #[default]
    Nodes,
    Recording,
    /// A recording that has ended.
    EndedRecording,
}

/// What is shown while the user pauses.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    /// As it was then.
    whole: Picture,
    tail: Tail,
    /// How many readings earlier the user looks.
    pub(crate) back: usize,
    /// What was known then, unless that is `whole`.
    shown: Option<(Picture, Tail)>,
}

/// A line that is typed at the bottom of the screen.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) editor: Editor,
    /// Why what was typed so far cannot be.
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptKind {
    FilterConnections,
    FilterEvents,
    Topics,
    Command,
}

/// A sentence about what was just done.
#[derive(Debug, Clone)]
pub(crate) struct Flash {
    pub(crate) text: String,
    pub(crate) is_good: bool,
    /// On the console's clock.
    pub(crate) until: Duration,
}

/// A part of the screen that can have the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pane {
    #[default]
    Nodes,
    Charts,
    Connections,
    Events,
    /// The selected node in full.
    Detail,
    Changes,
    /// The selected connection in full.
    Connection,
    /// The selected event in full.
    Payload,
    Bench,
    Log,
    LogCharts,
    LogNodes,
    Alerts,
    Drops,
    Slow,
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
        let mut slow = Listing::default();
        slow.set_filter(SLOW_FILTER);
        Self {
            live: Picture::new(urls, interval),
            frozen: None,
            theme,
            keymap: Arc::default(),
            size: Size::default(),
            screen: Screen::default(),
            focus: Pane::default(),
            is_zoomed: false,
            is_help_open: false,
            help_line: 0,
            is_open: false,
            sorting: Sorting::default(),
            selected: None,
            first_node: 0,
            first_change: 0,
            first_alert: 0,
            span: Span::default(),
            listing: Listing::default(),
            slow,
            tail: Tail::default(),
            prompt: None,
            dialog: None,
            flash: None,
            access: Access::ReadOnly,
            checked: None,
            run: None,
            source: Source::default(),
            has_mouse: false,
            is_masked: false,
            asked_list: None,
            asked_tail: None,
            tail_shown: Duration::ZERO,
        }
    }

    /// What is shown.
    pub(crate) fn picture(&self) -> &Picture {
        self.frozen.as_ref().map_or(&self.live, |frozen| frozen.picture())
    }

    /// The events that are shown.
    pub(crate) fn events(&self) -> &Tail {
        self.frozen.as_ref().map_or(&self.tail, |frozen| frozen.tail())
    }

    /// The same, to look at others of them.
    pub(crate) fn events_mut(&mut self) -> &mut Tail {
        match &mut self.frozen {
            None => &mut self.tail,
            Some(frozen) => match &mut frozen.shown {
                Some((_, tail)) => tail,
                None => &mut frozen.tail,
            },
        }
    }

    /// The moment that it is, whatever is shown.
    pub(crate) fn now(&self) -> Moment {
        self.live.now
    }

    /// Whether this changes something on the screen. A tail that is read on where nobody sees it does not.
    pub(crate) fn shows(&self, message: &Message) -> bool {
        !matches!(message, Message::Streamed(_)) || matches!(self.screen, Screen::Overview | Screen::Events)
    }

    /// The row of the selected node among the sorted ones.
    pub(crate) fn selected_row(&self) -> usize {
        let Some(selected) = &self.selected else { return 0 };
        self.sorting.sort(self.picture()).iter().position(|node| node.url == *selected).unwrap_or(0)
    }

    /// Panes of the screen, in the order of Tab.
    pub(crate) fn panes(&self) -> &'static [Pane] {
        match (self.screen, self.is_open) {
            (Screen::Overview, false) => &[Pane::Nodes, Pane::Charts, Pane::Connections, Pane::Events],
            (Screen::Overview, true) => &[Pane::Nodes, Pane::Charts, Pane::Detail, Pane::Changes],
            (Screen::Connections, false) => &[Pane::Connections],
            (Screen::Connections, true) => &[Pane::Connections, Pane::Connection],
            (Screen::Events, false) => &[Pane::Events],
            (Screen::Events, true) => &[Pane::Events, Pane::Payload],
            (Screen::Bench, _) => &[Pane::Bench],
            (Screen::Broker, _) => &[Pane::Log, Pane::LogCharts, Pane::LogNodes],
            (Screen::Alerts, _) => &[Pane::Alerts, Pane::Changes, Pane::Drops, Pane::Slow],
        }
    }

    /// The pane so many places further.
    pub(crate) fn pane(&self, by: isize) -> Pane {
        let panes = self.panes();
        let index = panes.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        panes[index.wrapping_add_signed(by.rem_euclid(panes.len().cast_signed())) % panes.len()]
    }
}

impl Frozen {
    pub(crate) fn new(whole: Picture, tail: Tail) -> Self {
        Self { whole, tail, back: 0, shown: None }
    }

    pub(crate) fn picture(&self) -> &Picture {
        self.shown.as_ref().map_or(&self.whole, |(picture, _)| picture)
    }

    pub(crate) fn tail(&self) -> &Tail {
        self.shown.as_ref().map_or(&self.tail, |(_, tail)| tail)
    }

    /// Looks so many readings back, or as far as is remembered.
    pub(crate) fn look(&mut self, back: usize) {
        self.back = back.min(self.whole.past.len().saturating_sub(1));
        self.shown = if self.back == 0 {
            None
        } else {
            self.whole.before(self.back).map(|picture| {
                let tail = self.tail.until(picture.now);
                (picture, tail)
            })
        };
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
