//! Whether any mailbox still holds messages at the end: `GET /api/sse/users/{userId}/pending` for every user that was
//! published to with a mailbox. Read [`look`] first.

use std::time::Duration;

use futures_util::StreamExt as _;

use crate::bench::verdict::history::facts::MailboxReport;
use crate::protocol::UserId;
use crate::protocol::api::Pending;

/// Time limit of one mailbox.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Mailboxes read at once.
const AT_ONCE: usize = 32;
/// Users named in a message.
const NAMED: usize = 5;

/// The mailboxes at the end of a run.
#[derive(Debug, Default)]
pub(super) struct Emptiness {
    pub(super) report: MailboxReport,
    /// Users with waiting messages, and how many.
    full: Vec<(UserId, usize)>,
    /// Why a mailbox could not be read.
    pub(super) unread: Option<String>,
}

impl Emptiness {
    /// The problem as text; `None` where all mailboxes are empty.
    pub(super) fn problem_message(&self) -> String {
        let named = self.full.iter().take(NAMED);
        let users: Vec<String> = named.map(|(user, count)| format!("{user} ({count})")).collect();
        let (pending, full, read) = (self.report.pending, self.full.len(), self.report.read);
        let more = if full > NAMED { ", …" } else { "" };
        format!("{pending} messages wait in {full} of {read} mailboxes: {}{more}", users.join(", "))
    }

    fn add(&mut self, user: UserId, waiting: usize) {
        self.report.read += 1;
        self.report.pending += waiting as u64;
        if waiting > 0 {
            self.full.push((user, waiting));
        }
    }
}

/// Reads all mailboxes, each from one of the nodes in turn, or from the next node where one does not answer.
pub(super) async fn look(http: &reqwest::Client, bases: Vec<String>, users: Vec<UserId>) -> Emptiness {
    let mut found = Emptiness::default();
    let bases = &bases;
    let looks = users.into_iter().enumerate().map(|(turn, user)| async move {
        let mut result = None;
        for base in bases.iter().cycle().skip(turn % bases.len().max(1)).take(bases.len()) {
            match waiting(http, base, &user).await {
                Ok(waiting) => return (user, Some(Ok(waiting))),
                Err(error) => result = Some(Err(error)),
            }
        }
        (user, result)
    });
    let mut looking = std::pin::pin!(futures_util::stream::iter(looks).buffered(AT_ONCE));
    while let Some((user, waiting)) = looking.next().await {
        match waiting {
            Some(Ok(waiting)) => found.add(user, waiting),
            Some(Err(error)) => found.unread = Some(format!("{user}: {error}")),
            None => found.unread = Some(format!("{user}: there is no node to ask")),
        }
    }
    found
}

async fn waiting(http: &reqwest::Client, base: &str, user: &UserId) -> Result<usize, reqwest::Error> {
    let path = crate::protocol::path::publish_path(&crate::protocol::Address::User(user.clone()));
    let request = http.get(format!("{base}{path}/pending")).timeout(LOOK_TIMEOUT);
    let pending: Pending = request.send().await?.error_for_status()?.json().await?;
    Ok(pending.messages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_names_the_first_users_with_something_in_their_mailbox() {
        let mut found = Emptiness::default();
        for number in 0..8 {
            found.add(UserId::parse(&format!("u{number}")).unwrap(), number % 2 * 3);
        }
        assert_eq!(found.report, MailboxReport { read: 8, pending: 12 });
        assert_eq!(
            found.problem_message(),
            "12 messages wait in 4 of 8 mailboxes: u1 (3), u3 (3), u5 (3), u7 (3)"
        );
    }
}
