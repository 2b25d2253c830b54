//! toxiproxy's REST API over a [`ProxyCollection`]: its paths, status codes and JSON, so that its clients work. Requests are
//! handled one after the other, so an answer describes the state after its request. Read [`answer`] first, then [`serve`].

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::listener::ProxyHandle;
use super::metrics;
use super::registry::{ProxyCollection, ProxyCollectionError, ProxyConfig};
use crate::bench::door::guarded;
use crate::bench::scenario::{Attribute, Direction, Stream, Toxic, ToxicKind, Which};
use crate::protocol::guard::Guard;
use crate::runtime::error_chain;

/// Name and version in the answer to `/version`.
const VERSION: &str = concat!("2.12.0+sse-bench.", env!("CARGO_PKG_VERSION"));
/// Requests that wait for the one that is handled.
const REQUESTS_WAITING: usize = 64;
/// Limit of a request body, in bytes.
const BODY_MAX: usize = 1024 * 1024;
/// Limit of toxics of one proxy.
const TOXICS_MAX: usize = 256;

/// An HTTP response.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiResponse {
    /// HTTP status code.
    pub status: StatusCode,
    /// Body and its content type.
    pub content: Content,
}

/// The body of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Sent as `application/json`.
    Json(Value),
    /// `text/plain`, for people.
    Text(&'static str),
    /// `text/plain` in Prometheus' format.
    Metrics(String),
    /// An empty body.
    Nothing,
}

impl ApiResponse {
    fn json(status: StatusCode, value: Value) -> Self {
        Self { status, content: Content::Json(value) }
    }

    fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, content: Content::Nothing }
    }
}

impl IntoResponse for ApiResponse {
    fn into_response(self) -> Response {
        match self.content {
            Content::Json(value) => (self.status, axum::Json(value)).into_response(),
            Content::Text(text) => (self.status, text).into_response(),
            Content::Metrics(text) => {
                (self.status, [(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
            }
            Content::Nothing => self.status.into_response(),
        }
    }
}

/// An error in toxiproxy's JSON form.
#[derive(Debug)]
struct ApiError {
    status: StatusCode,
    error: String,
}

impl ApiError {
    fn new(status: StatusCode, error: impl Display) -> Self {
        Self { status, error: error.to_string() }
    }

    fn body(error: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("bad request body: {error}"))
    }

    fn missing(field: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("missing required field: {field}"))
    }

    fn value(&self) -> Value {
        json!({ "error": self.error, "status": self.status.as_u16() })
    }
}

impl From<ProxyCollectionError> for ApiError {
    fn from(error: ProxyCollectionError) -> Self {
        let status = match error {
            ProxyCollectionError::Exists => StatusCode::CONFLICT,
            ProxyCollectionError::NotFound => StatusCode::NOT_FOUND,
            ProxyCollectionError::Duplicate(_)
            | ProxyCollectionError::Full
            | ProxyCollectionError::Proxy(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error_chain(&error))
    }
}

/// A request with its body.
#[derive(Debug)]
pub struct Request {
    /// HTTP method in capitals.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// The body as received.
    pub body: Bytes,
}

/// Handles a request.
pub async fn answer(proxies: &mut ProxyCollection, request: &Request) -> ApiResponse {
    let decoded = request.path.split('/').filter(|part| !part.is_empty());
    let parts: Vec<_> = decoded.map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    let body = &request.body;
    let changes = matches!(request.method, Method::POST | Method::PATCH);
    let result = match (request.method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => Ok(ApiResponse::json(StatusCode::OK, json!({ "version": VERSION }))),
        ("GET", ["metrics"]) => Ok(ApiResponse {
            status: StatusCode::OK,
            content: Content::Metrics(metrics::render(proxies.proxies())),
        }),
        ("POST", ["reset"]) => proxies.reset().await.map(|()| ApiResponse::nothing()).map_err(ApiError::from),
        ("POST", ["populate"]) => populate(proxies, body).await,
        ("GET", ["proxies"]) => Ok(ApiResponse::json(StatusCode::OK, all(proxies))),
        ("POST", ["proxies"]) => create(proxies, body).await,
        ("GET", ["proxies", name]) => shown(proxies, name),
        (_, ["proxies", name]) if changes => update(proxies, name, body).await,
        ("DELETE", ["proxies", name]) => {
            proxies.remove(name).await.map(|()| ApiResponse::nothing()).map_err(ApiError::from)
        }
        ("GET", ["proxies", name, "toxics"]) => toxics_shown(proxies, name),
        ("POST", ["proxies", name, "toxics"]) => add_toxic(proxies, name, body),
        ("GET", ["proxies", name, "toxics", toxic]) => toxic_shown(proxies, name, toxic),
        (_, ["proxies", name, "toxics", toxic]) if changes => update_toxic(proxies, name, toxic, body),
        ("DELETE", ["proxies", name, "toxics", toxic]) => remove_toxic(proxies, name, toxic),
        (_, ["version" | "metrics" | "reset" | "populate" | "proxies"])
        | (_, ["proxies", _] | ["proxies", _, "toxics"] | ["proxies", _, "toxics", _]) => {
            return ApiResponse { status: StatusCode::METHOD_NOT_ALLOWED, content: Content::Nothing };
        }
        _ => {
            let content = Content::Text("404 page not found\n");
            return ApiResponse { status: StatusCode::NOT_FOUND, content };
        }
    };
    result.unwrap_or_else(|refusal| ApiResponse::json(refusal.status, refusal.value()))
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(ApiError::body)
}

/// A proxy as clients send it.
#[derive(Debug, Deserialize)]
struct ProxyBody {
    #[serde(default)]
    name: String,
    listen: Option<String>,
    upstream: Option<String>,
    enabled: Option<bool>,
}

fn proxy_json(proxy: &ProxyHandle) -> Value {
    json!({
        "name": proxy.name(),
        "listen": proxy.listen(),
        "upstream": proxy.upstream(),
        "enabled": proxy.is_enabled(),
        "toxics": toxics_json(proxy),
    })
}

/// The toxics of one direction after those of the other, as in toxiproxy.
fn toxics_json(proxy: &ProxyHandle) -> Value {
    let mut toxics = proxy.toxics().to_vec();
    toxics.sort_by_key(|toxic| match toxic.stream {
        Stream::One(Direction::Upstream) => 0,
        Stream::One(Direction::Downstream) => 1,
        Stream::Both => 2,
    });
    toxics.iter().map(|toxic| toxic_json(proxy, toxic)).collect()
}

/// A toxic. One of events also says how much it met, and why it could do nothing if so.
fn toxic_json(proxy: &ProxyHandle, toxic: &Toxic) -> Value {
    let mut kind = toxic.kind.clone();
    let attributes =
        kind.attributes().into_iter().map(|(name, value)| (name.to_owned(), attribute_json(&value)));
    let mut value = json!({
        "name": toxic.name,
        "type": toxic.kind.name(),
        "stream": toxic.stream.to_string(),
        "toxicity": toxic.toxicity,
        "attributes": attributes.collect::<Map<_, _>>(),
    });
    if matches!(toxic.kind, ToxicKind::Event(_)) {
        let finding = proxy.findings().of(&toxic.name);
        value["met"] = finding.met.into();
        finding.unreadable.into_iter().for_each(|why| value["error"] = why.into());
    }
    value
}

fn attribute_json(attribute: &Attribute<'_>) -> Value {
    match attribute {
        Attribute::Number(number) => json!(**number),
        Attribute::Share(share) => json!(**share),
        Attribute::Text(text) => json!(**text),
        Attribute::Flag(is_set) => json!(**is_set),
        Attribute::Which(which) => {
            json!(Which::WORDS.iter().find(|(_, known)| *known == **which).map(|(word, _)| word))
        }
    }
}

fn all(proxies: &ProxyCollection) -> Value {
    let named = proxies.proxies().map(|proxy| (proxy.name().to_owned(), proxy_json(proxy)));
    Value::Object(named.collect())
}

fn shown(proxies: &ProxyCollection, name: &str) -> Result<ApiResponse, ApiError> {
    Ok(ApiResponse::json(StatusCode::OK, proxy_json(proxies.get(name)?)))
}

async fn create(proxies: &mut ProxyCollection, body: &[u8]) -> Result<ApiResponse, ApiError> {
    let wanted = wanted(parse(body)?, "")?;
    let proxy = proxies.add(&wanted).await?;
    Ok(ApiResponse::json(StatusCode::CREATED, proxy_json(&proxy)))
}

fn wanted(body: ProxyBody, place: &str) -> Result<ProxyConfig, ApiError> {
    if body.name.is_empty() {
        return Err(ApiError::missing(format!("name{place}")));
    }
    let upstream = body.upstream.filter(|upstream| !upstream.is_empty());
    let upstream = upstream.ok_or_else(|| ApiError::missing(format!("upstream{place}")))?;
    let listen = body.listen.filter(|listen| !listen.is_empty()).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    Ok(ProxyConfig { name: body.name, listen, upstream, enabled: body.enabled.unwrap_or(true) })
}

/// Parses a list of proxies, as in `--config` and `/populate`.
fn list(body: &[u8]) -> Result<Vec<ProxyConfig>, ApiError> {
    let bodies: Vec<ProxyBody> = parse(body)?;
    (1..).zip(bodies).map(|(number, body): (usize, _)| wanted(body, &format!(" at proxy {number}"))).collect()
}

/// Creates the proxies of a file.
///
/// # Errors
/// The problem of the list, or the first proxy that cannot listen.
pub async fn configure(proxies: &mut ProxyCollection, text: &[u8]) -> Result<(), String> {
    let wanted = list(text).map_err(|refusal| refusal.error)?;
    match proxies.populate(&wanted).await {
        (_, None) => Ok(()),
        (_, Some(error)) => Err(error_chain(&error)),
    }
}

async fn populate(proxies: &mut ProxyCollection, body: &[u8]) -> Result<ApiResponse, ApiError> {
    let (proxies, error) = proxies.populate(&list(body)?).await;
    let mut value = json!({ "proxies": proxies.iter().map(proxy_json).collect::<Vec<_>>() });
    let status = match error.map(ApiError::from) {
        None => StatusCode::CREATED,
        Some(refusal) => {
            value["error"] = refusal.error.into();
            value["status"] = refusal.status.as_u16().into();
            refusal.status
        }
    };
    Ok(ApiResponse::json(status, value))
}

async fn update(proxies: &mut ProxyCollection, name: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
    let now = proxies.get(name)?;
    let body: ProxyBody = parse(body)?;
    let wanted = ProxyConfig {
        name: name.to_owned(),
        listen: body.listen.unwrap_or_else(|| now.listen()),
        upstream: body.upstream.unwrap_or_else(|| now.upstream().to_owned()),
        enabled: body.enabled.unwrap_or_else(|| now.is_enabled()),
    };
    let proxy = proxies.change(&wanted).await?;
    Ok(ApiResponse::json(StatusCode::OK, proxy_json(&proxy)))
}

/// A toxic as clients send it.
#[derive(Debug, Deserialize)]
struct ToxicBody {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    stream: Option<String>,
    toxicity: Option<f64>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

fn toxic_not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "toxic not found")
}

fn find(proxy: &ProxyHandle, name: &str) -> Result<Toxic, ApiError> {
    proxy.toxics().iter().find(|toxic| toxic.name == name).cloned().ok_or_else(toxic_not_found)
}

fn toxics_shown(proxies: &ProxyCollection, name: &str) -> Result<ApiResponse, ApiError> {
    Ok(ApiResponse::json(StatusCode::OK, toxics_json(proxies.get(name)?)))
}

fn toxic_shown(proxies: &ProxyCollection, name: &str, toxic: &str) -> Result<ApiResponse, ApiError> {
    let proxy = proxies.get(name)?;
    Ok(ApiResponse::json(StatusCode::OK, toxic_json(proxy, &find(proxy, toxic)?)))
}

fn add_toxic(proxies: &ProxyCollection, name: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
    let proxy = proxies.get(name)?;
    let body: ToxicBody = parse(body)?;
    let kind = ToxicKind::named(&body.kind);
    let stream = match &body.stream {
        None => kind.as_ref().map_or(Stream::One(Direction::Downstream), ToxicKind::usual_stream),
        Some(word) => {
            let found = Stream::WORDS.into_iter().find(|(known, _)| known == word);
            let why = "stream was invalid, can be either upstream or downstream";
            found.ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, why))?.1
        }
    };
    let kind = kind.ok_or_else(|| ApiError::new(StatusCode::BAD_REQUEST, "invalid toxic type"))?;
    if matches!(kind, ToxicKind::Event(_)) && stream != kind.usual_stream() {
        return Err(ApiError::body(format!("{} acts {}", kind.name(), kind.usual_stream())));
    }
    let name = if body.name.is_empty() { format!("{}_{stream}", kind.name()) } else { body.name };
    let toxics = proxy.toxics();
    if toxics.iter().any(|toxic| toxic.name == name) {
        return Err(ApiError::new(StatusCode::CONFLICT, "toxic already exists"));
    }
    if toxics.len() >= TOXICS_MAX {
        let why = format!("the proxy has {TOXICS_MAX} toxics already");
        return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why));
    }
    let kind = with_attributes(kind, &body.attributes)?;
    let toxic = Toxic { name, kind, stream, toxicity: toxicity(body.toxicity.unwrap_or(1.0))? };
    proxy.set_toxics(|toxics| toxics.push(toxic.clone()));
    Ok(ApiResponse::json(StatusCode::OK, toxic_json(proxy, &toxic)))
}

fn toxicity(value: f64) -> Result<f64, ApiError> {
    let allowed = (0.0..=1.0).contains(&value);
    if allowed { Ok(value) } else { Err(ApiError::body(format!("toxicity {value} is not between 0 and 1"))) }
}

/// Reads the attributes. Attributes that the type does not have are ignored, as in toxiproxy.
fn with_attributes(mut kind: ToxicKind, given: &Map<String, Value>) -> Result<ToxicKind, ApiError> {
    for (name, value) in kind.attributes() {
        if let Some(given) = given.get(name).filter(|given| !given.is_null()) {
            set(value, given)
                .map_err(|allowed| ApiError::body(format!("{name} {given} is not {allowed}")))?;
        }
    }
    match kind.problem() {
        Some((name, why)) => Err(ApiError::body(format!("{name} {why}"))),
        None => Ok(kind),
    }
}

/// Sets an attribute; an error says what is allowed. `toxiproxy-cli` sends words and flags as texts.
fn set(attribute: Attribute<'_>, given: &Value) -> Result<(), &'static str> {
    match attribute {
        Attribute::Number(number) => {
            *number = given.as_u64().ok_or("a whole number of at least 0")?;
        }
        Attribute::Share(share) => *share = given.as_f64().ok_or("a number")?,
        Attribute::Text(text) => {
            *text = match given {
                Value::String(given) => given.clone(),
                Value::Number(given) => given.to_string(),
                _ => return Err("a text"),
            };
        }
        Attribute::Flag(is_set) => {
            let text = given.as_str().and_then(|text| text.parse().ok());
            *is_set = given.as_bool().or(text).ok_or("true or false")?;
        }
        Attribute::Which(which) => {
            let found = Which::WORDS.iter().find(|(word, _)| Some(*word) == given.as_str());
            *which = found.ok_or("events, first-after-reconnect, comments or all")?.1;
        }
    }
    Ok(())
}

fn update_toxic(
    proxies: &ProxyCollection,
    name: &str,
    toxic: &str,
    body: &[u8],
) -> Result<ApiResponse, ApiError> {
    let proxy = proxies.get(name)?;
    let found = find(proxy, toxic)?;
    let body: ToxicBody = parse(body)?;
    let kind = with_attributes(found.kind, &body.attributes)?;
    let changed = Toxic { kind, toxicity: toxicity(body.toxicity.unwrap_or(found.toxicity))?, ..found };
    proxy.set_toxics(|toxics| {
        if let Some(place) = toxics.iter_mut().find(|known| known.name == changed.name) {
            *place = changed.clone();
        }
    });
    Ok(ApiResponse::json(StatusCode::OK, toxic_json(proxy, &changed)))
}

fn remove_toxic(proxies: &ProxyCollection, name: &str, toxic: &str) -> Result<ApiResponse, ApiError> {
    let proxy = proxies.get(name)?;
    find(proxy, toxic)?;
    proxy.set_toxics(|toxics| toxics.retain(|known| known.name != toxic));
    Ok(ApiResponse::nothing())
}

/// A request and where its response goes.
type Asked = (Request, oneshot::Sender<ApiResponse>);

/// Serves the requests that the guard takes until `stop` is cancelled. The collection ends with it.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    guard: Guard,
    proxies: ProxyCollection,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let (asked, received) = mpsc::channel(REQUESTS_WAITING);
    let router = guarded(
        axum::Router::new().fallback(pass_on).layer(DefaultBodyLimit::max(BODY_MAX)).with_state(asked),
        guard,
    );
    let ended = stop.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        served = serving => served,
        // Idle connections of clients end with this.
        () = answer_all(proxies, received, ended) => Ok(()),
    }
}

async fn answer_all(
    mut proxies: ProxyCollection,
    mut received: mpsc::Receiver<Asked>,
    stop: CancellationToken,
) {
    while let Some(Some((request, reply))) = stop.run_until_cancelled(received.recv()).await {
        let answer = answer(&mut proxies, &request).await;
        tracing::debug!(method = %request.method, path = request.path, status = answer.status.as_u16(), "asked");
        // The client may be gone; its request is carried out all the same.
        let _nobody_waits = reply.send(answer);
    }
}

async fn pass_on(
    State(bed): State<mpsc::Sender<Asked>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResponse {
    // As toxiproxy does. Web pages are kept out by the guard: they can choose their User-Agent.
    if headers.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/")) {
        let content = Content::Text("User agent not allowed\n");
        return ApiResponse { status: StatusCode::FORBIDDEN, content };
    }
    let (reply, answer) = oneshot::channel();
    let request = Request { method, path: uri.path().to_owned(), body };
    let ended = ApiResponse { status: StatusCode::SERVICE_UNAVAILABLE, content: Content::Nothing };
    if bed.send((request, reply)).await.is_err() {
        return ended;
    }
    answer.await.unwrap_or(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct AdminTestBed(ProxyCollection);

    impl AdminTestBed {
        fn new() -> Self {
            Self(ProxyCollection::new(1))
        }

        /// A request, its status, and the body of its response.
        async fn ask(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
            let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = answer(&mut self.0, &Request { method, path: path.to_owned(), body }).await;
            let value = match answer.content {
                Content::Json(value) => value,
                Content::Text(text) => text.into(),
                Content::Metrics(text) => text.into(),
                Content::Nothing => Value::Null,
            };
            (answer.status.as_u16(), value)
        }

        async fn check(&mut self, asked: (&str, &str, Value), status: u16, expected: &str) -> Value {
            let (method, path, body) = asked;
            let (found, value) = self.ask(method, path, body).await;
            assert_eq!(found, status, "{method} {path}: {value}");
            assert!(value.to_string().contains(expected), "{method} {path}: {value}");
            value
        }

        async fn with_redis() -> Self {
            let mut bed = Self::new();
            let redis = json!({ "name": "redis", "listen": "127.71.0.3:0", "upstream": "127.0.0.1:1" });
            bed.check(("POST", "/proxies", redis), 201, r#""enabled":true"#).await;
            bed
        }
    }

    const NONE: Value = Value::Null;

    #[tokio::test]
    async fn a_proxy_is_made_shown_moved_and_removed() {
        let mut bed = AdminTestBed::with_redis().await;
        let shown = bed.check(("GET", "/proxies/redis", NONE), 200, r#""toxics":[]"#).await;
        assert_eq!(shown["upstream"], "127.0.0.1:1");
        assert!(!shown["listen"].as_str().unwrap().ends_with(":0"), "{shown}");
        let all = bed.check(("GET", "/proxies", NONE), 200, "").await;
        assert_eq!(all["redis"], shown);
        let off = json!({ "enabled": false });
        bed.check(("POST", "/proxies/redis", off), 200, r#""enabled":false"#).await;
        let moved = json!({ "upstream": "127.0.0.1:2", "enabled": true });
        let moved = bed.check(("PATCH", "/proxies/redis", moved), 200, "127.0.0.1:2").await;
        assert_eq!((&moved["listen"], &moved["enabled"]), (&shown["listen"], &true.into()));
        bed.check(("DELETE", "/proxies/redis", NONE), 204, "").await;
        bed.check(("GET", "/proxies/redis", NONE), 404, r#"{"error":"proxy not found","status":404}"#).await;
    }

    #[tokio::test]
    async fn a_toxic_is_added_changed_and_removed() {
        let mut bed = AdminTestBed::with_redis().await;
        let toxics = "/proxies/redis/toxics";
        let latency = json!({ "type": "latency", "attributes": { "latency": 100 } });
        let added = bed.check(("POST", toxics, latency.clone()), 200, "").await;
        let expected = json!({
            "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1.0,
            "attributes": { "latency": 100, "jitter": 0 },
        });
        assert_eq!(added, expected);
        bed.check(("POST", toxics, latency), 409, "toxic already exists").await;
        let one = "/proxies/redis/toxics/latency_downstream";
        let changed = json!({ "attributes": { "jitter": 7 }, "toxicity": 0.5 });
        let changed = bed.check(("PATCH", one, changed), 200, "").await;
        assert_eq!(changed["attributes"], json!({ "latency": 100, "jitter": 7 }));
        assert_eq!(bed.check(("GET", one, NONE), 200, "").await, changed);
        let stall = json!({ "name": "x", "type": "stall" });
        bed.check(("POST", toxics, stall), 200, r#""stream":"both""#).await;
        let slow = json!({ "type": "bandwidth", "stream": "upstream", "attributes": { "rate": 9 } });
        bed.check(("POST", toxics, slow), 200, "bandwidth_upstream").await;
        let shown = bed.check(("GET", toxics, NONE), 200, "").await;
        let names: Vec<&str> =
            shown.as_array().unwrap().iter().filter_map(|toxic| toxic["name"].as_str()).collect();
        assert_eq!(names, ["bandwidth_upstream", "latency_downstream", "x"]);
        bed.check(("DELETE", one, NONE), 204, "").await;
        bed.check(("DELETE", one, NONE), 404, "toxic not found").await;
        bed.check(("POST", "/reset", NONE), 204, "").await;
        bed.check(("GET", toxics, NONE), 200, "[]").await;
    }

    #[tokio::test]
    async fn an_event_toxic_has_attributes_of_every_type_and_says_what_it_met() {
        let mut bed = AdminTestBed::with_redis().await;
        let toxics = "/proxies/redis/toxics";
        let drop = json!({
            "type": "drop_event",
            "attributes": { "rate": 0.5, "event": "price", "nth": 3, "which": "all", "path": "/stream*" },
        });
        let added = bed.check(("POST", toxics, drop), 200, "").await;
        let attributes =
            json!({ "path": "/stream*", "rate": 0.5, "which": "all", "event": "price", "nth": 3 });
        assert_eq!((&added["attributes"], &added["met"]), (&attributes, &json!(0)));
        assert_eq!((&added["stream"], added.get("error")), (&json!("downstream"), None));
        let answer = json!({ "type": "answer_publish", "attributes": { "status": 503, "deliver": "true" } });
        let added = bed.check(("POST", toxics, answer), 200, r#""stream":"upstream""#).await;
        assert_eq!(added["attributes"]["deliver"], true);
        for (body, words) in [
            (json!({ "type": "drop_event", "stream": "both", "name": "x" }), "drop_event acts downstream"),
            (json!({ "type": "hold_back", "name": "x" }), "delay must be at least 1 ms"),
            (
                json!({ "type": "answer_publish", "name": "x", "attributes": { "status": 99 } }),
                "from 200 to 599",
            ),
            (json!({ "type": "rewrite_last_event_id", "name": "x" }), "value or back must say"),
            (json!({ "type": "mute", "name": "x", "attributes": { "rate": 2 } }), "rate must be between"),
            (
                json!({ "type": "mute", "name": "x", "attributes": { "which": "some" } }),
                "first-after-reconnect",
            ),
        ] {
            bed.check(("POST", toxics, body), 400, words).await;
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_refused_in_toxiproxys_words() {
        let mut bed = AdminTestBed::with_redis().await;
        let proxies = "/proxies";
        let toxics = "/proxies/redis/toxics";
        let cases: [(&str, &str, Value, u16, &str); 14] = [
            ("POST", proxies, json!({ "upstream": "h:1" }), 400, "missing required field: name"),
            ("POST", proxies, json!({ "name": "x" }), 400, "missing required field: upstream"),
            ("POST", proxies, json!({ "name": 5 }), 400, "bad request body"),
            ("POST", proxies, NONE, 400, "bad request body"),
            ("POST", proxies, json!({ "name": "redis", "upstream": "h:1" }), 409, "proxy already exists"),
            ("POST", proxies, json!({ "name": "y", "upstream": "h:1", "listen": "no" }), 500, "listen"),
            ("GET", "/proxies/y", NONE, 404, "proxy not found"),
            ("POST", toxics, json!({ "type": "noise" }), 400, "invalid toxic type"),
            ("POST", toxics, json!({ "type": "latency", "stream": "up" }), 400, "stream was invalid"),
            ("POST", toxics, json!({ "type": "latency", "toxicity": 2 }), 400, "between 0 and 1"),
            (
                "POST",
                toxics,
                json!({ "type": "latency", "attributes": { "latency": -1 } }),
                400,
                "latency -1",
            ),
            ("GET", "/proxies/redis/toxics/z", NONE, 404, "toxic not found"),
            ("PUT", proxies, NONE, 405, ""),
            ("GET", "/nothing", NONE, 404, "404 page not found"),
        ];
        for (method, path, body, status, words) in cases {
            let value = bed.check((method, path, body), status, words).await;
            if value.is_object() {
                assert_eq!(value["status"], status, "{value}");
            }
        }
    }

    #[tokio::test]
    async fn a_list_adds_what_is_new_and_leaves_what_is_the_same() {
        let mut bed = AdminTestBed::with_redis().await;
        let listen = bed.ask("GET", "/proxies/redis", NONE).await.1["listen"].clone();
        bed.check(("POST", "/proxies/redis/toxics", json!({ "type": "stall" })), 200, "").await;
        let list = json!([
            { "name": "redis", "listen": listen, "upstream": "127.0.0.1:1" },
            { "name": "off", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:3", "enabled": false },
        ]);
        let made = bed.check(("POST", "/populate", list), 201, "").await;
        assert_eq!(made["proxies"][0]["toxics"].as_array().unwrap().len(), 1);
        assert_eq!(made["proxies"][1]["enabled"], false);
        let twice = json!([{ "name": "a", "upstream": "h:1" }, { "name": "a", "upstream": "h:2" }]);
        bed.check(("POST", "/populate", twice), 500, "duplicate proxy name").await;
        let nameless = json!([{ "upstream": "h:1" }]);
        bed.check(("POST", "/populate", nameless), 400, "name at proxy 1").await;
        bed.check(("GET", "/metrics", NONE), 200, r#"proxy=\"off\""#).await;
        bed.check(("GET", "/version", NONE), 200, "2.12.0+sse-bench").await;
    }
}
