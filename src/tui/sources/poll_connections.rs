//! The task that polls the part of the list of connections on the screen: at once when another part is wanted, then
//! once per interval. Read [`ConnectionPoller::follow`] first.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tui::sources::clock::Clock;
use crate::tui::sources::fetch::Fetcher;
use crate::tui::sources::mask::Mask;
use crate::tui::state::connections::{ListQuery, ListResult};
use crate::tui::state::message::Message;

/// The wait is at least this many times the duration of the last request, so that a list of a hundred thousand
/// streams is polled less often than one of ten.
const SHARE: u32 = 5;

/// Polls the list of connections.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPoller {
    pub(crate) fetcher: Fetcher,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) mask: Mask,
    pub(crate) messages: Sender<Message>,
}

impl ConnectionPoller {
    /// Polls the wanted part until the token is cancelled.
    pub(crate) async fn follow(
        self,
        mut wanted: watch::Receiver<Option<ListQuery>>,
        token: CancellationToken,
    ) {
        // Cutting a request short loses nothing: it changes nothing on the node.
        tokio::select! {
            () = token.cancelled() => {}
            () = self.ask_forever(&mut wanted) => {}
        }
    }

    async fn ask_forever(&self, wanted: &mut watch::Receiver<Option<ListQuery>>) {
        loop {
            let query = wanted.borrow_and_update().clone();
            let round = async {
                if let Some(query) = query {
                    let began = Instant::now();
                    self.ask(query).await;
                    tokio::time::sleep(self.interval.max(began.elapsed() * SHARE)).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                () = round => {}
            }
        }
    }

    async fn ask(&self, query: ListQuery) {
        let outcome = self.mask.page(self.fetcher.list(&query).await);
        let listed = ListResult { query, at: self.clock.now(), outcome };
        // Fails when the console is ending.
        let _ended = self.messages.send(Message::Listed(Box::new(listed))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tasks;
    use crate::tui::sources::tests::server::Server;
    use crate::tui::state::connections::{ConnectionTable, ListError};
    use crate::tui::state::reading::FetchError;
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn another_part_is_asked_for_at_once() {
        let server = Server::with_connections(300).await;
        let (messages, mut received) = mpsc::channel(8);
        let fetcher = Fetcher::new(
            Duration::from_secs(5),
            crate::tui::config::credentials::Credentials::default(),
            &crate::client::HttpOptions::default(),
        )
        .unwrap();
        let lister = ConnectionPoller {
            fetcher,
            clock: Clock::start(),
            interval: LIMIT * 10,
            mask: Mask::default(),
            messages,
        };
        let tasks = Tasks::new();
        let mut connections = ConnectionTable::default();
        let (want, wanted) = watch::channel(Some(connections.query(server.url.clone(), 20)));
        tasks.spawn("lister", lister.follow(wanted, tasks.token().clone()));
        let mut offsets = Vec::new();
        for first in [0, 200] {
            let Some(Message::Listed(listed)) = tokio::time::timeout(LIMIT, received.recv()).await.unwrap()
            else {
                panic!("something else came");
            };
            let page = listed.outcome.unwrap();
            assert_eq!((page.matched, page.rows.len()), (300, 100));
            offsets.push(page.offset);
            connections.first = first + 200;
            want.send_replace(Some(connections.query(server.url.clone(), 20)));
        }
        assert_eq!(offsets, [0, 200]);
        let Some(Message::Listed(listed)) = tokio::time::timeout(LIMIT, received.recv()).await.unwrap()
        else {
            panic!("something else came");
        };
        assert_eq!(listed.outcome.unwrap().rows.len(), 0, "beyond the end");
        server.stop().await;
        want.send_replace(Some(connections.query("http://127.0.0.1:1".parse().unwrap(), 20)));
        let Some(Message::Listed(listed)) = tokio::time::timeout(LIMIT, received.recv()).await.unwrap()
        else {
            panic!("something else came");
        };
        assert!(matches!(listed.outcome, Err(ListError::Fetch(FetchError::Refused))));
        tasks.token().cancel();
        tasks.join(LIMIT).await.unwrap();
    }
}
