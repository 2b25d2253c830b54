//! Errors of a log. Read [`AppendError`] first: it says whether the event may be in the log.

/// Why an event is not in the log, or may not be.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Too many publishes wait already; nothing was written.
    #[error("the log is busy: {waiting} publishes wait already (--publish-queue)")]
    Busy {
        /// The limit that was reached.
        waiting: usize,
    },
    /// The broker is closing; nothing was written.
    #[error("the log is closed")]
    Closed,
    /// The store cannot be reached, or refuses to be written; nothing was written.
    #[error("the log cannot be used now")]
    Away(#[source] StoreError),
    /// The server of the log has no memory left; nothing was written. What only reads or frees goes on.
    #[error("the log takes no more events")]
    BrokerFull(#[source] StoreError),
    /// The disk of the log has too little room left; nothing was written.
    #[error("the disk of the log is full")]
    DiskFull(#[source] StoreError),
    /// The store failed; the event may or may not be in the log. Publish again with the same message id.
    #[error("the log could not be written")]
    Store(#[source] StoreError),
}

/// The store behind a log failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {operation} at {place}: {cause}")]
pub struct StoreError {
    /// The operation that failed, with its verb first, as it follows `cannot`: `append events`.
    pub operation: &'static str,
    /// Where: a directory or an address.
    pub place: String,
    /// The error as the store gave it.
    pub cause: String,
}

/// Why a broker cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or is not one.
    #[error("cannot use {path} as the directory of a log")]
    Directory {
        path: std::path::PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// Another process has the log open.
    #[error("the log in {path} is in use by another process")]
    InUse { path: std::path::PathBuf },
    /// The store failed.
    #[error("cannot open the log")]
    Store(#[source] StoreError),
    /// The store lacks what the settings ask for.
    #[error("{place} {why}")]
    Unfit {
        place: String,
        /// What the store lacks, and the allowed values; follows the address in the message.
        why: String,
    },
}
