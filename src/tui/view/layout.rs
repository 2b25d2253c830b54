//! What fits where: three shapes by the size of the terminal. The same functions tell `update` how many rows a pane
//! shows, so that scrolling and drawing agree. Pure.

use ratatui::layout::{Constraint, Layout, Rect, Size};

use crate::tui::model::{Model, Pane};

/// Below this nothing but a sentence is shown.
pub(crate) const SMALLEST: (u16, u16) = (40, 10);
const COMPACT: (u16, u16) = (80, 24);
const FULL: (u16, u16) = (110, 30);

/// Rows of a table of nodes beside the nodes: two borders and the header.
const NODES_FRAME: u16 = 3;
const BORDERS: u16 = 2;
/// Sparklines instead of charts where the height is scarce.
const SPARKLINES: u16 = 4;
/// The help overlay's borders, and the distance to the edges of the screen.
const HELP_FRAME: u16 = 4;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Nodes, charts, and detail beside changes.
    Full,
    /// Nodes, sparklines, and one pane below.
    Compact,
    /// One pane.
    Single,
}

/// Where everything goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) title: Rect,
    pub(crate) tabs: Option<Rect>,
    pub(crate) totals: Rect,
    pub(crate) panes: Vec<(Pane, Rect)>,
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

/// Divides the screen.
pub(crate) fn areas(shape: Shape, area: Rect, model: &Model) -> Areas {
    let tabs_height = u16::from(shape != Shape::Single);
    let [title, tabs, totals, body, footer] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(tabs_height),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let panes = if model.is_zoomed || shape == Shape::Single {
        vec![(model.focus, body)]
    } else {
        panes(shape, body, model)
    };
    Areas { title, tabs: (tabs_height > 0).then_some(tabs), totals, panes, footer }
}

fn panes(shape: Shape, body: Rect, model: &Model) -> Vec<(Pane, Rect)> {
    let nodes =
        u16::try_from(model.picture().nodes.len()).unwrap_or(u16::MAX).max(1).saturating_add(NODES_FRAME);
    match shape {
        Shape::Full => {
            let nodes = nodes.min(12.max(body.height / 3));
            let charts = (body.height.saturating_sub(nodes) / 2).clamp(8, 16);
            let [nodes, charts, below] = Layout::vertical([
                Constraint::Length(nodes),
                Constraint::Length(charts),
                Constraint::Fill(1),
            ])
            .areas(body);
            let [detail, changes] =
                Layout::horizontal([Constraint::Fill(11), Constraint::Fill(9)]).areas(below);
            vec![
                (Pane::Nodes, nodes),
                (Pane::Charts, charts),
                (Pane::Detail, detail),
                (Pane::Changes, changes),
            ]
        }
        Shape::Compact | Shape::Single => {
            let nodes = nodes.min(body.height.saturating_sub(SPARKLINES) / 2);
            let [nodes, charts, below] = Layout::vertical([
                Constraint::Length(nodes),
                Constraint::Length(SPARKLINES),
                Constraint::Fill(1),
            ])
            .areas(body);
            let lower = if model.focus == Pane::Changes { Pane::Changes } else { Pane::Detail };
            vec![(Pane::Nodes, nodes), (Pane::Charts, charts), (lower, below)]
        }
    }
}

/// Rows that this pane shows of its list, as the model stands; 0 when it is not on the screen.
pub(crate) fn rows(model: &Model, pane: Pane) -> usize {
    let area = Rect::from((ratatui::layout::Position::ORIGIN, model.size));
    let Some(shape) = shape(area) else { return 0 };
    let frame = match pane {
        Pane::Nodes => NODES_FRAME,
        Pane::Charts | Pane::Detail | Pane::Changes => BORDERS,
    };
    let areas = areas(shape, area, model);
    let found = areas.panes.iter().find(|(other, _)| *other == pane);
    found.map_or(0, |(_, area)| usize::from(area.height.saturating_sub(frame)))
}

/// Lines that the help overlay shows on a terminal of this size.
pub(crate) fn help_lines(size: Size) -> usize {
    usize::from(size.height.saturating_sub(HELP_FRAME))
}
