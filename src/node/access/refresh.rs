//! Where keys come from, and when they are read again: files when they have changed, a URL now and then, both when a
//! token names a key that is not known. Keys that cannot be read again stay as they were. Read [`Refresher::run`] first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::api_keys::ApiKeys;
use super::keys::{HmacSecret, Keys};
use crate::node::limits::{
    KEY_FILES_ASKED_EVERY, KEY_FILES_EVERY, KEY_URL_BYTES, KEY_URL_DEADLINE, KEY_URL_EVERY, KEYS_ASKED_EVERY,
    KEYS_WAIT,
};
use crate::runtime::root_cause;

/// Where public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    File(PathBuf),
    /// The URL of a JWKS.
    Url(reqwest::Url),
}

impl KeySource {
    /// A path, or a URL with `https`; `http` for this machine alone.
    ///
    /// # Errors
    /// A text that says what is wrong, and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let allowed = "allowed are a file with public keys (PEM or JWKS), and the https URL of a JWKS";
        if !text.contains("://") {
            read_keys(Path::new(text))?;
            return Ok(Self::File(text.into()));
        }
        let url: reqwest::Url = text.parse().map_err(|error| format!("it is no URL ({error}); {allowed}"))?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                Err(format!("a user or password in it would stand in logs; {allowed}"))
            }
            "https" => Ok(Self::Url(url)),
            "http" if is_here => Ok(Self::Url(url)),
            "http" => Err(format!("over http anybody between could give keys of their own; {allowed}")),
            _ => Err(allowed.to_owned()),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn read_keys(path: &Path) -> Result<Keys, String> {
    Keys::parse(&read(path)?).map_err(|why| format!("{}: {why}", path.display()))
}

/// Reads a file of API keys.
///
/// # Errors
/// A text that names the file, the line and what is allowed.
pub(crate) fn read_api_keys(path: &Path) -> Result<ApiKeys, String> {
    ApiKeys::parse(&read(path)?).map_err(|why| format!("{}: {why}", path.display()))
}

/// What a node knows of credentials at the moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) keys: Arc<Keys>,
    pub(super) api_keys: Arc<ApiKeys>,
}

/// The wish of a request to know newer keys.
#[derive(Debug, Default)]
pub(super) struct Wish {
    is_open: AtomicBool,
    made: Notify,
}

/// Reads keys, once at start and then whenever they may have changed.
#[derive(Debug)]
pub(crate) struct Refresher {
    pub(crate) keys: Option<KeySource>,
    pub(crate) secret: Option<HmacSecret>,
    pub(crate) api_keys: Option<PathBuf>,
    /// For a URL.
    http: Option<reqwest::Client>,
    known: watch::Sender<Known>,
    wish: Arc<Wish>,
    /// When the public keys were looked at last.
    asked: Option<Instant>,
}

impl Refresher {
    /// Reads the files. A URL is asked by [`Self::run`], since a node must start without its issuer.
    ///
    /// # Errors
    /// A text that says what cannot be read.
    pub(crate) fn new(
        keys: Option<KeySource>,
        secret: Option<HmacSecret>,
        api_keys: Option<PathBuf>,
    ) -> Result<Self, String> {
        let http = matches!(keys, Some(KeySource::Url(_))).then(client).transpose()?;
        let known = watch::Sender::new(Known::default());
        let refresher = Self { keys, secret, api_keys, http, known, wish: Arc::default(), asked: None };
        let public = match &refresher.keys {
            Some(KeySource::File(path)) => read_keys(path)?,
            Some(KeySource::Url(_)) | None => Keys::default(),
        };
        let keys = Arc::new(refresher.with_secret(public)?);
        let api_keys = refresher.api_keys.as_deref().map(read_api_keys).transpose()?.unwrap_or_default();
        refresher.known.send_replace(Known { keys, api_keys: Arc::new(api_keys) });
        Ok(refresher)
    }

    fn with_secret(&self, keys: Keys) -> Result<Keys, String> {
        match &self.secret {
            Some(secret) => keys.with_secret(secret),
            None => Ok(keys),
        }
    }

    /// The side of the requests.
    pub(super) fn known(&self) -> (watch::Receiver<Known>, Arc<Wish>) {
        (self.known.subscribe(), Arc::clone(&self.wish))
    }

    /// Reads keys again until the token is cancelled.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        let mut files = tokio::time::interval(KEY_FILES_EVERY);
        files.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_wish = tokio::select! {
                () = token.cancelled() => return,
                _ = files.tick() => false,
                () = self.wish.made.notified() => true,
            };
            let age = self.asked.map(|asked| asked.elapsed());
            if age.is_none_or(|age| age >= self.pause(is_wish)) {
                self.asked = Some(Instant::now());
                self.refresh_keys().await;
            }
            self.refresh_api_keys().await;
            self.wish.is_open.store(false, Ordering::SeqCst);
            // Also without news: requests wait for it.
            self.known.send_modify(|_| {});
        }
    }

    /// How long after one look at the public keys the next one is due.
    fn pause(&self, is_wish: bool) -> Duration {
        match &self.keys {
            // Until there are keys, each look is worth a try.
            Some(KeySource::Url(_)) if is_wish || self.known.borrow().keys.is_empty() => KEYS_ASKED_EVERY,
            Some(KeySource::Url(_)) => KEY_URL_EVERY,
            Some(KeySource::File(_)) | None if is_wish => KEY_FILES_ASKED_EVERY,
            Some(KeySource::File(_)) | None => Duration::ZERO,
        }
    }

    async fn refresh_keys(&mut self) {
        let Some(source) = self.keys.clone() else { return };
        let read = match &source {
            KeySource::File(path) => {
                let path = path.clone();
                blocking(move || read_keys(&path)).await
            }
            KeySource::Url(url) => fetch(self.http.as_ref(), url).await.and_then(|text| Keys::parse(&text)),
        };
        match read.and_then(|keys| self.with_secret(keys)) {
            Ok(keys) => self.known.send_modify(|known| known.keys = Arc::new(keys)),
            Err(why) => {
                tracing::warn!(why, "the keys of --token-keys cannot be read again; those read before stay");
            }
        }
    }

    async fn refresh_api_keys(&mut self) {
        let Some(path) = self.api_keys.clone() else { return };
        match blocking(move || read_api_keys(&path)).await {
            Ok(keys) => self.known.send_modify(|known| known.api_keys = Arc::new(keys)),
            Err(why) => tracing::warn!(why, "--api-keys cannot be read again; those read before stay"),
        }
    }
}

/// A read of a file may wait for a disk.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?
}

fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(KEY_URL_DEADLINE)
        .user_agent(concat!("sse-node/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("cannot create the HTTP client for keys: {}", root_cause(&error)))
}

async fn fetch(http: Option<&reqwest::Client>, url: &reqwest::Url) -> Result<String, String> {
    let http = http.ok_or_else(|| "there is no HTTP client".to_owned())?;
    let failed = |error: reqwest::Error| format!("{url} does not answer: {}", root_cause(&error));
    let response = http.get(url.clone()).send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("{url} answered {}", response.status()));
    }
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(failed)?);
        if body.len() > KEY_URL_BYTES {
            return Err(format!("the answer of {url} has more than {KEY_URL_BYTES} bytes"));
        }
    }
    String::from_utf8(body).map_err(|_| format!("the answer of {url} is no UTF-8"))
}

impl Wish {
    /// Waits for a look at the keys that begins now, or is under way.
    pub(super) async fn fulfilled(&self, known: &mut watch::Receiver<Known>) {
        known.mark_unchanged();
        if !self.is_open.swap(true, Ordering::SeqCst) {
            self.made.notify_one();
        }
        // Without news in time the caller goes on with the keys that there are.
        tokio::time::timeout(KEYS_WAIT, known.changed()).await.ok();
    }
}
