//! The table of everything that can be configured. A row is the flag, the environment variable, the key of the file,
//! the default and the line in `--help` at once, so that none of them can be forgotten. Read [`Setting`] first.

/// One thing that can be configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// Key of the file; `--key` is the flag, `SSE_NODE_KEY` the environment variable.
    pub(super) key: &'static str,
    pub(super) group: Group,
    /// What stands for the value in `--help`.
    pub(super) value: &'static str,
    pub(super) default: Fallback,
    /// One sentence, without a full stop.
    pub(super) help: &'static str,
}

/// What holds when nobody says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// This text, read like any other.
    Text(&'static str),
    /// Nothing, or something made at start: how `--help` calls it, and an example for the file.
    Made { shown: &'static str, example: &'static str },
}

/// How settings stand together in `--help` and in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    Node,
    Log,
    Streams,
    Admission,
    Publishing,
    Leaving,
    Cluster,
    Diagnostics,
}

impl Group {
    pub(super) const ALL: [Self; 8] = [
        Self::Node,
        Self::Log,
        Self::Streams,
        Self::Admission,
        Self::Publishing,
        Self::Leaving,
        Self::Cluster,
        Self::Diagnostics,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Log => "Log",
            Self::Streams => "Streams",
            Self::Admission => "Admission",
            Self::Publishing => "Publishing",
            Self::Leaving => "Leaving",
            Self::Cluster => "Cluster",
            Self::Diagnostics => "Diagnostics",
        }
    }
}

impl Setting {
    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('-', "_").to_uppercase())
    }

    /// The default as `--help` shows it.
    pub(super) fn shown_default(&self) -> &'static str {
        match self.default {
            Fallback::Text(text) => text,
            Fallback::Made { shown, .. } => shown,
        }
    }

    /// A secret: its value is shown to nobody.
    pub(super) fn is_secret(&self) -> bool {
        self.value == SECRET
    }

    /// A switch: the flag alone means `true`.
    pub(super) fn is_switch(&self) -> bool {
        self.value == SWITCH
    }
}

/// Beginning of every environment variable.
pub(super) const PREFIX: &str = "SSE_NODE_";
/// Flag and variable that name the file; not a key of the file.
pub(super) const FILE: &str = "config";

/// The defaults, as a user would write them.
pub mod default {
    /// Loopback only, since this version has no tokens.
    pub const LISTEN: &str = "127.0.0.1:8080";
    /// Address of a node as other programs on this machine reach it by default.
    pub const URL: &str = "http://127.0.0.1:8080";
    /// No option.
    pub const OFF: &str = "false";
    /// Nothing survives the process.
    pub const BROKER: &str = "memory:";
    /// In the log, as far as the operating system.
    pub const DURABILITY: &str = "accepted";
    /// Entries kept in the log.
    pub const KEEP_EVENTS: &str = "1000000";
    /// Bytes kept in the log.
    pub const KEEP_BYTES: &str = "1GiB";
    /// Age of entries kept in the log.
    pub const KEEP_AGE: &str = "24h";
    /// How long a message id is remembered.
    pub const IDEMPOTENCY_WINDOW: &str = "10m";
    /// Messages in one mailbox.
    pub const MAILBOX_MESSAGES: &str = "1000";
    /// Age of messages in a mailbox.
    pub const MAILBOX_AGE: &str = "7d";
    /// What a client waits before it reconnects.
    pub const RETRY: &str = "2s";
    /// Random addition to that.
    pub const RETRY_JITTER: &str = "1s";
    /// Silence before a heartbeat.
    pub const HEARTBEAT: &str = "15s";
    /// Silence before a `CURSOR` event.
    pub const CURSOR_EVERY: &str = "30s";
    /// Frames in the window.
    pub const WINDOW_FRAMES: &str = "200000";
    /// Bytes in the window.
    pub const WINDOW_BYTES: &str = "64MiB";
    /// Streams that read the log at the same time.
    pub const REPLAY_PERMITS: &str = "32";
    /// Entries read from the log at a time.
    pub const REPLAY_PAGE: &str = "500";
    /// Events that a stream may be behind.
    pub const LAG_LIMIT: &str = "100000";
    /// How long a write may make no progress.
    pub const WRITE_STALL: &str = "10s";
    /// Streams of one node.
    pub const MAX_CONNECTIONS: &str = "10000";
    /// No limit.
    pub const NO_LIMIT: &str = "0";
    /// A refusal that browsers recover from.
    pub const REJECT: &str = "soft";
    /// Bytes of a request's body.
    pub const MAX_BODY: &str = "256KiB";
    /// Bytes of an event's data and metadata.
    pub const MAX_PAYLOAD: &str = "64KiB";
    /// Publishes that wait for the log.
    pub const PUBLISH_QUEUE: &str = "4096";
    /// Time over which open streams end.
    pub const DRAIN_OVER: &str = "10s";
    /// How streams end in a drain.
    pub const DRAIN_CLOSE: &str = "abort";
    /// How long a drain waits for streams that do not end.
    pub const DRAIN_GRACE: &str = "5s";
    /// A client may have several streams.
    pub const TAKEOVER: &str = "off";
    /// Log lines for people.
    pub const LOG_FORMAT: &str = "text";
    /// What is worth a log line; the store's own notes only when something is wrong.
    pub const LOG_LEVEL: &str = "info,fjall=warn,lsm_tree=warn";
}

const SWITCH: &str = "BOOL";
const SECRET: &str = "TEXT|@FILE";
const ADDRESS: &str = "IP:PORT";
const COUNT: &str = "N";
const DURATION: &str = "DURATION";
const SIZE: &str = "SIZE";

const fn row(
    group: Group,
    key: &'static str,
    value: &'static str,
    text: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, group, value, default: Fallback::Text(text), help }
}

const fn made(
    group: Group,
    key: &'static str,
    value: &'static str,
    shown: (&'static str, &'static str),
    help: &'static str,
) -> Setting {
    Setting { key, group, value, default: Fallback::Made { shown: shown.0, example: shown.1 }, help }
}

/// Everything, in the order in which it is shown.
pub(super) const SETTINGS: &[Setting] = &[
    row(Group::Node, "listen", ADDRESS, default::LISTEN, "Where to listen"),
    row(
        Group::Node,
        "insecure",
        SWITCH,
        default::OFF,
        "Listen on other than loopback addresses, although this version has no tokens: whoever reaches the port may read and publish everything",
    ),
    made(Group::Node, "id", "NAME", ("node-<hostname>", "backend-1"), "Identity of this node in the cluster"),
    made(Group::Node, "name", "TEXT", ("the id", "Backend-1"), "Name of this node for people"),
    made(
        Group::Node,
        "advertise",
        "URL",
        ("where it listens", "http://10.0.0.7:8080"),
        "Where others reach this node, the other nodes of the cluster among them",
    ),
    made(
        Group::Node,
        "cors-origins",
        "ORIGINS",
        ("none", "https://app.example,https://admin.example"),
        "Origins whose pages may use this node, separated by commas, or *",
    ),
    row(
        Group::Log,
        "broker",
        "URL",
        default::BROKER,
        "Who keeps the log: memory: (nothing survives the process), file:DIR, or a Redis that several nodes share: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis+sentinel://HOST,HOST/MASTER, redis+cluster://HOST,HOST (rediss… with TLS; ?prefix=NAME before every key)",
    ),
    row(
        Group::Log,
        "durability",
        "WHEN",
        default::DURABILITY,
        "What an acknowledged publish survives: accepted (the death of the process, with file: and redis:), replicated (the death of Redis, where a replica takes over) or fsync (the loss of power)",
    ),
    row(Group::Log, "keep-events", COUNT, default::KEEP_EVENTS, "Events that the log keeps"),
    row(Group::Log, "keep-bytes", SIZE, default::KEEP_BYTES, "Bytes that the log keeps"),
    row(Group::Log, "keep-age", DURATION, default::KEEP_AGE, "How long the log keeps an event"),
    row(
        Group::Log,
        "idempotency-window",
        DURATION,
        default::IDEMPOTENCY_WINDOW,
        "How long a message id is remembered, so that a repeated publish adds nothing",
    ),
    row(
        Group::Log,
        "mailbox-messages",
        COUNT,
        default::MAILBOX_MESSAGES,
        "Messages in the mailbox of one user or client; then the oldest is dropped, and its owner told",
    ),
    row(Group::Log, "mailbox-age", DURATION, default::MAILBOX_AGE, "How long a message waits in a mailbox"),
    row(Group::Streams, "retry", DURATION, default::RETRY, "What clients wait before they reconnect"),
    row(
        Group::Streams,
        "retry-jitter",
        DURATION,
        default::RETRY_JITTER,
        "Random addition to that, each client its own",
    ),
    row(Group::Streams, "heartbeat", DURATION, default::HEARTBEAT, "Silence before a heartbeat"),
    row(
        Group::Streams,
        "cursor-every",
        DURATION,
        default::CURSOR_EVERY,
        "Silence before a CURSOR event, which keeps a quiet client's cursor young",
    ),
    row(
        Group::Streams,
        "window-frames",
        COUNT,
        default::WINDOW_FRAMES,
        "Newest events kept in memory, ready to be sent",
    ),
    row(Group::Streams, "window-bytes", SIZE, default::WINDOW_BYTES, "Bytes of them"),
    row(
        Group::Streams,
        "replay-permits",
        COUNT,
        default::REPLAY_PERMITS,
        "Streams that may read the log at the same time",
    ),
    row(
        Group::Streams,
        "replay-page",
        COUNT,
        default::REPLAY_PAGE,
        "Events that such a stream reads at a time",
    ),
    row(
        Group::Streams,
        "lag-limit",
        COUNT,
        default::LAG_LIMIT,
        "Events that a stream may fall behind before it is closed",
    ),
    row(
        Group::Streams,
        "write-stall",
        DURATION,
        default::WRITE_STALL,
        "How long a write may make no progress before its stream is closed",
    ),
    row(Group::Admission, "max-connections", COUNT, default::MAX_CONNECTIONS, "Streams of this node"),
    row(
        Group::Admission,
        "max-connections-per-user",
        COUNT,
        default::NO_LIMIT,
        "Streams of one user; 0 = no limit",
    ),
    row(
        Group::Admission,
        "max-connections-per-address",
        COUNT,
        default::NO_LIMIT,
        "Streams from one address; 0 = no limit",
    ),
    row(Group::Admission, "accept-rate", COUNT, default::NO_LIMIT, "New streams a second; 0 = no limit"),
    row(
        Group::Admission,
        "reject",
        "HOW",
        default::REJECT,
        "How a stream is refused that could be served later: soft (200 and a CLOSE event, which browsers recover from) or status (503)",
    ),
    row(Group::Publishing, "max-body", SIZE, default::MAX_BODY, "Size of a request's body"),
    row(
        Group::Publishing,
        "max-payload",
        SIZE,
        default::MAX_PAYLOAD,
        "Size of an event's data and metadata together",
    ),
    row(
        Group::Publishing,
        "publish-queue",
        COUNT,
        default::PUBLISH_QUEUE,
        "Publishes that may wait for the log; the next one gets 429",
    ),
    row(
        Group::Leaving,
        "drain-over",
        DURATION,
        default::DRAIN_OVER,
        "Time over which open streams end, each at its own moment",
    ),
    row(
        Group::Leaving,
        "drain-close",
        "HOW",
        default::DRAIN_CLOSE,
        "How they end: abort (clients come back) or clean (some clients take that for the end)",
    ),
    row(
        Group::Leaving,
        "drain-grace",
        DURATION,
        default::DRAIN_GRACE,
        "How long to wait for streams that do not end",
    ),
    row(
        Group::Leaving,
        "die-with-parent",
        SWITCH,
        default::OFF,
        "End at once when the process that started this one does",
    ),
    made(
        Group::Cluster,
        "cluster-secret",
        SECRET,
        ("none: only nodes on this machine are answered", "a-long-text-that-nobody-guesses"),
        "What the nodes show each other when they ask for connections and the like; the same on all of them. Better @FILE or the variable than a flag, which every user of the machine can read",
    ),
    row(
        Group::Cluster,
        "takeover",
        "WHICH",
        default::TAKEOVER,
        "What happens when a client opens a second stream with its clientId, on any node: off (it has two) or newest (the older ones are closed for good); the same on all nodes",
    ),
    row(Group::Diagnostics, "log-format", "FORM", default::LOG_FORMAT, "How log lines look: text or json"),
    row(
        Group::Diagnostics,
        "log-level",
        "FILTER",
        default::LOG_LEVEL,
        "Which log lines: error, warn, info, debug or trace, also per module; SSE_LOG and RUST_LOG go before it",
    ),
];
