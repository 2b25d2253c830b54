//! The layout: three shapes by the size of the terminal. `update` uses the same functions to get the rows of a pane,
//! so that scrolling and drawing agree. Pure. Read [`areas`] first.

use ratatui::layout::{Constraint, Layout, Position, Rect, Size};

use crate::tui::config::screen::Screen;
use crate::tui::state::model::{Model, Pane};

/// Smallest width and height; a smaller terminal shows one sentence only.
pub(crate) const SMALLEST: (u16, u16) = (40, 10);
const COMPACT: (u16, u16) = (80, 24);
const FULL: (u16, u16) = (110, 30);

/// Rows of a table's borders and header.
const TABLE_FRAME: u16 = 3;
const BORDERS: u16 = 2;
/// Rows of the sparklines that replace charts on low screens.
const SPARKLINES: u16 = 4;
/// Rows of the help overlay's borders, and one row of the screen that stays visible.
const HELP_FRAME: u16 = 3;
/// Rows of a connection or an event in full.
const IN_FULL: u16 = 12;
/// Rows of the facts about the log, with borders.
const LOG: u16 = 15;

/// The shape of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Everything side by side.
    Full,
    /// A pane or two, one above the other.
    Compact,
    /// The focused pane only.
    Single,
}

/// The areas of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) title: Rect,
    pub(crate) tabs: Option<Rect>,
    pub(crate) totals: Rect,
    pub(crate) panes: Vec<(Pane, Rect)>,
    pub(crate) flash: Option<Rect>,
    pub(crate) footer: Rect,
}

/// The shape for a terminal of this size; `None` when it is too small for any.
pub(crate) fn shape(area: Rect) -> Option<Shape> {
    let fits = |(width, height): (u16, u16)| area.width >= width && area.height >= height;
    if fits(FULL) {
        Some(Shape::Full)
    } else if fits(COMPACT) {
        Some(Shape::Compact)
    } else if fits(SMALLEST) {
        Some(Shape::Single)
    } else {
        None
    }
}

/// Divides the screen into areas.
pub(crate) fn areas(shape: Shape, area: Rect, model: &Model) -> Areas {
    let if_room = u16::from(shape != Shape::Single);
    let [title, tabs, totals, body, flash, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if_room),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(if_room),
        Constraint::Length(1),
    ])
    .areas(area);
    let panes = if model.is_zoomed || shape == Shape::Single {
        vec![(model.focus, body)]
    } else {
        panes(shape, body, model)
    };
    let optional = |rect| (if_room > 0).then_some(rect);
    Areas { title, tabs: optional(tabs), totals, panes, flash: optional(flash), footer }
}

fn panes(shape: Shape, body: Rect, model: &Model) -> Vec<(Pane, Rect)> {
    match model.screen {
        Screen::Overview => overview(shape, body, model),
        Screen::Connections if model.is_open => below(body, Pane::Connections, Pane::Connection),
        Screen::Connections => vec![(Pane::Connections, body)],
        Screen::Events if model.is_open && shape == Shape::Full => {
            let [events, payload] = beside(body, 11, 9);
            vec![(Pane::Events, events), (Pane::Payload, payload)]
        }
        Screen::Events if model.is_open => below(body, Pane::Events, Pane::Payload),
        Screen::Events => vec![(Pane::Events, body)],
        Screen::Bench => vec![(Pane::Bench, body)],
        Screen::Broker => broker(shape, body, model),
        Screen::Alerts => alerts(shape, body, model),
    }
}

fn overview(shape: Shape, body: Rect, model: &Model) -> Vec<(Pane, Rect)> {
    let nodes = lines(model.cluster().nodes.len().max(1)).saturating_add(TABLE_FRAME);
    let (left, right) =
        if model.is_open { (Pane::Detail, Pane::Changes) } else { (Pane::Connections, Pane::Events) };
    if shape == Shape::Full {
        let nodes = nodes.min(12.max(body.height / 3));
        let charts = (body.height.saturating_sub(nodes) / 2).clamp(8, 16);
        let [nodes, charts, below] =
            rows(body, [Constraint::Length(nodes), Constraint::Length(charts), Constraint::Fill(1)]);
        let [left_area, right_area] = beside(below, 7, 5);
        return vec![(Pane::Nodes, nodes), (Pane::Charts, charts), (left, left_area), (right, right_area)];
    }
    let nodes = nodes.min(body.height.saturating_sub(SPARKLINES) / 2);
    let [nodes, charts, below] =
        rows(body, [Constraint::Length(nodes), Constraint::Length(SPARKLINES), Constraint::Fill(1)]);
    let lower = if model.focus == right { right } else { left };
    vec![(Pane::Nodes, nodes), (Pane::Charts, charts), (lower, below)]
}

fn broker(shape: Shape, body: Rect, model: &Model) -> Vec<(Pane, Rect)> {
    let nodes = lines(model.cluster().nodes.len().max(1)).saturating_add(TABLE_FRAME);
    if shape == Shape::Full {
        let nodes = nodes.min(body.height / 2);
        let [above, below] = rows(body, [Constraint::Fill(1), Constraint::Length(nodes)]);
        let [log, charts] = beside(above, 1, 1);
        return vec![(Pane::Log, log), (Pane::LogCharts, charts), (Pane::LogNodes, below)];
    }
    let nodes = nodes.min(body.height / 3);
    let [log, charts, nodes] = rows(
        body,
        [
            Constraint::Length(LOG.min(body.height.saturating_sub(nodes + 3))),
            Constraint::Length(3),
            Constraint::Fill(1),
        ],
    );
    vec![(Pane::Log, log), (Pane::LogCharts, charts), (Pane::LogNodes, nodes)]
}

fn alerts(shape: Shape, body: Rect, model: &Model) -> Vec<(Pane, Rect)> {
    // The advice of an alert stands beside it, or below it where that does not fit.
    let each = if shape == Shape::Full { 1 } else { 2 };
    let count = lines(model.cluster().alerts.len().max(1)).saturating_mul(each);
    let above = count.saturating_add(BORDERS).min(body.height / 2).max(4);
    let [above, below] = rows(body, [Constraint::Length(above), Constraint::Fill(1)]);
    if shape == Shape::Full {
        let [left, right] = beside(below, 1, 1);
        let [drops, slow] = rows(right, [Constraint::Fill(1), Constraint::Fill(1)]);
        return vec![(Pane::Alerts, above), (Pane::Changes, left), (Pane::Drops, drops), (Pane::Slow, slow)];
    }
    let lower = if matches!(model.focus, Pane::Drops | Pane::Slow) { model.focus } else { Pane::Changes };
    vec![(Pane::Alerts, above), (lower, below)]
}

fn rows<const N: usize>(area: Rect, constraints: [Constraint; N]) -> [Rect; N] {
    Layout::vertical(constraints).areas(area)
}

fn beside(area: Rect, left: u16, right: u16) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(left), Constraint::Fill(right)]).areas(area)
}

/// A list, and below it one of its rows in full.
fn below(area: Rect, list: Pane, full: Pane) -> Vec<(Pane, Rect)> {
    let height = IN_FULL.min(area.height / 2);
    let [above, below] = rows(area, [Constraint::Fill(1), Constraint::Length(height)]);
    vec![(list, above), (full, below)]
}

fn lines(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn panes_of(model: &Model) -> Vec<(Pane, Rect)> {
    let area = Rect::from((Position::ORIGIN, model.size));
    shape(area).map_or_else(Vec::new, |shape| areas(shape, area, model).panes)
}

/// Rows of its list that this pane shows; 0 when the pane is not on the screen.
pub(crate) fn rows_of(model: &Model, pane: Pane) -> usize {
    let panes = panes_of(model);
    let found = panes.iter().find(|(other, _)| *other == pane);
    found.map_or(0, |(_, area)| usize::from(area.height.saturating_sub(frame_of(pane))))
}

/// Rows of a pane that are not rows of its list.
fn frame_of(pane: Pane) -> u16 {
    match pane {
        Pane::Nodes | Pane::Connections | Pane::LogNodes | Pane::Slow => TABLE_FRAME,
        _ => BORDERS,
    }
}

/// The pane at this position, and the row of its list there, counted from the first visible one.
pub(crate) fn pane_at(model: &Model, position: Position) -> Option<(Pane, Option<usize>)> {
    let (pane, area) = panes_of(model).into_iter().find(|(_, area)| area.contains(position))?;
    // Above the rows are a border and, in tables, the header.
    let row = usize::from(position.y - area.y).checked_sub(usize::from(frame_of(pane) - 1));
    let is_border = position.y + 1 == area.bottom() || position.x == area.x || position.x + 1 == area.right();
    Some((pane, row.filter(|_| !is_border)))
}

/// Lines that the help overlay shows on a terminal of this size.
pub(crate) fn help_lines(size: Size) -> usize {
    usize::from(size.height.saturating_sub(HELP_FRAME))
}
