//! Manual pages, as a program's own command line describes it. Read [`page`] first.

use clap::Command;

use super::exit::Failure;

/// Exit code of a bad command line.
const USAGE: u8 = 2;

/// The page of a program; with `command`, of that command.
///
/// # Errors
/// `command` is not a command of the program.
pub fn page(mut program: Command, command: Option<&str>) -> Result<Vec<u8>, Failure> {
    program.build();
    let described = match command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                let names: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
                let names = names.join(", ");
                return Err(Failure::new(USAGE, format!("{name:?} is not a command; there are {names}")));
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(described).render(&mut text).map_err(|error| Failure::new(1, error))?;
    Ok(text)
}
