//! Every method of every path that users may call. Bodies come from the types; the words about calls, parameters and
//! answers stand here. Read [`operations`] first.

use serde_json::{Value, json};

use super::description::{Cause, Operation};
use crate::node::http::error::ApiError;
use crate::node::http::history::{HistoryQuery, PendingQuery};
use crate::node::http::ops::ReadyQuery;
use crate::node::http::rebalance::ScopeQuery;
use crate::node::http::rows::ListQuery;
use crate::node::http::stream_query::StreamQuery;
use crate::protocol::api::{
    AckRequest, Acked, BatchAnswer, BatchEvent, ConnectionList, ConnectionRow, DrainRequest, DrainStatus,
    EventLedger, History, NodeMetrics, Pending, Presence, PublishRequest, Published, Rebalance,
    RebalanceRequest, RevokeRequest, Revoked, Servers,
};

/// Errors of every call that reads a JSON body.
const BODY: [Cause; 5] =
    [ApiError::Invalid, ApiError::NotJson, ApiError::Body, ApiError::TooLarge, ApiError::TooSlow];

/// The whole interface for users.
pub(super) fn operations() -> Vec<Operation> {
    [stream(), publishing(), log(), connections(), health(), admin(), pages()].into_iter().flatten().collect()
}

fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, summary)
}

fn post(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, summary)
}

fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", path, summary)
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A text that is one of these.
fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// The schema of a type that some body holds.
fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn with_default(schema: Value, default: impl Into<Value>) -> Value {
    let mut schema = schema;
    schema["default"] = default.into();
    schema
}

fn scope() -> Value {
    with_default(one_of(&["node", "cluster"]), "node")
}

fn stream() -> Vec<Operation> {
    let heartbeat = with_default(one_of(&["comment", "event"]), "comment");
    let ack = with_default(one_of(&["cursor", "explicit", "written"]), "cursor");
    let format = one_of(&["envelope", "data"]);
    let stream = get("/api/sse/stream", "Open a stream of events")
        .query::<StreamQuery>(&[
            (
                "clientId",
                "Names this program; events to a client go to all of its connections. Without it the node makes a \
                 name.",
                named("ClientId"),
            ),
            (
                "userId",
                "Names the user of this program; events to a user go to all of the user's connections.",
                named("UserId"),
            ),
            ("topics", "Topics to subscribe to, separated by commas. Given again, it adds topics.", text()),
            (
                "lastEventId",
                "Continue after this event; `earliest` starts with the oldest event of the log. Without a cursor the \
                 stream starts now; of several the newest counts.",
                text(),
            ),
            ("lastEventID", "Another spelling of `lastEventId`.", text()),
            ("last_event_id", "Another spelling of `lastEventId`.", text()),
            ("heartbeat", "Form of heartbeats: a comment line, or a `HEARTBEAT` event.", heartbeat),
            (
                "ack",
                "When mailbox messages count as confirmed. `cursor`: by a later `Last-Event-ID` of this client, or by \
                 `POST /api/sse/ack`. `explicit`: by `POST /api/sse/ack` alone. `written`: when the node has written \
                 them to the socket; only with `Accept: text/event-stream`, else it counts as `cursor`.",
                ack,
            ),
            (
                "format",
                "What `data:` of an event is. `envelope`: an `Envelope`. `data`: the payload alone, without `event:` if \
                 the publisher gave no type, and with shorter ids. Without it `--format` of the node decides.",
                format,
            ),
            ("padding", "Accepted from polyfills and ignored.", text()),
        ])
        .header(
            "Last-Event-ID",
            "Continue after this event. Unless empty, it takes precedence over the query.",
            &text(),
        )
        .header(
            "X-Last-Event-ID",
            "As `Last-Event-ID`, which takes precedence over it. Unless empty, it takes precedence over the query.",
            &text(),
        )
        .media(
            200,
            "text/event-stream",
            "First a `CONNECTION` event (`ConnectionEvent`), then the events that are addressed to this client, each \
             with an `Envelope` as `data:`, or with its payload (`format=data`). There, an event that needs its \
             envelope is of the type `ENVELOPE` and has one: a message that comes again from a mailbox. In between \
             the node sends `GAP` (`GapEvent`), `SYNC` (`SyncEvent`), `CURSOR` (empty, with an `id:`), `CLOSE` \
             (`CloseEvent`) and, with `heartbeat=event`, `HEARTBEAT`. A client that cannot be served now gets 200, \
             `retry:`, a `CLOSE` event and the end, since browsers give up on any other status; with `--reject \
             status` it gets 503.",
        )
        .answers_with("X-SSE-Server-Id", "Id of the node; absent when a header cannot hold it.")
        .answers_with("X-SSE-Version", "Version of the node.")
        .errors(&[ApiError::Invalid, ApiError::Full]);
    vec![stream]
}

fn publishing() -> Vec<Operation> {
    let publish = |path, summary| {
        post(path, summary)
            .header(
                "Idempotency-Key",
                "The message's identity; takes precedence over `id` in the body.",
                // No blank at an end: HTTP takes it off.
                &json!({ "$ref": "#/components/schemas/MessageId", "pattern": "^[!-~]([ -~]*[!-~])?$" }),
            )
            .body::<PublishRequest>(true)
            .json::<Published>(202, "The log has the event.")
            .errors(&BODY)
            .errors(&[
                ApiError::IdReused,
                ApiError::Busy,
                ApiError::Unavailable,
                ApiError::DiskFull,
                ApiError::BrokerFull,
                ApiError::Unknown,
            ])
    };
    vec![
        publish("/api/sse/broadcast", "Publish to all connections"),
        publish("/api/sse/broadcast/{client}", "Publish to a client"),
        publish("/api/sse/broadcast/server/{node}", "Publish to the connections of one node"),
        publish(
            "/api/sse/broadcast/server/{node}/client/{client}",
            "Publish to the connections of a client on one node",
        ),
        publish("/api/sse/users/{user}", "Publish to a user"),
        publish("/api/sse/topics/{topic}", "Publish to a topic"),
        post("/api/sse/batch", "Publish up to 1,000 events, each to its own receivers; not atomic")
            .body::<Vec<BatchEvent>>(true)
            .json::<BatchAnswer>(200, "What became of each event, in the order of the body.")
            .errors(&BODY)
            .errors(&[ApiError::Unavailable]),
        post("/api/sse/ack", "Confirm mailbox messages: I have everything up to `id`")
            .body::<AckRequest>(true)
            .json::<Acked>(200, "The number of messages that this call confirmed.")
            .errors(&BODY)
            .errors(&[ApiError::Unavailable]),
    ]
}

fn log() -> Vec<Operation> {
    vec![
        get("/api/sse/history", "Read the log, page by page")
            .query::<HistoryQuery>(&[
                (
                    "after",
                    "An event id: the page starts after it. With `earliest`, and without it, the page starts with the \
                     oldest event.",
                    text(),
                ),
                (
                    "limit",
                    "Most events of a page.",
                    json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
                ),
                ("topic", "Leave out events that are not addressed to this topic.", named("Topic")),
            ])
            .json::<History>(200, "A page of the log.")
            .errors(&[ApiError::Invalid, ApiError::Unavailable]),
        get("/api/sse/events/{id}", "See how far one event came")
            .json::<EventLedger>(200, "How many connections got the event, and how many clients confirmed it.")
            .errors(&[ApiError::Invalid, ApiError::NotFound, ApiError::Unavailable]),
        get("/api/sse/users/{user}/pending", "List a user's unconfirmed messages")
            .query::<PendingQuery>(&[(
                "after",
                "An event id: the page starts after it. Without it, it starts with the oldest message.",
                text(),
            )])
            .json::<Pending>(200, "A page of the mailbox.")
            .errors(&[ApiError::Invalid, ApiError::Unavailable]),
    ]
}

fn connections() -> Vec<Operation> {
    let one = [ApiError::Invalid as Cause, ApiError::NotFound, ApiError::Unreachable];
    vec![
        get("/api/sse/connections", "List the open streams")
            .query::<ListQuery>(&[
                ("scope", "The streams of this node, or of all nodes.", scope()),
                (
                    "filter",
                    "Words that must all hold: a text, `!word`, `/regular expression/`, `id:`, `client:`, `user:`, \
                     `topic:`, `node:`, `ip:` and `state:` with a text, and `lag`, `sent`, `bytes` and `age` (seconds) \
                     with `>` or `<`, as in `lag>100`.",
                    text(),
                ),
                (
                    "sort",
                    "One of connectedAt, clientId, userId, instanceId, remote, sent, bytes, lag, state; with `-` in \
                     front from high to low.",
                    with_default(text(), "connectedAt"),
                ),
                (
                    "page",
                    "Number of the page, from 1.",
                    json!({ "type": "integer", "minimum": 1, "default": 1 }),
                ),
                (
                    "offset",
                    "Rows before the page. Not together with `page`.",
                    json!({ "type": "integer", "minimum": 0 }),
                ),
                (
                    "limit",
                    "Most rows of a page.",
                    json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
                ),
            ])
            .json::<ConnectionList>(200, "A page of the list.")
            .errors(&[ApiError::Invalid]),
        get("/api/sse/connections/{id}", "Look at one stream, on any node")
            .json::<ConnectionRow>(200, "The stream.")
            .errors(&one),
        delete("/api/sse/connections/{id}", "End a stream, on any node")
            .empty(202, "The stream will end; its client gets a `CLOSE` event with code 3503.")
            .errors(&one),
        get("/api/sse/users/{user}", "Is a user online, and where")
            .json::<Presence>(200, "The user's streams on all nodes that answered.")
            .errors(&[ApiError::Invalid]),
        get("/api/sse/clients/{client}", "Is a client online, and where")
            .json::<Presence>(200, "The client's streams on all nodes that answered.")
            .errors(&[ApiError::Invalid]),
        get("/api/sse/servers", "List the nodes")
            .json::<Servers>(200, "All nodes that are alive."),
    ]
}

fn health() -> Vec<Operation> {
    let status = |word: &str| json!({ "type": "object", "required": ["status"], "properties": { "status": { "const": word } } });
    let count = |what: &str| json!({ "type": "integer", "minimum": 0, "description": what });
    let health = json!({
        "type": "object",
        "required": ["status", "state", "connections", "tailLag"],
        "properties": {
            "status": { "enum": ["UP", "OUT_OF_SERVICE"], "description": "`UP` when the state is `ready`." },
            "state": { "enum": ["ready", "degraded", "draining"] },
            "connections": count("Open streams."),
            "tailLag": count("For how long the node has not had all of the log, milliseconds; 0 when it has."),
        },
    });
    let ready = |path, summary| {
        let expect = with_default(one_of(&["ready", "degraded", "draining"]), "ready");
        get(path, summary)
            .query::<ReadyQuery>(&[("expect", "The state that is answered with 200.", expect)])
            .inline(200, "The node is in the expected state.", health.clone())
            .inline(503, "The node is in another state.", health.clone())
            .errors(&[ApiError::Invalid])
    };
    vec![
        ready("/health/ready", "Can the node serve: does the log take and deliver a mark"),
        ready("/health", "The same as `/health/ready`"),
        get("/health/live", "Does the process answer").inline(200, "It does.", status("UP")),
        get("/actuator/health", "`/health/ready` in the form of Spring Boot Actuator")
            .inline(200, "The state is `ready`.", status("UP"))
            .inline(503, "The node is in another state.", status("OUT_OF_SERVICE")),
        get("/api/sse/metrics", "Metrics as JSON").json::<NodeMetrics>(200, "The figures of this node."),
        get("/metrics", "Metrics for Prometheus")
            .media(200, "application/openmetrics-text", "OpenMetrics text.")
            .errors(&[ApiError::Unavailable]),
    ]
}

fn admin() -> Vec<Operation> {
    let query = [("scope", "This node, or every node.", scope())];
    vec![
        post("/admin/drain", "Take the node out of service: end its streams, spread over time")
            .body::<DrainRequest>(false)
            .json::<DrainStatus>(202, "The drain begins.")
            .errors(&BODY),
        get("/admin/drain", "See how far the drain is").json::<DrainStatus>(200, "The state of the drain."),
        delete("/admin/drain", "Cancel the drain")
            .json::<DrainStatus>(200, "The drain is cancelled; open streams stay.")
            .errors(&[ApiError::Conflict]),
        post("/admin/revoke", "Take tokens back before they end, on every node")
            .body::<RevokeRequest>(true)
            .json::<Revoked>(
                202,
                "The log has it: nodes refuse the tokens as they read it, and end their streams.",
            )
            .errors(&BODY)
            .errors(&[ApiError::Conflict, ApiError::Busy, ApiError::Unavailable])
            .errors(&[ApiError::BrokerFull, ApiError::Unknown]),
        post(
            "/admin/rebalance",
            "End the streams that this node, or every node, has above its share of all streams",
        )
        .query::<ScopeQuery>(&query)
        .body::<RebalanceRequest>(false)
        .json::<Rebalance>(202, "The number of streams that will end.")
        .errors(&BODY),
        get("/admin/rebalance", "See how far the rebalance is")
            .query::<ScopeQuery>(&query)
            .json::<Rebalance>(200, "The state of the rebalance.")
            .errors(&[ApiError::Invalid]),
        delete("/admin/rebalance", "Cancel the rebalance")
            .query::<ScopeQuery>(&query)
            .json::<Rebalance>(200, "The rebalance is cancelled; open streams stay.")
            .errors(&[ApiError::Invalid]),
    ]
}

fn pages() -> Vec<Operation> {
    vec![
        get("/", "A page that shows a stream").media(200, "text/html", "HTML."),
        get("/sse.js", "A client for browsers, as an ES module").media(200, "text/javascript", "JavaScript."),
        get("/openapi.json", "This description").inline(200, "OpenAPI 3.1.", json!({ "type": "object" })),
    ]
}
