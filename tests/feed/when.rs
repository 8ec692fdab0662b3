//! When, and how much, a peer is sent: delays, times of the week, octets a second, backups.

use super::receiver::{Answer, Receiver};
use super::site::{Site, peer, peer_at};
use chrono::{Datelike, Local, Timelike};
use feedd::config::{Peer, Window};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const GRACE: Duration = Duration::from_secs(20);

fn with(peer: &Arc<Peer>, change: impl FnOnce(&mut Peer)) -> Arc<Peer> {
    let mut peer = Peer::clone(peer);
    change(&mut peer);
    Arc::new(peer)
}

async fn takes_all() -> Receiver {
    Receiver::start(|_, _| Answer::Take).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_article_is_held_back_for_its_delay() {
    const DELAY: Duration = Duration::from_secs(2);
    let receiver = takes_all().await;
    let site = Site::new();
    let feeds = site.feeds(&[with(&peer("b", &receiver), |peer| peer.delay_s = DELAY.as_secs())]);
    let begun = Instant::now();
    site.accept(0..50);
    receiver.until("all are taken", |ledger| ledger.taken() == 50).await;
    // Times of arrival have milliseconds.
    assert!(begun.elapsed() >= DELAY - Duration::from_millis(5), "{:?}", begun.elapsed());
    site.until(&feeds, "everything is settled", |status| status.lag == 0).await;
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn octets_keep_to_the_rate_whatever_the_size() {
    const RATE: u64 = 100_000;
    let receiver = takes_all().await;
    let site = Site::new();
    let feeds = site.feeds(&[with(&peer("b", &receiver), |peer| peer.bytes_s_max = Some(RATE))]);
    let begun = Instant::now();
    site.accept_large(0, 150_000);
    (1..6).for_each(|n| site.accept_large(n, 40_000));
    site.accept(10..60);
    receiver.until("all are taken", |ledger| ledger.taken() == 56).await;
    // The last article is begun when those before it are paid for; a second's worth is free at first.
    let least = Duration::from_secs_f64((350_000.0 - 40_000.0 - RATE as f64) / RATE as f64);
    assert!(begun.elapsed() >= least, "{:?}, not below {least:?}", begun.elapsed());
    feeds.stop(GRACE).await;
}

/// A window that begins so many minutes from now and is that long.
fn window(from_now_min: i64, length_min: i64) -> Window {
    let now = Local::now();
    let minute = i64::from(now.hour() * 60 + now.minute());
    let day = i64::from(now.weekday().num_days_from_monday());
    let begin = (day * 1440 + minute + from_now_min).rem_euclid(7 * 1440);
    let from_min = begin % 1440;
    let to_min = (from_min + length_min) % 1440;
    Window { days: 1 << (begin / 1440), from_min: from_min as u16, to_min: to_min as u16 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_its_schedule_a_peer_is_left_alone() {
    let (open, closed) = (takes_all().await, takes_all().await);
    let site = Site::new();
    let feeds = site.feeds(&[
        with(&peer("b", &open), |peer| peer.schedule = vec![window(-60, 120)]),
        with(&peer("c", &closed), |peer| peer.schedule = vec![window(120, 60)]),
    ]);
    site.accept(0..50);
    open.until("all are taken", |ledger| ledger.taken() == 50).await;
    let status = feeds.status();
    let c = status.iter().find(|status| status.peer == "c").unwrap();
    assert!(c.state.starts_with("outside its schedule until "), "{}", c.state);
    assert!(c.lag >= 50 && c.offered == 0, "{c:?}");
    assert_eq!(closed.ledger.lock().unwrap().connections, 0);
    // The operator opens it: nothing was lost meanwhile.
    feeds.reload(&[peer("b", &open), peer("c", &closed)]).await;
    closed.until("all are taken", |ledger| ledger.taken() == 50).await;
    feeds.stop(GRACE).await;
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_sent_what_the_other_peer_does_not_settle() {
    let (first, backup) = (takes_all().await, takes_all().await);
    let site = Site::new();
    let of_first = |at: SocketAddr| {
        [
            peer_at("first", at),
            with(&peer("backup", &backup), |peer| peer.backup_of = Some("first".to_owned())),
        ]
    };
    let feeds = site.feeds(&of_first(first.address));
    site.accept(0..50);
    let settled = |status: &[feedd::feed::FeedStatus]| status.iter().all(|status| status.lag == 0);
    let waiting = async {
        while !settled(&feeds.status()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GRACE, waiting).await.unwrap();
    let status = feeds.status();
    assert_eq!((status[0].state.as_str(), status[0].offered), ("standing by for first", 0), "{status:?}");
    // The other one goes away; what comes then is for the backup.
    feeds.reload(&of_first(nobody().await)).await;
    site.accept(50..90);
    backup.until("the backup has what came since", |ledger| ledger.taken() == 40).await;
    let stories = backup.ledger.lock().unwrap().stories.clone();
    assert!(stories.contains_key("<50@site.example>") && !stories.contains_key("<49@site.example>"));
    // It is back, and gets what it missed.
    feeds.reload(&of_first(first.address)).await;
    first.until("the first has everything", |ledger| ledger.taken() == 90).await;
    feeds.stop(GRACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_defers_everything_loses_nothing_and_what_is_put_off_is_bounded() {
    const ARTICLES: usize = 20_000;
    let willing = Arc::new(AtomicBool::new(false));
    let rule = willing.clone();
    let receiver =
        Receiver::start(move |_, _| if rule.load(Ordering::Relaxed) { Answer::Take } else { Answer::Defer })
            .await;
    let mut site = Site::new();
    let feeds = site.feeds(&[peer("b", &receiver)]);
    site.accept(0..ARTICLES);
    site.until(&feeds, "as many are put off as may be", |status| status.put_off >= 10_000).await;
    // What was in flight when the bound was met comes to it, and no more is read.
    receiver.until("some are offered again", |ledger| ledger.stories.values().any(|s| s.offers > 1)).await;
    let most = feeds.status()[0].put_off;
    assert!(most < 17_000, "{most} of {ARTICLES} are put off");
    assert_eq!(receiver.ledger.lock().unwrap().taken(), 0);
    feeds.stop(GRACE).await;
    site.reopen();
    willing.store(true, Ordering::Relaxed);
    let feeds = site.feeds(&[peer("b", &receiver)]);
    receiver.until("all are taken", |ledger| ledger.taken() == ARTICLES).await;
    site.until(&feeds, "nothing is put off", |status| status.put_off == 0 && status.lag == 0).await;
    feeds.stop(GRACE).await;
}
