//! Charts over time: two charts where there is room, sparklines where there is not.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::Role;
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::series::Series;
use crate::tui::text::{cells, format};
use crate::tui::view::border::{self, Titles};
use crate::tui::view::plot::{self, Plot, PlotLine};

/// Smallest area in which a chart says more than a sparkline.
const CHART_MIN: (u16, u16) = (36, 7);
/// Width of the label before a sparkline.
const SPARKLINE_LABEL: usize = 8;

/// Formats a value of a series.
type Format = fn(f64) -> String;

struct Chart<'a> {
    pane: Pane,
    title: &'static str,
    lines: Vec<ChartLine<'a>>,
    format: Format,
    /// Text when there is no value.
    empty: &'static str,
}

struct ChartLine<'a> {
    label: &'static str,
    series: &'a Series,
    role: Role,
    mark: char,
}

/// A labelled sparkline, for areas in which no chart fits.
type Spark<'a> = (&'static str, &'a Series, Format);

/// Draws latency and throughput.
pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let history = &model.cluster().series;
    let sparks: [Spark<'_>; 4] = [
        ("p99 ms", &history.p99, millis),
        ("out/s", &history.sent, format::rate),
        ("in/s", &history.published, format::rate),
        ("conns", &history.connections, format::rate),
    ];
    draw_two(model, &[latency(model), throughput(model)], &sparks, area, buffer);
}

/// Draws growth and round trip of the log.
pub(super) fn draw_log(model: &Model, area: Rect, buffer: &mut Buffer) {
    let history = &model.cluster().series;
    let sparks: [Spark<'_>; 3] = [
        ("in/s", &history.appended, format::rate),
        ("events", &history.log_length, format::rate),
        ("rtt ms", &history.log_rtt, millis),
    ];
    draw_two(model, &[appended(model), answers(model)], &sparks, area, buffer);
}

/// Draws latency and rates of a bench run; each pair holds the lower line first.
pub(super) fn draw_run(
    model: &Model,
    latency: &[Series; 2],
    rates: &[Series; 2],
    area: Rect,
    buffer: &mut Buffer,
) {
    let charts = [
        Chart {
            pane: Pane::Bench,
            title: "Latency from the due time, ms",
            lines: lines(["p50", "p99"], latency),
            format: millis,
            empty: "nothing arrived yet",
        },
        Chart {
            pane: Pane::Bench,
            title: "Events/s",
            lines: lines(["published", "delivered"], rates),
            format: format::rate,
            empty: "nothing arrived yet",
        },
    ];
    draw_two(model, &charts, &[], area, buffer);
}

fn lines<'a>(labels: [&'static str; 2], [first, second]: &'a [Series; 2]) -> Vec<ChartLine<'a>> {
    vec![
        ChartLine { label: labels[0], series: first, role: Role::SecondGraph, mark: '.' },
        ChartLine { label: labels[1], series: second, role: Role::Graph, mark: '*' },
    ]
}

fn draw_two(model: &Model, charts: &[Chart<'_>; 2], sparks: &[Spark<'_>], area: Rect, buffer: &mut Buffer) {
    let (width, height) = CHART_MIN;
    if area.height < height || area.width < width {
        sparklines(model, sparks, area, buffer);
    } else if area.width >= width * 2 {
        let halves: [Rect; 2] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        charts.iter().zip(halves).for_each(|(chart, half)| draw_chart(model, chart, half, buffer));
    } else if area.height >= height * 2 {
        let halves: [Rect; 2] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        charts.iter().zip(halves).for_each(|(chart, half)| draw_chart(model, chart, half, buffer));
    } else {
        draw_chart(model, &charts[0], area, buffer);
    }
}

fn latency(model: &Model) -> Chart<'_> {
    let history = &model.cluster().series;
    Chart {
        pane: Pane::Charts,
        title: "Latency, ms",
        lines: vec![
            ChartLine { label: "p50", series: &history.p50, role: Role::SecondGraph, mark: '.' },
            ChartLine { label: "p99", series: &history.p99, role: Role::Graph, mark: '*' },
        ],
        format: millis,
        empty: "no delivery in the last minute",
    }
}

fn throughput(model: &Model) -> Chart<'_> {
    let history = &model.cluster().series;
    Chart {
        pane: Pane::Charts,
        title: "Events/s",
        lines: vec![
            ChartLine { label: "in", series: &history.published, role: Role::SecondGraph, mark: '.' },
            ChartLine { label: "out", series: &history.sent, role: Role::Graph, mark: '*' },
        ],
        format: format::rate,
        empty: "a rate needs two polls",
    }
}

fn appended(model: &Model) -> Chart<'_> {
    let series = &model.cluster().series.appended;
    Chart {
        pane: Pane::LogCharts,
        title: "Events/s into the log",
        lines: vec![ChartLine { label: "in", series, role: Role::Graph, mark: '*' }],
        format: format::rate,
        empty: "a rate needs two polls",
    }
}

fn answers(model: &Model) -> Chart<'_> {
    let series = &model.cluster().series.log_rtt;
    Chart {
        pane: Pane::LogCharts,
        title: "The log answers within, ms",
        lines: vec![ChartLine { label: "rtt", series, role: Role::Graph, mark: '*' }],
        format: millis,
        empty: "it has not answered yet",
    }
}

fn millis(ms: f64) -> String {
    format::millis(std::time::Duration::try_from_secs_f64(ms.max(0.0) / 1e3).unwrap_or_default())
}

fn draw_chart(model: &Model, chart: &Chart<'_>, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let steps = model.span.steps();
    let inner = border::draw(model, Some(chart.pane), legend(model, chart), area, buffer);
    let Some(max) = chart.lines.iter().filter_map(|line| line.series.max(steps)).reduce(f64::max) else {
        let room = Layout::vertical([Constraint::Length(1)]).flex(ratatui::layout::Flex::Center);
        let [middle] = room.areas(inner);
        Line::styled(chart.empty, theme.style(Role::Dim)).centered().render(middle, buffer);
        return;
    };
    let top = plot::ceiling(max);
    let labels = [top, top / 2.0, 0.0].map(|value| round(&(chart.format)(value)));
    let plotted = axes(model, &labels, inner, buffer);
    let line = |line: &ChartLine<'_>| PlotLine {
        values: line.series.last(steps).collect(),
        style: theme.style(line.role),
        mark: line.mark,
    };
    let lines: Vec<_> = chart.lines.iter().map(line).collect();
    Plot { lines: &lines, steps, max: top, ascii: theme.glyphs().ascii }.draw(plotted, buffer);
}

/// A label of an axis, whose values are round: `50` for `50.0`, `1.5k` for `1.50k`.
fn round(label: &str) -> String {
    let unit = label.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = &label[..label.len() - unit.len()];
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

/// The newest values, each in the style of its line.
fn legend<'a>(model: &Model, chart: &Chart<'_>) -> Titles<'a> {
    let mut right = vec![Span::raw(" ")];
    for line in chart.lines.iter().rev() {
        let value = line.series.newest().map_or_else(|| "-".to_owned(), chart.format);
        right.push(Span::styled(format!("{} {value} ", line.label), model.theme.style(line.role)));
    }
    Titles { left: chart.title.to_owned(), right }
}

/// Draws the axes with their labels, from the top down, and returns the area between them.
fn axes(model: &Model, labels: &[String; 3], area: Rect, buffer: &mut Buffer) -> Rect {
    let [corner, vertical, horizontal] = model.theme.glyphs().axes;
    let style = model.theme.style(Role::Dim);
    let gutter = labels.iter().map(|label| cells::width(label)).max().unwrap_or(0);
    let gutter_cells = u16::try_from(gutter).unwrap_or(u16::MAX);
    let [above, axis, time] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let [left, plotted] =
        Layout::horizontal([Constraint::Length(gutter_cells.saturating_add(1)), Constraint::Fill(1)])
            .areas(above);
    let rows = [0, left.height.saturating_sub(1) / 2, left.height.saturating_sub(1)];
    for (y, row) in left.rows().enumerate() {
        let label =
            rows.iter().position(|row| usize::from(*row) == y).map_or("", |index| labels[index].as_str());
        Line::styled(format!("{}{vertical}", cells::right(label, gutter)), style).render(row, buffer);
    }
    let ground = horizontal.repeat(usize::from(plotted.width));
    Line::styled(format!("{}{corner}{ground}", " ".repeat(gutter)), style).render(axis, buffer);
    time_labels(model, gutter + 1, style, time, buffer);
    plotted
}

fn time_labels(model: &Model, indent: usize, style: Style, area: Rect, buffer: &mut Buffer) {
    let steps = u32::try_from(model.span.steps()).unwrap_or(u32::MAX);
    let span = model.cluster().interval.saturating_mul(steps);
    let room = usize::from(area.width).saturating_sub(indent);
    let labels = [ago(span), ago(span / 2), "now".to_owned()];
    let used: usize = labels.iter().map(|label| cells::width(label)).sum();
    let Some(free) = room.checked_sub(used) else { return };
    let line = [
        " ".repeat(indent),
        labels[0].clone(),
        " ".repeat(free / 2),
        labels[1].clone(),
        " ".repeat(free - free / 2),
        labels[2].clone(),
    ];
    Line::styled(line.concat(), style).render(area, buffer);
}

/// `-30s`, `-2m`, `-7m30s`.
fn ago(time: std::time::Duration) -> String {
    format!("-{}", format::age(time).replace("m00s", "m"))
}

fn sparklines(model: &Model, rows: &[Spark<'_>], area: Rect, buffer: &mut Buffer) {
    let shown = |value: Option<f64>, format: Format| value.map_or_else(|| "-".to_owned(), format);
    // The shown maximum depends on the number of cells, and that on the width of the maximum: take the widest case.
    let widest = usize::from(area.width);
    let values: Vec<_> = rows
        .iter()
        .map(|(_, series, format)| (shown(series.newest(), *format), shown(series.max(widest), *format)))
        .collect();
    let now_width = values.iter().map(|(now, _)| cells::width(now)).max().unwrap_or(0);
    let max_width = values.iter().map(|(_, max)| cells::width(max)).max().unwrap_or(0);
    let cells = widest.saturating_sub(SPARKLINE_LABEL + now_width + max_width + 8);
    for (((label, series, format), (now, _)), line) in rows.iter().zip(&values).zip(area.rows()) {
        let bars = plot::sparkline(series.last(cells), cells, model.theme.glyphs());
        let value = format!(" {} max {}", cells::right(now, now_width), shown(series.max(cells), *format));
        let style = |role| model.theme.style(role);
        Line::from(vec![
            Span::styled(format!(" {}", cells::left(label, SPARKLINE_LABEL - 1)), style(Role::Dim)),
            Span::styled(bars, style(Role::Graph)),
            Span::styled(value, style(Role::Text)),
        ])
        .render(line, buffer);
    }
}
