//! `GET /`, `GET /sse.js` and `GET /openapi.json`: a page that shows the stream working, the browser's client, and the
//! description of the interface.

use axum::response::{Html, IntoResponse};
use http::header;

/// The description of the interface, OpenAPI 3.1.
const OPENAPI: &str = include_str!("../../../web/openapi.json");

/// `GET /`
pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("../../../web/index.html"))
}

/// `GET /sse.js`
pub(crate) async fn client() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../../web/sse.js"))
}

/// `GET /openapi.json`
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Paths and methods of the router, read from its source: axum does not tell them.
    fn routes() -> BTreeSet<(String, String)> {
        let source = include_str!("router.rs");
        let (api, rest) = source.split_once("Router::new()\n        .nest(").unwrap();
        let of = |text: &str, prefix: &str| {
            let calls = text.split(".route(\"").skip(1);
            let call = |call: &str| {
                let (path, handlers) = call.split_once('"').unwrap();
                let line = handlers.split_once('\n').map_or(handlers, |(line, _)| line);
                let methods = ["get", "post", "delete"]
                    .into_iter()
                    .filter(|method| line.contains(&format!("{method}(")));
                methods.map(|method| (format!("{prefix}{path}"), method.to_owned())).collect::<Vec<_>>()
            };
            calls.flat_map(call).collect::<Vec<_>>()
        };
        of(api, "/api/sse").into_iter().chain(of(rest, "")).collect()
    }

    #[test]
    fn the_description_names_every_route_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = description["paths"].as_object().unwrap();
        let described: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone()))
            })
            .collect();
        assert!(described.len() > 20, "the routes were found: {described:?}");
        assert_eq!(routes(), described);
    }
}
