//! Filter, order and page of a list of connections. The order is total, so that the pages of several nodes can be
//! merged: a row among the first of all nodes is among the first of its own node. Does no I/O. Read [`Selection`]
//! first.

use std::cmp::Ordering;

use super::error::ApiError;
use super::query::{FromQuery, set};
use crate::node::limits::CLUSTER_ROWS_MAX;
use crate::protocol::Filter;
use crate::protocol::api::{ConnectionAt, ConnectionRow};

/// Default number of rows of a page.
const PAGE_ROWS: u64 = 100;
/// Largest number of rows of a page.
const PAGE_ROWS_MAX: u64 = 1_000;
const SORT_KEYS: &str = "connectedAt, clientId, userId, instanceId, remote, sent, bytes, lag, state; '-' before a key sorts \
                         from high to low";

/// The query of `/api/sse/connections`.
#[derive(Debug, Default)]
pub(crate) struct ListQuery {
    scope: Option<String>,
    filter: Option<String>,
    sort: Option<String>,
    page: Option<u64>,
    offset: Option<u64>,
    limit: Option<u64>,
}

impl FromQuery for ListQuery {
    const NAMES: &'static [&'static str] = &["scope", "filter", "sort", "page", "offset", "limit"];

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "scope" => set(&mut self.scope, name, value),
            "filter" => {
                // Words that must all hold.
                let words = self.filter.get_or_insert_default();
                words.extend([if words.is_empty() { "" } else { " " }, value]);
                Ok(())
            }
            "sort" => set(&mut self.sort, name, value),
            "page" => set(&mut self.page, name, value),
            "offset" => set(&mut self.offset, name, value),
            _ => set(&mut self.limit, name, value),
        }
    }
}

/// Which nodes a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scope {
    /// The node that gets the request.
    #[default]
    Node,
    /// All nodes of the cluster.
    Cluster,
}

impl Scope {
    pub(crate) fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            None | Some("node") => Ok(Self::Node),
            Some("cluster") => Ok(Self::Cluster),
            Some(other) => {
                Err(ApiError::Invalid(format!("scope={other:?} is not known; allowed are node, cluster")))
            }
        }
    }
}

/// A parsed [`ListQuery`].
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) scope: Scope,
    /// The filter as text, for requests to other nodes.
    filter_text: String,
    filter: Filter,
    sort: Sort,
    /// Rows before the page.
    skip: u64,
    /// Rows per page.
    pub(crate) limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sort {
    key: Key,
    descending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    ConnectedAt,
    ClientId,
    UserId,
    Node,
    Remote,
    Sent,
    Bytes,
    Lag,
    State,
}

const KEYS: [(&str, Key); 9] = [
    ("connectedAt", Key::ConnectedAt),
    ("clientId", Key::ClientId),
    ("userId", Key::UserId),
    ("instanceId", Key::Node),
    ("remote", Key::Remote),
    ("sent", Key::Sent),
    ("bytes", Key::Bytes),
    ("lag", Key::Lag),
    ("state", Key::State),
];

impl Selection {
    /// The selection of a user's query, within the limits of pages.
    pub(crate) fn of_user(query: &ListQuery) -> Result<Self, ApiError> {
        let selection = Self::of_node(query)?;
        let limit = selection.limit;
        let refuse = |detail: String| Err(ApiError::Invalid(detail));
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return refuse(format!("limit={limit} is not allowed; allowed are 1 to {PAGE_ROWS_MAX}"));
        }
        if query.page == Some(0) {
            return refuse("page=0 is not allowed; pages are counted from 1".to_owned());
        }
        if query.page.is_some() && query.offset.is_some() {
            return refuse("page and offset cannot be given together; remove one of them".to_owned());
        }
        if selection.scope == Scope::Cluster && selection.depth() > CLUSTER_ROWS_MAX {
            return refuse(format!(
                "page={} with limit={limit} is beyond the {CLUSTER_ROWS_MAX} rows that a list of all nodes \
                 has; use a filter, or ask each node with scope=node",
                selection.page()
            ));
        }
        Ok(selection)
    }

    /// The selection of another node's query, which may ask for any number of rows.
    pub(crate) fn of_node(query: &ListQuery) -> Result<Self, ApiError> {
        let filter_text = query.filter.clone().unwrap_or_default();
        let limit = query.limit.unwrap_or(PAGE_ROWS);
        let before_page = query.page.unwrap_or(1).saturating_sub(1).saturating_mul(limit);
        Ok(Self {
            scope: Scope::parse(query.scope.as_deref())?,
            filter: Filter::parse::<ConnectionAt<'_>>(&filter_text)
                .map_err(|error| ApiError::Invalid(error.to_string()))?,
            filter_text,
            sort: Sort::parse(query.sort.as_deref().unwrap_or("connectedAt"))?,
            skip: query.offset.unwrap_or(before_page),
            limit,
        })
    }

    /// The query that asks another node for every row that this page may need.
    pub(crate) fn for_peers(&self) -> [(&'static str, String); 3] {
        [
            ("filter", self.filter_text.clone()),
            ("sort", self.sort.text()),
            ("limit", self.depth().to_string()),
        ]
    }

    /// The same list from its first row to the last one of this page.
    pub(crate) fn through_end_of_page(&self) -> Self {
        Self { skip: 0, limit: self.depth(), ..self.clone() }
    }

    /// The page, counted from 1; with an offset, the page that contains it.
    pub(crate) fn page(&self) -> u64 {
        self.skip / self.limit.max(1) + 1
    }

    /// The number of rows up to the end of this page.
    fn depth(&self) -> u64 {
        self.skip.saturating_add(self.limit)
    }

    /// Removes rows that do not match the filter. `now` is in milliseconds since 1970. Only the node that owns the
    /// rows may filter them: by another clock a row may have another age.
    pub(crate) fn filter(&self, rows: &mut Vec<ConnectionRow>, now: u64) {
        if !self.filter.is_empty() {
            rows.retain(|row| self.filter.matches(&ConnectionAt { row, now }));
        }
    }

    /// Sorts the rows by the key of the request.
    pub(crate) fn sort(&self, rows: &mut [ConnectionRow]) {
        rows.sort_by(|a, b| self.sort.compare(a, b));
    }

    /// The rows of the page, taken from sorted rows.
    pub(crate) fn cut(&self, rows: Vec<ConnectionRow>) -> Vec<ConnectionRow> {
        let as_size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        rows.into_iter().skip(as_size(self.skip)).take(as_size(self.limit)).collect()
    }
}

impl Sort {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
        let known = KEYS.iter().find(|(known, _)| *known == name);
        let (_, key) = known.ok_or_else(|| {
            ApiError::Invalid(format!("sort={name:?} is not known; allowed are {SORT_KEYS}"))
        })?;
        Ok(Self { key: *key, descending })
    }

    fn text(self) -> String {
        let name = KEYS.iter().find(|(_, key)| *key == self.key).map_or("connectedAt", |(name, _)| name);
        if self.descending { format!("-{name}") } else { name.to_owned() }
    }

    /// Rows with equal keys are ordered by their connection ids, which are unique.
    fn compare(self, a: &ConnectionRow, b: &ConnectionRow) -> Ordering {
        let order = match self.key {
            Key::ConnectedAt => a.connected_at.cmp(&b.connected_at),
            Key::ClientId => a.client_id.cmp(&b.client_id),
            Key::UserId => a.user_id.cmp(&b.user_id),
            Key::Node => a.instance_id.cmp(&b.instance_id),
            Key::Remote => a.remote.cmp(&b.remote),
            Key::Sent => a.sent.cmp(&b.sent),
            Key::Bytes => a.bytes.cmp(&b.bytes),
            Key::Lag => a.lag.cmp(&b.lag),
            Key::State => a.state.cmp(&b.state),
        };
        let order = order.then_with(|| a.connection_id.cmp(&b.connection_id));
        if self.descending { order.reverse() } else { order }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(node: usize, id: usize, sent: u64) -> ConnectionRow {
        serde_json::from_value(serde_json::json!({
            "connectionId": format!("{id:04}"), "clientId": format!("c{}", sent % 3), "topics": [],
            "instanceId": format!("n{node}"), "remote": "127.0.0.1", "connectedAt": sent / 2,
            "lastEventId": "zzzzzz-0-0", "sent": sent, "bytes": 0, "lag": 0, "state": "live",
        }))
        .unwrap()
    }

    fn selection(sort: &str, page: u64, limit: u64) -> Selection {
        let sort = Some(sort.to_owned());
        let query = ListQuery { sort, page: Some(page), limit: Some(limit), ..ListQuery::default() };
        Selection::of_user(&query).unwrap()
    }

    fn ids(rows: &[ConnectionRow]) -> Vec<String> {
        rows.iter().map(|row| row.connection_id.to_string()).collect()
    }

    /// What the cluster shows, from what each node would have answered.
    fn merged(nodes: &[Vec<ConnectionRow>], selection: &Selection) -> Vec<String> {
        let answers = nodes.iter().flat_map(|rows| {
            let [_, (_, sort), (_, limit)] = selection.for_peers();
            let query = ListQuery { sort: Some(sort), limit: limit.parse().ok(), ..ListQuery::default() };
            let asked = Selection::of_node(&query).unwrap();
            let mut rows = rows.clone();
            asked.sort(&mut rows);
            asked.cut(rows)
        });
        let mut all: Vec<_> = answers.collect();
        selection.sort(&mut all);
        ids(&selection.cut(all))
    }

    proptest! {
        #[test]
        fn the_pages_of_several_nodes_are_those_of_one_list(
            sent in prop::collection::vec((0..3_usize, 0..6_u64), 0..40),
            sort in prop::sample::select(vec!["connectedAt", "-connectedAt", "clientId", "-sent", "instanceId", "state"]),
            limit in 1..9_u64,
        ) {
            let rows: Vec<_> = sent.iter().enumerate().map(|(id, (node, sent))| row(*node, id, *sent)).collect();
            let nodes: Vec<Vec<_>> = (0..3).map(|node| {
                rows.iter().filter(|row| row.instance_id.as_str() == format!("n{node}")).cloned().collect()
            }).collect();
            let mut whole = rows.clone();
            selection(sort, 1, 1_000).sort(&mut whole);
            let pages: Vec<_> =
                (1..=50).flat_map(|page| merged(&nodes, &selection(sort, page, limit))).collect();
            prop_assert_eq!(pages, ids(&whole));
        }
    }

    #[test]
    fn a_page_may_start_anywhere() {
        let rows: Vec<_> = (0..10).map(|id| row(0, id, id as u64)).collect();
        let query = ListQuery { offset: Some(7), limit: Some(2), ..ListQuery::default() };
        let selection = Selection::of_user(&query).unwrap();
        assert_eq!((ids(&selection.cut(rows)), selection.page()), (vec!["0007".into(), "0008".into()], 4));
        let refusal = Selection::of_user(&ListQuery { page: Some(1), ..query }).unwrap_err().detail();
        assert!(refusal.contains("page and offset"), "{refusal}");
    }

    #[test]
    fn rows_are_found_by_text_pattern_and_number() {
        let found = |filter: &str| {
            let query = ListQuery { filter: Some(filter.to_owned()), ..ListQuery::default() };
            let mut rows: Vec<_> = (0..6).map(|id| row(id % 2, id, 1_000 * id as u64)).collect();
            Selection::of_user(&query).unwrap().filter(&mut rows, 4_000);
            ids(&rows).join(" ")
        };
        assert_eq!(found("node:n1"), "0001 0003 0005");
        assert_eq!(found("n1"), "0001 0003 0005");
        assert_eq!(found("/^000[24]$/ !n1"), "0002 0004");
        assert_eq!(found("sent>3k"), "0004 0005");
        assert_eq!(found("age<2.6s"), "0003 0004 0005");
        let wrong = ListQuery { filter: Some("weight>3".to_owned()), ..ListQuery::default() };
        assert!(Selection::of_user(&wrong).unwrap_err().detail().contains("lag, sent, bytes, age"));
    }

    #[test]
    fn a_page_far_down_the_list_of_a_cluster_is_refused() {
        let query = |scope: &str, page| {
            let (scope, limit) = (Some(scope.to_owned()), Some(1_000));
            ListQuery { scope, page: Some(page), limit, ..ListQuery::default() }
        };
        assert!(Selection::of_user(&query("cluster", 100)).is_ok());
        let refusal = Selection::of_user(&query("cluster", 101)).unwrap_err().detail();
        assert!(refusal.contains("100000 rows") && refusal.contains("filter"), "{refusal}");
        assert!(Selection::of_user(&query("node", u64::MAX)).is_ok());
    }
}
