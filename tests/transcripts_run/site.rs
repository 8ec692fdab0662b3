//! A site in memory: the newsgroups and articles of a transcript, and what is added meanwhile. It
//! knows the rules ([`feedd::agent`]), but no store, no socket and no daemon.

use super::script::{Newsgroup, Script};
use feedd::agent::injecting::{self, Injected};
use feedd::agent::{Policy, Posting, Reason, relaying};
use feedd::article::{Head, MessageId, PathIdentity, overview};
use feedd::clock::{self, Timestamp};
use feedd::config::{Config, Peer};
use feedd::store::GroupStatus;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub const IDENTITY: &str = "site.example";

/// Everything a session may ask for.
pub struct Site {
    pub identity: PathIdentity,
    pub groups: Vec<Group>,
    pub articles: Vec<Stored>,
    peers: Vec<Arc<Peer>>,
}

pub struct Group {
    pub facts: Newsgroup,
    pub created: Timestamp,
    /// Indices of [`Site::articles`] by article number.
    pub filed: BTreeMap<u64, usize>,
}

pub struct Stored {
    pub id: MessageId,
    /// The header section without the empty line.
    pub head: String,
    /// From the empty line to the terminator.
    pub body: String,
    /// Overview, without the number.
    pub row: String,
    pub newsgroups: String,
    pub arrived: Timestamp,
}

/// An article that is to be filed.
struct New {
    id: MessageId,
    head: String,
    body: String,
    row: Vec<u8>,
    lines: u64,
    stuffed: u64,
    newsgroups: String,
    arrived: Timestamp,
}

impl Group {
    /// Low and high water mark and count.
    pub fn marks(&self) -> (u64, u64, u64) {
        let high = self.facts.next - 1;
        let low = self.filed.keys().next().copied().unwrap_or(high + 1);
        (low, high, self.filed.len() as u64)
    }
}

impl Site {
    pub fn new(script: &Script) -> Self {
        let identity = PathIdentity::try_from(IDENTITY).unwrap();
        let site = Config::built_in().site;
        let peers = Config::check_peers(&site, Path::new("peers.toml"), super::tcp::PEERS).unwrap();
        let mut site = Self {
            identity,
            groups: Vec::new(),
            articles: Vec::new(),
            peers: peers.into_iter().map(Arc::new).collect(),
        };
        for group in &script.newsgroups {
            let facts = Newsgroup { next: 1, ..group.clone() };
            site.groups.push(Group { facts, created: clock::now(), filed: BTreeMap::new() });
        }
        site.groups.sort_by(|a, b| a.facts.name.cmp(&b.facts.name));
        for article in &script.articles {
            let mut row = Vec::new();
            article.with_head(|head| overview::row(head, &mut row));
            let places = article.places.iter().map(|(name, number)| {
                let group = site.group(name).unwrap();
                site.groups[group].facts.next = *number;
                group
            });
            let places = places.collect();
            let new = New {
                id: article.id(),
                head: article.head.clone(),
                body: article.body.clone(),
                row,
                lines: article.lines(),
                stuffed: 0,
                newsgroups: article.newsgroups(),
                arrived: article.arrived.unwrap_or_else(clock::now),
            };
            site.file(new, places);
        }
        for group in &script.newsgroups {
            let at = site.group(&group.name).unwrap();
            site.groups[at].facts.next = group.next;
        }
        site
    }

    pub fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| group.facts.name == name)
    }

    pub fn find(&self, id: &MessageId) -> Option<&Stored> {
        self.articles.iter().find(|article| article.id == *id)
    }

    /// Gives the article its numbers, its Xref and the rest of its row.
    fn file(&mut self, new: New, places: Vec<usize>) {
        let mut filed: Vec<usize> = Vec::new();
        let mut xref = format!("Xref: {IDENTITY}");
        for at in places {
            if !filed.contains(&at) {
                filed.push(at);
                let group = &mut self.groups[at];
                xref += &format!(" {}:{}", group.facts.name, group.facts.next);
                group.filed.insert(group.facts.next, self.articles.len());
                group.facts.next += 1;
            }
        }
        let head = format!("{}{xref}\r\n", new.head);
        let bytes = (head.len() + new.body.len() - 3) as u64 - new.stuffed;
        let row = format!("{}\t{bytes}\t{}\t{xref}", String::from_utf8(new.row).unwrap(), new.lines);
        let New { id, body, newsgroups, arrived, .. } = new;
        self.articles.push(Stored { id, head, body, row, newsgroups, arrived });
    }

    /// As the intake does: what a newsgroup takes, and where what it takes is filed.
    fn place(&self, name: &str) -> Option<(usize, Posting)> {
        let at = self.group(name)?;
        Some(match &self.groups[at].facts.status {
            GroupStatus::Posting => (at, Posting::Allowed),
            GroupStatus::NoPosting => (at, Posting::Forbidden),
            GroupStatus::Moderated => (at, Posting::Moderated),
            GroupStatus::Closed => (at, Posting::Closed),
            GroupStatus::Junk => (at, Posting::Junk),
            GroupStatus::Alias(other) => (self.group(other.as_str())?, Posting::Alias),
        })
    }

    fn policy<'a>(&self, identity: &'a PathIdentity) -> Policy<'a> {
        let limits = Config::built_in().site.limits;
        Policy {
            identity,
            now: clock::now(),
            cutoff_days: None,
            article_bytes_max: limits.article_bytes_max,
            crosspost_max: limits.crosspost_max,
        }
    }

    /// Injects a proto-article; its Message-ID when it is kept.
    pub fn inject(&mut self, proto: &[u8]) -> Result<MessageId, Reason> {
        let identity = self.identity.clone();
        let count = u8::try_from(self.articles.len()).unwrap();
        let fresh = injecting::fresh_id([count; injecting::RANDOM_LEN], &identity).unwrap();
        let policy = self.policy(&identity);
        let injected = injecting::judge(proto, Some("127.0.0.1"), fresh, &policy, |name| self.place(name))?;
        let Injected { id, head, proto_head_len, filing, counts, .. } = injected;
        if self.find(&id).is_some() {
            return Err(Reason::Duplicate);
        }
        let mut row = Vec::new();
        overview::row(&Head::parse(&head).map_err(Reason::Malformed)?, &mut row);
        let new = New {
            id: id.clone(),
            head: String::from_utf8(head[..head.len() - 2].to_vec()).unwrap(),
            body: String::from_utf8(proto[proto_head_len - 2..].to_vec()).unwrap(),
            row,
            lines: counts.lines,
            stuffed: counts.stuffed,
            newsgroups: filing.newsgroups,
            arrived: clock::now(),
        };
        self.file(new, filing.groups);
        Ok(id)
    }

    /// Takes an article that a peer brings.
    pub fn relay(&mut self, article: &[u8], id: &MessageId) -> Result<(), Reason> {
        if self.find(id).is_some() {
            return Err(Reason::Duplicate);
        }
        let identity = self.identity.clone();
        let peers = self.peers.clone();
        let source = relaying::Source::Peers { peers: &peers, address: "127.0.0.1" };
        let policy = self.policy(&identity);
        let accepted = relaying::judge(article, id, source, &policy, |name| self.place(name))?;
        let mut row = Vec::new();
        overview::row(&accepted.head, &mut row);
        let new = New {
            id: id.clone(),
            head: String::from_utf8(relaying::rewrite(&accepted.head, &accepted.path)).unwrap(),
            body: String::from_utf8(article[accepted.head.section().len()..].to_vec()).unwrap(),
            row,
            lines: accepted.counts.lines,
            stuffed: accepted.counts.stuffed,
            newsgroups: accepted.filing.newsgroups,
            arrived: clock::now(),
        };
        self.file(new, accepted.filing.groups);
        Ok(())
    }
}
