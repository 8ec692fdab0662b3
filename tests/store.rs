//! The store's contract, through its public face: acceptance, order, numbers, reopening, rebuilding,
//! damage, and a disk that fills up or loses what was not synced.
#![allow(clippy::unwrap_used)]

mod store_support;
use feedd::store::{Known, Outcome, ReadError, Seq, Store, Wait};
use std::sync::Arc;
use store_support::*;

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
        let octets = stored.len - 3;
        assert_eq!(
            row.1,
            format!("Subject one\tposter\tdate\t<one@x>\t\t{octets}\t1\tXref: site.example a.b:1 c.d:1")
        );
        assert_eq!(store.row(&id, Wait::Disk).unwrap().unwrap(), row.1.as_bytes());
    }
    let (entries, next) = store.log(Seq(0), 10, Wait::No).unwrap();
    assert_eq!((entries.len(), next), (1, seq));
    assert_eq!(entries[0].numbers, "a.b:1 c.d:1");
    assert_eq!(entries[0].len, stored.len);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.known(&id), Known::Yes);
    assert_eq!(rows(&store, "a.b", 1, 9).len(), 1);
}
