//! What is kept of peers beside their place, and what is read of the log by the articles' own dates.

use crate::support::*;
use feedd::clock::Timestamp;
use feedd::store::{PeerState, Seq, Store, Swept, Wait};
use tempfile::tempdir;

#[test]
fn a_loss_and_a_sweep_stay_until_they_are_made_good() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    create(&store, "a.b");
    store.begin_peer("new", PeerState::default(), None);
    store.begin_peer("lost", PeerState::default(), Some("its place was lost".to_owned()));
    let swept = Swept { since_s: 7, at: 1, to: 1, accepted: 3, ..Swept::default() };
    store.set_sweep("new", Some(swept.clone()));
    store.lose("new", "first");
    store.lose("new", "second");
    store.lose("nobody", "nothing");
    let why = |store: &Store, peer: &str| store.loss(peer).map(|loss| loss.why);
    for again in [false, true] {
        if again {
            store.close();
            Store::discard_index(dir.path()).unwrap();
        }
        let store = if again { open(dir.path()) } else { store.clone() };
        assert_eq!(why(&store, "new").as_deref(), Some("first"));
        assert_eq!(why(&store, "lost").as_deref(), Some("its place was lost"));
        assert_eq!((why(&store, "nobody"), store.sweep("lost")), (None, None));
        assert_eq!(store.sweep("new"), Some(swept.clone()));
        if !again {
            continue;
        }
        // What is lost meanwhile is not made good.
        let loss = store.loss("new").unwrap();
        store.lose("new", "meanwhile");
        store.mended("new", &loss);
        assert!(store.loss("new").is_some());
        store.mended("new", &store.loss("new").unwrap());
        store.set_sweep("new", None);
        store.close();
        let store = open(dir.path());
        assert_eq!((why(&store, "new"), store.sweep("new")), (None, None));
        assert!(store.loss("lost").is_some());
    }
}

#[test]
fn who_was_fed_is_known_when_the_log_is_gone() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.fed_since("peer"), None);
    store.save_peer("peer", PeerState::default());
    store.close();
    let since = open(dir.path()).fed_since("peer");
    assert!(since.is_some());
    std::fs::remove_dir_all(dir.path().join("spool")).unwrap();
    let store = open(dir.path());
    assert_eq!((store.peer_state("peer"), store.fed_since("peer")), (None, since));
    assert_eq!(store.fed_since("other"), None);
}

#[test]
fn what_is_skipped_by_date_holds_nothing_that_is_looked_for() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    create(&store, "a.b");
    let mut random = Random(5);
    for number in 0..1500_u64 {
        let name = format!("n{number}");
        let mut article = article(&store, &name, &["a.b"], 10);
        // Mostly in order, some late, a few far off.
        let late = if random.below(20) == 0 { random.below(100_000) } else { random.below(50) };
        article.date = Timestamp::from_unix_s((200_000 + number * 10).saturating_sub(late) as i64);
        accepted(put_article(&store, article));
        if number % 100 == 0 {
            store.save_peer("peer", PeerState { cursor: Seq(number), deferred: Vec::new() });
        }
    }
    store.close();
    let dates = |store: &Store, from: i64, to: i64, skips: bool| {
        let (mut after, mut found, mut read) = (Seq(0), Vec::new(), 0);
        while after < store.last_seq() {
            if skips {
                let further = store.skip(after, &|first, last| first < to && from <= last);
                assert!(further >= after);
                after = further;
            }
            let (entries, next) = store.log(after, 100, Wait::Disk).unwrap();
            read += entries.len();
            found.extend(
                entries.iter().filter(|entry| (from..to).contains(&entry.date.unix_s())).map(|e| e.seq),
            );
            if next <= after {
                break;
            }
            after = next;
        }
        (found, read)
    };
    for rebuilt in [false, true] {
        if rebuilt {
            Store::discard_index(dir.path()).unwrap();
        }
        let store = open(dir.path());
        for _ in 0..50 {
            let from = random.below(230_000) as i64;
            let to = from + 1 + random.below(3000) as i64;
            assert_eq!(dates(&store, from, to, true).0, dates(&store, from, to, false).0, "{from}-{to}");
        }
        let (found, read) = dates(&store, 300_000, 400_000, true);
        assert!(found.is_empty() && read == 0, "{read} were read for nothing");
        store.close();
    }
}
