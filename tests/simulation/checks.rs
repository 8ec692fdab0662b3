//! What must be true of a federation when all faults are over and it has come to rest.

use crate::ledger::{Ledger, Post};
use crate::plan::{Fault, OUTSIDE, OUTSIDE_IDENTITY, Planned};
use crate::site::Site;
use feedd::store::{LogEntry, Seq, Store, Wait};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The articles of a site by Message-ID.
pub type Articles = BTreeMap<String, Arc<LogEntry>>;

pub fn articles(store: &Store) -> Articles {
    let mut articles = Articles::new();
    let mut after = Seq::default();
    while after < store.last_seq() {
        let Ok((entries, next)) = store.log(after, 1000, Wait::Disk) else { break };
        articles.extend(entries.into_iter().map(|entry| (entry.id.to_string(), entry)));
        after = next;
    }
    articles
}

/// The sites that an article comes to from where it was injected, over hops of which `passes` says so.
fn reach(
    plan: &Planned,
    origins: impl Iterator<Item = usize>,
    passes: impl Fn(usize, usize) -> bool,
) -> BTreeSet<usize> {
    let mut reached: BTreeSet<usize> = origins.collect();
    let mut ahead: VecDeque<usize> = reached.iter().copied().collect();
    while let Some(from) = ahead.pop_front() {
        for to in 0..plan.sites.len() {
            if passes(from, to) && reached.insert(to) {
                ahead.push_back(to);
            }
        }
    }
    reached
}

/// What is still on its way, or has gone where it should not: each line an article and a site.
pub fn distribution(plan: &Planned, ledger: &Ledger, sites: &[Articles]) -> Vec<String> {
    let mut wrong = Vec::new();
    let all: BTreeMap<&String, &Arc<LogEntry>> = sites.iter().flatten().collect();
    for (id, entry) in all {
        let newsgroups: Vec<&str> = entry.newsgroups.split(',').collect();
        let injected_at =
            |site: &usize| sites[*site].get(id).is_some_and(|entry| ["", OUTSIDE].contains(&&*entry.source));
        let origins = || (0..sites.len()).filter(injected_at);
        let since = |site: usize| ledger.seen(site, id).map(|seen| seen.at_ms);
        let must = reach(plan, origins(), |from, to| {
            since(from).is_some_and(|since| plan.must_pass(from, to, &newsgroups, since))
        });
        let may = reach(plan, origins(), |from, to| {
            since(from).is_some_and(|since| plan.may_pass(from, to, &newsgroups, since))
        });
        for (no, articles) in sites.iter().enumerate() {
            match articles.contains_key(id) {
                false if must.contains(&no) => {
                    wrong.push(format!("{id} ({}) does not reach s{no}", entry.newsgroups));
                }
                true if !may.contains(&no) => wrong.push(format!("{id} ({}) is at s{no}", entry.newsgroups)),
                _ => {}
            }
        }
    }
    wrong
}

/// What has come before its delay was over. The clock that the delay is measured by may not have been set.
pub fn delays(plan: &Planned, ledger: &Ledger, sites: &[Articles]) -> Vec<String> {
    /// Of what clocks are read at the ends.
    const EARLY_MS: i64 = 1000;
    let mut wrong = Vec::new();
    if plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::Clock { .. })) {
        return wrong;
    }
    for (to, articles) in sites.iter().enumerate() {
        for id in articles.keys() {
            let Some(there) = ledger.seen(to, id) else { continue };
            let Some(from) = there.source.strip_prefix('s').and_then(|no| no.parse().ok()) else { continue };
            let Some(here) = ledger.seen(from, id) else { continue };
            let delay_s = plan.contracts.delay_s((from, to), here.at_ms);
            let after_ms = there.at_ms.cast_signed() - here.arrived_ms;
            if after_ms + EARLY_MS < delay_s.cast_signed() * 1000 {
                wrong.push(format!("{id} comes from s{from} to s{to} after {after_ms} ms of {delay_s} s"));
            }
        }
    }
    wrong
}

/// Who has been dialled outside the times at which it is sent to.
pub fn schedules(plan: &Planned, ledger: &Ledger) -> Vec<String> {
    /// A host name is looked up first.
    const SLACK_MS: u64 = 1000;
    let facts = ledger.facts();
    let untimely = |&&(at, from, to): &&(u64, usize, usize)| {
        let times = plan.edges.get(&(from, to)).and_then(|edge| edge.times);
        // Whoever is behind NAT opens connections for what it is sent, too.
        let times = times.filter(|_| plan.hidden != Some(from));
        times.and_then(|times| times.closed_for_ms(at)).is_some_and(|closed| closed > SLACK_MS)
    };
    let tell = |(at, from, to): &(u64, usize, usize)| {
        format!("s{from} dials s{to} at {at} ms, outside its schedule")
    };
    facts.dials.iter().filter(untimely).map(tell).collect()
}

/// Is a site at rest: nothing owed to any peer?
pub fn is_at_rest(site: &Site) -> bool {
    let Some(store) = site.store() else { return false };
    let settled = |peer: &str| store.peer_state(peer).is_some_and(|state| state.deferred.is_empty());
    site.feeds().iter().all(|feed| feed.lag == 0 && settled(&feed.peer))
}

/// A site's articles and newsgroups: what is wrong with them.
pub fn site(plan: &Planned, ledger: &Ledger, site: &Site, articles: &Articles) -> Vec<String> {
    let Some(store) = site.store() else { return vec![format!("s{} is not up", site.no)] };
    let mut wrong = Vec::new();
    for entry in articles.values() {
        if let Err(why) = article(plan, ledger, site.no, store, entry) {
            wrong.push(format!("s{}: {}: {why}", site.no, entry.id));
        }
    }
    wrong.extend(newsgroups(store, articles).into_iter().map(|why| format!("s{}: {why}", site.no)));
    wrong
}

/// What was acknowledged is there; what was refused was there, or is not wanted there.
pub fn promises(plan: &Planned, ledger: &Ledger, sites: &[Articles]) -> Vec<String> {
    let facts = ledger.facts();
    let mut wrong = Vec::new();
    let has = |site: usize, id: &String| sites[site].contains_key(id);
    for (site, id) in &facts.posted {
        if !has(*site, id) {
            wrong.push(format!("s{site} said 240 for {id} and has it no more"));
        }
    }
    for (site, id) in &facts.transferred {
        if !has(*site, id) {
            wrong.push(format!("s{site} said 239 for {id} and has it no more"));
        }
    }
    for (site, id, why) in &facts.refused {
        let unwanted = || {
            let entry = sites.iter().find_map(|articles| articles.get(id));
            let newsgroups: Vec<&str> =
                entry.map_or(Vec::new(), |entry| entry.newsgroups.split(',').collect());
            // At some time some contract did not let it pass.
            (0..sites.len()).any(|from| !plan.must_pass(from, *site, &newsgroups, 0))
        };
        let right = match why.as_str() {
            "438" | "Duplicate" => has(*site, id),
            why if why.starts_with("Unwanted newsgroup") => unwanted(),
            _ => false,
        };
        if !right {
            wrong.push(format!("s{site} refused {id} ({why}) without a reason"));
        }
    }
    wrong
}

/// One article at one site: its octets, and the way it came.
fn article(
    plan: &Planned,
    ledger: &Ledger,
    site: usize,
    store: &Store,
    entry: &LogEntry,
) -> Result<(), String> {
    let stored = store.read(entry.location, Some(&entry.id), usize::MAX, Wait::Disk);
    let stored = stored.map_err(|error| format!("{error:?}"))?;
    let text = String::from_utf8_lossy(&stored.text);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("it has no body")?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let token = field("Subject").ok_or("it has no Subject")?;
    let post = ledger.facts().posts.get(token).cloned().ok_or("nobody posted it")?;
    if body.strip_suffix(".\r\n") != Some(&post.body) {
        return Err(format!("{} octets of body, {} were posted", body.len() - 3, post.body.len()));
    }
    if field("Newsgroups") != Some(post.newsgroups.join(",").as_str()) {
        return Err("its Newsgroups are others".to_owned());
    }
    let path = field("Path").ok_or("it has no Path")?;
    if path.as_bytes() != entry.path {
        return Err(format!("its Path is {path}, and in the log another"));
    }
    way(plan, ledger, site, (&entry.id.to_string(), &post), path)
        .map_err(|why| format!("{why} (Path: {path})"))
}

/// Is the Path a way from where the article was posted to this site, each site once (RFC 5537 s.3.2)?
fn way(
    plan: &Planned,
    ledger: &Ledger,
    site: usize,
    (id, post): (&str, &Post),
    path: &str,
) -> Result<(), String> {
    let mut entries: Vec<&str> = path.split('!').collect();
    entries.pop();
    if let Some(odd) =
        entries.iter().find(|entry| entry.starts_with(".MISMATCH") || entry.starts_with(".SEEN"))
    {
        return Err(format!("a peer was not known: {odd}"));
    }
    let number = |entry: &&str| plan.sites.iter().position(|site| site.identity == **entry);
    let is_named = |entry: &&str| !entry.is_empty() && !entry.starts_with('.');
    let mut named: Vec<&str> = entries.into_iter().filter(is_named).collect();
    if post.offered.is_some() && named.pop() != Some(OUTSIDE_IDENTITY) {
        return Err("it comes from outside and does not say so".to_owned());
    }
    let sites: Vec<usize> = named.iter().filter_map(number).collect();
    if sites.len() != named.len() || sites.is_empty() {
        return Err("not all of it are sites of this federation".to_owned());
    }
    if sites.iter().collect::<BTreeSet<_>>().len() != sites.len() {
        return Err("a site stands twice in it".to_owned());
    }
    if sites[0] != site || !post.sites.contains(&sites[sites.len() - 1]) {
        return Err("it does not lead from where the article was posted to here".to_owned());
    }
    let may = |hop: &&[usize]| {
        let since = ledger.seen(hop[1], id).map_or(0, |seen| seen.at_ms);
        plan.may_pass(hop[1], hop[0], &post.newsgroups, since)
    };
    match sites.windows(2).find(|hop| !may(hop)) {
        Some(hop) => Err(format!("s{} does not send that to s{}", hop[1], hop[0])),
        None => Ok(()),
    }
}

/// Each newsgroup's numbers, rows and marks against the log.
fn newsgroups(store: &Store, articles: &Articles) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut filed: BTreeMap<String, BTreeMap<u64, &String>> = BTreeMap::new();
    for (id, entry) in articles {
        for place in entry.numbers.split(' ') {
            let (name, number) = place.rsplit_once(':').unwrap_or((place, "0"));
            filed.entry(name.to_owned()).or_default().insert(number.parse().unwrap_or(0), id);
        }
    }
    for group in store.groups().iter() {
        let filed = filed.remove(group.name()).unwrap_or_default();
        let marks = group.marks();
        let mut rows = BTreeMap::new();
        let read = store.over(group, 1, u64::MAX, Wait::Disk, &mut |number, _, row| {
            let id = String::from_utf8_lossy(row).split('\t').nth(3).unwrap_or_default().to_owned();
            rows.insert(number, id);
            true
        });
        let same =
            rows.len() == filed.len() && rows.iter().zip(&filed).all(|((a, x), (b, y))| a == b && x == *y);
        if !same || !matches!(read, Ok(None)) || marks.count != rows.len() as u64 {
            wrong.push(format!("{}: {marks:?}, {read:?}, rows {rows:?}, filed {filed:?}", group.name()));
        }
        if let (Some((low, _)), Some((high, _))) = (rows.first_key_value(), rows.last_key_value())
            && (marks.low, marks.high) != (*low, *high)
        {
            wrong.push(format!("{}: {marks:?}, and rows from {low} to {high}", group.name()));
        }
    }
    wrong.extend(filed.keys().map(|name| format!("articles are filed in {name}, which is not there")));
    wrong
}
