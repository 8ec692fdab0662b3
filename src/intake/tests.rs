//! Intake into a real store: what the connections and the import rely on.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::article::{Field, PathIdentity};
use crate::config::Config;
use crate::store::{Options, Outcome, Wait};
use std::sync::{Condvar, Mutex};

/// A connection that waits for its outcomes.
#[derive(Default)]
struct Waiter {
    outcomes: Mutex<Vec<(u64, Outcome)>>,
    changed: Condvar,
}

impl Settle for Waiter {
    fn settle(&self, tag: u64, outcome: Outcome) {
        self.outcomes.lock().unwrap().push((tag, outcome));
    }
    fn wake(&self) {
        self.changed.notify_all();
    }
}

fn poster(may_post: Scope) -> Origin {
    Origin::Poster { address: "127.0.0.1".into(), account: None, may_post }
}

struct Bench {
    intake: Intake,
    store: Store,
    waiter: Arc<Waiter>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(folder.path(), "here.example")).unwrap();
        for (name, status) in [
            ("misc.test", GroupStatus::Posting),
            ("misc.closed", GroupStatus::NoPosting),
            ("misc.moderated", GroupStatus::Moderated),
        ] {
            store.set_group(&NewsgroupName::try_from(name).unwrap(), status, "", "test").unwrap();
        }
        let mut site = Config::built_in().site;
        site.identity = PathIdentity::try_from("here.example").unwrap();
        site.cutoff_days = Some(30);
        let intake = Intake::new(store.clone(), Arc::new(site));
        Self { intake, store, waiter: Arc::default(), _folder: folder }
    }

    fn relay(&self, origin: &Origin, article: &str, held: Option<Reservation>) -> Received {
        let waiter: Arc<dyn Settle> = self.waiter.clone();
        self.intake.relay(origin, &id_of(article), wire(article), held, &waiter, 7)
    }

    fn inject(&self, article: &str) -> Received {
        let waiter: Arc<dyn Settle> = self.waiter.clone();
        let origin = poster(Scope::All);
        self.intake.inject(&origin, wire(article), &waiter, 7)
    }

    /// The outcome of what was queued last.
    fn outcome(&self) -> Outcome {
        let mut outcomes = self.waiter.outcomes.lock().unwrap();
        loop {
            match outcomes.pop() {
                Some((tag, outcome)) => {
                    assert_eq!(tag, 7);
                    return outcome;
                }
                None => outcomes = self.waiter.changed.wait(outcomes).unwrap(),
            }
        }
    }

    /// The article as it is served.
    fn served(&self, id: &MessageId) -> String {
        let location = self.store.locate(id).unwrap();
        let stored = self.store.read(location, Some(id), usize::MAX, Wait::Disk).unwrap();
        String::from_utf8(stored.text.to_vec()).unwrap()
    }
}

fn wire(article: &str) -> Bytes {
    Bytes::from(article.replace('\n', "\r\n") + ".\r\n")
}

fn id_of(article: &str) -> MessageId {
    let article = wire(article);
    let head = Head::parse(&article).unwrap();
    MessageId::try_from(head.value(Field::MessageId).unwrap()).unwrap()
}

fn from_peer() -> Origin {
    let peer = Peer::new("alpha", PathIdentity::try_from("alpha.example").unwrap());
    Origin::Peers { peers: vec![Arc::new(peer)], address: "192.0.2.1".to_owned() }
}

fn article(number: u32) -> String {
    let date = crate::article::date::format(clock::now());
    format!(
        "Xref: alpha.example misc.test:17\nPath: alpha.example!writer\nFrom: a@example.com\n\
         Newsgroups: misc.test\nSubject: number {number}\nDate: {date}\n\
         Message-ID: <{number}@example.com>\n\n..dotted\nbody\n"
    )
}

#[test]
fn a_relayed_article_is_served_as_it_came_but_for_path_and_xref() {
    let bench = Bench::new();
    let text = article(1);
    let Received::Queued(id) = bench.relay(&from_peer(), &text, None) else { panic!("queued") };
    assert!(matches!(bench.outcome(), Outcome::Accepted(_)));
    let expected = text
        .replace("Xref: alpha.example misc.test:17\n", "")
        .replace("alpha.example!writer", "here.example!!alpha.example!writer")
        .replace("\n\n..dotted", "\nXref: here.example misc.test:1\n\n..dotted");
    assert_eq!(bench.served(&id), expected.replace('\n', "\r\n") + ".\r\n");
    bench.store.close();
}

#[test]
fn the_body_is_not_copied() {
    let bench = Bench::new();
    let text = article(1);
    let wire = wire(&text);
    let verdict = bench.intake.judge_relayed(&from_peer(), &id_of(&text), &wire, clock::now());
    let Verdict::Accept(new) = verdict else { panic!("accepted") };
    let body_at = wire.len() - new.body.len();
    assert_eq!(new.body.as_ptr(), wire[body_at..].as_ptr());
    assert!(new.body.starts_with(b"\r\n..dotted\r\n"));
    assert!(new.head.ends_with(b"\r\nMessage-ID: <1@example.com>\r\n"));
    assert_eq!((new.lines, new.stuffed), (2, 1));
    assert_eq!(new.source, "alpha");
    bench.store.close();
}

#[test]
fn what_is_known_is_a_duplicate_and_what_is_held_is_deferred() {
    let bench = Bench::new();
    let text = article(1);
    let id = id_of(&text);
    let Offer::Wanted(held) = bench.intake.offer(&from_peer(), &id) else { panic!("wanted") };
    assert!(matches!(bench.intake.offer(&from_peer(), &id), Offer::Deferred(Cause::Pending)));
    assert!(matches!(bench.relay(&from_peer(), &text, None), Received::Deferred(Cause::Pending)));

    // A rejected transfer frees the id: another peer's copy may be better.
    let bad = text.replace("Subject: number 1\n", "");
    let rejected = bench.relay(&from_peer(), &bad, Some(held));
    assert!(matches!(rejected, Received::Rejected(Reason::Missing("Subject"))), "{rejected:?}");
    assert!(matches!(bench.intake.offer(&from_peer(), &id), Offer::Wanted(_)), "and is dropped at once");

    assert!(matches!(bench.relay(&from_peer(), &text, None), Received::Queued(_)));
    assert!(matches!(bench.outcome(), Outcome::Accepted(_)));
    assert!(matches!(bench.intake.offer(&from_peer(), &id), Offer::Refused(Reason::Duplicate)));
    assert!(matches!(bench.relay(&from_peer(), &text, None), Received::Rejected(Reason::Duplicate)));
    bench.store.close();
}

#[test]
fn who_may_only_post_cannot_offer() {
    let bench = Bench::new();
    let text = article(1);
    let poster = self::poster(Scope::All);
    let refused = bench.intake.offer(&poster, &id_of(&text));
    assert!(matches!(refused, Offer::Refused(Reason::NotPermitted(_))));
    assert!(matches!(bench.relay(&poster, &text, None), Received::Rejected(Reason::NotPermitted(_))));
    bench.store.close();
}

#[test]
fn a_posted_article_has_all_its_fields() {
    let bench = Bench::new();
    let proto = "From: a@example.com\nNewsgroups: misc.test\nSubject: hi\n\nbody\n";
    let Received::Queued(id) = bench.inject(proto) else { panic!("queued") };
    assert!(matches!(bench.outcome(), Outcome::Accepted(_)));
    let served = bench.served(&id);
    let head = Head::parse(served.as_bytes()).unwrap();
    for field in [Field::Date, Field::InjectionDate] {
        assert!(head.value(field).is_some(), "{served}");
    }
    assert_eq!(head.value(Field::MessageId), Some(id.as_str().as_bytes()));
    assert_eq!(
        head.value(Field::Path),
        Some(b"here.example!.POSTED.127.0.0.1!not-for-mail".as_slice()),
        "{served}"
    );
    assert_eq!(head.value(Field::Xref), Some(b"here.example misc.test:1".as_slice()));
    assert!(served.ends_with("\r\n\r\nbody\r\n.\r\n"), "{served}");
    let row = bench.store.row(&id, Wait::Disk).unwrap().unwrap();
    assert!(String::from_utf8(row).unwrap().contains(id.as_str()), "overview has what was added");

    let given =
        "From: a@example.com\nNewsgroups: misc.test\nSubject: hi\nMessage-ID: <own@example.com>\n\nx\n";
    assert!(matches!(bench.inject(given), Received::Queued(id) if id.as_str() == "<own@example.com>"));
    assert!(matches!(bench.outcome(), Outcome::Accepted(_)));
    assert!(matches!(bench.inject(given), Received::Rejected(Reason::Duplicate)));
    let closed = proto.replace("misc.test", "misc.closed");
    assert!(matches!(bench.inject(&closed), Received::Rejected(Reason::PostingForbidden(_))));
    bench.store.close();
}

#[test]
fn an_import_takes_old_articles_and_creates_newsgroups_when_told_to() {
    let bench = Bench::new();
    let text = "Path: x!y\nFrom: a\nNewsgroups: rec.new,rec.newer\nSubject: s\n\
                Date: 6 Apr 93 14:22 EDT\nMessage-ID: <old@x>\n\nbody\n";
    let import = |no_cutoff, create_groups| {
        Origin::Import(ImportRules { no_cutoff, create_groups, ..ImportRules::default() })
    };
    assert!(matches!(bench.relay(&import(false, true), text, None), Received::Rejected(Reason::TooOld)));
    let unwanted = bench.relay(&import(true, false), text, None);
    assert!(matches!(unwanted, Received::Rejected(Reason::UnwantedNewsgroup(_))), "{unwanted:?}");
    assert!(bench.store.group("rec.new").is_none());
    let Received::Queued(id) = bench.relay(&import(true, true), text, None) else { panic!("queued") };
    assert!(matches!(bench.outcome(), Outcome::Accepted(_)));
    let served = bench.served(&id);
    assert!(served.starts_with("Path: here.example!x!y\r\n"), "{served}");
    assert!(served.contains("Xref: here.example rec.new:1 rec.newer:1\r\n"), "{served}");
    bench.store.close();
}
