//! `GET /`: a page that shows the stream working, for people with a browser and no terminal.

use axum::response::Html;

/// The page.
pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("../../../web/index.html"))
}
