//! Mailboxes: keeping, confirming, overflow.

use super::bed::{Bed, address, at_most, bytes_of, event, ids, mail, named};
use crate::broker::{LogLimits, MailCursor, PageLimit};

pub(super) async fn a_mailbox_keeps_what_asked_for_it_until_confirmed(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    log.put(event("not kept", "user:u")).await;
    let first = log.put(mail("m0", "user:u")).await;
    log.put(mail("other", "user:v")).await;
    log.put(mail("client", "client:u")).await;
    let second = log.put(mail("m1", "user:u")).await;
    log.put(mail("m2", "user:u")).await;

    assert_eq!(log.mailbox_ids("user:u").await, (named(0..3), 0));
    let whole = log.mailbox(&address("user:u")).await.unwrap().entries;
    assert_eq!(log.get(first).await.unwrap().as_ref(), whole.first());
    let bounds = log.look().await;
    assert_eq!((bounds.mailboxes, bounds.mailbox_messages, bounds.length), (3, 5, 6));

    assert_eq!(log.confirmed("user:u", second).await, 2);
    assert_eq!(log.confirmed("user:u", second).await, 0);
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..3), 0));
    assert_eq!(log.mailbox_ids("client:u").await, (vec!["client".to_owned()], 0));
    let newest = log.look().await.newest_cursor();
    assert_eq!(log.confirmed("user:u", newest).await, 1);
    let bounds = log.look().await;
    assert_eq!((bounds.mailboxes, bounds.mailbox_messages, bounds.length), (2, 2, 6));
    log.close().await;
}

pub(super) async fn a_mailbox_is_read_in_parts_also_while_its_front_goes(bed: &Bed) {
    const COUNT: usize = 150;
    let log = bed.open(LogLimits::default()).await;
    let mut cursors = Vec::new();
    for number in 0..COUNT {
        cursors.push(log.put(mail(&format!("m{number}"), "user:u")).await);
    }
    let owner = address("user:u");
    for (entries, confirm_at) in
        [(1, usize::MAX), (7, usize::MAX), (70, usize::MAX), (COUNT, usize::MAX), (7, 3)]
    {
        let (mut from, mut read, mut parts) = (MailCursor::default(), Vec::new(), 0);
        loop {
            let part = log.mail_after(&owner, from, PageLimit::entries(entries)).await.unwrap();
            assert!(part.entries.len() <= entries && (!part.entries.is_empty() || !part.more));
            read.extend(ids(&part.entries));
            let Some(last) = part.entries.last().filter(|_| part.more) else { break };
            from = MailCursor { after: last.cursor.position, index: part.index + part.entries.len() };
            parts += 1;
            if parts == confirm_at {
                assert_eq!(log.confirmed("user:u", cursors[9]).await, 10);
            }
        }
        assert_eq!(read, named(0..COUNT), "{entries} at a time");
    }
    let few_bytes = PageLimit { entries: COUNT, bytes: 1 };
    let part = log.mail_after(&owner, MailCursor::default(), few_bytes).await.unwrap();
    assert_eq!((ids(&part.entries), part.more), (named(10..11), true), "one at least");
    log.close().await;
}

pub(super) async fn only_users_and_clients_have_a_mailbox(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    for to in ["all", "topic:t", "node:n", "node:n/client:c"] {
        let cursor = log.put(mail(&format!("to {to}"), to)).await;
        assert_eq!(log.mailbox_ids(to).await, (vec![], 0));
        assert_eq!(log.confirmed(to, cursor).await, 0);
    }
    assert_eq!(log.look().await.mailbox_messages, 0);
    log.close().await;
}

pub(super) async fn a_full_mailbox_drops_its_oldest_and_says_so_until_told(bed: &Bed) {
    let log = bed.open(LogLimits { mailbox_max_messages: 3, ..LogLimits::default() }).await;
    let mut cursors = Vec::new();
    for n in 0..5 {
        cursors.push(log.put(mail(&format!("m{n}"), "user:u")).await);
    }
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..5), 2));
    assert_eq!(log.look().await.mailbox_messages, 3);
    // Reaches the first dropped message, not the second.
    assert_eq!(log.confirmed("user:u", cursors[0]).await, 0);
    assert_eq!(log.mailbox_ids("user:u").await, (named(2..5), 2));
    assert_eq!(log.confirmed("user:u", cursors[2]).await, 1);
    assert_eq!(log.mailbox_ids("user:u").await, (named(3..5), 0));
    // A new overflow counts from zero.
    for n in 5..8 {
        log.put(mail(&format!("m{n}"), "user:u")).await;
    }
    assert_eq!(log.mailbox_ids("user:u").await, (named(5..8), 2));
    let newest = log.look().await.newest_cursor();
    assert_eq!(log.confirmed("user:u", newest).await, 3);
    assert_eq!(log.mailbox_ids("user:u").await, (vec![], 0));
    assert_eq!((log.look().await.mailboxes, log.look().await.mailbox_messages), (0, 0));
    log.close().await;
}

pub(super) async fn all_mailboxes_together_are_bounded_and_the_oldest_mail_is_told_as_dropped(bed: &Bed) {
    let log = bed.open(LogLimits { mailboxes_max_messages: 3, ..LogLimits::default() }).await;
    for n in 0..5 {
        log.put(mail(&format!("m{n}"), &format!("user:u{}", n / 2))).await;
    }
    // Redis looks at it now and then.
    while log.look().await.mailbox_messages > 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(log.mailbox_ids("user:u0").await, (vec![], 2));
    assert_eq!(log.mailbox_ids("user:u1").await, (named(2..4), 0));
    assert_eq!(log.mailbox_ids("user:u2").await, (named(4..5), 0));
    assert_eq!((log.look().await.mailboxes, log.look().await.mailbox_messages), (2, 3));
    log.close().await;
}

pub(super) async fn all_mailboxes_together_are_bounded_and_the_oldest_messages_go_first(bed: &Bed) {
    if !bed.bounds_all_mailboxes() {
        return;
    }
    let one = bytes_of(&mail("m00", "user:00"));
    for (messages, bytes) in [(10, u64::MAX), (u64::MAX, 10 * one + one / 2)] {
        let limits = LogLimits {
            mailboxes_max_messages: messages,
            mailboxes_max_bytes: bytes,
            max_events: 3,
            ..LogLimits::default()
        };
        let bed = bed.anew();
        let log = bed.open(limits).await;
        for n in 0..25 {
            log.put(mail(&format!("m{n:02}"), &format!("user:{:02}", n % 8))).await;
            assert!(log.look().await.mailbox_messages <= 10);
        }
        let bounds = log.look().await;
        assert_eq!((bounds.mailboxes, bounds.mailbox_messages), (8, 10));
        let named = |numbers: &[u8]| numbers.iter().map(|n| format!("m{n}")).collect::<Vec<_>>();
        assert_eq!(log.mailbox_ids("user:00").await, (named(&[16, 24]), 2));
        assert_eq!(log.mailbox_ids("user:06").await, (named(&[22]), 2));
        assert_eq!(log.mailbox_ids("user:07").await, (named(&[15, 23]), 1));
        // The loss is told until it is confirmed; what is confirmed makes room.
        let newest = bounds.newest_cursor();
        assert_eq!(log.confirmed("user:00", newest).await, 2);
        assert_eq!(log.mailbox_ids("user:00").await, (vec![], 0));
        log.put(mail("m25", "user:07")).await;
        assert_eq!(log.mailbox_ids("user:07").await, (named(&[15, 23, 25]), 1));
        log.close().await;
    }
}

pub(super) async fn a_mailbox_outlives_the_trim_of_the_log(bed: &Bed) {
    let log = bed.open(at_most(2)).await;
    let kept = log.put(mail("kept", "client:c")).await;
    log.put_many(5).await;
    assert_eq!(log.get(kept).await.unwrap(), None);
    assert_eq!(log.mailbox_ids("client:c").await, (vec!["kept".to_owned()], 0));
    assert_eq!(log.confirmed("client:c", kept).await, 1);
    assert_eq!(log.mailbox_ids("client:c").await, (vec![], 0));
    log.close().await;
}

pub(super) async fn a_duplicate_is_not_put_into_the_mailbox_again(bed: &Bed) {
    let log = bed.open(LogLimits::default()).await;
    let cursor = log.put(mail("m0", "user:u")).await;
    assert!(log.append(mail("m0", "user:u")).await.unwrap().duplicate);
    assert_eq!(log.mailbox_ids("user:u").await, (named(0..1), 0));
    assert_eq!(log.confirmed("user:u", cursor).await, 1);
    assert!(log.append(mail("m0", "user:u")).await.unwrap().duplicate);
    assert_eq!(log.mailbox_ids("user:u").await, (vec![], 0));
    log.close().await;
}
