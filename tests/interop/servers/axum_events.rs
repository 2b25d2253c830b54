//! An EventSource endpoint as people write one first with axum: `/events` and `/publish` over a broadcast channel. It keeps
//! no history, and a reader that lags skips events without a word. Usage: axum_events PORT CAPACITY

use std::convert::Infallible;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::routing::{get, post};
use futures_util::{Stream, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Sender};

async fn events(State(all): State<Sender<String>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let follow = stream::unfold(all.subscribe(), async |mut receiver| {
        loop {
            match receiver.recv().await {
                Ok(data) => return Some((Ok(Event::default().data(data)), receiver)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(follow).keep_alive(KeepAlive::default())
}

async fn publish(State(all): State<Sender<String>>, body: String) -> StatusCode {
    // An error says that nobody listens.
    all.send(body).ok();
    StatusCode::ACCEPTED
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let port = args.next().expect("the first argument is the port");
    let capacity =
        args.next().and_then(|text| text.parse().ok()).expect("the second argument is a number of events");
    let app = Router::new()
        .route("/events", get(events))
        .route("/publish", post(publish))
        .with_state(broadcast::channel(capacity).0);
    let listener =
        tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("the port is free");
    axum::serve(listener, app).await.expect("the server serves");
}
