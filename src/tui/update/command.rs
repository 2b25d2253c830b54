//! Input lines: filters, topics, and the commands of `:`. Pure. Read [`enter`] first.

use crate::protocol::api::ConnectionAt;
use crate::protocol::{Filter, Topic};
use crate::tui::config::key::Action;
use crate::tui::config::screen::Screen;
use crate::tui::config::theme::{Theme, ThemeName};
use crate::tui::state::connections::{ConnectionColumn, ConnectionOrder};
use crate::tui::state::events::ReceivedEvent;
use crate::tui::state::message::Effect;
use crate::tui::state::model::{Model, Pane, PromptKind};
use crate::tui::state::node_column::{NodeColumn, NodeOrder};
use crate::tui::update::actions;
use crate::tui::update::flash::flash;

/// First words of commands.
const COMMANDS: [&str; 9] =
    ["broadcast", "drain", "filter", "message", "node", "quit", "sort", "theme", "topics"];

/// Why a line is invalid; `None` when it is valid.
pub(super) fn problem(kind: PromptKind, text: &str) -> Option<String> {
    match kind {
        PromptKind::FilterConnections => {
            Filter::parse::<ConnectionAt<'_>>(text).err().map(|error| error.to_string())
        }
        PromptKind::FilterEvents => Filter::parse::<ReceivedEvent>(text).err().map(|error| error.to_string()),
        PromptKind::Topics => {
            topics(text).find_map(|topic| Topic::parse(topic).err()).map(|error| error.to_string())
        }
        PromptKind::Command => None,
    }
}

/// The topics of a line, separated by commas or blanks.
fn topics(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|topic| !topic.is_empty())
}

/// Applies a finished line. An invalid one stays open, and the last valid one stays in force.
pub(super) fn enter(model: &mut Model, kind: PromptKind, text: &str) -> Vec<Effect> {
    if let Some(why) = problem(kind, text) {
        if let Some(prompt) = &mut model.prompt {
            prompt.problem = Some(why);
        }
        return Vec::new();
    }
    model.prompt = None;
    match kind {
        PromptKind::FilterConnections => model.connections.set_filter(text),
        PromptKind::FilterEvents => {
            let topics = model.live_events.topics.clone();
            model.live_events.restart(text, topics);
        }
        PromptKind::Topics => {
            let (filter, topics) =
                (model.live_events.filter.clone(), topics(text).map(str::to_owned).collect());
            model.live_events.restart(&filter, topics);
        }
        PromptKind::Command => return run(model, text),
    }
    Vec::new()
}

/// The line with its first word completed, when exactly one command begins with it.
pub(super) fn completed(text: &str) -> String {
    let names = COMMANDS.into_iter().map(str::to_owned);
    let screens = Screen::ALL.into_iter().map(|screen| screen.name().to_lowercase());
    let fitting: Vec<_> = names.chain(screens).filter(|name| name.starts_with(text)).collect();
    match &fitting[..] {
        [only] if !text.is_empty() => format!("{only} "),
        _ => text.to_owned(),
    }
}

fn run(model: &mut Model, text: &str) -> Vec<Effect> {
    let (name, rest) = text.split_once(' ').map_or((text, ""), |(name, rest)| (name, rest.trim()));
    match name {
        "" => {}
        "q" | "quit" => return vec![Effect::Quit],
        "broadcast" => return actions::perform(model, Action::Broadcast),
        "message" => return actions::perform(model, Action::Message),
        "drain" => {
            if rest.is_empty() || select(model, rest) {
                return actions::perform(model, Action::Drain);
            }
        }
        "node" => {
            select(model, rest);
        }
        "filter" => match problem(PromptKind::FilterConnections, rest) {
            None => model.connections.set_filter(rest),
            Some(why) => flash(model, false, why),
        },
        "topics" => return enter(model, PromptKind::Topics, rest),
        "sort" => sort(model, rest),
        "theme" => match ThemeName::named(rest) {
            Some(name) => model.theme = Theme::new(name, model.theme.glyphs().ascii),
            None => flash(model, false, format!("no theme {rest:?}; there are {}", ThemeName::all())),
        },
        other => match other.parse().ok().and_then(|number: usize| Screen::ALL.get(number.wrapping_sub(1))) {
            Some(screen) => actions::show(model, *screen),
            None => match Screen::named(other) {
                Some(screen) => actions::show(model, screen),
                None => {
                    let known = format!("{}, and the names of the screens", COMMANDS.join(", "));
                    flash(model, false, format!("no command {other:?}; there are {known}"));
                }
            },
        },
    }
    Vec::new()
}

/// Selects a node by its name or the beginning of it. Returns whether there is one.
fn select(model: &mut Model, name: &str) -> bool {
    let nodes = &model.cluster().nodes;
    let exact = nodes.iter().find(|node| node.label().as_str() == name);
    let begins = nodes.iter().find(|node| !name.is_empty() && node.label().as_str().starts_with(name));
    let found = exact.or(begins).map(|node| node.url.clone());
    match found {
        Some(url) => {
            model.selected = Some(url);
            true
        }
        None => {
            flash(model, false, format!("no node has an id that begins with {name:?}"));
            false
        }
    }
}

fn sort(model: &mut Model, name: &str) {
    let is_about_connections = matches!(model.focus, Pane::Connections | Pane::Connection);
    if is_about_connections && let Some(column) = ConnectionColumn::named(name) {
        model.connections.set_order(ConnectionOrder::by(column));
    } else if !is_about_connections && let Some(column) = NodeColumn::named(name) {
        model.node_order = NodeOrder { column, descending: !column.is_text() };
    } else {
        flash(model, false, format!("no column {name:?} to sort by; the names are above the table"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::tests::fixture::url;
    use crate::tui::update::tests::fixture::mixed;

    fn done(text: &str) -> Model {
        let mut model = mixed();
        assert_eq!(run(&mut model, text), []);
        model
    }

    #[test]
    fn commands_do_what_they_say() {
        assert_eq!(run(&mut mixed(), "q"), [Effect::Quit]);
        assert_eq!(done("4").screen, Screen::Bench);
        assert_eq!(done("bro").screen, Screen::Broker);
        assert_eq!(done("node node-2").selected, Some(url(2)));
        assert_eq!(done("sort p99ms").node_order.column.header(), "p99ms");
        assert_eq!(done("filter state:slow").connections.filter, "state:slow");
        assert_eq!(done("topics a, b c").live_events.topics, ["a", "b", "c"]);
        assert_eq!(done("theme mono").theme, Theme::new(ThemeName::Mono, false));
        for (wrong, word) in [("fly", "no command"), ("theme pink", "colour-blind"), ("sort x", "no column")]
        {
            assert!(
                done(wrong).flash.is_some_and(|flash| flash.text.contains(word) && !flash.is_good),
                "{wrong}"
            );
        }
        assert_eq!(completed("dr"), "drain ");
        assert_eq!(completed("t"), "t", "theme, topics");
    }

    #[test]
    fn a_wrong_filter_keeps_the_last_good_one() {
        let mut model = mixed();
        enter(&mut model, PromptKind::FilterConnections, "lag>5");
        enter(&mut model, PromptKind::FilterConnections, "/(/");
        assert_eq!(model.connections.filter, "lag>5");
        assert!(problem(PromptKind::FilterEvents, "lag>5").is_some_and(|why| why.contains("size")));
        assert!(problem(PromptKind::Topics, "a/b").is_some());
    }
}
