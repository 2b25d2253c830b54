//! Everything that the console knows and shows. `update` changes it, `view` draws it, nothing else holds state.
//! Read [`Model`] first.

use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Size;

use crate::tui::config::keymap::Keymap;
use crate::tui::config::screen::Screen;
use crate::tui::config::theme::Theme;
use crate::tui::state::alerts::update_alerts;
use crate::tui::state::bench_run::Run;
use crate::tui::state::cluster::ClusterState;
use crate::tui::state::connections::{ConnectionTable, ListQuery};
use crate::tui::state::dialog::Dialog;
use crate::tui::state::editor::Editor;
use crate::tui::state::events::{EventList, EventQuery};
use crate::tui::state::message::{Access, Message};
use crate::tui::state::moment::Moment;
use crate::tui::state::node_column::NodeOrder;
use crate::tui::text::url::NodeUrl;

/// The filter of the list of slow readers.
pub(crate) const SLOW_FILTER: &str = "lag>0";

/// The state of the console.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// The cluster now; it goes on while the screen is paused.
    pub(crate) live: ClusterState,
    /// The state on the screen while the user pauses.
    pub(crate) frozen: Option<Box<Frozen>>,
    pub(crate) theme: Theme,
    pub(crate) keymap: Arc<Keymap>,
    pub(crate) size: Size,
    pub(crate) screen: Screen,
    pub(crate) focus: Pane,
    pub(crate) is_zoomed: bool,
    pub(crate) is_help_open: bool,
    /// Whether the selected row is shown in full, beside or below its list.
    pub(crate) is_open: bool,
    pub(crate) node_order: NodeOrder,
    /// URL of the selected node; `None` is the first one.
    pub(crate) selected: Option<NodeUrl>,
    pub(crate) scroll: Scroll,
    pub(crate) span: Span,
    pub(crate) connections: ConnectionTable,
    /// Slow readers, on the screen of alerts.
    pub(crate) slow: ConnectionTable,
    pub(crate) live_events: EventList,
    pub(crate) prompt: Option<Prompt>,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) flash: Option<Flash>,
    pub(crate) access: Access,
    pub(crate) run: Option<Run>,
    pub(crate) source: Source,
    pub(crate) has_mouse: bool,
    /// Whether lists show marks instead of names; a node would not know a mark.
    pub(crate) is_masked: bool,
    pub(crate) queries: Queries,
}

/// The queries that run now, so that only changes become effects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queries {
    pub(crate) list: Option<ListQuery>,
    pub(crate) events: Option<EventQuery>,
    /// When the events were last on the screen, on the console's clock.
    pub(crate) events_shown_at: Duration,
    /// The node that checked the token last, and when, on the console's clock.
    pub(crate) token_check: Option<(NodeUrl, Duration)>,
}

/// The first visible row or line of each pane that scrolls without a cursor of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scroll {
    pub(crate) nodes: usize,
    pub(crate) changes: usize,
    pub(crate) alerts: usize,
    pub(crate) help: usize,
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

/// The state on the screen while the user pauses.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    /// The cluster at the moment of the pause.
    cluster: ClusterState,
    events: EventList,
    /// Steps before that moment that the user looks back.
    pub(crate) back: usize,
    /// The state at that earlier step; `None` when `back` is 0.
    shown: Option<(ClusterState, EventList)>,
}

/// The input line at the bottom of the screen.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    pub(crate) kind: PromptKind,
    pub(crate) editor: Editor,
    /// Why the text is invalid so far.
    pub(crate) problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromptKind {
    FilterConnections,
    FilterEvents,
    Topics,
    Command,
}

/// A short notice about the last action.
#[derive(Debug, Clone)]
pub(crate) struct Flash {
    pub(crate) text: String,
    pub(crate) is_good: bool,
    /// When it disappears, on the console's clock.
    pub(crate) until: Duration,
}

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

/// The time that the charts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Span {
    Shortest,
    #[default]
    Short,
    Long,
    Longest,
}

impl Model {
    pub(crate) fn new(urls: &[NodeUrl], interval: Duration, theme: Theme) -> Self {
        let mut slow = ConnectionTable::default();
        slow.set_filter(SLOW_FILTER);
        Self {
            live: ClusterState::new(urls, interval),
            frozen: None,
            theme,
            keymap: Arc::default(),
            size: Size::default(),
            screen: Screen::default(),
            focus: Pane::default(),
            is_zoomed: false,
            is_help_open: false,
            is_open: false,
            node_order: NodeOrder::default(),
            selected: None,
            scroll: Scroll::default(),
            span: Span::default(),
            connections: ConnectionTable::default(),
            slow,
            live_events: EventList::default(),
            prompt: None,
            dialog: None,
            flash: None,
            access: Access::ReadOnly,
            run: None,
            source: Source::default(),
            has_mouse: false,
            is_masked: false,
            queries: Queries::default(),
        }
    }

    /// The cluster on the screen: the live one, or a past one during a pause.
    pub(crate) fn cluster(&self) -> &ClusterState {
        self.frozen.as_ref().map_or(&self.live, |frozen| frozen.cluster())
    }

    /// The events on the screen.
    pub(crate) fn events(&self) -> &EventList {
        self.frozen.as_ref().map_or(&self.live_events, |frozen| frozen.events())
    }

    /// The events on the screen, to scroll and select.
    pub(crate) fn events_mut(&mut self) -> &mut EventList {
        match &mut self.frozen {
            None => &mut self.live_events,
            Some(frozen) => match &mut frozen.shown {
                Some((_, events)) => events,
                None => &mut frozen.events,
            },
        }
    }

    /// The present moment, also while the screen shows the past.
    pub(crate) fn now(&self) -> Moment {
        self.live.now
    }

    /// Whether this message can change the screen. Events do not when another screen is open.
    pub(crate) fn shows(&self, message: &Message) -> bool {
        !matches!(message, Message::Streamed(_)) || matches!(self.screen, Screen::Overview | Screen::Events)
    }

    /// The row of the selected node in the sorted table.
    pub(crate) fn selected_row(&self) -> usize {
        let Some(selected) = &self.selected else { return 0 };
        self.node_order.sort(self.cluster()).iter().position(|node| node.url == *selected).unwrap_or(0)
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

    /// The pane `by` places after the focused one, in a circle.
    pub(crate) fn pane(&self, by: isize) -> Pane {
        let panes = self.panes();
        let index = panes.iter().position(|pane| *pane == self.focus).unwrap_or(0);
        panes[index.wrapping_add_signed(by.rem_euclid(panes.len().cast_signed())) % panes.len()]
    }
}

impl Frozen {
    pub(crate) fn new(cluster: ClusterState, events: EventList) -> Self {
        Self { cluster, events, back: 0, shown: None }
    }

    pub(crate) fn cluster(&self) -> &ClusterState {
        self.shown.as_ref().map_or(&self.cluster, |(cluster, _)| cluster)
    }

    pub(crate) fn events(&self) -> &EventList {
        self.shown.as_ref().map_or(&self.events, |(_, events)| events)
    }

    /// Shows the state `back` steps before the pause, or the oldest one that is kept.
    pub(crate) fn show_step(&mut self, back: usize) {
        self.back = back.min(self.cluster.history.len().saturating_sub(1));
        self.shown = if self.back == 0 {
            None
        } else {
            self.cluster.before(self.back).map(|mut cluster| {
                update_alerts(&mut cluster);
                let events = self.events.until(cluster.now);
                (cluster, events)
            })
        };
    }
}

impl Span {
    /// Steps that the charts show.
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
