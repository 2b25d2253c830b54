//! The lines above and below the panes: title, screens, totals, notice, keys. Each shows as many of its parts as fit,
//! the most important ones first, and never half a part.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;

use crate::tui::config::key::Action;
use crate::tui::config::screen::Screen;
use crate::tui::config::theme::Role;
use crate::tui::state::message::Access;
use crate::tui::state::model::{Model, Prompt, PromptKind, Source};
use crate::tui::state::totals::Totals;
use crate::tui::text::{cells, format};
use crate::tui::view::input_line;
use crate::tui::view::layout::{self, Shape};

/// Draws the title: the cluster, whether actions are allowed, and whether the screen is live, paused or a replay.
pub(super) fn title(model: &Model, shape: Shape, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let mut right = vec![badge(model)];
    let clock = format::clock(model.cluster().now.unix);
    right.push(Span::raw(if area.width >= 80 { format!("  {clock} UTC ") } else { format!(" {clock} ") }));
    let right = Line::from(right).right_aligned();
    let mut room = usize::from(area.width).saturating_sub(right.width() + 1);
    let mut left = Vec::new();
    for (words, role) in title_parts(model, shape) {
        let needed = cells::width(&words);
        if needed <= room {
            room -= needed;
            left.push(Span::styled(words, theme.style(role)));
        }
    }
    Line::from(left).render(area, buffer);
    right.render(area, buffer);
}

/// The parts on the left; each is shown only if it fits.
fn title_parts(model: &Model, shape: Shape) -> Vec<(String, Role)> {
    let cluster = model.cluster();
    let mut parts = vec![(" sse-tui".to_owned(), Role::Title)];
    if shape == Shape::Single {
        // Without the line of screens only the title names the screen.
        let screen = format!("  {} {}", model.screen.number(), model.screen.name());
        parts.push((screen, Role::Key));
        if !cluster.alerts.is_empty() {
            parts.push((format!("  ! {}", cluster.alerts.len()), Role::Bad));
        }
    }
    if let Some(first) = cluster.nodes.first() {
        let others =
            if cluster.nodes.len() > 1 { format!(" +{}", cluster.nodes.len() - 1) } else { String::new() };
        parts.push((format!("  {}{others}", first.url.short()), Role::Text));
    }
    let latest = cluster.answering_node().and_then(|node| node.latest.as_ref());
    if let Some(log) = latest.map(|latest| &latest.reading.log) {
        let (word, role) = if log.rtt.is_some() { ("ok", Role::Dim) } else { ("does not answer", Role::Bad) };
        parts.push((format!("  {} {word}", log.broker), role));
    }
    parts.push(match &model.access {
        Access::ReadOnly => ("  read-only".to_owned(), Role::Dim),
        Access::Unknown => ("  token not checked yet".to_owned(), Role::Dim),
        Access::Granted => ("  actions allowed".to_owned(), Role::Good),
        Access::Refused(status) => (format!("  read-only: token refused, {status}"), Role::Warning),
    });
    if model.is_masked {
        parts.push(("  masked".to_owned(), Role::Warning));
    }
    if let Some(run) = &model.run {
        parts.push((format!("   bench {}", run.word()), run.role()));
    }
    parts
}

fn badge(model: &Model) -> Span<'static> {
    let theme = model.theme;
    if let Some(frozen) = &model.frozen {
        let since = model.now().elapsed.saturating_sub(frozen.cluster().now.elapsed);
        let (left, right) = if theme.glyphs().ascii { ("<", ">") } else { ("←", "→") };
        let words = format!(" PAUSED -{} {left}{right} ", format::age(since));
        return Span::styled(words, theme.style(Role::Badge));
    }
    match model.source {
        Source::Recording => Span::styled(" REPLAY ", theme.style(Role::Badge)),
        Source::EndedRecording => Span::styled(" REPLAY ended ", theme.style(Role::Badge)),
        Source::Nodes => {
            let every = humantime::format_duration(model.cluster().interval);
            Span::styled(format!("LIVE {every}"), theme.style(Role::Good))
        }
    }
}

/// Draws the line of screens, and the size of the log.
pub(super) fn tabs(model: &Model, area: Rect, buffer: &mut Buffer) {
    let names = names(model, usize::from(area.width));
    let line = Line::from(names.into_iter().map(|(_, name)| name).collect::<Vec<_>>());
    let used = line.width();
    line.render(area, buffer);
    let log = log(model);
    if cells::width(&log) + used < usize::from(area.width) {
        Line::styled(log, model.theme.style(Role::Dim)).right_aligned().render(area, buffer);
    }
}

/// The screen whose name is at this position.
pub(crate) fn tab_at(model: &Model, position: Position) -> Option<Screen> {
    let screen = Rect::from((Position::ORIGIN, model.size));
    let areas = layout::areas(layout::shape(screen)?, screen, model);
    let area = areas.tabs.filter(|tabs| tabs.contains(position))?;
    let mut left = usize::from(position.x - area.x);
    for (screen, name) in names(model, usize::from(area.width)) {
        match left.checked_sub(name.width()) {
            Some(rest) => left = rest,
            None => return screen,
        }
    }
    None
}

/// The names of the screens with the blanks between them; short names where the long ones do not fit.
fn names(model: &Model, room: usize) -> Vec<(Option<Screen>, Span<'static>)> {
    let of = |short: bool| {
        let mut names = vec![(None, Span::raw(if short { "" } else { " " }))];
        for screen in Screen::ALL {
            names.push((Some(screen), tab(model, screen, short)));
            names.push((None, Span::raw(if short { "" } else { " " })));
        }
        names
    };
    let long = of(false);
    let width: usize = long.iter().map(|(_, name)| name.width()).sum();
    if width <= room { long } else { of(true) }
}

fn tab(model: &Model, screen: Screen, short: bool) -> Span<'static> {
    let name = if short { screen.short_name() } else { screen.name() };
    let alerts = model.cluster().alerts.len();
    let count = if screen == Screen::Alerts && alerts > 0 { format!(" ({alerts})") } else { String::new() };
    let words = format!("{} {name}{count}", screen.number());
    let is_here = screen == model.screen;
    let words = if is_here { format!("[{words}]") } else { format!(" {words} ") };
    let role = match (is_here, screen) {
        (true, _) => Role::Title,
        (false, Screen::Alerts) if alerts > 0 => Role::Bad,
        (false, _) => Role::Dim,
    };
    Span::styled(words, model.theme.style(role))
}

fn log(model: &Model) -> String {
    let latest = model.cluster().answering_node().and_then(|node| node.latest.as_ref());
    let Some(log) = latest.map(|latest| &latest.reading.log) else { return String::new() };
    let kept = format::count(log.length);
    format!("log {kept} events, {} ", format::bytes(log.bytes))
}

/// Draws the totals of the cluster in one line.
pub(super) fn totals(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let parts = parts(&model.cluster().totals);
    let part_width = |part: &Part| cells::width(part.label) + 1 + cells::width(&part.value);
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

/// The most important parts first.
fn parts(totals: &Totals) -> Vec<Part> {
    let known = totals.fresh > 0;
    let plain = |label, value: Option<String>| {
        let value = value.filter(|_| known).unwrap_or_else(|| "-".to_owned());
        Part { label, value, role: Role::Title }
    };
    let alarming = |label, count: u64, role: Role| {
        let role = if count > 0 { role } else { Role::Title };
        Part { role, ..plain(label, Some(format::count(count))) }
    };
    let per_second = |rate: Option<f64>| rate.map(|rate| format!("{}/s", format::rate(rate)));
    let ms = |time: Option<std::time::Duration>| time.map(format::short);
    let mut parts = vec![
        plain("conns", Some(format::count(totals.connections))),
        plain("out", per_second(totals.sent)),
        plain("p99", ms(totals.p99)),
        plain("lag", Some(format::count(totals.lag_max))),
        alarming("gaps", totals.gaps, Role::Warning),
        alarming("slow", totals.closed_slow, Role::Warning),
        plain("in", per_second(totals.published)),
        plain("p50", ms(totals.p50)),
        plain("rtt", ms(totals.rtt_max)),
        plain("log", ms(totals.log_rtt)),
    ];
    if totals.epochs.len() > 1 {
        // The nodes of a cluster share one log, so this comes first.
        let value = totals.epochs.len().to_string();
        parts.insert(0, Part { label: "! different logs", value, role: Role::Bad });
    }
    parts
}

/// Draws the notice about the last action, or the worst alert.
pub(super) fn flash(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let room = usize::from(area.width).saturating_sub(1);
    let line = flash_line(model).or_else(|| {
        let alert = model.cluster().alerts.first()?;
        Some((format!("! {}: {}", alert.subject, alert.text), Role::Bad))
    });
    if let Some((words, role)) = line {
        let words = cells::cut(&words, room, theme.glyphs().ellipsis);
        Line::styled(format!(" {words}"), theme.style(role)).render(area, buffer);
    }
}

fn flash_line(model: &Model) -> Option<(String, Role)> {
    let flash = model.flash.as_ref()?;
    Some((flash.text.clone(), if flash.is_good { Role::Good } else { Role::Warning }))
}

/// Draws the input line, or else the keys, as many as fit. On a single pane the notice about the last action takes
/// their place for a moment.
pub(super) fn footer(model: &Model, shape: Shape, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    if let Some(prompt) = &model.prompt {
        return draw_prompt(model, prompt, area, buffer);
    }
    if shape == Shape::Single
        && let Some((words, role)) = flash_line(model)
    {
        let words = cells::cut(&words, usize::from(area.width).saturating_sub(1), theme.glyphs().ellipsis);
        return Line::styled(format!(" {words}"), theme.style(role)).render(area, buffer);
    }
    let mut room = usize::from(area.width).saturating_sub(1);
    let mut line = vec![Span::raw(" ")];
    for binding in model.keymap.bindings().iter().filter(|binding| binding.is_in_footer_of(model.screen)) {
        if is_act(binding.action) && model.access != Access::Granted {
            continue;
        }
        let key = binding.chords.first().map(|chord| chord.label(theme.glyphs().ascii)).unwrap_or_default();
        let needs = cells::width(&key) + 1 + cells::width(binding.hint) + 2;
        if needs > room + 2 {
            break;
        }
        room = room.saturating_sub(needs);
        line.push(Span::styled(key, theme.style(Role::Key)));
        line.push(Span::styled(format!(" {}  ", binding.hint), theme.style(Role::Dim)));
    }
    Line::from(line).render(area, buffer);
}

fn is_act(action: Action) -> bool {
    matches!(action, Action::Broadcast | Action::Message | Action::Drain | Action::Disconnect)
}

fn draw_prompt(model: &Model, prompt: &Prompt, area: Rect, buffer: &mut Buffer) {
    let theme = model.theme;
    let (mark, hint) = match prompt.kind {
        PromptKind::FilterConnections => ("filter connections /", "text !not /regex/ state:slow lag>5"),
        PromptKind::FilterEvents => ("filter events /", "text !not /regex/ type:MESSAGE size>1k"),
        PromptKind::Topics => ("topics: ", "separated by commas or blanks; empty for broadcasts only"),
        PromptKind::Command => {
            (":", "broadcast drain filter message node quit sort theme topics, or a screen")
        }
    };
    let room = usize::from(area.width).saturating_sub(2);
    // On a narrow screen the typed text matters more than the label.
    let mark = if cells::width(mark) * 2 > room { &mark[mark.len() - 1..] } else { mark };
    let (words, role) = match &prompt.problem {
        Some(problem) => (format!("  ! {problem}"), Role::Bad),
        None if prompt.editor.text().is_empty() => (format!("  {hint}"), Role::Dim),
        None => (String::new(), Role::Dim),
    };
    let typed = cells::width(prompt.editor.text()) + 1;
    let free = room.saturating_sub(cells::width(mark) + cells::width(&words));
    let cells = typed.max((room / 3).min(free)).min(room.saturating_sub(cells::width(mark)));
    let mut spans = vec![Span::raw(" "), Span::styled(mark.to_owned(), theme.style(Role::Key))];
    spans.extend(input_line::spans(&prompt.editor, cells, true, theme));
    let left = room.saturating_sub(cells::width(mark) + cells);
    spans.push(Span::styled(cells::cut(&words, left, theme.glyphs().ellipsis), theme.style(role)));
    Line::from(spans).render(area, buffer);
}
