//! Makes the description of the interface, OpenAPI 3.1, from the table of operations and the types of their bodies.
//! `web/openapi.json` is this text, committed. Read [`description`] first.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::IntoResponse as _;
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::operations::operations;
use crate::node::access::policy::{Need, need};
use crate::node::http::error::ApiError;
use crate::node::http::query::FromQuery;
use crate::node::http::router::described_routes;
use crate::protocol::api::{CloseEvent, ConnectionEvent, GapEvent, Problem, SyncEvent};

/// With this variable the committed file is written instead of compared.
const BLESS: &str = "SSE_LAB_BLESS";
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/openapi.json");

/// Makes an error from its detail: a variant of [`ApiError`].
pub(super) type Cause = fn(String) -> ApiError;
type SchemaOf = fn(&mut SchemaGenerator) -> Value;

/// One method of one path.
pub(super) struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    parameters: Vec<Value>,
    /// Its schema, and whether the call needs one.
    body: Option<(SchemaOf, bool)>,
    answers: Vec<Answer>,
    errors: Vec<Cause>,
}

struct Answer {
    status: u16,
    description: &'static str,
    headers: Map<String, Value>,
    content: Content,
}

enum Content {
    Nothing,
    Typed(SchemaOf),
    /// A media type and its schema.
    Inline(&'static str, Value),
}

/// What the operations need of `components`.
struct Components {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
    /// Answers of errors by their codes.
    errors: BTreeMap<String, Value>,
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    let mut parameter = json!({ "in": place, "name": name, "description": description, "schema": schema });
    if place == "path" {
        parameter["required"] = true.into();
    }
    parameter
}

/// The parameters of a path, by their names.
fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(move |name| {
        let (description, schema) = match name {
            "client" => ("Client id.", "ClientId"),
            "user" => ("User id.", "UserId"),
            "node" => ("Node id.", "NodeId"),
            "topic" => ("Topic.", "Topic"),
            "id" if path.contains("/events/") => ("Event id.", "EventId"),
            "id" if path.contains("/connections/") => ("Connection id.", "ConnectionId"),
            other => panic!("{path}: the type of {other} is not known"),
        };
        parameter("path", name, description, &json!({ "$ref": format!("#/components/schemas/{schema}") }))
    })
}

impl Operation {
    pub(super) fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        let parameters = path_parameters(path).collect();
        Self { method, path, summary, parameters, body: None, answers: Vec::new(), errors: Vec::new() }
    }

    /// The parameters of its query: name, description, schema. They must be those of `Q`.
    pub(super) fn query<Q: FromQuery>(mut self, described: &[(&str, &str, Value)]) -> Self {
        let names: Vec<_> = described.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, Q::NAMES, "{} {}: parameters described, and those taken", self.method, self.path);
        let query = described.iter();
        self.parameters.extend(query.map(|(name, text, schema)| parameter("query", name, text, schema)));
        self
    }

    /// A header of the request.
    pub(super) fn header(mut self, name: &str, description: &str, schema: &Value) -> Self {
        self.parameters.push(parameter("header", name, description, schema));
        self
    }

    pub(super) fn body<T: JsonSchema>(self, required: bool) -> Self {
        Self { body: Some((schema_of::<T>, required)), ..self }
    }

    pub(super) fn json<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, Content::Typed(schema_of::<T>))
    }

    /// Answers with JSON that has no type of its own.
    pub(super) fn inline(self, status: u16, description: &'static str, schema: Value) -> Self {
        self.answer(status, description, Content::Inline("application/json", schema))
    }

    /// Answers with text.
    pub(super) fn media(self, status: u16, media: &'static str, description: &'static str) -> Self {
        self.answer(status, description, Content::Inline(media, json!({ "type": "string" })))
    }

    pub(super) fn empty(self, status: u16, description: &'static str) -> Self {
        self.answer(status, description, Content::Nothing)
    }

    /// A header of the answer that was added last.
    pub(super) fn answers_with(mut self, name: &str, description: &str) -> Self {
        let answer = self.answers.last_mut().expect("an answer comes before its headers");
        let header = json!({ "description": description, "schema": { "type": "string" } });
        answer.headers.insert(name.to_owned(), header);
        self
    }

    pub(super) fn errors(mut self, causes: &[Cause]) -> Self {
        self.errors.extend(causes);
        self
    }

    fn answer(mut self, status: u16, description: &'static str, content: Content) -> Self {
        self.answers.push(Answer { status, description, headers: Map::new(), content });
        self
    }

    fn to_json(&self, components: &mut Components) -> Value {
        let mut operation = json!({ "summary": self.summary });
        if !self.parameters.is_empty() {
            operation["parameters"] = self.parameters.clone().into();
        }
        if let Some((schema_of, required)) = self.body {
            let schema = schema_of(&mut components.requests);
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        }
        let own = self.answers.iter().map(|answer| (answer.status, answer.to_json(components)));
        let mut answers: Vec<_> = own.collect();
        let mut by_status = BTreeMap::<u16, Vec<Problem>>::new();
        let method = self.method.to_uppercase().parse().unwrap();
        let is_open = need(&method, self.path) == Ok(Need::Nothing);
        let refusals: &[Cause] = if is_open {
            &[]
        } else {
            &[ApiError::Unauthenticated, ApiError::InvalidToken, ApiError::Scope, ApiError::Revoked]
        };
        if !is_open {
            operation["security"] = json!([{ "bearer": [] }, {}]);
        }
        for problem in self.errors.iter().chain(refusals).map(|cause| problem(cause(String::new()))) {
            by_status.entry(problem.status).or_default().push(problem);
        }
        answers.extend(
            by_status.iter().map(|(status, problems)| (*status, components.error(*status, problems))),
        );
        for (status, answer) in answers {
            assert!(operation["responses"][status.to_string()].is_null(), "{} {status} twice", self.path);
            operation["responses"][status.to_string()] = answer;
        }
        operation
    }
}

impl Answer {
    fn to_json(&self, components: &mut Components) -> Value {
        let mut answer = json!({ "description": self.description });
        let content = match &self.content {
            Content::Nothing => None,
            Content::Typed(schema_of) => Some(("application/json", schema_of(&mut components.answers))),
            Content::Inline(media, schema) => Some((*media, schema.clone())),
        };
        if let Some((media, schema)) = content {
            answer["content"][media]["schema"] = schema;
        }
        if !self.headers.is_empty() {
            answer["headers"] = self.headers.clone().into();
        }
        answer
    }
}

impl Components {
    fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self {
            requests: settings.clone().for_deserialize().into_generator(),
            answers: settings.for_serialize().into_generator(),
            errors: BTreeMap::new(),
        }
    }

    /// A reference to the answer that says which of these problems there are.
    fn error(&mut self, status: u16, problems: &[Problem]) -> Value {
        let codes: Vec<_> = problems.iter().map(|problem| problem.code.as_str()).collect();
        let name = codes.join("-");
        let titles = problems.iter().map(|problem| format!("`{}`: {}.", problem.code, problem.title));
        let schema = schema_of::<Problem>(&mut self.answers);
        let mut answer = json!({
            "description": titles.collect::<Vec<_>>().join(" "),
            "content": { "application/problem+json": { "schema": schema } },
        });
        if matches!(status, 401 | 403) {
            let text = "What is wrong with the credential (RFC 6750).";
            answer["headers"]["WWW-Authenticate"] =
                json!({ "description": text, "schema": { "type": "string" } });
        }
        if matches!(status, 429 | 503) {
            answer["headers"]["Retry-After"] =
                json!({ "description": "Seconds to wait before a retry.", "schema": { "type": "integer" } });
        }
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.errors.insert(name, answer);
        reference
    }

    fn schemas(mut self) -> BTreeMap<String, Value> {
        let requests = self.requests.take_definitions(true);
        let mut schemas: BTreeMap<_, _> = self.answers.take_definitions(true).into_iter().collect();
        for (name, schema) in requests {
            let known = schemas.entry(name).or_insert_with(|| schema.clone());
            assert_eq!(*known, schema, "a type that is read and written has one schema");
        }
        let codes: BTreeSet<_> = every_error().into_iter().map(|error| problem(error).code).collect();
        schemas.get_mut("Problem").expect("calls fail")["properties"]["code"]["enum"] = json!(codes);
        schemas.values_mut().for_each(tidy);
        schemas
    }
}

/// Descriptions are doc comments, with links in brackets and line ends of their own. And a field that may be absent is
/// absent, never null.
fn tidy(value: &mut Value) {
    if let Value::Object(object) = value {
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
        }
        if let Some(Value::Array(kinds)) = object.get_mut("type") {
            kinds.retain(|kind| kind != "null");
            let [kind] = &kinds[..] else { panic!("one type: {kinds:?}") };
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
        if let Some(Value::Array(kinds)) = object.get("anyOf")
            && let [Value::Object(kind), Value::Object(null)] = &kinds[..]
            && null.get("type").is_some_and(|kind| kind == "null")
        {
            let kind = kind.clone();
            object.remove("anyOf");
            object.extend(kind);
        }
        object.values_mut().for_each(tidy);
    } else if let Value::Array(values) = value {
        values.iter_mut().for_each(tidy);
    }
}

/// The body of an error.
fn problem(error: ApiError) -> Problem {
    let body = error.into_response().into_body().collect().now_or_never().expect("the body is there");
    serde_json::from_slice(&body.unwrap().to_bytes()).unwrap()
}

macro_rules! every_error {
    ($($cause:ident),+) => {
        /// One of each; the match fails to compile when a variant is missing.
        fn every_error() -> Vec<ApiError> {
            let errors = vec![ApiError::Method, $(ApiError::$cause(String::new())),+];
            for error in &errors {
                match error {
                    ApiError::Method $(| ApiError::$cause(_))+ => {}
                }
            }
            errors
        }
    };
}

every_error!(
    Invalid,
    NotJson,
    Body,
    IdReused,
    TooLarge,
    TooSlow,
    NotFound,
    Forbidden,
    Unauthenticated,
    InvalidToken,
    Scope,
    Revoked,
    Host,
    Origin,
    MediaType,
    Coding,
    UriTooLong,
    HeadTooLarge,
    Unreachable,
    Conflict,
    Full,
    Busy,
    DiskFull,
    Unavailable,
    BrokerFull,
    Unknown
);

fn description() -> Value {
    let mut components = Components::new();
    let mut paths = BTreeMap::<_, BTreeMap<_, _>>::new();
    for operation in operations() {
        let described = operation.to_json(&mut components);
        let earlier = paths.entry(operation.path).or_default().insert(operation.method, described);
        assert_eq!(earlier, None, "{} {} stands in the table twice", operation.method, operation.path);
    }
    // The data of events, which no schema of a stream can hold.
    for schema_of in
        [schema_of::<ConnectionEvent>, schema_of::<GapEvent>, schema_of::<SyncEvent>, schema_of::<CloseEvent>]
    {
        schema_of(&mut components.answers);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "sse-node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Server-Sent Events from one ordered log. Errors are problem details (RFC 9457) with a stable \
                            `code`. A path that is not described here is answered with `not_found`, another method of \
                            a path that is described with `method_not_allowed`. Before a path is \
                            looked at, a request may be refused: with `host_not_allowed` and `origin_not_allowed` (403), \
                            `unsupported_media_type` (415, pages send JSON as `application/json`), \
                            `unsupported_coding` (501), `uri_too_long` (414), `head_too_large` (431) and \
                            `invalid_request` (400). What a query has that is not described is ignored.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "paths": paths,
        "components": {
            "responses": components.errors.clone(),
            "schemas": components.schemas(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token (JWT) or an API key, on nodes that check them. For a stream also as `token=` or in \
                                a cookie, as `--token-cookie` names it.",
            } },
        },
    })
}

/// Paths and methods of the router. axum tells them in its debug output alone.
fn routes() -> BTreeSet<(String, String)> {
    let debug = format!("{:?}", described_routes());
    let (debug, _fallback) = debug.split_once("fallback_router").unwrap();
    let found = |pattern: &str| -> BTreeMap<String, String> {
        let pattern = regex::Regex::new(pattern).unwrap();
        pattern.captures_iter(debug).map(|found| (found[1].to_owned(), found[2].to_owned())).collect()
    };
    let methods = found(r#"RouteId\((\d+)\): MethodRouter.*?allow_header: Bytes\(b"([A-Z,]+)"\)"#);
    let paths = found(r#"RouteId\((\d+)\): "([^"]+)""#);
    assert!(paths.len() > 20 && paths.keys().eq(methods.keys()), "{paths:?} {methods:?}");
    let of_path = |(id, path): (&String, &String)| {
        let methods = methods[id].split(',').filter(|method| *method != "HEAD");
        methods.map(|method| (path.clone(), method.to_lowercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Every object in it that has this key.
fn having<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(key));
            object.values().for_each(|value| having(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| having(value, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_committed_description_is_that_of_the_types() {
    let made = format!("{:#}\n", description());
    if std::env::var_os(BLESS).is_some() {
        return std::fs::write(COMMITTED, made).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap();
    let differs = committed.lines().zip(made.lines()).find(|(committed, made)| committed != made);
    assert!(
        committed == made,
        "web/openapi.json is not made from these types; first difference, committed and made: {differs:#?}\n\
         write it anew: {BLESS}=1 cargo test --lib http::tests"
    );
}

#[test]
fn the_description_names_every_route_and_no_other() {
    let operations = operations();
    let described: BTreeSet<_> =
        operations.iter().map(|operation| (operation.path.to_owned(), operation.method.to_owned())).collect();
    let routes = routes();
    assert!(
        routes == described,
        "in the router alone: {:?}; in the description alone: {:?}; it is src/node/http/tests/operations.rs",
        routes.difference(&described).collect::<Vec<_>>(),
        described.difference(&routes).collect::<Vec<_>>()
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_one() {
    let description = description();
    let mut references = Vec::new();
    having(&description, "$ref", &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference} is not there");
    }
    let mut schemas = Vec::new();
    having(&description["paths"], "schema", &mut schemas);
    schemas.extend(description["components"]["schemas"].as_object().unwrap().values());
    for schema in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{schema:#}");
    }
    let mut parameters = Vec::new();
    having(&description["paths"], "parameters", &mut parameters);
    for parameters in parameters {
        let parameters = parameters.as_array().unwrap();
        let names = parameters.iter().map(|parameter| format!("{} {}", parameter["in"], parameter["name"]));
        assert_eq!(names.collect::<BTreeSet<_>>().len(), parameters.len(), "{parameters:#?}");
    }
}
