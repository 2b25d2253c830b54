//! The request that opens a client's stream: URL, cursor, headers and cookies. Sends nothing. Read [`Subscriber::request`]
//! first.

use reqwest::Url;
use reqwest::header::{COOKIE, HeaderName, HeaderValue};

use super::subscriber::Subscriber;
use crate::bench::load::balancer::Endpoint;
use crate::bench::scenario;
use crate::bench::scenario::dialect::{Dialect, Resume};
use crate::client::{DecoderKind, Request};
use crate::protocol::{Limits, UserId};

impl Subscriber {
    /// The request for the next stream. The error says which part of the scenario makes no valid request.
    pub(super) fn request(&self, endpoint: Endpoint) -> Result<Request, String> {
        let base = self.context.balancer.base(endpoint);
        let dialect = self.context.plan.dialect.as_ref();
        let mut request = Request::new(match (&self.context.adhoc, dialect) {
            (Some(adhoc), _) => adhoc.url(self.plan().id)?,
            (None, Some(dialect)) => self.url_in(dialect, base)?,
            (None, None) => self.url(base)?,
        });
        self.reconnect.last_event_id().clone_into(&mut request.last_event_id);
        request.sends_last_event_id = dialect.is_none_or(|dialect| dialect.resume == Resume::Header);
        request.idle_timeout = self.idle_timeout();
        request.decoder = match self.group().decoder {
            scenario::DecoderKind::Strict => DecoderKind::Strict,
            scenario::DecoderKind::EventsourceStream => DecoderKind::EventsourceStream,
        };
        let reading = self.reading();
        let max_event = usize::try_from(reading.max_event).unwrap_or(usize::MAX);
        request.limits = Limits { max_line: max_event, max_event };
        request.accept_encoding =
            HeaderValue::try_from(&reading.accept_encoding).map_err(|error| error.to_string())?;
        for (name, value) in self.group().headers_of(self.plan()) {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            request.headers.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
        }
        if !self.cookies.is_empty() {
            let cookies =
                HeaderValue::try_from(self.cookies.join("; ")).map_err(|error| error.to_string())?;
            request.headers.append(COOKIE, cookies);
        }
        Ok(request)
    }

    /// Whether the next request carries a cursor.
    pub(super) fn sends_cursor(&self) -> bool {
        let dialect = self.context.plan.dialect.as_ref();
        !self.reconnect.last_event_id().is_empty()
            && dialect.is_none_or(|dialect| dialect.resume != Resume::No)
    }

    fn url(&self, base: &str) -> Result<Url, String> {
        let plan = self.plan();
        let mut url = Url::parse(&format!("{base}/api/sse/stream")).map_err(|error| error.to_string())?;
        let mut query = url.query_pairs_mut();
        query.append_pair("clientId", plan.client.as_str());
        if let Some(user) = &plan.user {
            query.append_pair("userId", user.as_str());
        }
        if !plan.topics.is_empty() {
            let topics: Vec<&str> = plan.topics.iter().map(|topic| topic.as_str()).collect();
            query.append_pair("topics", &topics.join(","));
        }
        if let Some(format) = self.reading().asked_format {
            query.append_pair("format", format.as_str());
        }
        drop(query);
        Ok(url)
    }

    /// URL of the stream of another server.
    fn url_in(&self, dialect: &Dialect, base: &str) -> Result<Url, String> {
        let plan = self.plan();
        let all = &self.context.plan.addresses;
        let addresses = plan.addresses.iter().filter_map(|id| all.get(usize::try_from(id.0).ok()?));
        let who = (plan.client.as_str(), plan.user.as_ref().map(UserId::as_str));
        let path = dialect.stream_path(who, addresses);
        let mut url = Url::parse(&format!("{base}{path}")).map_err(|error| error.to_string())?;
        let cursor = self.reconnect.last_event_id();
        if let Resume::Query(name) = &dialect.resume
            && !cursor.is_empty()
        {
            url.query_pairs_mut().append_pair(name, cursor);
        }
        Ok(url)
    }

    /// Keeps the newest value of each cookie.
    pub(super) fn keep_cookies(&mut self, cookies: &[String]) {
        let name = |cookie: &str| cookie.split('=').next().map(str::to_owned);
        for cookie in cookies {
            self.cookies.retain(|kept| name(kept) != name(cookie));
            self.cookies.push(cookie.clone());
        }
    }
}
