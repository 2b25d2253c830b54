//! Directories for the logs of nodes.

/// The broker URL of a directory.
pub(crate) fn file(directory: &tempfile::TempDir) -> String {
    format!("file:{}", directory.path().display())
}

/// A directory that is gone with the test.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
