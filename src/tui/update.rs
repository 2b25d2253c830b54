//! `update`: what a message changes, and what is to be done about it. Pure: no clock, no I/O, no terminal.

use std::time::Duration;

use super::act::Acted;
use super::listing::ListQuery;
use super::message::{Access, Effect, Message};
use super::model::{Flash, Model, Pane, SLOW_FILTER, Source};
use super::point;
use super::press;
use super::run::Run;
use super::screen::Screen;
use super::tail::TailQuery;
use super::view::layout;

/// What was done is shown for so long.
const FLASH: Duration = Duration::from_secs(6);
/// A token that was refused, or not yet answered for, is asked about again after this time.
const CHECK: Duration = Duration::from_secs(10);
/// A tail that is not shown any more is read on for so long.
const TAIL_KEPT: Duration = Duration::from_secs(30);
/// Slow readers that are shown.
const SLOW_ROWS: usize = 20;

/// Applies one message.
pub(crate) fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let seen = model.picture().changes_seen;
    let mut effects = take(model, message);
    if model.source != Source::Nodes {
        // What is shown is the past: its nodes are not asked.
        effects.retain(|effect| {
            !matches!(effect, Effect::Follow(_) | Effect::FollowStranger(_) | Effect::Forget(_))
        });
    }
    // Who looks at older changes keeps looking at them while new ones come in above.
    if model.first_change > 0 {
        model.first_change += model.picture().changes_seen.saturating_sub(seen);
    }
    keep_in_bounds(model);
    effects.extend(wishes(model));
    effects
}

fn take(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => return press::key(model, key),
        Message::Scrolled(step, position) => point::scroll(model, step, position),
        Message::Clicked(position) => point::click(model, position),
        Message::Pasted(text) => press::paste(model, &text),
        Message::Resized(size) => model.size = size,
        Message::Tick(now) => {
            let mut effects = follow_run(model);
            effects.extend(model.live.tick(now));
            model.flash = model.flash.take().filter(|flash| flash.until > now.elapsed);
            return effects;
        }
        Message::Polled(polled) => return model.live.take(*polled),
        Message::Listed(listed) => {
            if model.source != Source::Nodes && listed.query.filter != SLOW_FILTER {
                model.listing.adopt(&listed.query);
            }
            if model.frozen.is_none() {
                model.slow.take((*listed).clone());
                model.listing.take(*listed);
            }
        }
        Message::Streamed(batch) => model.tail.take(*batch),
        Message::Checked(access) => model.access = access,
        Message::Acted(acted) => take_acted(model, *acted),
        Message::Run(news) => model.run.get_or_insert_with(Run::default).take(news),
        Message::Ended => model.source = Source::EndedRecording,
    }
    Vec::new()
}

/// The nodes of a run that goes on are looked at like all others. Those of one that is over, or whose file nobody writes
/// any more, are not looked for: they went with it, and somebody else may have their addresses.
fn follow_run(model: &mut Model) -> Vec<Effect> {
    let Some(run) = &mut model.run else { return Vec::new() };
    // A recording asks nobody.
    if run.end.is_none() && !run.is_growing && model.source == Source::Nodes {
        return Vec::new();
    }
    let places = std::mem::take(&mut run.places);
    if run.end.is_some() {
        model.live.leave_run();
        return Vec::new();
    }
    if places.is_empty() { Vec::new() } else { model.live.follow_run(&places) }
}

fn take_acted(model: &mut Model, acted: Acted) {
    let (is_good, text) = match acted.outcome {
        Ok(answer) => (true, format!("{}: {answer}", acted.what)),
        Err(why) => (false, format!("{} failed: {why}", acted.what)),
    };
    model.live.note_act(is_good, text.clone());
    flash(model, is_good, text);
}

/// Says something at the bottom of the screen.
pub(super) fn flash(model: &mut Model, is_good: bool, text: String) {
    model.flash = Some(Flash { text, is_good, until: model.now().elapsed + FLASH });
}

/// What the nodes are to be asked from now on, as far as that is something new.
fn wishes(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    if model.source != Source::Nodes {
        return effects;
    }
    let list = wanted_list(model);
    if list != model.asked_list {
        model.asked_list.clone_from(&list);
        effects.push(Effect::List(list));
    }
    let tail = wanted_tail(model);
    if tail != model.asked_tail {
        model.asked_tail.clone_from(&tail);
        effects.push(Effect::Tail(tail));
    }
    effects.extend(wanted_check(model));
    effects
}

/// Nothing while the user pauses: what is shown must not change.
fn wanted_list(model: &Model) -> Option<ListQuery> {
    if model.frozen.is_some() {
        return None;
    }
    let speaker = || model.live.speaker().map(|node| node.url.clone());
    match model.screen {
        Screen::Overview if model.is_open => None,
        Screen::Overview | Screen::Connections => {
            let rows = layout::rows_of(model, Pane::Connections).max(1);
            Some(model.listing.query(speaker()?, rows))
        }
        Screen::Alerts => Some(model.slow.query(speaker()?, SLOW_ROWS)),
        Screen::Events | Screen::Bench | Screen::Broker => None,
    }
}

/// Goes on while the user pauses, and for a while when he looks at something else, so that nothing is missing
/// afterwards.
fn wanted_tail(model: &mut Model) -> Option<TailQuery> {
    let now = model.now().elapsed;
    let shows = matches!(model.screen, Screen::Events | Screen::Overview);
    if shows {
        model.tail_shown = now;
    }
    let was_just_shown = now.saturating_sub(model.tail_shown) < TAIL_KEPT;
    let goes_on = model.asked_tail.is_some() && (was_just_shown || model.frozen.is_some());
    if !shows && !goes_on {
        return None;
    }
    // A stream is not moved while its node serves it: whoever moves it misses events.
    let current = model.asked_tail.as_ref().map(|query| &query.node);
    let is_up = |url: &&_| model.live.node(url).is_some_and(|node| node.failing.is_none());
    let node = current.filter(is_up).or_else(|| model.live.speaker().map(|node| &node.url))?;
    Some(model.tail.query(node.clone()))
}

fn wanted_check(model: &mut Model) -> Option<Effect> {
    if !matches!(model.access, Access::Unknown | Access::Refused(_)) {
        return None;
    }
    let now = model.now().elapsed;
    if model.checked.as_ref().is_some_and(|(_, at)| now.saturating_sub(*at) < CHECK) {
        return None;
    }
    let url = model.live.speaker()?.url.clone();
    model.checked = Some((url.clone(), now));
    Some(Effect::Check(url))
}

/// Whatever happened, the selected row is on the screen and no pane is scrolled beyond its end.
fn keep_in_bounds(model: &mut Model) {
    if !model.panes().contains(&model.focus) {
        model.focus = model.panes()[0];
    }
    let nodes = model.picture().nodes.len();
    let pane = if model.screen == Screen::Broker { Pane::LogNodes } else { Pane::Nodes };
    let rows = layout::rows_of(model, pane).max(1);
    let row = model.selected_row();
    model.first_node =
        model.first_node.min(nodes.saturating_sub(rows)).clamp(row.saturating_sub(rows - 1), row);
    model.first_change = model.first_change.min(model.picture().changes.len().saturating_sub(1));
    model.first_alert = model.first_alert.min(model.picture().alerts.len().saturating_sub(1));
    model.help_line = model.help_line.min(model.keymap.bindings().len());
    let rows = layout::rows_of(model, Pane::Connections);
    model.listing.keep_in_bounds(rows);
    let rows = layout::rows_of(model, Pane::Events);
    model.events_mut().keep_in_bounds(rows);
}

#[cfg(test)]
mod tests;
