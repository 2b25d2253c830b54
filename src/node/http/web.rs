//! `GET /`, `GET /sse.js` and `GET /openapi.json`: a page that shows the stream working, the browser's client, and the
//! description of the interface.

use axum::response::{Html, IntoResponse};
use http::header;

/// The description of the interface, OpenAPI 3.1. A test writes the file and compares it with the router and the types.
const OPENAPI: &str = include_str!("../../../web/openapi.json");

/// `GET /`: the page of the node.
pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("../../../web/index.html"))
}

/// `GET /sse.js`: the client for browsers.
pub(crate) async fn client() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../../web/sse.js"))
}

/// `GET /openapi.json`: the description of the interface.
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
