//! The bench screen: progress, figures, faults on a time line, and verdict of a run.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::theme::Role;
use crate::tui::state::bench_run::{Begin, End, FaultState, Run, Second};
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::series::Series;
use crate::tui::text::cells;
use crate::tui::text::format::{self, age, count, grouped, rate};
use crate::tui::view::border::{self, Titles};
use crate::tui::view::{charts, facts};

/// Width of a fault's name before its time line.
const FAULT_NAME: usize = 20;
/// Rows of the smallest charts, which get the space that the figures leave.
const CHARTS: u16 = 9;
/// Findings of the diagnosis that are shown; the report has all.
const FINDINGS: usize = 3;
/// Borders, the bar and the line below it.
const FRAME: usize = 4;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some(run) = &model.run else {
        let titles = Titles { left: "Bench".to_owned(), right: Vec::new() };
        let inner = border::draw(model, Some(Pane::Bench), titles, area, buffer);
        let words = "No run is followed. sse-tui --run DIR follows the run of sse-bench run -o DIR, or opens a \
                     finished one; sse-bench run --tui starts both.";
        return wrapped(model, words, inner, buffer);
    };
    let needed = run.begin.as_ref().map_or(0, |begin| {
        let faults = if begin.faults.is_empty() { 0 } else { begin.faults.len() + 1 };
        FRAME + figures(run, begin).len() + faults
    });
    let needed = u16::try_from(needed).unwrap_or(u16::MAX);
    let (charted, area) = if needed > 0 && area.width >= 72 && area.height >= needed.saturating_add(CHARTS) {
        let [above, below] = Layout::vertical([Constraint::Length(needed), Constraint::Fill(1)]).areas(area);
        (Some(below), above)
    } else {
        (None, area)
    };
    let place = format!(" {} ", cells::cut(&run.place, 50, model.theme.glyphs().ellipsis));
    let name = run.begin.as_ref().map_or("Bench", |begin| begin.scenario.as_str());
    let right = vec![Span::styled(place, model.theme.style(Role::Dim))];
    let titles = Titles { left: name.to_owned(), right };
    let inner = border::draw(model, Some(Pane::Bench), titles, area, buffer);
    let Some(begin) = &run.begin else {
        let words = run.error.as_ref().map_or("waiting for the run to begin", |why| why.as_str());
        return wrapped(model, words, inner, buffer);
    };
    draw_run(model, run, begin, inner, buffer);
    if let Some(area) = charted {
        draw_charts(model, run, area, buffer);
    }
}

fn wrapped(model: &Model, words: &str, area: Rect, buffer: &mut Buffer) {
    let lines = cells::wrapped(words, usize::from(area.width.saturating_sub(2)));
    for (line, row) in lines.iter().zip(area.rows()) {
        Line::styled(format!(" {line}"), model.theme.style(Role::Dim)).render(row, buffer);
    }
}

fn draw_run(model: &Model, run: &Run, begin: &Begin, area: Rect, buffer: &mut Buffer) {
    let figures = figures(run, begin);
    let fault_rows = u16::try_from(begin.faults.len()).unwrap_or(u16::MAX);
    let fault_rows = if fault_rows == 0 { 0 } else { fault_rows.saturating_add(1) };
    let figure_rows = u16::try_from(figures.len()).unwrap_or(u16::MAX);
    let [bar, _gap, facts_area, faults] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::from(area.height > 12)),
        Constraint::Length(figure_rows),
        Constraint::Max(fault_rows),
    ])
    .areas(area);
    progress(model, run, bar, buffer);
    facts::draw(model, &figures, facts_area, buffer);
    draw_faults(model, run, begin, faults, buffer);
}

/// Draws the phase, a bar and the time left, or the verdict.
fn progress(model: &Model, run: &Run, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let glyphs = theme.glyphs();
    let phase = run.latest().map_or("set-up", |second| second.phase.as_str());
    let (left, right) = match &run.end {
        Some(end) => (end.verdict.as_str().to_owned(), format!("exit code {}", end.exit_code)),
        None => (phase.to_owned(), format!("{:3.0}%  {} left", run.share() * 100.0, age(run.left()))),
    };
    let left = cells::cut(&left, 24, glyphs.ellipsis);
    let cells = usize::from(area.width).saturating_sub(cells::width(&left) + cells::width(&right) + 5);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a screen's width"
    )]
    let full = ((run.share() * cells as f64) as usize).min(cells);
    let bar = format!("{}{}", glyphs.levels[7].repeat(full), glyphs.levels[0].repeat(cells - full));
    Line::from(vec![
        Span::styled(format!(" {left}  "), theme.style(run.role())),
        Span::styled(bar, theme.style(Role::Graph)),
        Span::raw(format!("  {right}")),
    ])
    .render(area, buffer);
}

fn figures(run: &Run, begin: &Begin) -> Vec<facts::Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, text: String, role| facts.push(facts::Fact { label, text, role });
    if let Some(end) = &run.end {
        verdict(end, &mut fact);
    }
    if let Some(second) = run.latest() {
        match &run.end {
            None => now(second, begin, &mut fact),
            Some(end) => then(second, end, &mut fact),
        }
        failures(second, &mut fact);
    }
    if let Some(error) = &run.error {
        fact("error", error.as_str().to_owned(), Role::Bad);
    }
    let planned = Duration::from_millis(begin.duration_ms);
    let plan = format!(
        "{} clients, {} nodes, {}, seed {}",
        grouped(begin.clients),
        begin.nodes.len(),
        age(planned),
        begin.seed
    );
    fact("plan", plan, Role::Text);
    if !begin.description.as_str().is_empty() {
        fact("about", begin.description.as_str().to_owned(), Role::Dim);
    }
    facts
}

fn now(second: &Second, begin: &Begin, fact: &mut impl FnMut(&'static str, String, Role)) {
    let by_node = begin.nodes.iter().zip(&second.connections);
    let by_node: Vec<_> = by_node.map(|(node, count)| format!("{node} {}", grouped(*count))).collect();
    fact(
        "clients",
        format!(
            "{} of {} connected: {}",
            grouped(second.connected),
            grouped(begin.clients),
            by_node.join(", ")
        ),
        if second.connected < begin.clients { Role::Warning } else { Role::Text },
    );
    let delivered = format!("{}/s, {} so far", rate(second.delivered_per_s), grouped(second.delivered));
    fact("delivered", delivered, Role::Text);
    let published = format!("{}/s, {} so far", rate(second.published_per_s), grouped(second.published));
    fact("published", published, Role::Text);
    let latency =
        format!("p50 {}, p99 {}, max {}", time(second.p50_ms), time(second.p99_ms), time(second.max_ms));
    fact("latency", latency, Role::Text);
}

/// The figures of a finished run, whose last second says little about the whole.
fn then(second: &Second, end: &End, fact: &mut impl FnMut(&'static str, String, Role)) {
    fact("published", format!("{} in all", grouped(second.published)), Role::Text);
    if let Some(summary) = &end.summary {
        let (p50, p99) = (summary.delivery_latency_p50_ms, summary.delivery_latency_p99_ms);
        fact("latency", format!("p50 {}, p99 {} of the whole run", time(p50), time(p99)), Role::Text);
    }
}

fn time(ms: Option<f64>) -> String {
    let time = ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
    time.map_or_else(|| "-".to_owned(), format::short)
}

fn failures(second: &Second, fact: &mut impl FnMut(&'static str, String, Role)) {
    fact(
        "streams",
        format!(
            "{} reconnects, {} failed connects, {} gaps",
            count(second.reconnects),
            count(second.connect_errors),
            count(second.gaps)
        ),
        if second.connect_errors + second.gaps > 0 { Role::Warning } else { Role::Text },
    );
    let (refused, late) = (second.not_acknowledged, second.dropped);
    let publishing = format!("{} not acknowledged, {} never sent", count(refused), count(late));
    fact("publishes", publishing, if refused + late > 0 { Role::Warning } else { Role::Text });
}

fn verdict(end: &End, fact: &mut impl FnMut(&'static str, String, Role)) {
    if let Some(error) = &end.error {
        fact("error", error.as_str().to_owned(), Role::Bad);
    }
    let Some(summary) = &end.summary else { return };
    let is_clean = summary.events_lost + summary.events_duplicated + summary.events_reordered == 0;
    let role = if is_clean { Role::Good } else { Role::Bad };
    let (ok, expected) = (grouped(summary.events_ok), grouped(summary.events_expected));
    fact("arrived", format!("{ok} of {expected}"), role);
    fact(
        "verdict",
        format!(
            "{} lost, {} twice, {} out of order, {} unexpected",
            grouped(summary.events_lost),
            grouped(summary.events_duplicated),
            grouped(summary.events_reordered),
            grouped(summary.events_unexpected)
        ),
        role,
    );
    if !summary.failed.is_empty() {
        let failed: Vec<_> = summary.failed.iter().map(|name| name.as_str()).collect();
        fact("failed", failed.join(", "), Role::Bad);
    }
    for finding in end.diagnosis.iter().take(FINDINGS) {
        fact("because", format!("{}: {}", finding.what.as_str(), finding.evidence.as_str()), Role::Warning);
    }
}

/// Draws the planned duration from left to right, one line per fault, with the present moment.
fn draw_faults(model: &Model, run: &Run, begin: &Begin, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let glyphs = theme.glyphs();
    let mut rows = area.rows();
    let Some(head) = rows.next() else { return };
    let cells = usize::from(area.width).saturating_sub(FAULT_NAME + 6);
    Line::styled(format!(" {}", cells::left("faults", FAULT_NAME + 2)), theme.style(Role::Dim))
        .render(head, buffer);
    let planned = begin.duration_ms.max(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a screen's width"
    )]
    let cell = |ms: f64| ((ms / planned).clamp(0.0, 1.0) * cells.saturating_sub(1) as f64) as usize;
    let here = run.latest().map_or(0, |second| cell(second.elapsed_ms as f64));
    for (fault, row) in begin.faults.iter().zip(rows) {
        let (mark, role) = match run.fault(&fault.name) {
            FaultState::Planned => (glyphs.waiting, Role::Dim),
            FaultState::Active => (glyphs.down, Role::Bad),
            FaultState::Healed => (glyphs.good, Role::Good),
        };
        let from = cell(fault.planned_ms);
        let until = fault.planned_heal_ms.map_or(cells.saturating_sub(1), cell).max(from);
        let bar: String = (0..cells)
            .map(|at| {
                if (from..=until).contains(&at) {
                    glyphs.levels[5]
                } else if at == here && run.end.is_none() {
                    glyphs.axes[1]
                } else {
                    glyphs.levels[0]
                }
            })
            .collect();
        let name = cells::left(&cells::cut(fault.name.as_str(), FAULT_NAME, glyphs.ellipsis), FAULT_NAME);
        Line::from(vec![
            Span::styled(format!(" {mark} {name} "), theme.style(role)),
            Span::styled(bar, theme.style(role)),
        ])
        .render(row, buffer);
    }
}

fn draw_charts(model: &Model, run: &Run, area: Rect, buffer: &mut Buffer) {
    let series = |of: fn(&Second) -> Option<f64>| run.seconds.iter().map(of).collect::<Series>();
    let latency = [series(|second| second.p50_ms), series(|second| second.p99_ms)];
    let rates =
        [series(|second| Some(second.published_per_s)), series(|second| Some(second.delivered_per_s))];
    charts::draw_run(model, &latency, &rates, area, buffer);
}
