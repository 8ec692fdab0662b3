//! What was posted, what sites have said, and which article numbers were seen: kept beside the sites,
//! so that what they have afterwards can be held against it.

use crate::dice::{EPOCH_MS, now_ms};
use feedd::store::{Seq, Store, Wait};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// An article on its way from a user.
#[derive(Clone, Debug)]
pub struct Post {
    /// In its Subject: finds it again whatever its Message-ID is.
    pub token: String,
    /// The user's own Message-ID; none: the site makes one.
    pub id: Option<String>,
    pub newsgroups: Vec<&'static str>,
    /// Where it is posted; several: a user who is not sure.
    pub sites: Vec<usize>,
    pub body: String,
    /// It comes from outside the federation: how it is offered.
    pub offered: Option<Offered>,
}

/// How an article of another server comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    Ihave,
    Check,
    TakeThis,
}

/// An article at a site; times in milliseconds of the simulation.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at_ms: u64,
    /// As its record says: it may have been written, and be seen behind the next start only.
    pub arrived_ms: i64,
    /// The peer that it came from.
    pub source: String,
}

#[derive(Default)]
pub struct Facts {
    pub posts: BTreeMap<String, Post>,
    /// Sites that answered 240, with the Message-ID they told.
    pub posted: Vec<(usize, String)>,
    /// Articles for which a site said 235 or 239.
    pub transferred: BTreeSet<(usize, String)>,
    /// Offers that a site refused (438) and articles that it rejected (439), with its words.
    pub refused: BTreeSet<(usize, String, String)>,
    /// Replies of each code.
    pub replies: BTreeMap<String, u64>,
    /// The article that a number was given to.
    numbers: BTreeMap<(usize, String), String>,
    /// Where each article was filed.
    filed: BTreeMap<(usize, String), String>,
    /// When each article was first seen at each site, from whom it came, and when by the site's own clock.
    seen: BTreeMap<(usize, String), Seen>,
    /// Attempts of sites to reach others: when, who and whom.
    pub dials: Vec<(u64, usize, usize)>,
    /// What is wrong.
    pub wrong: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<Facts>>);

impl Ledger {
    pub fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    pub fn wrong(&self, what: String) {
        self.facts().wrong.push(what);
    }

    /// A line that a site says to who has connected to it.
    pub fn heard(&self, site: usize, line: &str) {
        let (code, rest) = line.split_once(' ').unwrap_or((line, ""));
        if !["235", "238", "239", "400", "431", "435", "436", "437", "438", "439"].contains(&code) {
            return;
        }
        let (id, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let mut facts = self.facts();
        match code {
            "239" => drop(facts.transferred.insert((site, id.to_owned()))),
            "438" => drop(facts.refused.insert((site, id.to_owned(), "438".to_owned()))),
            "439" => drop(facts.refused.insert((site, id.to_owned(), words.to_owned()))),
            _ => {}
        }
        *facts.replies.entry(code.to_owned()).or_default() += 1;
    }

    /// Notes what has become visible in the log of a site behind `after`: where to go on. A number means
    /// one article for ever, and an article is there once.
    pub fn follow(&self, site: usize, store: &Store, after: Seq, seen: &mut BTreeSet<String>) -> Seq {
        let (entries, next) = match store.log(after, 10_000, Wait::Disk) {
            Ok(read) => read,
            Err(error) => {
                self.wrong(format!("s{site}: the log cannot be read behind {after:?}: {error:?}"));
                return store.last_seq();
            }
        };
        let mut facts = self.facts();
        for entry in entries {
            let id = entry.id.to_string();
            if !seen.insert(id.clone()) {
                facts.wrong.push(format!("s{site}: {id} is in the log twice"));
            }
            facts.seen.entry((site, id.clone())).or_insert_with(|| Seen {
                at_ms: now_ms(),
                arrived_ms: entry.arrived.unix_ms() - EPOCH_MS,
                source: entry.source.to_string(),
            });
            let before = facts.filed.entry((site, id.clone())).or_insert_with(|| entry.numbers.clone());
            if *before != entry.numbers {
                let wrong = format!("s{site}: {id} was {before} and is {}", entry.numbers);
                facts.wrong.push(wrong);
            }
            for number in entry.numbers.split(' ') {
                let holder = facts.numbers.entry((site, number.to_owned())).or_insert_with(|| id.clone());
                if *holder != id {
                    let wrong = format!("s{site}: {number} was {holder} and is {id}");
                    facts.wrong.push(wrong);
                }
            }
        }
        next
    }

    /// A site has started again: all that was ever visible in it still is.
    pub fn still_there(&self, site: usize, seen: &BTreeSet<String>) {
        let mut facts = self.facts();
        let lost: Vec<String> = facts
            .filed
            .range((site, String::new())..(site + 1, String::new()))
            .filter(|((_, id), _)| !seen.contains(id))
            .map(|((_, id), numbers)| format!("s{site}: {id} ({numbers}) was there before a crash"))
            .collect();
        facts.wrong.extend(lost);
    }

    /// A site tries to reach another one.
    pub fn dialled(&self, from: usize, to: usize) {
        self.facts().dials.push((now_ms(), from, to));
    }

    /// When an article was first seen at a site.
    pub fn seen(&self, site: usize, id: &str) -> Option<Seen> {
        self.facts().seen.get(&(site, id.to_owned())).cloned()
    }

    /// The article of a number at a site (`newsgroup:number`).
    pub fn holder(&self, site: usize, number: &str) -> Option<String> {
        self.facts().numbers.get(&(site, number.to_owned())).cloned()
    }
}
