//! `/api/sse/servers`: the nodes of the cluster.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::AppState;
use crate::node::roster::Member;
use crate::protocol::api::Servers;

/// `GET /api/sse/servers`: the roster.
pub(crate) async fn servers(State(app): State<Arc<AppState>>) -> Json<Servers> {
    // At the same time, so that a log that does not answer does not delay the roster.
    let ((_bounds, log_answers), view) = tokio::join!(app.bounds(), app.roster.read());
    let duplicates = view.duplicates();
    let others = view.others(app.roster.incarnation());
    let mut all: Vec<_> = others.iter().map(Member::row).chain([app.own_row(log_answers)]).collect();
    all.sort_by(|a, b| (&a.instance_id, &a.incarnation).cmp(&(&b.instance_id, &b.incarnation)));
    Json(Servers {
        current_instance: app.node_id.clone(),
        total_servers: all.len() as u64,
        available_servers: all,
        stale: view.stale,
        duplicates,
    })
}
