//! The tasks behind the console, which carry out its effects: one per node, one for the list of connections, one for
//! the stream of events, one per action. Read [`SourceTasks::carry_out`] first.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::runtime::Tasks;
use crate::runtime::exit::Failure;
use crate::tui::config::cli::Settings;
use crate::tui::sources::clock::Clock;
use crate::tui::sources::fetch::Fetcher;
use crate::tui::sources::mask::Mask;
use crate::tui::sources::poll_connections::ConnectionPoller;
use crate::tui::sources::poll_nodes::NodePoller;
use crate::tui::sources::stream_events::EventReader;
use crate::tui::state::action_request::ActionResult;
use crate::tui::state::connections::ListQuery;
use crate::tui::state::events::EventQuery;
use crate::tui::state::message::{Effect, Message};
use crate::tui::text::url::NodeUrl;

/// The tasks that send requests to nodes.
pub(crate) struct SourceTasks {
    poller: NodePoller,
    pub(crate) tasks: Tasks,
    tokens: HashMap<NodeUrl, CancellationToken>,
    list: watch::Sender<Option<ListQuery>>,
    events: watch::Sender<Option<EventQuery>>,
}

impl SourceTasks {
    pub(crate) fn start(
        settings: &Settings,
        fetcher: Fetcher,
        clock: Clock,
        messages: mpsc::Sender<Message>,
        tasks: Tasks,
    ) -> Result<Self, Failure> {
        let http = settings.http.build().map_err(|error| Failure::new(1, error))?;
        let interval = settings.interval;
        let (list, wanted_list) = watch::channel(None);
        let mask = Mask::new(settings.mask);
        let connection_poller = ConnectionPoller {
            fetcher: fetcher.clone(),
            clock,
            interval,
            mask: mask.clone(),
            messages: messages.clone(),
        };
        tasks.spawn("connection poller", connection_poller.follow(wanted_list, tasks.token().clone()));
        let (events, wanted_events) = watch::channel(None);
        let client_id = format!("sse-tui-{}", std::process::id());
        let credentials = fetcher.credentials.clone();
        let event_reader =
            EventReader { http, credentials, client_id, clock, mask, messages: messages.clone() };
        tasks.spawn("event reader", event_reader.follow(wanted_events, tasks.token().clone()));
        let poller = NodePoller { fetcher, clock, interval, messages };
        Ok(Self { poller, tasks, tokens: HashMap::new(), list, events })
    }

    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            // The event loop carries these out.
            Effect::Quit | Effect::QuitAndLeave | Effect::Mouse(_) => {}
            Effect::Follow(url) => self.follow(url, false),
            Effect::FollowUntrusted(url) => self.follow(url, true),
            Effect::Forget(url) => {
                if let Some(token) = self.tokens.remove(&url) {
                    token.cancel();
                }
            }
            Effect::List(query) => {
                self.list.send_replace(query);
            }
            Effect::ReadEvents(query) => {
                self.events.send_replace(query);
            }
            Effect::Check(url) => {
                let NodePoller { fetcher, messages, .. } = self.poller.clone();
                self.once("check", async move {
                    let access = fetcher.check(&url).await;
                    let _ended = messages.send(Message::Checked(access)).await;
                });
            }
            Effect::Act(request) => {
                let NodePoller { fetcher, messages, .. } = self.poller.clone();
                self.once("act", async move {
                    let outcome = fetcher.act(&request).await;
                    let acted = ActionResult { what: request.what, outcome };
                    let _ended = messages.send(Message::Acted(Box::new(acted))).await;
                });
            }
        }
    }

    fn follow(&mut self, url: NodeUrl, is_untrusted: bool) {
        self.poller.fetcher.credentials.note(&url, is_untrusted);
        let token = self.tasks.token().child_token();
        self.tasks.spawn("node poller", self.poller.clone().follow(url.clone(), token.clone()));
        if let Some(before) = self.tokens.insert(url, token) {
            before.cancel();
        }
    }

    /// Runs a task that ends by itself, or with the console.
    fn once(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.tasks.token().clone();
        self.tasks.spawn(name, async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = task => {}
            }
        });
    }
}
