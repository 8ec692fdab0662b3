//! The store's contract, through its public face: acceptance, order, numbers, reopening, rebuilding.
//! Damage and failing disks are in `faults`.
use super::support::*;
use feedd::clock::Timestamp;
use feedd::store::{GroupStatus, Known, Outcome, PeerState, ReadError, Seq, Store, StoreError, Wait};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn an_accepted_article_is_known_numbered_readable_and_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, "a.b");
    create(&store, "c.d");
    let waiter = Waiter::new();
    let id = id("one");
    assert_eq!(store.known(&id), Known::No);
    let held = store.reserve(&id).unwrap();
    assert_eq!(store.known(&id), Known::Pending);
    assert!(matches!(store.reserve(&id), Err(Known::Pending)));
    store.submit(article(&store, "one", &["a.b", "c.d"], 10), held, &waiter.settle(), 7);
    let outcome = waiter.outcomes(1).remove(0);
    let (7, Outcome::Accepted(seq)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(store.last_seq(), seq);
    assert_eq!(store.known(&id), Known::Yes);
    let stored = store.read(store.locate(&id).unwrap(), Some(&id), 1 << 20, Wait::Disk).unwrap();
    let text = String::from_utf8(stored.text.to_vec()).unwrap();
    assert!(text.contains("\r\nXref: site.example a.b:1 c.d:1\r\n\r\nbody"), "{text}");
    assert!(text.ends_with("\r\n.\r\n"));
    assert_eq!(&text[stored.head_len..stored.head_len + 6], "\r\nbody");
    for name in ["a.b", "c.d"] {
        let group = store.group(name).unwrap();
        let marks = group.marks();
        assert_eq!((marks.low, marks.high, marks.count), (1, 1, 1));
        assert_eq!(store.locate_number(&group, 1, Wait::No).unwrap(), store.locate(&id));
        let row = rows(&store, name, 1, 9).remove(0);
        // RFC 3977 s.8.1.1: without the terminator.
        let octets = stored.len - 3;
        let xref = "Xref: site.example a.b:1 c.d:1";
        assert_eq!(row.1, format!("Subject one\tposter\tdate\t<one@x>\t\t{octets}\t1\t{xref}"));
        assert_eq!(store.row(&id, Wait::Disk).unwrap().unwrap(), row.1.as_bytes());
    }
    let (entries, next) = store.log(Seq(0), 10, Wait::No).unwrap();
    assert_eq!((entries.len(), next), (1, seq));
    assert_eq!(entries[0].numbers, "a.b:1 c.d:1");
    assert_eq!(entries[0].len, stored.len);
}

#[test]
fn a_reservation_that_is_dropped_frees_the_id() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    drop(store.reserve(&id("one")).unwrap());
    assert_eq!(store.known(&id("one")), Known::No);
    assert!(store.reserve(&id("one")).is_ok());
}

#[test]
fn racing_writers_get_each_article_in_once_and_readers_see_order() {
    const NAMES: usize = 600;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let groups = ["a.one", "a.two", "a.three"];
    groups.iter().for_each(|group| create(&store, group));
    let accepted: Mutex<BTreeMap<String, Vec<u64>>> = Mutex::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (store, accepted) = (&store, &accepted);
                scope.spawn(move || {
                    let waiter = Waiter::new();
                    let mut names = Vec::new();
                    let mut random = Random(writer + 1);
                    for n in 0..NAMES {
                        let name = format!("n{}", (n + writer as usize * 7) % NAMES);
                        if let Ok(held) = store.reserve(&id(&name)) {
                            let in_groups = &groups[..1 + random.below(3) as usize];
                            let octets = if random.below(50) == 0 { 50_000 } else { 10 };
                            let article = article(store, &name, in_groups, octets);
                            store.submit(article, held, &waiter.settle(), names.len() as u64);
                            names.push(name);
                        }
                    }
                    let mut outcomes = Vec::new();
                    while outcomes.len() < names.len() {
                        outcomes.extend(waiter.outcomes(1));
                    }
                    let mut last = 0;
                    for (nth, (tag, outcome)) in outcomes.into_iter().enumerate() {
                        assert_eq!(tag, nth as u64, "in the order of submission");
                        let Outcome::Accepted(Seq(seq)) = outcome else { panic!("{outcome:?}") };
                        assert!(seq > last);
                        last = seq;
                        accepted.lock().unwrap().entry(names[nth].clone()).or_default().push(seq);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut seen = BTreeMap::new();
            while !done.load(Ordering::Relaxed) {
                for name in groups {
                    let group = store.group(name).unwrap();
                    let marks = group.marks();
                    assert!(marks.high >= *seen.get(name).unwrap_or(&0));
                    seen.insert(name, marks.high);
                    assert_eq!(marks.count, marks.high, "numbers have no holes");
                    let low = marks.high.saturating_sub(100).max(1);
                    let found = rows(&store, name, low, marks.high);
                    assert_eq!(found.len() as u64, marks.high + 1 - low);
                    let Some((number, row)) = found.last() else { continue };
                    assert!(row.contains(&format!("{name}:{number}")));
                    let location = store.locate_number(&group, *number, Wait::Disk).unwrap().unwrap();
                    let stored = store.read(location, None, 1 << 20, Wait::Disk).unwrap();
                    assert_eq!(store.locate(&stored.id), Some(location));
                }
                let last = store.last_seq();
                let (entries, next) = store.log(Seq(0), usize::MAX, Wait::No).unwrap();
                assert!(next >= last);
                assert!(entries.windows(2).all(|pair| pair[0].seq < pair[1].seq));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let accepted = accepted.into_inner().unwrap();
    assert_eq!(accepted.len(), NAMES);
    assert!(accepted.values().all(|seqs| seqs.len() == 1), "accepted once");
    let before = answers(&store);
    assert_eq!(before.log.len(), NAMES);
    assert!(store.verify(&|_, _| {}).unwrap().damage.is_empty());
    store.close();
    drop(store);
    let store = open(dir.path());
    assert_eq!(answers(&store), before, "after reopening");
    drop(store);
    Store::discard_index(dir.path()).unwrap();
    let store = open(dir.path());
    assert_eq!(answers(&store), before, "after a rebuild");
    assert!(store.verify(&|_, _| {}).unwrap().damage.is_empty());
}

#[test]
fn a_newsgroup_created_again_goes_on_with_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    create(&store, "a.b");
    let marks = store.group("a.b").unwrap().marks();
    assert_eq!((marks.low, marks.high, marks.count), (1, 0, 0), "RFC 3977 s.6.1.1.2");
    accepted(put(&store, "one", &["a.b"], 1));
    store.remove_group(&name("a.b")).unwrap();
    assert!(store.group("a.b").is_none() && store.groups().is_empty());
    assert!(matches!(store.remove_group(&name("a.b")), Err(StoreError::Refused(_))));
    create(&store, "a.b");
    let marks = store.group("a.b").unwrap().marks();
    assert_eq!((marks.low, marks.high, marks.count), (2, 1, 0));
    assert!(rows(&store, "a.b", 0, 9).is_empty());
    accepted(put(&store, "two", &["a.b"], 1));
    store.set_group(&name("a.b"), GroupStatus::Moderated, "Changed", "other").unwrap();
    for round in 0..3 {
        let group = store.group("a.b").unwrap();
        let marks = group.marks();
        assert_eq!((marks.low, marks.high, marks.count), (2, 2, 1), "round {round}");
        assert_eq!((group.status(), group.description().as_str()), (GroupStatus::Moderated, "Changed"));
        assert_eq!(group.created().1, "admin");
        assert_eq!(store.locate_number(&group, 1, Wait::Disk).unwrap(), None);
        store.close();
        if round == 1 {
            Store::discard_index(dir.path()).unwrap();
        }
        store = open(dir.path());
    }
}

#[test]
fn numbers_of_a_newsgroup_may_begin_where_another_server_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    create(&store, "a.b");
    store.number_from(&name("a.b"), 3_000_234).unwrap();
    let marks = store.group("a.b").unwrap().marks();
    assert_eq!((marks.low, marks.high, marks.count), (3_000_234, 3_000_233, 0));
    accepted(put(&store, "one", &["a.b"], 1));
    // A gap between two articles; the status is what it was.
    store.set_group(&name("a.b"), GroupStatus::Closed, "Shut", "other").unwrap();
    store.number_from(&name("a.b"), 3_000_300).unwrap();
    accepted(put(&store, "two", &["a.b"], 1));
    for taken in [0, 1, 3_000_300] {
        assert!(matches!(store.number_from(&name("a.b"), taken), Err(StoreError::Refused(_))), "{taken}");
    }
    assert!(matches!(store.number_from(&name("no.such"), 7), Err(StoreError::Refused(_))));
    for round in 0..3 {
        let group = store.group("a.b").unwrap();
        let marks = group.marks();
        assert_eq!((marks.low, marks.high, marks.count), (3_000_234, 3_000_300, 2), "round {round}");
        assert_eq!(group.status(), GroupStatus::Closed);
        let numbers: Vec<u64> = rows(&store, "a.b", 0, u64::MAX).iter().map(|row| row.0).collect();
        assert_eq!(numbers, [3_000_234, 3_000_300]);
        assert!(store.locate_number(&group, 3_000_299, Wait::Disk).unwrap().is_none());
        store.close();
        if round == 1 {
            Store::discard_index(dir.path()).unwrap();
        }
        store = open(dir.path());
    }
}

#[test]
fn only_one_process_has_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert!(matches!(Store::open(options(dir.path())), Err(StoreError::Locked)));
    assert!(matches!(Store::discard_index(dir.path()), Err(StoreError::Locked)));
    store.close();
    assert!(Store::open(options(dir.path())).is_ok());
    assert!(matches!(put(&store, "late", &[], 1), Outcome::Failed(_)));
}

#[test]
fn old_rows_and_log_entries_come_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(feedd::store::Options { segment_bytes: 20_000, ..options(dir.path()) }).unwrap();
    create(&store, "a.b");
    let waiter = Waiter::new();
    for n in 0..300 {
        let held = store.reserve(&id(&n.to_string())).unwrap();
        let mut article = article(&store, &n.to_string(), &["a.b"], 10);
        // Every tenth comes with a clock that is behind.
        article.arrived = Timestamp::from_unix_s(1000 + n - if n % 10 == 0 { 5 } else { 0 });
        store.submit(article, held, &waiter.settle(), n as u64);
        if n % 20 == 19 {
            waiter.outcomes(20);
        }
    }
    let recent = store.log(Seq(0), 1000, Wait::No).unwrap().0;
    store.close();
    drop(store);
    let store = open(dir.path());
    assert!(store.stats().segments > 2);
    assert!(matches!(store.log(Seq(0), 1, Wait::No), Err(ReadError::WouldBlock)));
    let old = store.log(Seq(0), 1000, Wait::Disk).unwrap().0;
    assert_eq!(old.len(), 300);
    for (old, recent) in old.iter().zip(&recent) {
        assert_eq!(format!("{old:?}"), format!("{recent:?}"));
    }
    for at in [0, 996, 1000, 1005, 1100, 1299, 1300, 5000] {
        let at = Timestamp::from_unix_s(at);
        let first = old.iter().find(|entry| entry.arrived >= at);
        let before = first.map_or(store.last_seq(), |entry| Seq(entry.seq.0 - 1));
        assert_eq!(store.seq_before(at), before, "{at:?}");
    }
    let group = store.group("a.b").unwrap();
    let over = |low, wait| store.over(&group, low, 300, wait, &mut |_, _, _| true);
    assert!(matches!(over(1, Wait::No), Err(ReadError::WouldBlock)));
    assert_eq!(over(1, Wait::Disk).unwrap(), None);
    assert_eq!(over(1, Wait::No).unwrap(), None);
    let mut rows = 0;
    let next = store.over(&group, 1, 300, Wait::No, &mut |_, _, _| {
        rows += 1;
        rows < 100
    });
    assert_eq!(next.unwrap(), Some(101));
    assert_eq!(store.neighbour(&group, 100, true, Wait::Disk).unwrap(), Some(101));
    assert_eq!(store.neighbour(&group, 128, false, Wait::Disk).unwrap(), Some(127));
    assert_eq!(store.neighbour(&group, 1, false, Wait::Disk).unwrap(), None);
    assert_eq!(store.neighbour(&group, 300, true, Wait::Disk).unwrap(), None);
    assert_eq!(store.neighbour(&group, 9999, false, Wait::Disk).unwrap(), Some(300));
    // The block that grows was not in memory: what comes now joins what the index has.
    accepted(put(&store, "more", &["a.b"], 1));
    assert_eq!(super::support::rows(&store, "a.b", 280, 400).len(), 22);
    store.close();
    let store = open(dir.path());
    assert_eq!(super::support::rows(&store, "a.b", 1, 400).len(), 301);
}

#[test]
fn a_large_article_is_read_in_part_and_its_rest_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    create(&store, "a.b");
    accepted(put(&store, "large", &["a.b"], 800_000));
    accepted(put(&store, "small", &["a.b"], 1));
    let location = store.locate(&id("large")).unwrap();
    let part = store.read(location, None, 4096, Wait::Disk).unwrap();
    assert!(part.text.len() < part.len && part.text.len() >= part.head_len);
    let whole = store.read(location, Some(&id("large")), 1 << 20, Wait::Disk).unwrap();
    assert_eq!(whole.text.len(), whole.len);
    let mut rest = vec![0; part.len];
    std::os::unix::fs::FileExt::read_exact_at(&*part.file, &mut rest, part.offset).unwrap();
    assert_eq!(rest, whole.text);
    assert!(matches!(store.read(location, Some(&id("small")), 4096, Wait::Disk), Err(ReadError::Gone)));
}

#[test]
fn peers_stand_where_they_stood() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    create(&store, "a.b");
    for n in 2..=7 {
        accepted(put(&store, &format!("n{n}"), &["a.b"], 20));
    }
    let state = PeerState { cursor: Seq(7), deferred: vec![(Seq(3), 99), (Seq(5), 100)] };
    assert_eq!(store.peer_state("peer"), None);
    store.save_peer("peer", PeerState::default());
    store.save_peer("peer", state.clone());
    for discard in [false, true] {
        assert_eq!(store.peer_state("peer"), Some(state.clone()));
        store.close();
        if discard {
            Store::discard_index(dir.path()).unwrap();
        }
        store = open(dir.path());
    }
    assert_eq!(store.peer_state("peer"), Some(state));
}

/// Random acts on a store and on a model of it, with clean stops, crashes and rebuilds between.
#[test]
fn the_store_does_what_the_model_does() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed);
    println!("SEED={seed}");
    let mut random = Random(seed);
    let root = tempfile::tempdir().unwrap();
    let mut dir = root.path().join("0");
    let small = |dir: &std::path::Path| feedd::store::Options { segment_bytes: 30_000, ..options(dir) };
    let mut store = Store::open(small(&dir)).unwrap();
    let names = ["a.a", "a.b", "a.c", "a.d"];
    // Newsgroup -> alive, next number, numbers with their articles.
    let mut model: BTreeMap<&str, (bool, u64, BTreeMap<u64, String>)> = BTreeMap::new();
    let mut known = 0;
    for round in 0..50 {
        match random.below(6) {
            0 => {
                let group = names[random.below(4) as usize];
                let (alive, ..) = model.entry(group).or_insert((false, 1, BTreeMap::new()));
                if *alive && random.below(2) == 0 {
                    store.remove_group(&name(group)).unwrap();
                    model.get_mut(group).unwrap().2.clear();
                    model.get_mut(group).unwrap().0 = false;
                } else {
                    create(&store, group);
                    *alive = true;
                }
            }
            1 => {
                let how = random.below(3);
                if how > 0 {
                    store.close();
                }
                if how == 2 {
                    Store::discard_index(&dir).unwrap();
                }
                let next = root.path().join((round + 1).to_string());
                copy(&dir, &next);
                dir = next;
                store = Store::open(small(&dir)).unwrap();
            }
            _ => {
                let waiter = Waiter::new();
                let mut count = 0;
                for _ in 0..random.below(90) {
                    let alive: Vec<&str> =
                        model.iter().filter(|(_, group)| group.0).map(|(name, _)| *name).collect();
                    let first = random.below(alive.len() as u64) as usize;
                    let groups = &alive[first.min(alive.len())..];
                    let name = format!("n{known}");
                    known += 1;
                    if groups.is_empty() {
                        continue;
                    }
                    let most = if random.below(30) == 0 { 60_000 } else { 300 };
                    let octets = random.below(most);
                    let held = store.reserve(&id(&name)).unwrap();
                    let article = article(&store, &name, groups, octets as usize);
                    store.submit(article, held, &waiter.settle(), count);
                    count += 1;
                    for group in groups {
                        let (_, next, numbers) = model.get_mut(group).unwrap();
                        numbers.insert(*next, name.clone());
                        *next += 1;
                    }
                }
                let mut settled = 0;
                while settled < count {
                    for (_, outcome) in waiter.outcomes(1) {
                        accepted(outcome);
                        settled += 1;
                    }
                }
            }
        }
        let answers = answers(&store);
        let alive: BTreeMap<_, _> = model.iter().filter(|(_, group)| group.0).collect();
        assert!(answers.groups.keys().eq(alive.keys().map(|name| **name)), "round {round}");
        let mut filed = 0;
        for (name, (_, next, numbers)) in alive {
            let (low, high, count, _) = answers.groups[*name];
            assert_eq!((high, count), (next - 1, numbers.len() as u64), "round {round}: {name}");
            assert!(low <= numbers.keys().next().copied().unwrap_or(*next));
            for (number, article) in numbers {
                let row = &answers.rows[&((*name).to_owned(), *number)];
                assert!(row.contains(&format!("<{article}@x>")), "round {round}: {name}:{number}");
                filed += 1;
            }
        }
        assert_eq!(filed, answers.rows.len());
    }
    let report = store.verify(&|_, _| {}).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
}
