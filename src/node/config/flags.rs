//! The flags of the command line, made from the table of settings. Loads a configuration from the flags, the
//! environment and the file. Read [`Flags`] first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command};

use super::group::Group;
use super::resolve::{ConfigProblem, InvalidConfig, Sources};
use super::settings::{BROKER, FILE, PREFIX, SETTINGS, Setting};
use super::typed::Loaded;

/// The given flags; with `LOG_ONLY` only those of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags<const LOG_ONLY: bool> {
    given: BTreeMap<&'static str, String>,
    file: Option<PathBuf>,
}

/// Flags of `sse-node serve` and `check-config`.
pub type ServeFlags = Flags<false>;
/// Flags of commands that open only the log.
pub type LogFlags = Flags<true>;

impl<const LOG_ONLY: bool> Flags<LOG_ONLY> {
    fn settings() -> impl Iterator<Item = &'static Setting> {
        SETTINGS.iter().filter(|setting| !LOG_ONLY || setting.group == Group::Log)
    }

    /// Reads the environment and the file, and resolves all settings.
    ///
    /// # Errors
    /// [`InvalidConfig`] has all errors, each with what is allowed.
    pub fn load(&self) -> Result<Loaded, InvalidConfig> {
        let environment: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
                // A value that is not UTF-8 is never valid; the error shows as much of it as can be decoded.
                Some((name, value.to_string_lossy().into_owned()))
            })
            .collect();
        let named = environment.get(&format!("{PREFIX}{}", FILE.to_uppercase()));
        let path = self.file.clone().or_else(|| named.filter(|path| !path.is_empty()).map(PathBuf::from));
        let file = match path {
            None => None,
            Some(path) => match std::fs::read_to_string(&path) {
                Ok(text) => Some((path, text)),
                Err(error) => return Err(ConfigProblem::unreadable(&path, &error).into()),
            },
        };
        Loaded::from_sources(&Sources { flags: self.given.clone(), environment, file })
    }
}

impl<const LOG_ONLY: bool> clap::Args for Flags<LOG_ONLY> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("Read settings from this TOML file [env: {PREFIX}{}]", FILE.to_uppercase()));
        Self::settings().fold(command.arg(file), |command, setting| command.arg(argument(setting, LOG_ONLY)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const LOG_ONLY: bool> clap::FromArgMatches for Flags<LOG_ONLY> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(file) = matches.get_one::<PathBuf>(FILE) {
            self.file = Some(file.clone());
        }
        for setting in Self::settings() {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.given.insert(setting.key, text.clone());
            }
        }
        Ok(())
    }
}

/// The flag of a setting. Its value stays a text, which is parsed together with those of the other sources.
fn argument(setting: &'static Setting, log_only: bool) -> Arg {
    let (help, default, variable) = (setting.help, setting.shown_default(), setting.variable());
    let help = if log_only && setting.key == BROKER {
        // Nothing is left of a log in memory when the command ends.
        format!(
            "Log to append to: file:DIR, or a Redis URL as `sse-node serve --help` shows it; memory: is not allowed here [env: {variable}]"
        )
    } else {
        format!("{help} [default: {default}] [env: {variable}]")
    };
    let argument = Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value)
        .help(help)
        .help_heading(setting.group.title())
        .allow_hyphen_values(true);
    if setting.is_switch() {
        argument.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        argument
    }
}
