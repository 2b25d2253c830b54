//! `web/openapi.json` against a running node: every call gives an answer that is described, with a body that fits its
//! schema.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Node};

/// Whether the description foresees the answer to an operation.
fn check(description: &Value, operation: &Value, what: &str, answer: &Answer) {
    let status = answer.status.as_u16().to_string();
    let mut described = &operation["responses"][&status];
    if let Some(reference) = described["$ref"].as_str() {
        described = description.pointer(reference.trim_start_matches('#')).unwrap();
    }
    assert!(described.is_object(), "{what}: {status} is not described: {answer:?}");
    if matches!(status.as_str(), "429" | "503") && answer.header("retry-after").is_some() {
        assert!(described["headers"]["Retry-After"].is_object(), "{what}: {answer:?}");
    }
    let Some(contents) = described["content"].as_object() else {
        assert_eq!(answer.body, "", "{what}");
        return;
    };
    let media = answer.header("content-type").unwrap().split(';').next().unwrap();
    let content = contents.get(media).unwrap_or_else(|| panic!("{what}: {media} is not described"));
    if media.ends_with("json") {
        let mut schema = content["schema"].clone();
        schema["components"] = description["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let body: Value = answer.json();
        let errors: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {body:#}");
    }
}

#[tokio::test]
async fn every_answer_of_a_node_is_described() {
    let node = Node::start(&["--id", "n-1"]).await;
    let event = node.publish("users/u", &json!({ "data": { "n": 1 }, "qos": 1 })).await;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/web/openapi.json")).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let publish = json!({ "data": 1 }).to_string();
    let batch = json!([{ "to": "all", "event": { "data": 1 } }]).to_string();
    let ack = json!({ "userId": "u", "id": event.id }).to_string();
    let revoke = json!({ "user": "u" }).to_string();
    let mut calls = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let id = if path.contains("/events/") { event.id.as_str() } else { "nobody" };
        let url = path.replace("{id}", id).replace("{user}", "u").replace("{node}", "n-1");
        let url = url.replace("{client}", "c").replace("{topic}", "t");
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            // A stream has no end to wait for.
            let method = if path == "/api/sse/stream" { Method::HEAD } else { method };
            let sound = match operation["requestBody"]["required"].as_bool() {
                Some(true) if path == "/api/sse/ack" => &ack,
                Some(true) if path == "/api/sse/batch" => &batch,
                Some(true) if path == "/admin/revoke" => &revoke,
                Some(true) => &publish,
                Some(false) | None => "",
            };
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let parameter = parameters.into_iter().find(|parameter| parameter["in"] == "query");
            let both = parameter.map(|parameter| parameter["name"].as_str().unwrap());
            let both = both.map(|name| format!("?{name}=1&{name}=2"));
            let has_body = operation["requestBody"].is_object();
            let queries: Vec<&str> = std::iter::once("").chain(both.as_deref()).collect();
            let bodies = if has_body { &[sound, "{", r#"{"no":1}"#][..] } else { &[sound] };
            for query in queries {
                for body in bodies {
                    let what = format!("{method} {url}{query} {body}");
                    let answer = node.send(method.clone(), &format!("{url}{query}"), *body).await;
                    if method != Method::HEAD {
                        check(&description, operation, &what, &answer);
                    }
                    let is_sound = query.is_empty() && *body == sound;
                    // What does not begin as an array is a batch of lines, each with an answer of its own.
                    let is_bad = matches!(answer.status.as_u16(), 400 | 422)
                        || answer.body.contains(r#""outcome":"refused""#);
                    assert!(is_sound != is_bad, "{what}: {answer:?}");
                    calls += 1;
                }
            }
        }
    }
    assert!(calls > 50, "{calls}");
}
