//! Why attempts did not become streams, and what stands in the heads of those that did. Read [`causes`] first.

use std::time::Duration;

use crate::bench::metrics::format::readable;
use crate::bench::scenario::plan::Plan;
use crate::bench::verdict::diagnosis::finding::{Cause, Explained};
use crate::bench::verdict::diagnosis::observations::{Observations, Refusal, Refused, Why};
use crate::bench::verdict::ledger::AnomalyKind::NeverRecovered;
use crate::client::Head;

pub(in crate::bench::verdict::diagnosis) fn causes(seen: &Observations, plan: &Plan) -> Vec<Explained> {
    [login(seen), not_a_stream(seen), no_head(seen), server_error(seen), cors(seen, plan)]
        .into_iter()
        .flatten()
        .collect()
}

/// The refusals of a kind: the first one, and all of them counted.
fn all(seen: &Observations, is_meant: impl Fn(&Refusal) -> bool) -> Option<(&Refusal, Refused)> {
    let meant = || seen.refusals.iter().filter(|(refusal, _)| is_meant(refusal));
    let sum = meant().fold(Refused::default(), |sum, (_, more)| Refused {
        count: sum.count + more.count,
        gave_up: sum.gave_up + more.gave_up,
    });
    meant().next().map(|(first, _)| (first, sum))
}

fn is_redirected(refusal: &Refusal) -> bool {
    let is_page = match &refusal.why {
        Why::Status(status) => (300..=403).contains(status),
        Why::Type(_) => true,
        Why::Timeout(_) | Why::NoConnection | Why::Request => false,
    };
    is_page && refusal.redirected_to.is_some()
}

fn login(seen: &Observations) -> Option<Explained> {
    let (first, sum) = all(seen, is_redirected)?;
    let found = Explained::new(
        Cause::LoginRedirect,
        "The stream is redirected to a page, most likely a login, and a page is no stream",
        format!(
            "{} were sent on to {}, which answered {}",
            attempts(sum.count),
            first.redirected_to.as_deref().unwrap_or("another place"),
            answer(first)
        ),
        "answer a stream without a session with 401, not with a redirect; give the clients a token or a cookie \
         (clients.GROUP.headers)",
    );
    Some(found.explains(&[NeverRecovered]))
}

fn not_a_stream(seen: &Observations) -> Option<Explained> {
    let is_meant = |refusal: &Refusal| {
        let is_other = match &refusal.why {
            Why::Type(_) => true,
            Why::Status(status) => *status < 500,
            Why::Timeout(_) | Why::NoConnection | Why::Request => false,
        };
        is_other && !is_redirected(refusal)
    };
    let (first, sum) = all(seen, is_meant)?;
    let (what, remedy) = match &first.why {
        Why::Type(_) => (
            "The stream is answered with another type than text/event-stream",
            "send Content-Type: text/event-stream, and check the path: a page for everything else answers unknown ones too",
        ),
        _ => (
            "The server refuses streams, and a browser does not come back after any status but 200",
            "check path, token and headers of the clients; to send clients away for a while, answer 200 with a retry: and \
             end the stream",
        ),
    };
    let evidence = format!("{} were answered {}{}", attempts(sum.count), answer(first), gave_up(sum));
    Some(Explained::new(Cause::NotAStream, what, evidence, remedy).explains(&[NeverRecovered]))
}

fn no_head(seen: &Observations) -> Option<Explained> {
    let is_meant = |refusal: &Refusal| matches!(refusal.why, Why::Timeout(_)) && !refusal.is_disturbed;
    let (first, sum) = all(seen, is_meant)?;
    let Why::Timeout(limit) = first.why else { return None };
    let limit = readable(Duration::from_millis(limit));
    Some(Explained::new(
        Cause::NoHead,
        format!("There is no head of a response within {limit}: something buffers it until the first event"),
        format!("{} got no head within {limit}; {} streams were opened", attempts(sum.count), seen.streams),
        "send the head at once: flush it, and send a comment (a line with a colon) before there is an event; turn off \
         buffering in the proxy (nginx: proxy_buffering off, or X-Accel-Buffering: no)",
    ))
}

fn server_error(seen: &Observations) -> Option<Explained> {
    let status = |refusal: &Refusal| match refusal.why {
        Why::Status(status) if status >= 500 => Some(status),
        _ => None,
    };
    let (first, sum) = all(seen, |refusal| status(refusal).is_some())?;
    let (_, asked_to_wait) = all(seen, |refusal| status(refusal).is_some() && refusal.has_retry_after)
        .unwrap_or((first, Refused::default()));
    // Clients that do come back were told when, as from a server that drains.
    if sum.gave_up == 0 && asked_to_wait.count == sum.count {
        return None;
    }
    let code = status(first)?;
    let who = match &first.server {
        Some(server) => format!("{server} answered"),
        None if code == 502 || code == 504 => "a load balancer answered".to_owned(),
        None => "the server answered".to_owned(),
    };
    let found = Explained::new(
        Cause::ServerError,
        format!("Streams were answered with {code}, after which a browser stays away for good"),
        format!("{who} {code} to {}{}", attempts(sum.count), gave_up(sum)),
        "let the load balancer try another server, or close the connection without an answer: a browser comes back after a \
         broken connection; or let pages connect again by themselves when EventSource is closed",
    );
    Some(if sum.gave_up > 0 { found.explains(&[NeverRecovered]) } else { found })
}

/// Only for clients that say where their page is from: a page of the same origin needs no header at all.
fn cors(seen: &Observations, plan: &Plan) -> Option<Explained> {
    let headers = plan.groups.iter().flat_map(|group| &group.headers);
    let origin = headers
        .clone()
        .find(|(name, _)| name.eq_ignore_ascii_case("origin"))
        .map(|(_, value)| value.fill(0, 0));
    let origin = origin.as_deref();
    let sends_cookies = headers.clone().any(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let why = |head: &Head| match (head.allow_origin.as_deref(), origin) {
        (None, Some(_)) => Some("there is no Access-Control-Allow-Origin".to_owned()),
        (Some(many), _) if many.contains(',') => {
            Some(format!("Access-Control-Allow-Origin comes more than once: {many}"))
        }
        (Some("*"), _) if head.allows_credentials || (sends_cookies && origin.is_some()) => Some(
            "Access-Control-Allow-Origin is *, which a browser refuses where cookies are sent".to_owned(),
        ),
        (Some(other), Some(origin)) if other != "*" && other != origin => {
            Some(format!("Access-Control-Allow-Origin is {other}"))
        }
        (Some(_) | None, _) => None,
    };
    let (why, count) = seen.heads.iter().find_map(|(head, count)| Some((why(head)?, count)))?;
    let page = origin.map_or("another origin".to_owned(), |origin| format!("the origin {origin}"));
    Some(Explained::new(
        Cause::Cors,
        format!("CORS would keep a browser out: a page of {page} may not read the stream"),
        format!("in {count} heads {why}"),
        "answer with the one origin that asks, and with Access-Control-Allow-Credentials: true where cookies are sent; only \
         one of application and proxy may add these headers",
    ))
}

fn answer(refusal: &Refusal) -> String {
    match &refusal.why {
        Why::Status(status) => format!("with status {status}"),
        Why::Type(name) if name.is_empty() => "200 without a Content-Type".to_owned(),
        Why::Type(name) => format!("200 {name}"),
        Why::Timeout(_) | Why::NoConnection | Why::Request => "nothing".to_owned(),
    }
}

fn attempts(count: u64) -> String {
    if count == 1 { "1 attempt".to_owned() } else { format!("{count} attempts") }
}

fn gave_up(sum: Refused) -> String {
    match sum.gave_up {
        0 => String::new(),
        1 => "; 1 client stayed away from then on".to_owned(),
        clients => format!("; {clients} clients stayed away from then on"),
    }
}
