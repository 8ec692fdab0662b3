//! The one straight path an article takes: history, verdict, Path, spool. POST, IHAVE, TAKETHIS,
//! pulled and imported articles all end here.
//!
//! Intake is synchronous and never waits for the disk: what it accepts it hands to the store's
//! writer, whose outcome reaches the connection through [`crate::store::Settle`]. (The one exception
//! is an import that creates newsgroups, see [`ImportRules::create_groups`].)
//!
//! - Duplicates are the history's business (RFC 5537 s.3.3): an id is reserved before its article is
//!   looked at, so that of two connections that bring it only one gets through.
//! - The verdict is an agent's ([`crate::agent`]); intake brings the facts and keeps its own failures
//!   apart: they defer, they never reject.
//! - The body is never copied: what is stored is a slice of what was received. The header section is
//!   written once, with the new Path and without Xref.
//! - Intake says nothing of what it decides: who settles the reply tells it to [`crate::journal`].

use crate::access::Scope;
use crate::agent::injecting::{self, Injected};
use crate::agent::relaying::{self, Accepted};
use crate::agent::{Cause, Policy, Posting, Reason, Verdict};
use crate::article::{Head, MessageId, NewsgroupName, overview};
use crate::clock::{self, Timestamp};
use crate::config::{Peer, Site};
use crate::random;
use crate::store::{Group, GroupStatus, Known, NewArticle, Reservation, Settle, Store, StoreError};
use crate::transport::blocking;
use bytes::Bytes;
use std::sync::Arc;

/// Where an article comes from, as far as the connection knows it.
#[derive(Clone)]
pub enum Origin {
    /// A connection that may offer for these peers (several when they share an address).
    Peers {
        /// The peers; never empty.
        peers: Vec<Arc<Peer>>,
        /// The address it came from, as text.
        address: String,
    },
    /// A user who posts.
    Poster {
        /// The address, as text.
        address: String,
        /// The account that has logged in.
        account: Option<String>,
        /// The newsgroups that may be posted to.
        may_post: Scope,
    },
    /// The operator's import: every newsgroup accepted; Path is kept, own identity prepended.
    Import(ImportRules),
}

/// How an import is judged, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ImportRules {
    /// Old articles are welcome.
    pub no_cutoff: bool,
    /// Newsgroups that an article names are created.
    pub create_groups: bool,
    /// The articles stay here: no peer is owed them.
    pub kept: bool,
    /// Where they come from, in a form that no peer's name has (`pull:HOST`); empty: files.
    pub from: String,
    /// The peer that has sent them in a batch: they are judged as its own, and the rest of these rules
    /// does not count; empty: the operator brings them.
    pub peer: String,
}

/// What became of an offer (CHECK, IHAVE).
pub enum Offer {
    /// 238, 335: send it. For IHAVE the reservation is held until the article is here.
    Wanted(Reservation),
    /// 438, 435.
    Refused(Reason),
    /// 431, 436.
    Deferred(Cause),
}

/// What became of an article.
#[derive(Debug)]
pub enum Received {
    /// It is with the writer: the outcome comes through the waiter under the tag.
    Queued(MessageId),
    /// 437, 439, 441.
    Rejected(Reason),
    /// 436, 400 and close, 441 with a text that says to try again.
    Deferred(Cause),
}

/// The intake of one site. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    store: Store,
    site: Arc<Site>,
}

#[cfg(test)]
mod tests;

/// Room for a row of overview: most are shorter.
const ROW_LEN: usize = 400;

impl Origin {
    /// What the logs call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Peers { peers, address } => match peers.as_slice() {
                [peer] => &peer.name,
                _ => address,
            },
            Self::Poster { address, account, .. } => account.as_ref().unwrap_or(address),
            Self::Import(rules) if !rules.from.is_empty() => &rules.from,
            Self::Import(_) => "localhost",
        }
    }
}

impl Intake {
    /// An intake into `store` by the rules of `site`.
    pub fn new(store: Store, site: Arc<Site>) -> Self {
        Self { store, site }
    }

    /// Is the article with this id wanted? For CHECK, drop the reservation at once.
    pub fn offer(&self, origin: &Origin, id: &MessageId) -> Offer {
        if let Origin::Poster { .. } = origin {
            return Offer::Refused(NOT_A_PEER);
        }
        match self.store.reserve(id) {
            Ok(reservation) => Offer::Wanted(reservation),
            Err(Known::Yes) => {
                tracing::debug!(target: "feedd::offers", from = origin.name(), %id, "refused: duplicate");
                Offer::Refused(Reason::Duplicate)
            }
            Err(Known::Pending | Known::No) => Offer::Deferred(Cause::Pending),
        }
    }

    /// Takes a relayed article: `article` is in wire form with its terminator. `held` is the
    /// reservation of an IHAVE; TAKETHIS has none. `id` is what the command said.
    ///
    /// TAKETHIS has no "later" (RFC 4644 s.2.5.2): on [`Cause::Pending`] the connection keeps the
    /// article and calls again when the other transfer has ended, one way or the other.
    pub fn relay(
        &self,
        origin: &Origin,
        id: &MessageId,
        article: Bytes,
        held: Option<Reservation>,
        waiter: &Arc<dyn Settle>,
        tag: u64,
    ) -> Received {
        let now = clock::now();
        let held = match held.map_or_else(|| self.store.reserve(id), Ok) {
            Ok(reservation) => reservation,
            Err(Known::Yes) => return Received::Rejected(Reason::Duplicate),
            Err(Known::Pending | Known::No) => return Received::Deferred(Cause::Pending),
        };
        match self.judge_relayed(origin, id, &article, now) {
            Verdict::Accept(new) => {
                self.store.submit(new, held, waiter, tag);
                Received::Queued(id.clone())
            }
            Verdict::Refuse(reason) => Received::Rejected(reason),
            Verdict::Defer(cause) => Received::Deferred(cause),
        }
    }

    /// Injects a proto-article (RFC 5537 s.3.5).
    pub fn inject(&self, origin: &Origin, article: Bytes, waiter: &Arc<dyn Settle>, tag: u64) -> Received {
        let now = clock::now();
        let poster = match origin {
            Origin::Peers { address, .. } | Origin::Poster { address, .. } => Some(address.as_str()),
            Origin::Import(_) => None,
        };
        let mut octets = [0; injecting::RANDOM_LEN];
        let fresh = match random::fill(&mut octets) {
            Ok(()) => injecting::fresh_id(octets, &self.site.identity),
            Err(_) => None,
        };
        let Some(fresh) = fresh else { return Received::Deferred(Cause::NoMessageId) };
        let policy = self.policy(now, self.site.cutoff_days);
        // The first newsgroup that the poster may not post to, here or not: whether there is one that is
        // none of theirs does not show, and no peer gets an article for it by way of this site.
        let mut forbidden_name = None;
        let group = |name: &str| {
            let forbidden = matches!(origin, Origin::Poster { may_post, .. } if !may_post.allows(name));
            if forbidden && name != "control" && !name.starts_with("control.") {
                forbidden_name.get_or_insert_with(|| name.to_owned());
            }
            let (group, posting) = self.group(name)?;
            Some((group, if forbidden { Posting::Forbidden } else { posting }))
        };
        let judged = injecting::judge(&article, poster, fresh, &policy, group);
        let judged = match (judged, forbidden_name) {
            (Ok(_) | Err(Reason::UnwantedNewsgroup(_) | Reason::PostingForbidden(_)), Some(name)) => {
                Err(Reason::PostingForbidden(name))
            }
            (judged, _) => judged,
        };
        let injected = match judged {
            Ok(injected) => injected,
            Err(reason) => return Received::Rejected(reason),
        };
        let held = match self.store.reserve(&injected.id) {
            Ok(reservation) => reservation,
            Err(Known::Yes) => return Received::Rejected(Reason::Duplicate),
            Err(Known::Pending | Known::No) => return Received::Deferred(Cause::Pending),
        };
        match new_injected(injected, &article, now) {
            Ok((id, new)) => {
                self.store.submit(new, held, waiter, tag);
                Received::Queued(id)
            }
            Err(reason) => Received::Rejected(reason),
        }
    }

    /// The relaying agent's verdict, and what is to be stored if it is yes.
    fn judge_relayed(
        &self,
        origin: &Origin,
        id: &MessageId,
        article: &Bytes,
        now: Timestamp,
    ) -> Verdict<NewArticle> {
        let verdict = match origin {
            Origin::Poster { .. } => Err(NOT_A_PEER),
            Origin::Peers { peers, address } => {
                let source = relaying::Source::Peers { peers, address };
                let policy = self.policy(now, self.site.cutoff_days);
                relaying::judge(article, id, source, &policy, |name| self.group(name))
            }
            Origin::Import(ImportRules { no_cutoff, create_groups, .. }) => {
                let cutoff_days = self.site.cutoff_days.filter(|_| !no_cutoff);
                let policy = self.policy(now, cutoff_days);
                let mut trouble = None;
                let verdict = relaying::judge(article, id, relaying::Source::Import, &policy, |name| {
                    match self.group(name) {
                        None if *create_groups && trouble.is_none() => {
                            // It waits for the disk. Only then: each time, this thread's work is handed to
                            // another one, of which there would be a hundred if it were every article.
                            blocking(|| self.create_group(name)).unwrap_or_else(|error| {
                                trouble = Some(error);
                                None
                            })
                        }
                        found => found,
                    }
                });
                if let Some(error) = trouble {
                    return Verdict::Defer(Cause::Store(format!("{error:?}")));
                }
                verdict
            }
        };
        match verdict {
            Ok(accepted) => {
                let mut new = new_relayed(id, accepted, article, now);
                if let Origin::Import(rules) = origin {
                    new.kept = rules.kept;
                    new.source.clone_from(&rules.from);
                }
                Verdict::Accept(new)
            }
            Err(reason) => Verdict::Refuse(reason),
        }
    }

    fn policy(&self, now: Timestamp, cutoff_days: Option<u32>) -> Policy<'_> {
        Policy {
            identity: &self.site.identity,
            now,
            cutoff_days,
            article_bytes_max: self.site.limits.article_bytes_max,
            crosspost_max: self.site.limits.crosspost_max,
        }
    }

    /// A newsgroup of this site, and what it takes; of an alias the newsgroup it stands for.
    fn group(&self, name: &str) -> Option<(Arc<Group>, Posting)> {
        let group = self.store.group(name)?;
        let posting = match group.status() {
            GroupStatus::Posting => Posting::Allowed,
            GroupStatus::NoPosting => Posting::Forbidden,
            GroupStatus::Moderated => Posting::Moderated,
            GroupStatus::Closed => Posting::Closed,
            GroupStatus::Junk => Posting::Junk,
            // One step: an alias of an alias leads nowhere (RFC 6048 s.3.1).
            GroupStatus::Alias(other) => {
                let target = self.store.group(other.as_str())?;
                let leads = !matches!(target.status(), GroupStatus::Alias(_));
                return leads.then_some((target, Posting::Alias));
            }
        };
        Some((group, posting))
    }

    /// Creates a newsgroup that an imported article names. RFC 5537 s.3.7 forbids that to a serving
    /// agent by itself; here the operator asked for it. Waits for the disk.
    fn create_group(&self, name: &str) -> Result<Option<(Arc<Group>, Posting)>, StoreError> {
        let Ok(valid) = NewsgroupName::try_from(name) else { return Ok(None) };
        self.store.set_group(&valid, GroupStatus::Posting, "", "import")?;
        Ok(self.group(name))
    }
}

/// Who may post but not offer.
const NOT_A_PEER: Reason = Reason::NotPermitted("Only peers may offer articles here");

/// What the store keeps of a relayed article.
fn new_relayed(
    id: &MessageId,
    accepted: Accepted<'_, Arc<Group>>,
    article: &Bytes,
    now: Timestamp,
) -> NewArticle {
    let Accepted { head, path, filing, date, counts, source, distribution, kind } = accepted;
    let mut row = Vec::with_capacity(ROW_LEN);
    overview::row(&head, &mut row);
    NewArticle {
        id: id.clone(),
        head: Bytes::from(relaying::rewrite(&head, &path)),
        body: article.slice(head.section().len()..),
        row,
        lines: counts.lines,
        stuffed: counts.stuffed,
        groups: filing.groups,
        newsgroups: filing.newsgroups,
        distribution,
        kind,
        kept: false,
        path,
        date,
        arrived: now,
        source: source.to_owned(),
    }
}

/// What the store keeps of an injected article. The header section is parsed once more as it is now,
/// because overview is made of it.
fn new_injected(
    injected: Injected<Arc<Group>>,
    proto: &Bytes,
    now: Timestamp,
) -> Result<(MessageId, NewArticle), Reason> {
    let mut row = Vec::with_capacity(ROW_LEN);
    let section_len = {
        let head = Head::parse(&injected.head).map_err(Reason::Malformed)?;
        overview::row(&head, &mut row);
        head.section().len()
    };
    let mut head = injected.head;
    head.truncate(section_len);
    let empty_line_at = injected.proto_head_len.saturating_sub(b"\r\n".len());
    let new = NewArticle {
        id: injected.id.clone(),
        head: Bytes::from(head),
        body: proto.slice(empty_line_at.min(proto.len())..),
        row,
        lines: injected.counts.lines,
        stuffed: injected.counts.stuffed,
        groups: injected.filing.groups,
        newsgroups: injected.filing.newsgroups,
        distribution: injected.distribution,
        kind: injected.kind,
        kept: false,
        path: injected.path,
        date: injected.date,
        arrived: now,
        source: String::new(),
    };
    Ok((injected.id, new))
}
