//! The tasks behind the console, and the effects that they carry out: one task a node, one for the list of connections,
//! one for the tail of events, and one for each thing that is done. Read [`Followers::carry_out`] first.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::act::Acted;
use super::cli::Settings;
use super::fetch::Fetcher;
use super::lister::Lister;
use super::listing::ListQuery;
use super::mask::Mask;
use super::message::{Effect, Message};
use super::poller::{Clock, Poller};
use super::tail::TailQuery;
use super::tailer::Tailer;
use super::url::NodeUrl;
use crate::client::HttpOptions;
use crate::runtime::Tasks;
use crate::runtime::exit::Failure;

/// The tasks that ask the nodes.
pub(super) struct Followers {
    poller: Poller,
    pub(super) tasks: Tasks,
    tokens: HashMap<NodeUrl, CancellationToken>,
    list: watch::Sender<Option<ListQuery>>,
    tail: watch::Sender<Option<TailQuery>>,
}

impl Followers {
    pub(super) fn start(
        settings: &Settings,
        fetcher: Fetcher,
        clock: Clock,
        messages: mpsc::Sender<Message>,
        tasks: Tasks,
    ) -> Result<Self, Failure> {
        let http = HttpOptions::default().build().map_err(|error| Failure::new(1, error))?;
        let interval = settings.interval;
        let (list, wanted_list) = watch::channel(None);
        let mask = Mask::new(settings.mask);
        let lister = Lister {
            fetcher: fetcher.clone(),
            clock,
            interval,
            mask: mask.clone(),
            messages: messages.clone(),
        };
        tasks.spawn("lister", lister.follow(wanted_list, tasks.token().clone()));
        let (tail, wanted_tail) = watch::channel(None);
        let client_id = format!("sse-tui-{}", std::process::id());
        let credentials = fetcher.credentials.clone();
        let tailer = Tailer { http, credentials, client_id, clock, mask, messages: messages.clone() };
        tasks.spawn("tailer", tailer.follow(wanted_tail, tasks.token().clone()));
        let poller = Poller { fetcher, clock, interval, messages };
        Ok(Self { poller, tasks, tokens: HashMap::new(), list, tail })
    }

    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            // The loop's own.
            Effect::Quit | Effect::QuitAndLeave | Effect::Mouse(_) => {}
            Effect::Follow(url) => self.follow(url, false),
            Effect::FollowStranger(url) => self.follow(url, true),
            Effect::Forget(url) => {
                if let Some(token) = self.tokens.remove(&url) {
                    token.cancel();
                }
            }
            Effect::List(query) => {
                self.list.send_replace(query);
            }
            Effect::Tail(query) => {
                self.tail.send_replace(query);
            }
            Effect::Check(url) => {
                let Poller { fetcher, messages, .. } = self.poller.clone();
                self.once("check", async move {
                    let access = fetcher.check(&url).await;
                    let _ended = messages.send(Message::Checked(access)).await;
                });
            }
            Effect::Act(act) => {
                let Poller { fetcher, messages, .. } = self.poller.clone();
                self.once("act", async move {
                    let outcome = fetcher.act(&act).await;
                    let acted = Acted { what: act.what, outcome };
                    let _ended = messages.send(Message::Acted(Box::new(acted))).await;
                });
            }
        }
    }

    fn follow(&mut self, url: NodeUrl, is_stranger: bool) {
        self.poller.fetcher.credentials.note(&url, is_stranger);
        let token = self.tasks.token().child_token();
        self.tasks.spawn("poller", self.poller.clone().follow(url.clone(), token.clone()));
        if let Some(before) = self.tokens.insert(url, token) {
            before.cancel();
        }
    }

    /// Runs something that ends by itself, or with the console.
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
