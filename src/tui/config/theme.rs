//! Themes: a style for each role, and the glyphs in Unicode or ASCII. Colour is never the only sign: every state has
//! a word and a mark too. Read [`Theme`] first.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// The themes. All of them keep the terminal's background.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ThemeName {
    /// Bright colours for a dark terminal.
    #[default]
    Dark,
    /// Dark colours for a light terminal.
    Light,
    /// No colours, only bold, dim and reversed.
    Mono,
    /// Blue and orange instead of green and red.
    ColourBlind,
}

/// The role of a text, which decides its style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Text,
    /// Labels, units, old figures.
    Dim,
    /// Names of panes and columns.
    Title,
    Border,
    /// The border of the focused pane.
    FocusedBorder,
    Good,
    Warning,
    Bad,
    /// Added to the selected row.
    Selected,
    /// Added to a badge such as PAUSED.
    Badge,
    /// The name of a key.
    Key,
    /// The first line of a chart, and single sparklines.
    Graph,
    /// The second line of a chart.
    SecondGraph,
}

/// A theme with its glyphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    name: ThemeName,
    glyphs: &'static Glyphs,
}

/// The characters of borders, marks and charts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Glyphs {
    pub(crate) ascii: bool,
    pub(crate) border: border::Set<'static>,
    /// Marks of descending and ascending order.
    pub(crate) descending: &'static str,
    pub(crate) ascending: &'static str,
    pub(crate) cursor: &'static str,
    pub(crate) good: &'static str,
    pub(crate) warning: &'static str,
    pub(crate) stale: &'static str,
    pub(crate) down: &'static str,
    pub(crate) waiting: &'static str,
    pub(crate) separator: &'static str,
    pub(crate) ellipsis: &'static str,
    /// From low to high.
    pub(crate) levels: [&'static str; 8],
    /// Corner, vertical and horizontal line of a chart's axes.
    pub(crate) axes: [&'static str; 3],
}

const UNICODE: Glyphs = Glyphs {
    ascii: false,
    border: border::ROUNDED,
    descending: "▼",
    ascending: "▲",
    cursor: "›",
    good: "●",
    warning: "◐",
    stale: "○",
    down: "×",
    waiting: "·",
    separator: "·",
    ellipsis: "…",
    levels: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
    axes: ["└", "│", "─"],
};

const ASCII: Glyphs = Glyphs {
    ascii: true,
    border: border::Set {
        top_left: "+",
        top_right: "+",
        bottom_left: "+",
        bottom_right: "+",
        vertical_left: "|",
        vertical_right: "|",
        horizontal_top: "-",
        horizontal_bottom: "-",
    },
    descending: "v",
    ascending: "^",
    cursor: ">",
    good: "*",
    warning: "~",
    stale: "o",
    down: "x",
    waiting: ".",
    separator: "|",
    ellipsis: "~",
    levels: ["_", ".", ":", "-", "=", "+", "*", "#"],
    axes: ["+", "|", "-"],
};

impl ThemeName {
    const ALL: [Self; 4] = [Self::Dark, Self::Light, Self::Mono, Self::ColourBlind];

    /// The theme with this name, in any case.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::from_str(text, true).ok()
    }

    /// All names, for error messages.
    pub(crate) fn all() -> String {
        "dark, light, mono, colour-blind".to_owned()
    }
}

impl Theme {
    /// The next theme, in a circle.
    pub(crate) fn next(self) -> Self {
        let index = ThemeName::ALL.iter().position(|name| *name == self.name).unwrap_or(0);
        Self { name: ThemeName::ALL[(index + 1) % ThemeName::ALL.len()], ..self }
    }

    pub(crate) fn new(name: ThemeName, ascii: bool) -> Self {
        Self { name, glyphs: if ascii { &ASCII } else { &UNICODE } }
    }

    pub(crate) fn glyphs(self) -> &'static Glyphs {
        self.glyphs
    }

    pub(crate) fn style(self, role: Role) -> Style {
        // A style without colour must stay without: with NO_COLOR crossterm 0.29 replaces every colour by a reset,
        // which undoes bold and reversed too.
        let style = modifiers(role);
        let colour = match self.name {
            // Without colours only this distinguishes the two lines of a chart.
            ThemeName::Mono if role == Role::SecondGraph => return style.add_modifier(Modifier::DIM),
            ThemeName::Mono => None,
            ThemeName::Dark => dark(role),
            ThemeName::Light => light(role),
            ThemeName::ColourBlind => colour_blind(role),
        };
        colour.map_or(style, |colour| style.fg(colour))
    }
}

fn modifiers(role: Role) -> Style {
    let plain = Style::new();
    match role {
        Role::Text | Role::Good | Role::Border | Role::Graph | Role::SecondGraph => plain,
        Role::Dim => plain.add_modifier(Modifier::DIM),
        Role::Title | Role::FocusedBorder | Role::Key | Role::Warning | Role::Bad => {
            plain.add_modifier(Modifier::BOLD)
        }
        Role::Selected => plain.add_modifier(Modifier::REVERSED),
        Role::Badge => plain.add_modifier(Modifier::REVERSED).add_modifier(Modifier::BOLD),
    }
}

fn dark(role: Role) -> Option<Color> {
    match role {
        Role::Text | Role::Title | Role::Dim | Role::Selected => None,
        Role::Border => Some(Color::DarkGray),
        Role::FocusedBorder | Role::Key | Role::Graph => Some(Color::Cyan),
        Role::Good => Some(Color::Green),
        Role::Warning | Role::Badge => Some(Color::Yellow),
        Role::Bad => Some(Color::LightRed),
        Role::SecondGraph => Some(Color::Blue),
    }
}

fn light(role: Role) -> Option<Color> {
    match role {
        Role::Text | Role::Title | Role::Dim | Role::Selected => None,
        Role::Border => Some(Color::Gray),
        Role::FocusedBorder | Role::Key | Role::Graph => Some(Color::Blue),
        Role::Good => Some(Color::Green),
        Role::Warning | Role::Badge => Some(Color::Magenta),
        Role::Bad => Some(Color::Red),
        Role::SecondGraph => Some(Color::Magenta),
    }
}

fn colour_blind(role: Role) -> Option<Color> {
    // The palette of Okabe and Ito, which is distinct for all common kinds of colour blindness.
    const ORANGE: Color = Color::Indexed(208);
    const BLUE: Color = Color::Indexed(75);
    match role {
        Role::Text | Role::Title | Role::Dim | Role::Selected => None,
        Role::Border => Some(Color::DarkGray),
        Role::FocusedBorder | Role::Key | Role::Graph | Role::Good => Some(BLUE),
        Role::Warning | Role::Badge => Some(Color::Yellow),
        Role::Bad | Role::SecondGraph => Some(ORANGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 13] = [
        Role::Text,
        Role::Dim,
        Role::Title,
        Role::Border,
        Role::FocusedBorder,
        Role::Good,
        Role::Warning,
        Role::Bad,
        Role::Selected,
        Role::Badge,
        Role::Key,
        Role::Graph,
        Role::SecondGraph,
    ];

    #[test]
    fn the_mono_theme_has_no_colour_and_still_shows_the_selection() {
        let theme = Theme::new(ThemeName::Mono, false);
        for role in ROLES {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
        assert!(theme.style(Role::Selected).add_modifier.contains(Modifier::REVERSED));
        assert!(theme.style(Role::Badge).add_modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn no_theme_paints_a_background() {
        for name in ThemeName::value_variants() {
            let theme = Theme::new(*name, false);
            assert!(ROLES.iter().all(|role| theme.style(*role).bg.is_none()), "{name:?}");
        }
    }

    #[test]
    fn ascii_glyphs_are_ascii() {
        let glyphs = Theme::new(ThemeName::Dark, true).glyphs();
        assert!(format!("{glyphs:?}").is_ascii());
    }
}
