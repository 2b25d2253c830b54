//! Users and passwords, of Redis and of its sentinels.

use std::sync::Arc;
use std::time::Duration;

use super::ablation::Ablation;
use super::load::{event, open};
use crate::broker::redis::Redis;
use crate::broker::tests::redis_server::{Server, sentinel};
use crate::broker::{BrokerUrl, Durability, LogLimits, NewEvent, PageLimit};
use crate::protocol::Address;
use crate::runtime::Tasks;

/// Why this URL cannot be used.
async fn refusal(url: &str) -> String {
    let BrokerUrl::Redis(url) = url.parse().unwrap() else { unreachable!() };
    let opened = Redis::open(&url, LogLimits::default(), Durability::Accepted, &Tasks::new()).await;
    let error = opened.unwrap_err();
    format!("{} {error:?}", crate::runtime::error_chain(&error))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_have_a_password_of_their_own_and_never_get_another() {
    let data = Server::start(&["--requirepass", "s3cret-data"]);
    let own = "sentinel auth-pass mymaster s3cret-data\nrequirepass s3cret-sentinel\n";
    let watcher = sentinel(data.port(), own);
    let url = |query: &str| format!("redis+sentinel://:s3cret-data@{}/mymaster{query}", watcher.address());
    let tasks = Tasks::new();
    let log = open(&url("?sentinel-password=s3cret-sentinel"), Ablation::default(), &tasks).await;
    log.append(event("m0")).await.unwrap();
    let none = refusal(&url("")).await;
    assert!(none.contains("NOAUTH"), "{none}");
    let wrong = refusal(&url("?sentinel-user=nobody&sentinel-password=s3cret-data")).await;
    assert!(wrong.contains("authentication failed"), "{wrong}");
    assert!(!none.contains("s3cret") && !wrong.contains("s3cret"), "{none} {wrong}");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}

/// A server may have another name for AUTH; what it answers then has the password in it, and the crate does not repeat it.
#[tokio::test]
async fn an_error_of_the_server_does_not_repeat_the_password() {
    let server = Server::start(&["--rename-command", "AUTH", "LOGIN"]);
    let refused = refusal(&format!("redis://:s3cret-data@{}", server.address())).await;
    assert!(refused.contains("authentication") && !refused.contains("s3cret"), "{refused}");
}

/// What docs/redis.md tells people to allow.
fn acl_line() -> Vec<&'static str> {
    let page = include_str!("../../../../docs/redis.md");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER sse ")).unwrap();
    line.split(' ').collect()
}

#[tokio::test]
async fn a_user_with_the_line_of_the_manual_may_do_everything_and_what_is_missing_is_named() {
    let server = Server::start(&[]);
    let line = acl_line();
    let set = |rules: &[&str]| {
        let answer = server.cli(&[&["ACL", "SETUSER", "sse"], rules].concat());
        assert_eq!(answer.trim(), "OK", "{rules:?}");
    };
    set(&line);
    let url = format!("redis://sse:PASSWORD@{}", server.address());
    let tasks = Tasks::new();
    let log = open(&url, Ablation::default(), &tasks).await;
    let start = log.bounds().await.unwrap().start_cursor();
    let mut follower = log.follow(start);
    let user: Address = "user:u".parse().unwrap();
    for n in 0..2 {
        let mail = NewEvent { mailbox: true, address: user.clone(), ..event(&format!("m{n}")) };
        log.append(mail).await.unwrap();
    }
    assert!(!follower.next(10).await.unwrap().entries.is_empty());
    let mail = log.mailbox(&user).await.unwrap().entries;
    assert_eq!(log.confirm(&user, mail[0].cursor.position).await.unwrap(), 1);
    log.beat(&Arc::from("01A"), &Arc::from("{}")).await.unwrap();
    assert_eq!(log.alive().await.unwrap().len(), 1);
    log.leave("01A").await.unwrap();
    assert_eq!(log.read_after(start, PageLimit::entries(10)).await.unwrap().entries.len(), 2);
    log.probe().await.unwrap();

    for (rule, back, named) in [
        ("-time", "+time", "time"),
        ("-xtrim", "+xtrim", "xtrim"),
        ("-role", "+role", "role"),
        ("-evalsha", "+evalsha", "evalsha"),
        ("-hsetnx", "+hsetnx", "hsetnx"),
        ("resetkeys", "~{sse}:*", "keys"),
    ] {
        set(&[rule]);
        let refused = refusal(&url).await;
        assert!(refused.contains(named) && !refused.contains("PASSWORD"), "{rule}: {refused}");
        set(&[back]);
    }
    // Later, too: what publishes need is what readiness asks for.
    set(&["-time"]);
    tokio::time::pause();
    tokio::time::advance(crate::broker::redis::limits::PROOF).await;
    tokio::time::resume();
    let unready = log.probe().await.unwrap_err().to_string();
    assert!(unready.contains("time") && unready.contains("+time"), "{unready}");
    tasks.token().cancel();
    assert_eq!(tasks.join(Duration::from_secs(60)).await, Ok(()));
}
