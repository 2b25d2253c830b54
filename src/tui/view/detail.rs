//! The selected node in full: its figures, its log, its streams, or the error that prevents a reading.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use crate::tui::config::theme::Role;
use crate::tui::state::model::{Model, Pane};
use crate::tui::state::node::{Latest, Node};
use crate::tui::state::node_column;
use crate::tui::state::reading::{Latency, Reading};
use crate::tui::text::format::{age, bytes, count, grouped, millis, percent, rate};
use crate::tui::text::sanitize::SafeText;
use crate::tui::view::border::{self, Titles};
use crate::tui::view::facts::{self, Fact};
use crate::tui::view::nodes;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let cluster = model.cluster();
    let sorted = model.node_order.sort(cluster);
    let Some(node) = sorted.get(model.selected_row()) else { return };
    let health = cluster.health(node);
    let state = node_column::state(&health);
    let titles = Titles {
        left: node
            .expected_id()
            .map_or_else(|| node.url.to_string(), |_| format!("{}, {}", node.label(), node.url)),
        right: vec![Span::styled(format!(" {state} "), model.theme.style(nodes::role(&health)))],
    };
    let inner = border::draw(model, Some(Pane::Detail), titles, area, buffer);
    facts::draw(model, &facts_of(node, cluster.now.elapsed), inner, buffer);
}

/// The most important facts first: a low pane shows only those.
fn facts_of(node: &Node, now: Duration) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut fact = |label, role, text: String| facts.push(Fact { label, text, role });
    if let Some(failing) = &node.failing {
        let wait = failing.retry_at.saturating_sub(now);
        fact("error", Role::Bad, failing.error.to_string());
        fact(
            "tries",
            Role::Text,
            format!("{} failed, the next one in {:.1} s", failing.tries, wait.as_secs_f64()),
        );
    }
    let Some(latest) = &node.latest else {
        fact("figures", Role::Dim, "none so far".to_owned());
        return facts;
    };
    let reading = &latest.reading;
    let seen = now.saturating_sub(latest.at.elapsed);
    let seen =
        if seen < Duration::from_secs(10) { format!("{:.1} s", seen.as_secs_f64()) } else { age(seen) };
    let running = format!("{}, version {}, up for {}", reading.name, reading.version, age(reading.uptime));
    fact("node", Role::Text, running);
    fact("reading", Role::Text, format!("{seen} old, round trip {} ms", millis(latest.rtt)));
    fact("streams", Role::Text, streams(reading));
    fact("events", Role::Text, events(latest));
    let (latency, role) = latency(&reading.latency);
    fact("latency", role, latency);
    fact("lag", Role::Text, format!("{} ms behind the log", grouped(reading.lag)));
    fact("gaps", if reading.gaps.is_empty() { Role::Text } else { Role::Warning }, reasons(&reading.gaps));
    fact("closed", Role::Text, reasons(&reading.closed));
    let window = format!("{} events, {}", grouped(reading.window_frames), bytes(reading.window_bytes));
    fact("window", Role::Text, window);
    let log = &reading.log;
    let kept = format!("{} events, {}", grouped(log.length), bytes(log.bytes));
    fact("log", Role::Text, format!("{}, {kept}, epoch {}", log.broker, log.epoch));
    fact("oldest", Role::Text, log.oldest.as_str().to_owned());
    fact("newest", Role::Text, log.newest.as_str().to_owned());
    let waiting = format!("{} with {} messages", grouped(log.mailboxes), grouped(log.mailbox_messages));
    fact("mailboxes", Role::Text, waiting);
    fact("process", Role::Text, process(latest));
    if let Err(error) = &reading.roster {
        fact("roster", Role::Warning, error.to_string());
    }
    facts
}

fn streams(reading: &Reading) -> String {
    format!("{} open, {} since start", grouped(reading.connections), count(reading.counters.opened))
}

fn events(latest: &Latest) -> String {
    let counters = latest.reading.counters;
    let sent = format!("{} sent, {}", count(counters.sent), bytes(counters.bytes));
    match latest.rates {
        None => sent,
        Some(rates) => {
            let bytes = bytes(saturated(rates.bytes));
            format!("{} in/s, {} out/s, {bytes}/s; {sent}", rate(rates.published), rate(rates.sent))
        }
    }
}

fn latency(latency: &Latency) -> (String, Role) {
    match latency {
        Latency::Quiet => ("nothing delivered in the last minute".to_owned(), Role::Text),
        Latency::Unreadable(why) => (format!("its histogram is not readable: {why}"), Role::Warning),
        Latency::Known(_) | Latency::Kept(_) => {
            let ms = |quantile| latency.quantile(quantile).map_or_else(String::new, millis);
            let (p50, p99, max) = (ms(0.5), ms(0.99), ms(1.0));
            let text = format!("p50 {p50}, p99 {p99}, max {max} ms of {} deliveries", count(latency.count()));
            (text, Role::Text)
        }
    }
}

fn process(latest: &Latest) -> String {
    let cpu = latest.rates.map_or_else(|| "-".to_owned(), |rates| percent(rates.cpu));
    let reading = &latest.reading;
    format!("{cpu} of a core, {} resident, {} open files", bytes(reading.rss), grouped(reading.open_files))
}

fn reasons(reasons: &[(SafeText, u64)]) -> String {
    if reasons.is_empty() {
        return "none".to_owned();
    }
    reasons
        .iter()
        .map(|(reason, number)| format!("{reason} {}", grouped(*number)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A rate as whole bytes, saturated.
fn saturated(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is meant"
    )]
    let whole = value as u64;
    whole
}
