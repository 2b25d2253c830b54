//! `new`: writes a commented scenario to start from. The texts are the files in `new/`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::ValueEnum;

use super::output;
use crate::bench::exit::Exit;
use crate::runtime::exit::Failure;

/// Flags of `new`.
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// File to write. An existing file is not overwritten without --force.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Which scenario to start from.
    #[arg(long, value_enum, default_value = "smoke")]
    pub preset: Preset,

    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

/// The scenarios that `new` can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// A small run of everything: one node is killed and restarted.
    Smoke,
    /// Broadcasts: how many events a second reach all clients, and how fast.
    Fanout,
    /// One of three nodes dies; its clients reconnect to the others.
    Failover,
    /// A rolling restart, node by node.
    Rolling,
    /// All clients reconnect at the same moment.
    Storm,
    /// Some clients read slowly; the others must not be affected.
    Slow,
    /// The nodes lose their connection to Redis for a while.
    Partition,
    /// A run of hours with occasional faults.
    Soak,
}

impl Preset {
    /// The text of the scenario. Its name is that of the preset.
    fn text(self) -> &'static str {
        match self {
            Self::Smoke => include_str!("new/smoke.toml"),
            Self::Fanout => include_str!("new/fanout.toml"),
            Self::Failover => include_str!("new/failover.toml"),
            Self::Rolling => include_str!("new/rolling.toml"),
            Self::Storm => include_str!("new/storm.toml"),
            Self::Slow => include_str!("new/slow.toml"),
            Self::Partition => include_str!("new/partition.toml"),
            Self::Soak => include_str!("new/soak.toml"),
        }
    }
}

/// Writes the file.
pub(super) fn run(args: &NewArgs) -> Result<u8, Failure> {
    let path = &args.file;
    let text = named(args.preset.text(), path);
    let mut options = OpenOptions::new();
    options.write(true).truncate(true).create(true).create_new(!args.force);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let shown = path.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new(Exit::Usage.code(), format!("{shown} exists already; --force overwrites it"))
            }
            _ => Failure::new(Exit::Internal.code(), format!("cannot write {shown}: {error}")),
        }
    })?;
    let shown = path.display();
    output::print(&format!(
        "wrote {shown}\n  sse-bench validate {shown}   what it would do, and whether this machine can carry it\n  \
         sse-bench run {shown}        runs it and judges\n"
    ))
}

/// A scenario is named as its file, where that is a name.
fn named(text: &str, path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_name = (1..=64).contains(&stem.len())
        && stem.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if !is_name {
        return text.to_owned();
    }
    // The first one is the scenario's; faults have names too.
    let Some((head, rest)) = text.split_once("\nname = ") else { return text.to_owned() };
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    format!("{head}\nname = {stem:?}\n{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenario;
    use crate::runtime::exit;

    #[test]
    fn every_preset_is_a_scenario_of_its_own_name_that_explains_itself() {
        for preset in Preset::value_variants() {
            let name = preset.to_possible_value().unwrap().get_name().to_owned();
            let scenario =
                scenario::parse(&name, preset.text(), &[]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, name);
            assert!(!scenario.description.is_empty() && !scenario.thresholds.is_empty(), "{name}");
            let comments = preset.text().matches('#').count();
            assert!(comments >= 8, "{name}: {comments} comments teach nobody");
            assert!(preset.text().lines().all(|line| line.chars().count() <= 120), "{name}");
        }
    }

    #[test]
    fn a_new_scenario_is_named_as_its_file() {
        for preset in Preset::value_variants() {
            let text = named(preset.text(), Path::new("dir/my-first.toml"));
            let scenario = scenario::parse("t", &text, &[]).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, "my-first");
        }
        let text = Preset::Smoke.text();
        assert_eq!(named(text, Path::new("what is this.toml")), text);
    }

    #[test]
    fn what_is_there_is_not_written_over_unless_asked() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.toml");
        let args = |preset, force| NewArgs { file: file.clone(), preset, force };
        assert_eq!(run(&args(Preset::Smoke, false)).unwrap(), 0);
        let error = exit::render(&run(&args(Preset::Storm, false)).unwrap_err());
        assert!(error.contains("--force"), "{error}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("kill"));
        run(&args(Preset::Storm, true)).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("reconnect-storm"));
    }
}
