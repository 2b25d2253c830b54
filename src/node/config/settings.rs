//! The table of all settings. A row is the flag, the environment variable, the key of the file, the default and the
//! help text at once, so that none of them can be forgotten. Read [`Setting`] first.

use super::default;
use super::group::Group;

/// Why a text is not a value of a setting, and what is allowed. Shown behind the name of the setting.
pub(super) type InvalidValue = String;

/// A row of the table: one setting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// The key in the file; `--key` is the flag, `SSE_NODE_KEY` the environment variable.
    pub(super) key: &'static str,
    pub(super) group: Group,
    /// The placeholder of the value in `--help`.
    pub(super) value: &'static str,
    pub(super) default: Fallback,
    /// The help text: without a full stop at its end.
    pub(super) help: &'static str,
}

/// The default of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// This text, parsed like any other.
    Text(&'static str),
    /// No value, or one that is made at start: its description in `--help`, and an example for the file.
    Made { shown: &'static str, example: &'static str },
}

impl Setting {
    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('-', "_").to_uppercase())
    }

    /// The default in `--help`.
    pub(super) fn shown_default(&self) -> &'static str {
        match self.default {
            Fallback::Text(text) => text,
            Fallback::Made { shown, .. } => shown,
        }
    }

    /// Whether the value is a secret, which is never shown.
    pub(super) fn is_secret(&self) -> bool {
        self.value == SECRET
    }

    /// Whether the flag needs no value; alone it means `true`.
    pub(super) fn is_switch(&self) -> bool {
        self.value == SWITCH
    }
}

/// Prefix of every environment variable.
pub(super) const PREFIX: &str = "SSE_NODE_";
/// The flag and, with [`PREFIX`], the variable that name the file. Not a key of the file.
pub(super) const FILE: &str = "config";
/// The key that says where the log is.
pub(super) const BROKER: &str = "broker";

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

/// All settings, in the order of `--help`.
pub(super) const SETTINGS: &[Setting] = &[
    row(Group::Node, "listen", ADDRESS, default::LISTEN, "Address to listen on"),
    row(
        Group::Node,
        "insecure",
        SWITCH,
        default::OFF,
        "Allow --listen to be an address other than loopback without --token-keys, --token-secret or --api-keys. No tokens are checked then: every program that reaches the port can read and publish everything",
    ),
    made(
        Group::Node,
        "tls-certificate",
        "FILE",
        ("none; the node speaks plain HTTP", "/etc/sse-node/cert.pem"),
        "Speak HTTPS, HTTP/1.1 and HTTP/2, with this certificate: a PEM file that also holds those between it and its authority. Read again when it changes",
    ),
    made(
        Group::Node,
        "tls-key",
        "FILE",
        ("none", "/etc/sse-node/key.pem"),
        "Private key of --tls-certificate, a PEM file. Read again when it changes",
    ),
    made(
        Group::Node,
        "tls-client-ca",
        "FILE",
        ("none; no client is asked for a certificate", "/etc/sse-node/client-ca.pem"),
        "Certificate authorities, a PEM file. Operators and other nodes must then show a certificate that one of them has signed; an operator who does needs no token",
    ),
    made(
        Group::Node,
        "operator-listen",
        ADDRESS,
        ("--listen", "127.0.0.1:9090"),
        "Another address to listen on, which also has the paths of operators; --listen then has none of them",
    ),
    made(
        Group::Node,
        "id",
        "ID",
        ("node-<hostname>", "backend-1"),
        "Id of this node in the cluster; every node needs its own",
    ),
    made(Group::Node, "name", "TEXT", ("the id", "Backend-1"), "Display name of this node"),
    made(
        Group::Node,
        "advertise",
        "URL",
        ("the address it listens on", "http://10.0.0.7:8080"),
        "URL at which the other nodes reach this node",
    ),
    made(
        Group::Node,
        "cors-origins",
        "ORIGINS",
        ("none", "https://app.example,https://admin.example"),
        "Origins of web pages of other sites that may use this node (CORS), separated by commas; * allows all",
    ),
    made(
        Group::Node,
        "allowed-host",
        "HOSTS",
        ("every host; on loopback localhost and IP addresses", "sse.example.com,*.internal.example"),
        "Names by which clients and proxies call this node (the Host of a request), separated by commas; * allows all. Names below localhost, IP addresses and the host of --advertise are always allowed. Without it a node on loopback allows only these, so that no web page reaches it under a name of its own (DNS rebinding), and any other node allows all",
    ),
    made(
        Group::Access,
        "token-keys",
        "FILE|URL",
        ("none", "https://id.example/.well-known/jwks.json"),
        "Public keys that tokens (JWT with RS256, ES256 or EdDSA) are signed with: a PEM file, a JWKS file, or the https URL of a JWKS. Read again when they change. With keys, a secret or API keys, everything but health and the page needs a token or an API key",
    ),
    made(
        Group::Access,
        "token-secret",
        SECRET,
        ("none", "a-long-text-of-32-bytes-that-nobody-guesses"),
        "Secret that tokens (JWT with HS256) are signed with: at least 32 bytes. Every user of the machine can read a flag, so use @FILE or the variable",
    ),
    made(
        Group::Access,
        "token-issuer",
        "TEXT",
        ("any", "https://id.example"),
        "Issuer (iss) that every token must name",
    ),
    made(
        Group::Access,
        "token-audience",
        "NAMES",
        ("none; tokens with an aud are refused", "sse-node"),
        "Audiences (aud), separated by commas; every token must name one of them",
    ),
    row(
        Group::Access,
        "token-leeway",
        DURATION,
        default::TOKEN_LEEWAY,
        "How far the clocks of the issuer and of this node may differ",
    ),
    row(
        Group::Access,
        "token-cookie",
        "NAME",
        default::TOKEN_COOKIE,
        "Cookie that may carry a token, for browsers, whose EventSource can send no header",
    ),
    made(
        Group::Access,
        "api-keys",
        "FILE",
        ("none", "/etc/sse-node/api-keys"),
        "File with the hashes of API keys, one in a line, as sse-node token --api-key prints them. Read again when it changes",
    ),
    row(
        Group::Log,
        BROKER,
        "URL",
        default::BROKER,
        "Where the log is kept: memory: (lost when the process ends), file:DIR, or a Redis that several nodes share: redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis+sentinel://HOST,HOST/MASTER, redis+cluster://HOST,HOST (rediss… for TLS; ?prefix=NAME puts NAME before every key)",
    ),
    made(
        Group::Log,
        "sentinel-secret",
        SECRET,
        ("none; the sentinels then get no AUTH", "a-password-of-the-sentinels"),
        "Password of the sentinels of redis+sentinel://, in place of ?sentinel-password= in --broker. It is never the password of Redis itself. Every user of the machine can read a flag, so use @FILE or the variable",
    ),
    row(
        Group::Log,
        "durability",
        "WHEN",
        default::DURABILITY,
        "What an acknowledged publish survives. accepted: a crash of the node (file: and Redis). replicated: also a failure of the Redis master, if a replica takes over (Redis). fsync: a crash of the node and a power failure (file:, and Redis 7.2 or newer); it waits for no replica",
    ),
    row(Group::Log, "keep-events", COUNT, default::KEEP_EVENTS, "Limit of events in the log"),
    row(Group::Log, "keep-bytes", SIZE, default::KEEP_BYTES, "Limit of bytes in the log"),
    row(Group::Log, "keep-age", DURATION, default::KEEP_AGE, "How long the log keeps an event"),
    row(
        Group::Log,
        "idempotency-window",
        DURATION,
        default::IDEMPOTENCY_WINDOW,
        "How long the log remembers a message id; publishing the same id again within this time adds no event",
    ),
    row(
        Group::Log,
        "idempotency-ids",
        COUNT,
        default::IDEMPOTENCY_IDS,
        "Limit of message ids that the log remembers, and 64 bytes for each; beyond it the oldest are forgotten before their time (memory: and file:)",
    ),
    row(
        Group::Log,
        "mailbox-messages",
        COUNT,
        default::MAILBOX_MESSAGES,
        "Limit of messages in the mailbox of one user or client; a full mailbox drops its oldest message, and the owner gets a GAP event",
    ),
    row(
        Group::Log,
        "mailbox-total",
        COUNT,
        default::MAILBOX_TOTAL,
        "Limit of messages in all mailboxes together; then the oldest of all are dropped, and their owners get a GAP event",
    ),
    row(
        Group::Log,
        "mailbox-total-bytes",
        SIZE,
        default::MAILBOX_TOTAL_BYTES,
        "Limit of bytes in all mailboxes together; Redis is asked for them every two seconds",
    ),
    row(Group::Log, "mailbox-age", DURATION, default::MAILBOX_AGE, "How long a mailbox keeps a message"),
    row(
        Group::Log,
        "min-free-disk",
        SIZE,
        default::MIN_FREE_DISK,
        "Free space on the disk of file:DIR below which events are refused with 503 disk_full, until there is a quarter more; 0: events are taken until a write fails, which ends the node",
    ),
    row(Group::Streams, "retry", DURATION, default::RETRY, "How long clients wait before they reconnect"),
    row(
        Group::Streams,
        "retry-jitter",
        DURATION,
        default::RETRY_JITTER,
        "Longest random addition to --retry; each client gets its own",
    ),
    row(
        Group::Streams,
        "format",
        "WHICH",
        default::FORMAT,
        "What data: of an event is in streams whose request has no format=: envelope (id, type, data and metadata of the message, as JSON) or data (what was published as data, alone, with short ids and without event: where the publisher gave no type)",
    ),
    row(Group::Streams, "max-topics", COUNT, default::MAX_TOPICS, "Limit of topics of one stream"),
    row(
        Group::Streams,
        "heartbeat",
        DURATION,
        default::HEARTBEAT,
        "Time without events after which a stream gets a heartbeat",
    ),
    row(
        Group::Streams,
        "cursor-every",
        DURATION,
        default::CURSOR_EVERY,
        "A stream that got no event for this long gets a CURSOR event with its position, if the log has moved on",
    ),
    row(
        Group::Streams,
        "window-frames",
        COUNT,
        default::WINDOW_FRAMES,
        "Limit of events in the window, the newest part of the log, which the node keeps in memory",
    ),
    row(
        Group::Streams,
        "window-bytes",
        SIZE,
        default::WINDOW_BYTES,
        "Limit of bytes in the window, counted as --format envelope sends them",
    ),
    row(
        Group::Streams,
        "replay-permits",
        COUNT,
        default::REPLAY_PERMITS,
        "Limit of streams that replay older events from the log at the same time; further ones wait",
    ),
    row(
        Group::Streams,
        "replay-page",
        COUNT,
        default::REPLAY_PAGE,
        "Events that a replay reads from the log at a time",
    ),
    row(
        Group::Streams,
        "loops",
        COUNT,
        default::LOOPS,
        "Number of threads that serve the streams; 0: as many as the process may use cores",
    ),
    row(
        Group::Streams,
        "lag-limit",
        COUNT,
        default::LAG_LIMIT,
        "The node closes a stream that is more than this number of events behind the log",
    ),
    row(
        Group::Streams,
        "write-stall",
        DURATION,
        default::WRITE_STALL,
        "How long a write may make no progress before the node closes its stream",
    ),
    row(
        Group::Streams,
        "send-buffer",
        SIZE,
        default::SEND_BUFFER,
        "Bytes that one client may leave unacknowledged (SO_SNDBUF); the system reserves twice as much. Raise it for far clients that must be sent more than this in one round trip",
    ),
    row(Group::Admission, "max-connections", COUNT, default::MAX_CONNECTIONS, "Limit of open streams"),
    row(
        Group::Admission,
        "max-connections-per-user",
        COUNT,
        default::NO_LIMIT,
        "Limit of open streams of one user; 0 = no limit",
    ),
    row(
        Group::Admission,
        "max-connections-per-address",
        COUNT,
        default::NO_LIMIT,
        "Limit of open streams from one IP address; 0 = no limit",
    ),
    made(
        Group::Admission,
        "max-sockets-per-address",
        COUNT,
        ("a quarter of --max-connections, at least 64", "2500"),
        "Limit of sockets, idle ones included, from one IP address (IPv6: one /64); 0 = no limit. This machine and --trusted-proxy have none",
    ),
    made(
        Group::Admission,
        "trusted-proxy",
        "NETS",
        ("none", "10.0.0.0/8,192.0.2.7"),
        "Addresses of proxies, separated by commas: their X-Forwarded-For names the client, and their sockets have no limit",
    ),
    row(
        Group::Admission,
        "accept-rate",
        COUNT,
        default::NO_LIMIT,
        "Limit of new streams per second; 0 = no limit",
    ),
    row(
        Group::Admission,
        "reject",
        "HOW",
        default::REJECT,
        "How the node refuses a stream that it cannot serve now: soft (200 and a CLOSE event; browsers reconnect) or status (503; browsers do not)",
    ),
    row(
        Group::Admission,
        "max-head",
        SIZE,
        default::MAX_HEAD,
        "Largest head of a request: its URL and its headers, cookies among them",
    ),
    row(Group::Publishing, "max-body", SIZE, default::MAX_BODY, "Largest body of a request"),
    row(
        Group::Publishing,
        "max-payload",
        SIZE,
        default::MAX_PAYLOAD,
        "Largest size of the data and metadata of an event, together",
    ),
    row(
        Group::Publishing,
        "publish-queue",
        COUNT,
        default::PUBLISH_QUEUE,
        "Limit of publishes that wait for the log; further ones get 429",
    ),
    row(
        Group::Publishing,
        "publish-rate",
        COUNT,
        default::NO_LIMIT,
        "Limit of events per second of one publisher: an API key, the user of a token, or an IP address without credentials; further publishes get 429 with Retry-After; 0 = no limit",
    ),
    row(
        Group::Leaving,
        "drain-over",
        DURATION,
        default::DRAIN_OVER,
        "A drain closes each open stream at a random moment within this time",
    ),
    row(
        Group::Leaving,
        "drain-close",
        "HOW",
        default::DRAIN_CLOSE,
        "How a drain ends a stream: abort (breaks the connection; every client that can reconnect does) or clean (ends the response; some clients do not reconnect)",
    ),
    row(
        Group::Leaving,
        "drain-grace",
        DURATION,
        default::DRAIN_GRACE,
        "How long a drain waits, once --drain-over has passed, for streams that are still open",
    ),
    row(
        Group::Leaving,
        "die-with-parent",
        SWITCH,
        default::OFF,
        "Kill this node when its parent process ends, for test programs",
    ),
    made(
        Group::Cluster,
        "cluster-secret",
        SECRET,
        ("none; this node then answers only nodes on this machine", "a-long-text-that-nobody-guesses"),
        "Secret with which the nodes of a cluster sign what they ask each other: 16 to 256 printable ASCII characters without blanks, the same on all nodes. Every user of the machine can read a flag, so use @FILE or the variable",
    ),
    row(
        Group::Cluster,
        "cluster-secret-in-clear",
        SWITCH,
        default::OFF,
        "Send the cluster secret itself to nodes that cannot check a signature, which are those of earlier builds. Only while a cluster is upgraded: whoever can write into the roster could get the secret",
    ),
    made(
        Group::Cluster,
        "peer-ca",
        "FILE",
        ("the authorities of the system", "/etc/sse-node/ca.pem"),
        "Certificate authorities of the other nodes, a PEM file, where these speak HTTPS",
    ),
    row(
        Group::Cluster,
        "takeover",
        "WHICH",
        default::TAKEOVER,
        "What a node does with the older streams of a client that opens a new one, on any node: off (keeps them open) or newest (closes them for good). The same on all nodes",
    ),
    row(Group::Diagnostics, "log-format", "FORM", default::LOG_FORMAT, "Format of log lines: text or json"),
    row(
        Group::Diagnostics,
        "log-level",
        "FILTER",
        default::LOG_LEVEL,
        "Log lines to print: error, warn, info, debug or trace, also per module; SSE_LOG and RUST_LOG override it",
    ),
];
