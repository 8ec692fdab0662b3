//! The store on damaged files, and on a disk that fills up, fails, or loses what was not synced.
use super::support::*;
use feedd::store::{Known, Options, Outcome, PeerState, ReadError, Seq, Store, StoreError, Wait};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// A closed store with `count` articles; what it answered.
fn filled(dir: &Path, count: usize) -> Answers {
    let store = open(dir);
    create(&store, "a.b");
    create(&store, "c.d");
    for n in 0..count {
        accepted(put(&store, &format!("n{n}"), &["a.b", "c.d"], 20));
    }
    let answers = answers(&store);
    store.close();
    answers
}

fn segment(dir: &Path) -> std::path::PathBuf {
    dir.join("spool/0000000001.seg")
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 3);
    let whole = std::fs::metadata(segment(dir.path())).unwrap().len();
    // The checkpoint is behind the three; the fourth is what a crash tears.
    let store = open(dir.path());
    accepted(put(&store, "last", &["a.b"], 20));
    let after = answers(&store);
    let bytes = std::fs::read(segment(dir.path())).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(dir.path(), crashed.path());
    drop(store);
    let tail = whole as usize..bytes.len();
    assert!(tail.len() > 300);
    for cut in tail.clone().step_by(5).chain(tail.end - 9..=tail.end) {
        std::fs::write(segment(crashed.path()), &bytes[..cut]).unwrap();
        let store = open(crashed.path());
        let expected = if cut == bytes.len() { &after } else { &before };
        assert_eq!(&answers(&store), expected, "cut at {cut} of {}", bytes.len());
        assert_eq!(store.stats().damaged, 0);
        if cut < bytes.len() {
            assert_eq!(std::fs::metadata(segment(crashed.path())).unwrap().len(), whole);
            assert_eq!(store.known(&id("last")), Known::No);
        }
    }
    // What was lost can come again, and gets the number that nobody has seen.
    std::fs::write(segment(crashed.path()), &bytes[..bytes.len() - 20]).unwrap();
    Store::discard_index(crashed.path()).unwrap();
    let store = open(crashed.path());
    accepted(put(&store, "last", &["a.b"], 20));
    assert_eq!(answers(&store).rows, after.rows);
}

#[test]
fn damage_in_the_middle_costs_one_article_only() {
    for (what, of_facts) in [("facts", true), ("body", false)] {
        let dir = tempfile::tempdir().unwrap();
        let before = filled(dir.path(), 9);
        let store = open(dir.path());
        let location = store.locate(&id("n4")).unwrap();
        let at = if of_facts {
            location.offset + 90
        } else {
            let stored = store.read(location, None, 1 << 20, Wait::Disk).unwrap();
            stored.offset + stored.len as u64 - 10
        };
        let file = std::fs::File::options().read(true).write(true).open(segment(dir.path())).unwrap();
        let mut octet = [0];
        file.read_exact_at(&mut octet, at).unwrap();
        file.write_all_at(&[octet[0] ^ 1], at).unwrap();
        assert!(matches!(store.read(location, None, 1 << 20, Wait::Disk), Err(ReadError::Corrupt(_))));
        let report = store.verify(&|_, _| {}).unwrap();
        assert!(!report.damage.is_empty(), "{what}");
        store.close();
        Store::discard_index(dir.path()).unwrap();
        let store = open(dir.path());
        assert_eq!(store.stats().damaged, 1, "{what}");
        assert_eq!(store.stats().articles, 8, "{what}");
        let after = answers_but_log(&store);
        let mut expected = before.rows.clone();
        expected.retain(|(_, number), _| *number != 5);
        assert_eq!(after.rows, expected, "{what}");
        assert_eq!(store.known(&id("n4")), Known::No, "it can be fetched again");
        accepted(put(&store, "n4", &["a.b"], 20));
        assert_eq!(store.group("a.b").unwrap().marks().high, 10, "a new number");
    }
}

/// All answers; entries of the log whose article is damaged do not matter here.
fn answers_but_log(store: &Store) -> Answers {
    Answers { log: Vec::new(), ..answers(store) }
}

#[test]
fn octets_of_an_article_never_pass_for_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, "a.b");
    accepted(put(&store, "real", &["a.b"], 20));
    store.close();
    let forged_dir = tempfile::tempdir().unwrap();
    // A record of another site's log, as a peer might send it, at every alignment.
    filled(forged_dir.path(), 1);
    let forged = std::fs::read(segment(forged_dir.path())).unwrap();
    let end = std::fs::metadata(segment(dir.path())).unwrap().len() as usize;
    let mut bytes = std::fs::read(segment(dir.path())).unwrap();
    bytes.extend_from_slice(&[0xee; 16]);
    for shift in 0..8 {
        bytes.extend_from_slice(&forged[64..]);
        bytes.resize(bytes.len() + shift, 0xee);
    }
    std::fs::write(segment(dir.path()), bytes).unwrap();
    let store = open(dir.path());
    assert_eq!(store.known(&id("n0")), Known::No);
    assert!(store.group("c.d").is_none());
    assert_eq!(std::fs::metadata(segment(dir.path())).unwrap().len() as usize, end);
}

#[test]
fn a_damaged_index_is_built_anew() {
    let pristine = tempfile::tempdir().unwrap();
    let before = filled(pristine.path(), 150);
    let index = |dir: &Path| dir.join("index");
    let db = |dir: &Path| index(dir).join("db");
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damages: [Damage<'_>; 7] = [
        ("lost", &|dir| std::fs::remove_dir_all(index(dir)).unwrap()),
        ("an unfinished snapshot", &|dir| {
            std::fs::write(index(dir).join("snap.ffffffffffffffff.generating"), b"x").unwrap()
        }),
        ("db cut in half", &|dir| {
            let file = std::fs::File::options().write(true).open(db(dir)).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("db emptied", &|dir| std::fs::write(db(dir), b"").unwrap()),
        ("db zeroed", &|dir| {
            let len = std::fs::metadata(db(dir)).unwrap().len();
            std::fs::write(db(dir), vec![0; len as usize]).unwrap();
        }),
        ("db of noise", &|dir| {
            let mut random = Random(7);
            let noise: Vec<u8> = (0..200_000).map(|_| random.below(256) as u8).collect();
            std::fs::write(db(dir), noise).unwrap();
        }),
        ("of another store", &|dir| std::fs::remove_file(dir.join("secret")).unwrap()),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        copy(pristine.path(), dir.path());
        damage(dir.path());
        let store = open(dir.path());
        assert_eq!(answers(&store), before, "{what}");
        assert_eq!(store.known(&id("n1")), Known::Yes, "{what}");
        store.close();
        assert_eq!(answers(&open(dir.path())), before, "{what}, opened again");
    }
}

#[test]
fn an_index_ahead_of_its_log_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let early = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 5);
    copy(&dir.path().join("spool"), early.path());
    let store = open(dir.path());
    accepted(put(&store, "later", &["a.b"], 1));
    store.close();
    // The log is restored from an older backup, the index is not.
    copy(early.path(), &dir.path().join("spool"));
    let store = open(dir.path());
    assert_eq!(answers(&store), before);
    assert_eq!(store.known(&id("later")), Known::No);
}

#[test]
fn a_full_disk_defers_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let store = Store::open(Options { disk: disk.clone(), ..options(dir.path()) }).unwrap();
    create(&store, "a.b");
    accepted(put(&store, "one", &["a.b"], 20));
    disk.room.store(100, Ordering::Relaxed);
    let before = answers(&store);
    assert!(matches!(put(&store, "two", &["a.b"], 20), Outcome::Failed(_)));
    assert!(matches!(put(&store, "three", &["a.b"], 90_000), Outcome::Failed(_)));
    assert!(matches!(store.remove_group(&name("a.b")), Err(StoreError::Unavailable(_))));
    assert!(!store.stats().refusing.is_empty());
    assert_eq!(store.known(&id("two")), Known::No, "it may come again");
    assert_eq!(answers(&store), before, "nothing is seen of it");
    disk.room.store(u64::MAX, Ordering::Relaxed);
    accepted(put(&store, "three", &["a.b"], 20));
    accepted(put(&store, "two", &["a.b"], 20));
    assert!(store.stats().refusing.is_empty());
    let after = answers(&store);
    assert_eq!(after.groups["a.b"].1, 3, "no number was lost");
    store.close();
    Store::discard_index(dir.path()).unwrap();
    assert_eq!(answers(&open(dir.path())), after);
}

#[test]
fn after_a_failed_sync_nothing_is_accepted_until_the_store_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let store = Store::open(Options { disk: disk.clone(), ..options(dir.path()) }).unwrap();
    create(&store, "a.b");
    accepted(put(&store, "one", &["a.b"], 20));
    let before = answers(&store);
    disk.syncs.store(0, Ordering::Relaxed);
    assert!(matches!(put(&store, "two", &["a.b"], 20), Outcome::Failed(_)));
    disk.syncs.store(u64::MAX, Ordering::Relaxed);
    assert!(matches!(put(&store, "three", &["a.b"], 20), Outcome::Failed(_)), "no second sync is believed");
    assert_eq!(answers(&store), before);
    store.close();
    drop(store);
    let store = open(dir.path());
    accepted(put(&store, "three", &["a.b"], 20));
    assert!(store.verify(&|_, _| {}).unwrap().damage.is_empty());
}

#[test]
fn a_power_failure_takes_only_what_was_not_acknowledged() {
    for seed in 1..=12 {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new();
        let options = Options { disk: disk.clone(), segment_bytes: 20_000, ..options(dir.path()) };
        let store = Store::open(options).unwrap();
        create(&store, "a.b");
        disk.syncs.store(3 + random.below(20), Ordering::Relaxed);
        let waiter = Waiter::new();
        for n in 0..200u64 {
            let octets = random.below(3000) as usize;
            let held = store.reserve(&id(&n.to_string())).unwrap();
            store.submit(article(&store, &n.to_string(), &["a.b"], octets), held, &waiter.settle(), n);
            if random.below(4) == 0 {
                drop(put(&store, &format!("alone{n}"), &["a.b"], 10));
            }
        }
        let mut settled = 0;
        while settled < 200 {
            settled += waiter.outcomes(1).len();
        }
        let kept = answers(&store);
        store.close();
        drop(store);
        disk.lose_unsynced(&dir.path().join("spool"), &mut random);
        let store = open(dir.path());
        let found = answers_but_log(&store);
        for (key, row) in &kept.rows {
            assert_eq!(found.rows.get(key), Some(row), "seed {seed}: {key:?} was acknowledged");
        }
        for (id, text) in &kept.articles {
            assert_eq!(found.articles.get(id), Some(text), "seed {seed}: {id} was acknowledged");
        }
    }
}

/// What a killed process left in the page cache is on disk before anybody is told of it: else a
/// power failure takes an article that peers were told is known, and its number is given again.
#[test]
fn what_a_killed_process_wrote_is_synced_before_it_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new();
    let with_disk = || Options { disk: disk.clone(), ..options(dir.path()) };
    let store = Store::open(with_disk()).unwrap();
    create(&store, "a.b");
    accepted(put(&store, "one", &["a.b"], 20));
    disk.syncs.store(0, Ordering::Relaxed);
    // Written, and then it dies before the sync is done.
    assert!(matches!(put(&store, "two", &["a.b"], 2000), Outcome::Failed(_)));
    store.close();
    drop(store);
    assert!(matches!(Store::open(with_disk()), Err(StoreError::Io(..))), "not shown on a disk that fails");
    disk.syncs.store(u64::MAX, Ordering::Relaxed);
    let store = Store::open(with_disk()).unwrap();
    assert_eq!(store.known(&id("two")), Known::Yes);
    let shown = answers(&store);
    let crashed = tempfile::tempdir().unwrap();
    copy(dir.path(), crashed.path());
    disk.lose_unsynced(&crashed.path().join("spool"), &mut Random(5));
    assert_eq!(answers(&open(crashed.path())), shown);
}

/// Damages one overview block of the newsgroup created first.
fn damage_block(dir: &Path, no: u64) {
    let db = sled::Config::new().path(dir.join("index")).segment_size(2 << 20).open().unwrap();
    let key = [&1u32.to_be_bytes()[..], &no.to_be_bytes()].concat();
    assert!(db.open_tree("over").unwrap().insert(key, b"noise").unwrap().is_some());
    db.flush().unwrap();
}

#[test]
fn an_index_that_fails_a_reader_is_built_anew_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 150);
    damage_block(dir.path(), 0);
    let store = open(dir.path());
    let group = store.group("a.b").unwrap();
    assert!(matches!(store.locate_number(&group, 1, Wait::Disk), Err(ReadError::Io(_))));
    accepted(put(&store, "meanwhile", &["c.d"], 20));
    store.close();
    drop(store);
    let store = open(dir.path());
    let after = answers(&store);
    assert_eq!(after.rows.len(), before.rows.len() + 1);
    assert!(before.rows.iter().all(|(key, row)| after.rows.get(key) == Some(row)));
}

#[test]
fn articles_are_taken_while_the_index_has_failed() {
    let dir = tempfile::tempdir().unwrap();
    let before = filled(dir.path(), 150);
    // The block that grows: the index thread has to merge it when it is full.
    damage_block(dir.path(), 150 / 64);
    let store = open(dir.path());
    for n in 150..400 {
        accepted(put(&store, &format!("n{n}"), &["a.b"], 20));
    }
    assert_eq!(store.group("a.b").unwrap().marks().count, 400);
    store.close();
    drop(store);
    let after = answers(&open(dir.path()));
    assert_eq!(after.rows.len(), before.rows.len() + 250);
    assert!(before.rows.iter().all(|(key, row)| after.rows.get(key) == Some(row)));
}

/// Else what comes under those seqs would never be offered to the peer.
#[test]
fn no_peer_stands_behind_the_end_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let store = open(dir.path());
    let deferred = vec![(Seq(2), 1), (Seq(4000), 1)];
    store.save_peer("peer", PeerState { cursor: Seq(5000), deferred });
    store.close();
    drop(store);
    let store = open(dir.path());
    let state = store.peer_state("peer").unwrap();
    assert_eq!(state, PeerState { cursor: store.last_seq(), deferred: vec![(Seq(2), 1)] });
}

/// A peer's first place is in the log without an article coming first: what was on its way to the
/// log when it was saved is owed to it.
#[test]
fn a_new_peer_is_in_the_log_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (committed, commits) = mpsc::channel();
    let on_commit = Arc::new(move |seq| committed.send(seq).unwrap_or_default());
    let store = Store::open(Options { on_commit, ..options(dir.path()) }).unwrap();
    create(&store, "a.b");
    let seq = commits.recv().unwrap();
    let state = PeerState { cursor: seq, deferred: Vec::new() };
    store.save_peer("new", state.clone());
    commits.recv_timeout(Duration::from_secs(10)).expect("a commit");
    let crashed = tempfile::tempdir().unwrap();
    copy(&dir.path().join("spool"), &crashed.path().join("spool"));
    assert_eq!(open(crashed.path()).peer_state("new"), Some(state));
}
