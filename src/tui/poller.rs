//! One task a node: asks it once an interval, and after trouble with growing waits. What it learns goes into a
//! bounded channel; while that is full the node is not asked, so what is handed over is never old.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use super::fetch::Fetcher;
use super::message::{Failed, Message, Moment, Polled};
use super::url::NodeUrl;
use crate::runtime::Backoff;

/// Shortest first wait after trouble, and longest wait of all unless the interval is longer.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Tells moments that are counted from its making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Moment {
        // A system clock before 1970 shows as 1970.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { elapsed: self.0.elapsed(), unix }
    }
}

/// What every poller needs.
#[derive(Debug, Clone)]
pub(crate) struct Poller {
    pub(crate) fetcher: Fetcher,
    pub(crate) clock: Clock,
    pub(crate) interval: Duration,
    pub(crate) messages: Sender<Message>,
}

impl Poller {
    /// Asks this node until the token is cancelled or nobody listens any more.
    pub(crate) async fn follow(self, url: NodeUrl, token: CancellationToken) {
        // Cutting a question short loses nothing: it changes nothing on the node.
        tokio::select! {
            () = token.cancelled() => {}
            () = self.ask_forever(url) => {}
        }
    }

    async fn ask_forever(self, url: NodeUrl) {
        let range = (BACKOFF_MIN, BACKOFF_MAX.max(self.interval));
        let mut backoff = Backoff::new(range.0, range.1).expect("the first is a constant below the second");
        while let Ok(place) = self.messages.reserve().await {
            let started = Instant::now();
            let outcome = self.fetcher.read(&url).await;
            let took = started.elapsed();
            let (outcome, wait) = match outcome {
                Ok(answer) => {
                    backoff.reset();
                    (Ok(answer), self.interval.saturating_sub(took))
                }
                Err(trouble) => {
                    let wait = backoff.next_wait(&mut rand::rng());
                    (Err(Failed { trouble, tries: backoff.attempt(), retry_in: wait }), wait)
                }
            };
            place.send(Message::Polled(Box::new(Polled { url: url.clone(), at: self.clock.now(), outcome })));
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Tasks;
    use crate::tui::fixture::Server;
    use tokio::sync::mpsc;

    const LIMIT: Duration = Duration::from_secs(30);

    struct Following {
        tasks: Tasks,
        messages: mpsc::Receiver<Message>,
    }

    fn follow(url: &NodeUrl, interval: Duration, timeout: Duration) -> Following {
        let (sender, messages) = mpsc::channel(1);
        let fetcher = Fetcher::new(timeout, crate::tui::credentials::Credentials::default()).unwrap();
        let poller = Poller { fetcher, clock: Clock::start(), interval, messages: sender };
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

    #[tokio::test]
    async fn while_nobody_takes_readings_the_node_is_left_alone() {
        let server = Server::up("node-1").await;
        let mut following = follow(&server.url, Duration::from_millis(1), LIMIT);
        // The channel holds one reading; while it lies there the poller waits for the place, not for the node.
        let deadline = Instant::now() + LIMIT;
        while following.messages.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let asked = server.asked();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(server.asked(), asked);
        following.next().await;
        following.next().await;
        assert!(server.asked() > asked);
    }

    #[tokio::test]
    async fn a_poller_ends_when_nobody_listens() {
        let server = Server::up("node-1").await;
        let following = follow(&server.url, Duration::from_millis(1), LIMIT);
        drop(following.messages);
        assert_eq!(following.tasks.join(LIMIT).await, Ok(()));
    }
}
