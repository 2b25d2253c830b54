//! The console at work: tasks that ask the nodes, the terminal, and the loop between them. Read [`run`] first.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, BufWriter, Write as _};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event, EventStream, MouseButton, MouseEventKind};
use futures_util::StreamExt as _;
use ratatui::layout::{Position, Size};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::act::Acted;
use super::cli::{Command, Settings};
use super::fetch::Fetcher;
use super::followers::Followers;
use super::keymap::Step;
use super::message::{Access, Effect, Message};
use super::model::{Model, Source};
use super::plain::Plain;
use super::poller::Clock;
use super::press;
use super::record::{Head, Player, Recorder};
use super::run::Run;
use super::runner::{RunSource, Runner};
use super::screen;
use super::terminal::{self, Screen};
use super::update::update;
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
    /// The same, and what was shown is to stay.
    QuitAndLeave,
    TerminalGone,
    TaskFailed,
}

async fn console(settings: Settings) -> Result<u8, Failure> {
    if !terminal::is_there() {
        return Err(Failure::new(2, "standard output is not a terminal")
            .tip("`sse-tui --once` prints one reading to wherever standard output goes"));
    }
    let fetcher =
        Fetcher::new(settings.timeout, settings.credentials()).map_err(|error| Failure::new(1, error))?;
    let player = settings.replay.as_deref().map(Player::open).transpose();
    let player = player.map_err(|why| Failure::new(2, format!("--replay {why}")))?;
    let recorder = recorder(&settings)?;
    let signals = Console::listen().map_err(|error| Failure::new(1, error))?;
    let screen = Screen::take().map_err(|error| {
        Failure::new(2, error).tip("the console needs a terminal for its keys; `sse-tui --once` does not")
    })?;
    let tasks = Tasks::new();
    let (sender, messages) = mpsc::channel(QUEUE);
    let clock = Clock::start();
    let model = model(&settings, player.as_ref().map(|player| &player.head));
    let followers = Followers::start(&settings, fetcher, clock, sender.clone(), tasks.clone())?;
    let mut console = Console {
        model,
        screen,
        signals: signals.0,
        hang_up: signals.1,
        keys: EventStream::new(),
        messages,
        clock,
        followers,
        recorder,
        panics_from: settings.panic_drawing,
    };
    start_source(&mut console.followers, &settings, player, sender);
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
        Ended::QuitAndLeave => {
            let shown = console.screen.shown(|frame| view(&console.model, frame));
            drop(console);
            // Whoever closed the terminal at this moment does not want to see it.
            let _gone = shown.and_then(|shown| io::stdout().write_all(shown.as_bytes()));
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

/// Starts what tells the console something: a recording, or the nodes and perhaps a run of the bench.
fn start_source(
    followers: &mut Followers,
    settings: &Settings,
    player: Option<Player>,
    messages: mpsc::Sender<Message>,
) {
    let token = followers.tasks.token().clone();
    if let Some(player) = player {
        followers.tasks.spawn("player", player.play(settings.speed, messages, token));
        return;
    }
    for url in &settings.nodes {
        followers.carry_out(Effect::Follow(url.clone()));
    }
    if let Some(source) = settings.run.clone() {
        followers.tasks.spawn("runner", Runner { source, messages }.follow(token));
    }
}

/// What is shown before anything happened.
fn model(settings: &Settings, replayed: Option<&Head>) -> Model {
    let (nodes, interval) = match replayed {
        Some(head) => (&head.nodes, head.interval),
        None => (&settings.nodes, settings.interval),
    };
    let mut model = Model::new(nodes, interval, settings.theme);
    model.keymap = Arc::new(settings.keymap.clone());
    if let Some(head) = replayed {
        model.source = Source::Recording;
        model.run = head.run.as_deref().map(Run::new);
        return model;
    }
    model.access = if settings.token.is_some() { Access::Unknown } else { Access::ReadOnly };
    model.tail.topics.clone_from(&settings.topics);
    model.is_masked = settings.mask;
    if let Some(place) = run_place(settings) {
        model.run = Some(Run::new(&place));
        press::show(&mut model, screen::Screen::Bench);
    }
    model
}

fn run_place(settings: &Settings) -> Option<String> {
    settings.run.as_ref().map(|source| match source {
        RunSource::Directory(dir) => dir.display().to_string(),
        RunSource::StandardInput => "standard input".to_owned(),
    })
}

fn recorder(settings: &Settings) -> Result<Option<Recorder<BufWriter<File>>>, Failure> {
    let Some(path) = &settings.record else { return Ok(None) };
    let head = Head::new(&settings.nodes, settings.interval, run_place(settings));
    let recorder = Recorder::create(path, head).map_err(|error| {
        Failure::new(2, format!("--record {}: {error}", path.display()))
            .tip("a recording needs a file that is new")
    })?;
    Ok(Some(recorder))
}

struct Console {
    model: Model,
    recorder: Option<Recorder<BufWriter<File>>>,
    screen: Screen,
    signals: Signals,
    hang_up: Signal,
    keys: EventStream,
    messages: mpsc::Receiver<Message>,
    clock: Clock,
    followers: Followers,
    /// From when on drawing panics, to try whether the terminal is given back.
    panics_from: Option<Duration>,
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
        self.apply([Message::Resized(size)], Next::Nothing);
        if self.model.source == Source::Nodes {
            self.apply([Message::Tick(self.clock.now())], Next::Nothing);
        }
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
                _ = ticks.tick(), if self.model.source == Source::Nodes => Woken::Tick,
                _ = self.messages.recv_many(&mut batch, BATCH) => Woken::Messages,
            };
            let next = match woken {
                Woken::Signal => Next::End(Ended::Quit),
                Woken::HangUp => Next::End(Ended::TerminalGone),
                Woken::TaskFailed => Next::End(Ended::TaskFailed),
                Woken::Input(event) => self.input(event).await,
                Woken::Frame => Next::DrawNow,
                Woken::Tick => self.apply([Message::Tick(self.clock.now())], Next::Dirty),
                Woken::Messages => {
                    let is_seen = batch.iter().any(|message| self.model.shows(message));
                    self.apply(batch.drain(..), if is_seen { Next::Dirty } else { Next::Nothing })
                }
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
            Event::Mouse(mouse) => {
                let position = Position { x: mouse.column, y: mouse.row };
                match mouse.kind {
                    MouseEventKind::ScrollDown => {
                        self.apply([Message::Scrolled(Step::Down, position)], Next::Dirty)
                    }
                    MouseEventKind::ScrollUp => {
                        self.apply([Message::Scrolled(Step::Up, position)], Next::Dirty)
                    }
                    MouseEventKind::Down(MouseButton::Left) => {
                        self.apply([Message::Clicked(position)], Next::DrawNow)
                    }
                    _ => Next::Nothing,
                }
            }
            Event::Paste(text) => self.apply([Message::Pasted(text)], Next::DrawNow),
            Event::FocusGained | Event::FocusLost => Next::Nothing,
        }
    }

    /// Applies messages and carries out what they ask for; `then` follows unless that is to end.
    fn apply(&mut self, messages: impl IntoIterator<Item = Message>, then: Next) -> Next {
        for message in messages {
            self.record(&message);
            for effect in update(&mut self.model, message) {
                match effect {
                    Effect::Quit => return Next::End(Ended::Quit),
                    Effect::QuitAndLeave => return Next::End(Ended::QuitAndLeave),
                    Effect::Mouse(on) if self.screen.mouse(on).is_err() => {
                        return Next::End(Ended::TerminalGone);
                    }
                    Effect::Mouse(_) => {}
                    effect => self.followers.carry_out(effect),
                }
            }
        }
        then
    }

    /// A recording that cannot go on is told once; the console goes on.
    fn record(&mut self, message: &Message) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Err(error) = recorder.record(message) {
            self.recorder = None;
            let acted = Acted { what: "recording".to_owned(), outcome: Err(Plain::new(&error.to_string())) };
            // It asks for nothing.
            let _none = update(&mut self.model, Message::Acted(Box::new(acted)));
        }
    }

    fn draw(&mut self) -> Result<(), Ended> {
        let Self { screen, model, clock, panics_from, .. } = self;
        let panics = panics_from.is_some_and(|from| clock.now().elapsed >= from);
        screen
            .draw(|frame| {
                view(model, frame);
                assert!(!panics, "asked to by --panic-drawing");
            })
            .map_err(|_gone| Ended::TerminalGone)
    }
}

/// A timer that does not make up for what it missed.
fn steady(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    timer
}
