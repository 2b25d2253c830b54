//! The lines above and below the panes: title, screens, the cluster's totals, keys. Each shows as many of its parts
//! as fit, the most important ones first, and never a part of a part.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use super::text;
use crate::tui::keymap::BINDINGS;
use crate::tui::model::Model;
use crate::tui::numbers;
use crate::tui::picture::Totals;
use crate::tui::theme::Role;

/// Which cluster, and whether what is shown is the present.
pub(super) fn title(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let mut right = vec![badge(model)];
    let clock = numbers::clock(model.picture().now.unix);
    right.push(Span::raw(if area.width >= 80 { format!("  {clock} UTC ") } else { format!(" {clock} ") }));
    let right = Line::from(right).right_aligned();
    let room = usize::from(area.width).saturating_sub(right.width() + 1);
    let mut left = vec![Span::styled(" sse-tui", theme.style(Role::Title))];
    let nodes = &model.picture().nodes;
    if let Some(first) = nodes.first() {
        let others = if nodes.len() > 1 { format!(" +{}", nodes.len() - 1) } else { String::new() };
        let target = format!("  {}{others}", first.url.short());
        if text::width(" sse-tui") + text::width(&target) <= room {
            left.push(Span::raw(target));
        }
    }
    Line::from(left).render(area, buffer);
    right.render(area, buffer);
}

fn badge(model: &Model) -> Span<'static> {
    if model.frozen.is_some() {
        let since = model.now().elapsed.saturating_sub(model.paused_at);
        Span::styled(format!(" PAUSED {} ", numbers::age(since)), model.theme.style(Role::Badge))
    } else {
        let every = humantime::format_duration(model.picture().interval);
        Span::styled(format!("LIVE {every}"), model.theme.style(Role::Good))
    }
}

/// The screens there are, and the log that the nodes follow.
pub(super) fn tabs(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    Line::from(Span::styled(" [Overview]", theme.style(Role::Title))).render(area, buffer);
    let log = log(model);
    if text::width(&log) + 14 <= usize::from(area.width) {
        Line::styled(log, theme.style(Role::Dim)).right_aligned().render(area, buffer);
    }
}

fn log(model: &Model) -> String {
    let picture = model.picture();
    let latest = picture.nodes.iter().find_map(|node| node.figures(picture.now, picture.interval));
    let Some(log) = latest.map(|latest| &latest.reading.log) else { return String::new() };
    let kept = numbers::count(log.length);
    format!("log {}, epoch {}, {kept} events, {} ", log.broker, log.epoch, numbers::bytes(log.bytes))
}

/// The cluster in one line.
pub(super) fn totals(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let parts = parts(&model.picture().totals);
    let part_width = |part: &Part| text::width(part.label) + 1 + text::width(&part.value);
    let room = usize::from(area.width).saturating_sub(1);
    let needs = |count: usize, gap: usize| {
        parts[..count].iter().map(part_width).sum::<usize>() + gap * count.saturating_sub(1)
    };
    let fitting = (1..=parts.len()).rev().find_map(|count| {
        let gap = (2..=3).rev().find(|gap| needs(count, *gap) <= room)?;
        Some((count, gap))
    });
    let Some((count, gap)) = fitting else { return };
    let mut line = vec![Span::raw(" ")];
    for (index, part) in parts[..count].iter().enumerate() {
        if index > 0 {
            line.push(Span::raw(" ".repeat(gap)));
        }
        line.push(Span::styled(format!("{} ", part.label), theme.style(Role::Dim)));
        line.push(Span::styled(part.value.clone(), theme.style(part.role)));
    }
    Line::from(line).render(area, buffer);
}

struct Part {
    label: &'static str,
    value: String,
    role: Role,
}

/// The most important ones first.
fn parts(totals: &Totals) -> Vec<Part> {
    let known = totals.fresh > 0;
    let plain = |label, value: Option<String>| {
        let value = value.filter(|_| known).unwrap_or_else(|| "-".to_owned());
        Part { label, value, role: Role::Title }
    };
    let alarming = |label, count: u64, role: Role| {
        let role = if count > 0 { role } else { Role::Title };
        Part { role, ..plain(label, Some(numbers::count(count))) }
    };
    let per_second = |rate: Option<f64>| rate.map(|rate| format!("{}/s", numbers::rate(rate)));
    let ms = |time: Option<std::time::Duration>| time.map(|time| format!("{}ms", numbers::millis(time)));
    let mut parts = vec![
        plain("conns", Some(numbers::count(totals.connections))),
        plain("out", per_second(totals.sent)),
        plain("p99", ms(totals.p99)),
        plain("lag", Some(numbers::count(totals.lag_max))),
        alarming("gaps", totals.gaps, Role::Warning),
        alarming("slow", totals.closed_slow, Role::Warning),
        plain("in", per_second(totals.published)),
        plain("p50", ms(totals.p50)),
        plain("rtt", ms(totals.rtt_max)),
    ];
    if totals.epochs.len() > 1 {
        // Nodes of one cluster share one log: this is the first thing to know.
        let value = totals.epochs.len().to_string();
        parts.insert(0, Part { label: "! different logs", value, role: Role::Bad });
    }
    parts
}

/// Keys, as many as fit.
pub(super) fn footer(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut line = vec![Span::raw(" ")];
    for binding in BINDINGS.iter().filter(|binding| !binding.hint.is_empty()) {
        let key = binding.chords.first().map(|chord| chord.label(theme.glyphs().ascii)).unwrap_or_default();
        let needs = text::width(&key) + 1 + text::width(binding.hint) + 2;
        if needs > room + 2 {
            break;
        }
        room = room.saturating_sub(needs);
        line.push(Span::styled(key, theme.style(Role::Key)));
        line.push(Span::styled(format!(" {}  ", binding.hint), theme.style(Role::Dim)));
    }
    Line::from(line).render(area, buffer);
}
