//! The console at work: tasks that ask the nodes, the terminal, and the loop between them. Read [`run`] first.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use ratatui::layout::Size;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::cli::{Command, Settings};
use super::fetch::Fetcher;
use super::message::{Effect, Message};
use super::model::Model;
use super::poller::{Clock, Poller};
use super::terminal::{self, Screen};
use super::update::update;
use super::url::NodeUrl;
use super::view::view;
use super::{cli, once};
use crate::runtime::exit::Failure;
use crate::runtime::{Signals, Tasks};

/// At most ten frames a second, unless a key asks for one.
const FRAME: Duration = Duration::from_millis(100);
/// Ticks an interval, within limits: ages and waits are shown to the second, and every step of the history needs a
/// tick or two.
const TICKS: u32 = 4;
const TICK_MIN: Duration = Duration::from_millis(80);
const TICK_MAX: Duration = Duration::from_millis(500);
/// Messages that wait between the pollers and the loop.
const QUEUE: usize = 64;
/// Messages that are applied before the loop looks at keys and frames again.
const BATCH: usize = 64;
/// Keys that are applied before a frame is drawn: a paste must not draw a thousand frames.
const KEYS: usize = 256;
/// The longest time that tasks may take to end.
const GRACE: Duration = Duration::from_secs(2);
/// Exit code of a process whose terminal vanished, as a shell reports SIGHUP.
const HUNG_UP: u8 = 129;

/// Runs the console, or whatever else the command line asks for, and gives the exit code.
///
/// # Errors
/// What the command line got wrong, no terminal to draw on, a panic in a task.
pub async fn run(args: cli::Args) -> Result<u8, Failure> {
    match args.command()? {
        Command::Print(text) => once::print(&text),
        Command::Once(settings) => once::run(settings).await,
        Command::Console(settings) => console(settings).await,
    }
}

/// Why the loop ended.
enum Ended {
    /// `q`, or a signal that asks for an orderly end.
    Quit,
    TerminalGone,
    TaskFailed,
}

async fn console(settings: Settings) -> Result<u8, Failure> {
    if !terminal::is_there() {
        return Err(Failure::new(2, "standard output is not a terminal")
            .tip("`sse-tui --once` prints one reading to wherever standard output goes"));
    }
    let fetcher = Fetcher::new(settings.timeout).map_err(|error| Failure::new(1, error))?;
    let signals = Console::listen().map_err(|error| Failure::new(1, error))?;
    let screen = Screen::take().map_err(|error| {
        Failure::new(2, error).tip("the console needs a terminal for its keys; `sse-tui --once` does not")
    })?;
    let tasks = Tasks::new();
    let (sender, messages) = mpsc::channel(QUEUE);
    let clock = Clock::start();
    let poller = Poller { fetcher, clock, interval: settings.interval, messages: sender };
    let mut console = Console {
        model: Model::new(&settings.nodes, settings.interval, settings.theme),
        screen,
        signals: signals.0,
        hang_up: signals.1,
        keys: EventStream::new(),
        messages,
        clock,
        followers: Followers { poller, tasks: tasks.clone(), tokens: HashMap::new() },
    };
    for url in settings.nodes {
        console.followers.carry_out(Effect::Follow(url));
    }
    if let Some(after) = settings.panic_after {
        tasks.spawn("panic", async move {
            tokio::time::sleep(after).await;
            panic!("asked to by --panic-after");
        });
    }
    let ended = console.event_loop().await;
    tasks.token().cancel();
    let code = match ended {
        Ended::Quit => {
            drop(console);
            0
        }
        Ended::TaskFailed => {
            drop(console);
            let reason = tasks.failure().unwrap_or_else(|| "a task failed".to_owned());
            return Err(Failure::new(1, reason));
        }
        Ended::TerminalGone => {
            console.screen.abandon();
            HUNG_UP
        }
    };
    // Pollers only listen to their token; whoever does not end by then holds nothing that must be saved.
    let _stragglers = tasks.join(GRACE).await;
    Ok(code)
}

struct Console {
    model: Model,
    screen: Screen,
    signals: Signals,
    hang_up: Signal,
    keys: EventStream,
    messages: mpsc::Receiver<Message>,
    clock: Clock,
    followers: Followers,
}

/// What the loop woke up for.
enum Woken {
    Signal,
    HangUp,
    TaskFailed,
    Input(Option<io::Result<Event>>),
    Frame,
    Tick,
    Messages,
}

/// What a step of the loop leaves behind.
enum Next {
    Nothing,
    /// Something visible changed; the frame may wait for its turn.
    Dirty,
    /// The user waits for it.
    DrawNow,
    End(Ended),
}

impl Console {
    /// Before the terminal is taken: a signal that comes in between must not leave it in raw mode.
    fn listen() -> io::Result<(Signals, Signal)> {
        Ok((Signals::listen()?, signal(SignalKind::hangup())?))
    }

    async fn event_loop(&mut self) -> Ended {
        let mut frames = steady(FRAME);
        let mut ticks = steady((self.model.live.interval / TICKS).clamp(TICK_MIN, TICK_MAX));
        let mut batch = Vec::with_capacity(BATCH);
        let Ok(size) = self.screen.size() else { return Ended::TerminalGone };
        self.apply([Message::Resized(size), Message::Tick(self.clock.now())], Next::Nothing);
        if let Err(ended) = self.draw() {
            return ended;
        }
        let mut is_dirty = false;
        let failed = self.followers.tasks.token().clone();
        loop {
            // Biased: input first, so that a flood of messages cannot delay a key. All arms are cancel-safe.
            let woken = tokio::select! {
                biased;
                _ = self.signals.next() => Woken::Signal,
                _ = self.hang_up.recv() => Woken::HangUp,
                () = failed.cancelled() => Woken::TaskFailed,
                event = self.keys.next() => Woken::Input(event),
                _ = frames.tick(), if is_dirty => Woken::Frame,
                _ = ticks.tick() => Woken::Tick,
                _ = self.messages.recv_many(&mut batch, BATCH) => Woken::Messages,
            };
            let next = match woken {
                Woken::Signal => Next::End(Ended::Quit),
                Woken::HangUp => Next::End(Ended::TerminalGone),
                Woken::TaskFailed => Next::End(Ended::TaskFailed),
                Woken::Input(event) => self.input(event).await,
                Woken::Frame => Next::DrawNow,
                Woken::Tick => self.apply([Message::Tick(self.clock.now())], Next::Dirty),
                Woken::Messages => self.apply(batch.drain(..), Next::Dirty),
            };
            match next {
                Next::Nothing => {}
                Next::Dirty => is_dirty = true,
                Next::End(ended) => return ended,
                Next::DrawNow => {
                    if let Err(ended) = self.draw() {
                        return ended;
                    }
                    is_dirty = false;
                }
            }
        }
    }

    /// Takes all the input there is before anything is drawn.
    async fn input(&mut self, first: Option<io::Result<Event>>) -> Next {
        let mut next = self.one_input(first);
        for _ in 1..KEYS {
            if matches!(next, Next::End(_)) {
                break;
            }
            // Polled with this task's own waker: the stream remembers the waker of whoever asked first, so one
            // that wakes nobody (`now_or_never`) would leave the next key lying until the next tick.
            let more = poll_fn(|context| Poll::Ready(self.keys.poll_next_unpin(context))).await;
            let Poll::Ready(event) = more else { break };
            next = match (next, self.one_input(event)) {
                (Next::DrawNow, Next::Nothing | Next::Dirty) => Next::DrawNow,
                (Next::Dirty, Next::Nothing) => Next::Dirty,
                (Next::Nothing | Next::Dirty | Next::DrawNow | Next::End(_), later) => later,
            };
        }
        next
    }

    fn one_input(&mut self, event: Option<io::Result<Event>>) -> Next {
        // The end of the input, or an error, means that the terminal is gone.
        let Some(Ok(event)) = event else { return Next::End(Ended::TerminalGone) };
        match event {
            Event::Key(key) => self.apply([Message::Key(key)], Next::DrawNow),
            // A window that is dragged resizes fifty times a second: the frame timer is soon enough.
            Event::Resize(width, height) => {
                self.apply([Message::Resized(Size { width, height })], Next::Dirty)
            }
            Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => Next::Nothing,
        }
    }

    /// Applies messages and carries out what they ask for; `then` follows unless that is to end.
    fn apply(&mut self, messages: impl IntoIterator<Item = Message>, then: Next) -> Next {
        for message in messages {
            for effect in update(&mut self.model, message) {
                if effect == Effect::Quit {
                    return Next::End(Ended::Quit);
                }
                self.followers.carry_out(effect);
            }
        }
        then
    }

    fn draw(&mut self) -> Result<(), Ended> {
        let Self { screen, model, .. } = self;
        screen.draw(|frame| view(model, frame)).map_err(|_gone| Ended::TerminalGone)
    }
}

/// A timer that does not make up for what it missed.
fn steady(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    timer
}

/// The tasks that ask the nodes.
struct Followers {
    poller: Poller,
    tasks: Tasks,
    tokens: HashMap<NodeUrl, CancellationToken>,
}

impl Followers {
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Quit => {}
            Effect::Follow(url) => {
                let token = self.tasks.token().child_token();
                self.tasks.spawn("poller", self.poller.clone().follow(url.clone(), token.clone()));
                if let Some(before) = self.tokens.insert(url, token) {
                    before.cancel();
                }
            }
            Effect::Forget(url) => {
                if let Some(token) = self.tokens.remove(&url) {
                    token.cancel();
                }
            }
        }
    }
}
