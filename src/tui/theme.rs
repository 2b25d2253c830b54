//! How things look: a few roles with a style each, and the glyphs, in Unicode or in ASCII. Nothing here is needed to
//! understand the screen: every state has a word and a mark beside its colour.

use clap::ValueEnum;
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::border;

/// Names of the themes. All but one keep to the terminal's own background.
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

/// What a text is, which decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Text,
    /// Labels, units, what is old.
    Dim,
    /// Names of panes and columns.
    Title,
    Border,
    /// The border of the pane that keys go to.
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

/// Every character that is not a letter or a digit of some text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Glyphs {
    pub(crate) ascii: bool,
    pub(crate) border: border::Set<'static>,
    /// Sorted downwards and upwards.
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

    /// The theme that is called like this.
    pub(crate) fn named(text: &str) -> Option<Self> {
        Self::from_str(text, true).ok()
    }

    /// All names, for people.
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

    /// The style of a role.
    pub(crate) fn style(self, role: Role) -> Style {
        // A style without any colour must stay so: crossterm 0.29 answers NO_COLOR by replacing every colour with a
        // reset, which undoes bold and reversed as well.
        let style = modifiers(role);
        let colour = match self.name {
            // Without colours only this tells the two lines of a chart apart.
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
    // Okabe and Ito's palette: told apart with every common kind of colour blindness.
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
