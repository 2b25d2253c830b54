//! Ids are checked against each other, in their order, and by using them: besides its clients the judge resumes from ids
//! that it has heard.

use super::odd_server::{Delivery, OddServer, acquitted, convicted, failed, honest};

fn with_id(event: &Delivery<'_>, id: &str) -> String {
    honest(event).replacen(&format!("id: {}\n", event.id), &format!("id: {id}\n"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_position_is_inconsistent_and_goes_back() {
    let earlier = OddServer::start(|event| match event.is_one_of(400) {
        true => with_id(event, &event.id.saturating_sub(7).to_string()),
        false => honest(event),
    });
    let ran = earlier.await.judge(&["dialect.ids_rise=numbers"]).await;
    let names = failed(&ran);
    assert!(names.contains(&"inconsistent id") && names.contains(&"id goes back"), "{}", ran.stdout);
    // Unique, and known to one client only.
    let other = OddServer::start(|event| match event.is_one_of(30) {
        true => with_id(event, &format!("x{}", event.count)),
        false => honest(event),
    });
    let ran = other.await.judge(&[]).await;
    assert!(failed(&ran).contains(&"inconsistent id"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_everybody_gets_alike_and_out_of_order_goes_back() {
    let server = OddServer::start(|event| match event.id.is_multiple_of(50) {
        true => with_id(event, &(event.id + 100_000).to_string()),
        false => honest(event),
    });
    let server = server.await;
    let ran = server.judge(&["dialect.ids_rise=numbers", "verify.probes=false"]).await;
    assert!(failed(&ran).contains(&"id goes back"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_with_gaps_or_as_text_rise_and_ids_that_mean_nothing_need_not() {
    let text = OddServer::start(|event| with_id(event, &format!("{:09}", event.id)));
    acquitted(&text.await.judge(&["dialect.ids_rise=text"]).await, "text");
    let pairs = OddServer::start(|event| with_id(event, &format!("{}.0", event.id)));
    let set = ["dialect.ids_rise=numbers", "dialect.resume=no", "verify.delivery=at-most-once"];
    acquitted(&pairs.await.judge(&set).await, "pairs");
    let own = OddServer::start(|event| with_id(event, &(event.id * 100 + event.stream).to_string()));
    let set = ["dialect.ids=nothing", "dialect.resume=no", "verify.delivery=at-most-once"];
    acquitted(&own.await.judge(&set).await, "of each stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_off_by_one_is_found_though_no_client_comes_back() {
    let late = OddServer::resuming(honest, |id| id + 1).await;
    convicted(&late.judge_undisturbed(&[]).await, &["replayed from the wrong place"], "late");
    let early = OddServer::resuming(honest, |id| id.saturating_sub(1)).await;
    let ran = early.judge_undisturbed(&["dialect.ids_rise=numbers"]).await;
    convicted(&ran, &["replayed from the wrong place"], "early");
    assert!(ran.stdout.contains("on a stream that the judge resumed after"), "{}", ran.stdout);
    // The seam between what is replayed and what is live. All events are for all, so that each probe reads the last one.
    let broadcast = ["publishers.main.mix={broadcast=1}"];
    let seam = OddServer::start(|event| match event.is_replay && event.id == event.newest {
        true => String::new(),
        false => honest(event),
    });
    convicted(&seam.await.judge_undisturbed(&broadcast).await, &["replayed from the wrong place"], "seam");
    let twice = OddServer::start(|event| match event.is_replay && event.id == event.newest {
        true => honest(event) + &honest(event),
        false => honest(event),
    });
    convicted(
        &twice.await.judge_undisturbed(&broadcast).await,
        &["replayed from the wrong place"],
        "seam, twice",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_replay_is_acquitted_in_workers_too_and_probes_can_be_left_out() {
    let server = OddServer::start(honest).await;
    let ran = server.judge_with(&["dialect.ids_rise=numbers"], &["--workers", "2"]).await;
    acquitted(&ran, "honest");
    let late = OddServer::resuming(honest, |id| id + 1).await;
    acquitted(&late.judge_undisturbed(&["verify.probes=false"]).await, "without probes");
}
