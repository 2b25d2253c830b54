//! One task per node: it asks the node once per interval, and after an error waits longer each time. Answers go into
//! a bounded channel; while that is full the node is not asked, so an answer that is received is never old. Read
//! [`NodePoller::follow`] first.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::runtime::Backoff;
use crate::tui::sources::clock::Clock;
use crate::tui::sources::fetch::Fetcher;
use crate::tui::state::message::{Answer, Failed, Message, Polled};
use crate::tui::state::reading::FetchError;
use crate::tui::text::url::NodeUrl;

/// Shortest first wait after an error, and longest wait unless the interval is longer.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Asks nodes; one clone per node.
#[derive(Debug, Clone)]
pub(crate) struct NodePoller {
    pub(crate) fetcher: Fetcher,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) messages: Sender<Message>,
}

impl NodePoller {
    /// Asks this node until the token is cancelled or the receiver of the messages is gone.
    pub(crate) async fn follow(self, url: NodeUrl, token: CancellationToken) {
        // Cutting a request short loses nothing: it changes nothing on the node.
        tokio::select! {
            () = token.cancelled() => {}
            () = self.poll(&url, || self.fetcher.read(&url)) => {}
        }
    }

    async fn poll<F>(&self, url: &NodeUrl, read: impl Fn() -> F)
    where
        F: Future<Output = Result<Answer, FetchError>>,
    {
        let range = (BACKOFF_MIN, BACKOFF_MAX.max(self.interval));
        let mut backoff = Backoff::new(range.0, range.1).expect("the first is a constant below the second");
        while let Ok(permit) = self.messages.reserve().await {
            let started = Instant::now();
            let outcome = read().await;
            let took = started.elapsed();
            let (outcome, wait) = match outcome {
                Ok(answer) => {
                    backoff.reset();
                    (Ok(answer), self.interval.saturating_sub(took))
                }
                Err(error) => {
                    let wait = backoff.next_wait(&mut rand::rng());
                    (Err(Failed { error, tries: backoff.attempt(), retry_in: wait }), wait)
                }
            };
            permit.send(Message::Polled(Box::new(Polled {
                url: url.clone(),
                at: self.clock.now(),
                outcome,
            })));
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::runtime::Tasks;
    use crate::tui::config::credentials::Credentials;
    use crate::tui::sources::tests::server::Server;
    use crate::tui::state::tests::fixture::{reading, url};
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    struct Following {
        tasks: Tasks,
        messages: mpsc::Receiver<Message>,
    }

    fn poller(interval: Duration, timeout: Duration) -> (NodePoller, mpsc::Receiver<Message>) {
        let (messages, received) = mpsc::channel(1);
        let fetcher =
            Fetcher::new(timeout, Credentials::default(), &crate::client::HttpOptions::default()).unwrap();
        (NodePoller { fetcher, clock: Clock::start(), interval, messages }, received)
    }

    fn follow(url: &NodeUrl, interval: Duration, timeout: Duration) -> Following {
        let (poller, messages) = poller(interval, timeout);
        let tasks = Tasks::new();
        tasks.spawn("poller", poller.follow(url.clone(), tasks.token().clone()));
        Following { tasks, messages }
    }

    impl Following {
        async fn next(&mut self) -> Polled {
            match tokio::time::timeout(LIMIT, self.messages.recv()).await.unwrap().unwrap() {
                Message::Polled(polled) => *polled,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn readings_come_and_trouble_is_counted_until_it_is_over() {
        let server = Server::hanging().await;
        let mut following = follow(&server.url, Duration::from_millis(10), Duration::from_millis(50));
        for tries in 1..=2 {
            let failed = following.next().await.outcome.unwrap_err();
            assert_eq!(failed.tries, tries);
            assert!(failed.retry_in >= BACKOFF_MIN / 2);
        }
        following.tasks.token().cancel();
        assert_eq!(following.tasks.join(LIMIT).await, Ok(()), "a cancelled poller ends at once");
        let server = Server::up("node-1").await;
        let mut following = follow(&server.url, Duration::from_millis(10), LIMIT);
        let (first, second) = (following.next().await, following.next().await);
        assert!(second.at.elapsed > first.at.elapsed);
        assert!(second.outcome.unwrap().rtt > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_takes_readings_the_node_is_left_alone() {
        let interval = Duration::from_secs(1);
        let (poller, mut received) = poller(interval, LIMIT);
        let (asked, url) = (AtomicUsize::new(0), url(1));
        let read = || {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok(Answer { rtt: Duration::ZERO, reading: reading("node-1", 1.0) }))
        };
        let check = async {
            // The channel holds one reading; while it lies there the poller waits for a permit.
            tokio::time::sleep(interval * 20).await;
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            received.recv().await.unwrap();
            tokio::time::sleep(interval * 20).await;
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        };
        tokio::select! {
            () = poller.poll(&url, read) => panic!("it polls as long as there is a receiver"),
            () = check => {}
        }
    }

    #[tokio::test]
    async fn a_poller_ends_when_nobody_listens() {
        let server = Server::up("node-1").await;
        let following = follow(&server.url, Duration::from_millis(1), LIMIT);
        drop(following.messages);
        assert_eq!(following.tasks.join(LIMIT).await, Ok(()));
    }
}
