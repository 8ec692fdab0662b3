//! Feeds against a receiver that takes, refuses, rejects, defers and breaks connections by rule:
//! every article that is owed arrives exactly once, and nothing else does.

#![allow(clippy::unwrap_used)]

mod cuts;
mod receiver;
#[path = "../support/relay.rs"]
#[allow(dead_code, reason = "the benchmark uses the rest")]
mod relay;
mod site;
mod when;

use feedd::feed::FeedStatus;
use receiver::{Answer, Receiver};
use site::{Site, peer, peer_at};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(20);

/// The number in `<n@site.example>`.
fn number(id: &str) -> usize {
    id.trim_start_matches('<').split('@').next().unwrap().parse().unwrap()
}

fn assert_settled(status: &FeedStatus) {
    assert_eq!(status.lag, 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_exactly_once_whatever_the_receiver_does() {
    const ARTICLES: usize = 3000;
    let commands = AtomicUsize::new(0);
    let receiver = Receiver::start(move |id, story| {
        // About every 300th command breaks its connection.
        if commands.fetch_add(1, Ordering::Relaxed) % 307 == 306 {
            return Answer::Drop;
        }
        match number(id) % 20 {
            3 => Answer::Refuse,
            7 => Answer::Reject,
            11 if story.offers < 2 => Answer::Defer,
            _ => Answer::Take,
        }
    })
    .await;
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..ARTICLES);
    let owed = (0..ARTICLES).filter(|n| ![3, 7].contains(&(n % 20)));
    let expected = owed.clone().count();
    receiver.until("all that is owed is taken", |ledger| ledger.taken() >= expected).await;
    site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
    feeds.stop(GRACE).await;
    let ledger = receiver.ledger.lock().unwrap();
    assert_eq!(ledger.taken(), expected);
    for n in owed {
        let id = format!("<{n}@site.example>");
        assert_eq!(ledger.stories[&id].article.as_deref(), Some(&site.stored(&id)[..]), "{id}");
    }
    assert_eq!(ledger.stories.len(), ARTICLES, "each was offered");
    assert!(ledger.connections > 3, "some were broken: {}", ledger.connections);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn straight_to_a_peer_that_takes_everything_and_nothing_is_asked_twice() {
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..5000);
    receiver.until("all is taken", |ledger| ledger.taken() == 5000).await;
    feeds.stop(GRACE).await;
    assert!(feeds.status().is_empty(), "a stopped feed has no figures");
    let ledger = receiver.ledger.lock().unwrap();
    assert!(ledger.straight > 3000, "TAKETHIS without CHECK: {}", ledger.straight);
    assert!(ledger.stories.values().all(|story| story.offers == 1 && story.transfers == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cursor_resumes_after_the_store_is_opened_again() {
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let mut site = Site::new();
    for round in 0..3 {
        let feeds = site.feeds(&[peer("b", &receiver)]);
        // Some while it runs, some while it does not: both are owed.
        site.accept(round * 200..round * 200 + 100);
        receiver.until("all is taken", |ledger| ledger.taken() == round * 200 + 100).await;
        site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
        feeds.stop(GRACE).await;
        site.accept(round * 200 + 100..round * 200 + 200);
        site.reopen();
    }
    let feeds = site.feeds(&[peer("b", &receiver)]);
    receiver.until("all is taken", |ledger| ledger.taken() == 600).await;
    feeds.stop(GRACE).await;
    let ledger = receiver.ledger.lock().unwrap();
    assert!(ledger.stories.values().all(|story| story.offers == 1), "settled ones are not offered again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_offered_and_not_answered_is_offered_again_after_a_restart() {
    let silent = Receiver::start(|id, _| if number(id) < 10 { Answer::Take } else { Answer::Silence }).await;
    let mut site = Site::new();
    let feeds = site.feeds(&[peer("b", &silent)]);
    site.accept(0..50);
    silent.until("all are offered", |ledger| ledger.stories.len() == 50 && ledger.taken() == 10).await;
    site.until(&feeds, "ten are settled", |status| status.lag == 40).await;
    feeds.stop(Duration::ZERO).await;
    site.reopen();
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let feeds = site.feeds(&[peer("b", &receiver)]);
    receiver.until("the other forty are taken", |ledger| ledger.taken() == 40).await;
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deferred_article_survives_a_restart() {
    let receiver =
        Receiver::start(
            |id, story| {
                if number(id) == 5 && story.offers < 2 { Answer::Defer } else { Answer::Take }
            },
        )
        .await;
    let mut site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..10);
    receiver.until("nine are taken", |ledger| ledger.taken() == 9).await;
    site.until(&feeds, "deferral does not hold the cursor", |status| status.lag == 0).await;
    feeds.stop(GRACE).await;
    site.reopen();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    receiver.until("the tenth is taken", |ledger| ledger.taken() == 10).await;
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_article_is_counted_and_holds_up_nobody() {
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let mut site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    feeds.stop(GRACE).await;
    site.accept(0..10);
    site.damage(4);
    site.reopen();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
    assert_eq!(feeds.status()[0].gone, 1, "{:?}", feeds.status());
    assert_eq!(feeds.status()[0].accepted, 9, "{:?}", feeds.status());
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_article_that_breaks_every_connection_does_not_stop_the_others() {
    let receiver =
        Receiver::start(
            |id, story| {
                if number(id) == 7 && story.offers <= 4 { Answer::Drop } else { Answer::Take }
            },
        )
        .await;
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..100);
    site.until(&feeds, "it is put off and the cursor goes on", |status| {
        status.lag == 0 && status.accepted == 99 && status.deferred == 1
    })
    .await;
    receiver.until("it is offered again later", |ledger| ledger.taken() == 100).await;
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_owed_is_offered() {
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let site = Site::new();
    site.accept(0..5); // before the peer was known
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept_from("b", "site.example!b.example!not-for-mail", "local.test", 10);
    site.accept_from("c", "site.example!c.example!B.Example!not-for-mail", "local.test", 11);
    site.accept_from("c", "site.example!c.example!not-for-mail", "other.test", 12);
    site.accept_from("c", "site.example!c.example!not-for-mail", "local.test,local.poison", 13);
    site.accept_from("c", "site.example!c.example!b.example", "local.test", 14); // a tail entry only
    site.accept_from("", "site.example!.POSTED!not-for-mail", "other.test,local.test", 15);
    receiver.until("two are taken", |ledger| ledger.taken() == 2).await;
    site.until(&feeds, "the rest is passed over", |status| status.lag == 0).await;
    feeds.stop(GRACE).await;
    let ledger = receiver.ledger.lock().unwrap();
    let offered: Vec<usize> = ledger.stories.keys().map(|id| number(id)).collect();
    assert_eq!(offered, [14, 15]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ihave_where_there_is_no_streaming() {
    let receiver =
        Receiver::start_on("127.0.0.1:0".parse().unwrap(), false, |id, story| match number(id) % 5 {
            1 => Answer::Refuse,
            2 => Answer::Reject,
            3 if story.offers < 2 => Answer::Defer,
            _ => Answer::Take,
        })
        .await;
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..100);
    receiver.until("sixty are taken", |ledger| ledger.taken() == 60).await;
    site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
    assert!(feeds.status()[0].state.contains("IHAVE"), "{:?}", feeds.status());
    feeds.stop(GRACE).await;
    let ledger = receiver.ledger.lock().unwrap();
    assert!(!ledger.pipelined_ihave);
    assert_eq!(ledger.stories.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_articles_arrive_byte_for_byte() {
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    let sizes = [1, 100, 30_000, 33_000, 300_000, 5_000_000, 2_000];
    for (n, &octets) in sizes.iter().enumerate() {
        site.accept_large(n, octets);
    }
    receiver.until("all are taken", |ledger| ledger.taken() == sizes.len()).await;
    feeds.stop(GRACE).await;
    let ledger = receiver.ledger.lock().unwrap();
    for (id, story) in &ledger.stories {
        assert!(story.article.as_deref() == Some(&site.stored(id)[..]), "{id} differs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_down_gets_everything_on_its_return() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new();
    let feeds = site.feeds(&[peer_at("b", address)]);
    site.accept(0..2000);
    site.until(&feeds, "the failure is told", |status| !status.last_error.is_empty()).await;
    let receiver = Receiver::start_on(address, true, |_, _| Answer::Take).await;
    feeds.nudge("b");
    receiver.until("all is taken", |ledger| ledger.taken() == 2000).await;
    site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
    assert_settled(&feeds.status()[0]);
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_hangs_holds_nobody_up() {
    // It takes connections and says nothing, and then never reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = Receiver::start(|_, _| Answer::Take).await;
    let site = Site::new();
    let feeds = site.feeds(&[peer_at("a", silent.local_addr().unwrap()), peer("b", &receiver)]);
    site.accept(0..2000);
    receiver.until("all is taken", |ledger| ledger.taken() == 2000).await;
    let status = feeds.status();
    assert_eq!((status[0].peer.as_str(), status[0].accepted), ("a", 0));
    // Nothing is owed by the silent one that is worth waiting for.
    tokio::time::timeout(Duration::from_secs(10), feeds.stop(Duration::from_secs(1))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reload_starts_stops_and_leaves_alone() {
    let (b, c) = (Receiver::start(|_, _| Answer::Take).await, Receiver::start(|_, _| Answer::Take).await);
    let site = Site::new();
    let feeds = site.feeds(&[peer("b", &b)]);
    site.accept(0..10);
    b.until("ten are taken", |ledger| ledger.taken() == 10).await;
    feeds.reload(&[peer("b", &b), peer("c", &c)]).await;
    site.accept(10..20);
    b.until("twenty are taken", |ledger| ledger.taken() == 20).await;
    c.until("the last ten are taken", |ledger| ledger.taken() == 10).await;
    assert_eq!(b.ledger.lock().unwrap().connections, 1, "an unchanged peer is not disturbed");
    feeds.reload(&[peer("c", &c)]).await;
    site.accept(20..30);
    c.until("the last twenty are taken", |ledger| ledger.taken() == 20).await;
    assert_eq!(feeds.status().len(), 1);
    // Back again: it resumes where it was.
    feeds.reload(&[peer("b", &b), peer("c", &c)]).await;
    b.until("thirty are taken", |ledger| ledger.taken() == 30).await;
    feeds.stop(GRACE).await;
}
