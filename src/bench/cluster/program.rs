//! Installed programs that a run starts, and that die with the bench.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::process::Launch;

/// Directories with servers that only root has in its `PATH`.
const SERVER_DIRS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program, and its Debian package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Name of the executable.
    pub name: &'static str,
    /// Name of the package.
    pub package: &'static str,
}

/// Replaces itself by the program, unless the bench ended before: that death was not signalled.
const UNLESS_ORPHANED: &str = "[ \"$PPID\" = \"$0\" ] && exec \"$@\"";
const SH: Program = Program { name: "sh", package: "dash" };
/// Program that starts another one, which then dies with its parent.
const SETPRIV: Program = Program { name: "setpriv", package: "util-linux" };

/// A program that is not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} needs {name}, which is not installed (Debian: apt-get install {package})",
    name = program.name,
    package = program.package
)]
pub struct MissingProgram {
    what: String,
    program: Program,
}

impl Program {
    /// Path of the program.
    ///
    /// # Errors
    /// It is not installed; `what` needs it.
    pub fn find(self, what: &str) -> Result<PathBuf, MissingProgram> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        self.find_in(&path).ok_or_else(|| MissingProgram { what: what.to_owned(), program: self })
    }

    fn find_in(self, path: &OsStr) -> Option<PathBuf> {
        let dirs = std::env::split_paths(path).chain(SERVER_DIRS.map(PathBuf::from));
        dirs.map(|dir| dir.join(self.name)).find(|path| path.is_file())
    }

    /// How to start it so that it never outlives the bench, even if that is killed. Its output goes to `log`.
    ///
    /// # Errors
    /// It, or the program that ties it to the bench, is not installed.
    pub fn tethered(self, what: &str, args: Vec<String>, log: &Path) -> Result<Launch, MissingProgram> {
        let program = self.find(what)?.display().to_string();
        let shell = SH.find(what)?.display().to_string();
        let bench = std::process::id().to_string();
        let mut tied = vec!["--pdeathsig".to_owned(), "KILL".to_owned(), "--".to_owned(), shell];
        tied.extend(["-c".to_owned(), UNLESS_ORPHANED.to_owned(), bench, program]);
        tied.extend(args);
        Ok(Launch { what: what.to_owned(), program: SETPRIV.find(what)?, args: tied, log: log.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_not_started_where_its_bench_has_ended_before() {
        let run = |bench: u32| {
            let mut command = std::process::Command::new("sh");
            command.args(["-c", UNLESS_ORPHANED, &bench.to_string(), "echo", "a b", "c"]).output().unwrap()
        };
        let started = run(std::process::id());
        assert_eq!((started.status.code(), started.stdout.as_slice()), (Some(0), b"a b c\n".as_slice()));
        let refused = run(1);
        assert!(!refused.status.success() && refused.stdout.is_empty());
    }

    #[test]
    fn a_program_is_found_in_the_path_and_a_missing_one_is_told_with_its_package() {
        let dir = tempfile::tempdir().unwrap();
        let program = Program { name: "a-server", package: "a-package" };
        assert_eq!(program.find_in(dir.path().as_os_str()), None);
        let error = program.find("redis-1").unwrap_err().to_string();
        assert_eq!(
            error,
            "redis-1 needs a-server, which is not installed (Debian: apt-get install a-package)"
        );
        std::fs::write(dir.path().join("a-server"), "").unwrap();
        assert_eq!(program.find_in(dir.path().as_os_str()), Some(dir.path().join("a-server")));
    }
}
