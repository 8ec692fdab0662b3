//! A store without threads: what waits is done by `turn`, and the end can be as abrupt as a crash.

use crate::support::*;
use feedd::store::{Known, Options, Outcome, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;

fn by_hand(dir: &Path) -> (Store, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let call = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let store = Store::open(Options { by_hand: Some(Arc::new(call)), ..options(dir) }).unwrap();
    (store, calls)
}

fn submit(store: &Store, waiter: &Arc<Waiter>, name: &str) {
    let held = store.reserve(&id(name)).ok().unwrap();
    store.submit(article(store, name, &["a.b"], 100), held, &waiter.settle(), 0);
}

#[test]
fn nothing_happens_before_the_turn_and_everything_in_it() {
    let dir = tempdir().unwrap();
    let (store, calls) = by_hand(dir.path());
    create(&store, "a.b");
    let waiter = Waiter::new();
    let before = calls.load(Ordering::Relaxed);
    submit(&store, &waiter, "one");
    submit(&store, &waiter, "two");
    assert_eq!(calls.load(Ordering::Relaxed), before + 1, "one call is enough");
    assert_eq!(store.known(&id("one")), Known::Pending);
    store.turn();
    let outcomes = waiter.outcomes(2);
    assert!(outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Accepted(_))), "{outcomes:?}");
    assert_eq!(store.group("a.b").unwrap().marks().count, 2);
    store.close();
    // The same files, with threads.
    assert_eq!(answers(&open(dir.path())).articles.len(), 2);
}

#[test]
fn what_waits_when_it_is_abandoned_fails_and_the_rest_is_there() {
    let dir = tempdir().unwrap();
    let (store, _) = by_hand(dir.path());
    create(&store, "a.b");
    let waiter = Waiter::new();
    submit(&store, &waiter, "kept");
    store.turn();
    submit(&store, &waiter, "lost");
    store.abandon();
    let outcomes = waiter.outcomes(2);
    assert!(matches!(outcomes[0].1, Outcome::Accepted(_)));
    assert!(matches!(outcomes[1].1, Outcome::Failed(_)));
    // The first one is still held by this test; its process is dead all the same.
    let (again, _) = by_hand(dir.path());
    assert_eq!((again.known(&id("kept")), again.known(&id("lost"))), (Known::Yes, Known::No));
    drop(store);
}
