//! The event loop: messages of the sources and keys change the model, frames go to the terminal, effects go to the
//! sources. Read [`run`] first.

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

use crate::runtime::exit::Failure;
use crate::runtime::{Signals, Tasks};
use crate::tui::config::cli::{self, Command, Settings};
use crate::tui::config::key::Step;
use crate::tui::config::run_source::RunSource;
use crate::tui::config::screen;
use crate::tui::snapshot;
use crate::tui::sources::clock::Clock;
use crate::tui::sources::fetch::Fetcher;
use crate::tui::sources::follow_run::RunFollower;
use crate::tui::sources::recording::{Head, Player, Recorder};
use crate::tui::sources::tasks::SourceTasks;
use crate::tui::state::action_request::ActionResult;
use crate::tui::state::bench_run::Run;
use crate::tui::state::message::{Access, Effect, Message};
use crate::tui::state::model::{Model, Source};
use crate::tui::terminal::{self, Screen};
use crate::tui::text::sanitize::SafeText;
use crate::tui::update::actions;
use crate::tui::update::apply::update;
use crate::tui::view::draw::view;

/// At most ten frames per second; a key gets its frame at once.
const FRAME: Duration = Duration::from_millis(100);
/// Ticks per interval, within limits: the screen shows ages to the second, and every step of the series needs two
/// ticks.
const TICKS: u32 = 4;
const TICK_MIN: Duration = Duration::from_millis(80);
const TICK_MAX: Duration = Duration::from_millis(500);
/// Capacity of the channel from the sources to the loop.
const QUEUE: usize = 64;
/// Messages that are applied before the loop checks for keys and frames again.
const BATCH: usize = 64;
/// Inputs that are applied before a frame is drawn, so that a paste does not draw a thousand frames.
const KEYS: usize = 256;
/// Longest wait for tasks to end.
const GRACE: Duration = Duration::from_secs(2);
/// Exit code when the terminal is gone: what a shell reports for SIGHUP.
const HUNG_UP: u8 = 129;

/// Runs the command of the command line and returns the exit code.
///
/// # Errors
/// An invalid command line, no terminal to draw on, or a panic in a task.
pub async fn run(args: cli::Args) -> Result<u8, Failure> {
    match args.command()? {
        Command::Print(text) => snapshot::print(&text),
        Command::Once(settings) => snapshot::run(settings).await,
        Command::Console(settings) => console(settings).await,
    }
}

/// Why the loop ended.
enum Ended {
    /// `q`, or a signal that asks for an orderly end.
    Quit,
    /// As `Quit`, and the last frame stays in the terminal.
    QuitAndLeave,
    TerminalGone,
    TaskFailed,
}

async fn console(settings: Settings) -> Result<u8, Failure> {
    if !terminal::is_there() {
        return Err(Failure::new(2, "standard output is not a terminal")
            .tip("`sse-tui --once` prints the figures once"));
    }
    let fetcher = Fetcher::new(settings.timeout, settings.credentials(), &settings.http)
        .map_err(|error| Failure::new(1, error))?;
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
    let source_tasks = SourceTasks::start(&settings, fetcher, clock, sender.clone(), tasks.clone())?;
    let mut console = Console {
        model,
        screen,
        signals: signals.0,
        hang_up: signals.1,
        keys: EventStream::new(),
        messages,
        clock,
        source_tasks,
        recorder,
    };
    start_source(&mut console.source_tasks, &settings, player, sender);
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
            // Fails only when the terminal was closed at this moment.
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
    // The tasks end with their token; one that does not end in time holds nothing to save.
    let _stragglers = tasks.join(GRACE).await;
    Ok(code)
}

/// Starts the source of messages: a recording, or the nodes and a bench run.
fn start_source(
    source_tasks: &mut SourceTasks,
    settings: &Settings,
    player: Option<Player>,
    messages: mpsc::Sender<Message>,
) {
    let token = source_tasks.tasks.token().clone();
    if let Some(player) = player {
        source_tasks.tasks.spawn("player", player.play(settings.speed, messages, token));
        return;
    }
    for url in &settings.nodes {
        source_tasks.carry_out(Effect::Follow(url.clone()));
    }
    if let Some(source) = settings.run.clone() {
        source_tasks.tasks.spawn("run follower", RunFollower { source, messages }.follow(token));
    }
}

/// The model before the first message.
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
    model.access = if settings.may_act() { Access::Unknown } else { Access::ReadOnly };
    model.live_events.topics.clone_from(&settings.topics);
    model.is_masked = settings.mask;
    if let Some(place) = run_place(settings) {
        model.run = Some(Run::new(&place));
        actions::show(&mut model, screen::Screen::Bench);
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
        let exists = error.kind() == io::ErrorKind::AlreadyExists;
        let failure = Failure::new(2, format!("--record {}: {error}", path.display()));
        if exists { failure.tip("--record needs a file that does not exist yet") } else { failure }
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
    source_tasks: SourceTasks,
}

/// The event that woke the loop.
enum Woken {
    Signal,
    HangUp,
    TaskFailed,
    Input(Option<io::Result<Event>>),
    Frame,
    Tick,
    Messages,
}

/// What follows a step of the loop.
enum Next {
    Nothing,
    /// Something visible changed; the frame may wait for the timer.
    Dirty,
    /// The user waits for this frame.
    DrawNow,
    End(Ended),
}

impl Console {
    /// Called before the terminal is taken, since a signal in between would leave it in raw mode.
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
        let failed = self.source_tasks.tasks.token().clone();
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

    /// Applies all waiting input before a frame is drawn.
    async fn input(&mut self, first: Option<io::Result<Event>>) -> Next {
        let mut next = self.one_input(first);
        for _ in 1..KEYS {
            if matches!(next, Next::End(_)) {
                break;
            }
            // Polled with this task's waker: the stream keeps the first waker it gets, so a no-op waker
            // (`now_or_never`) would delay the next key until the next tick.
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
            // Dragging a window resizes it fifty times per second, so the frame waits for the timer.
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

    /// Applies messages and carries out their effects. Returns `then`, or the end that an effect asked for.
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
                    effect => self.source_tasks.carry_out(effect),
                }
            }
        }
        then
    }

    /// After a write error the recording ends with a notice; the console goes on.
    fn record(&mut self, message: &Message) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Err(error) = recorder.record(message) {
            self.recorder = None;
            let acted = ActionResult {
                what: "recording".to_owned(),
                outcome: Err(SafeText::new(&error.to_string())),
            };
            // A notice has no effects.
            let _none = update(&mut self.model, Message::Acted(Box::new(acted)));
        }
    }

    fn draw(&mut self) -> Result<(), Ended> {
        let Self { screen, model, .. } = self;
        screen.draw(|frame| view(model, frame)).map_err(|_gone| Ended::TerminalGone)
    }
}

/// A timer that skips missed ticks.
fn steady(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    timer
}
