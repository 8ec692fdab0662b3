//! `[[access.rule]]`: who may read and post where, and how much. The first rule that matches decides,
//! so one behind a rule that matches all of the same connections is dead text and a mistake.

use super::document::{At, Section};
use super::site::{networks, octets, size};
use super::{Limits, Network, RULE_PERIOD_S, patterns};
use crate::accounts::{Account, BadName, check_name};
use crate::wildmat::{Mark, Wildmat};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

const KEYS: [&str; 9] = [
    "accounts",
    "networks",
    "read",
    "post",
    "connections_max",
    "article_bytes_max",
    "posts_max",
    "bytes_max",
    "period_s",
];

/// Which newsgroups somebody may read or post to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// None.
    #[default]
    Nothing,
    /// Every one, which costs nothing to ask.
    All,
    /// Those that match.
    Newsgroups(Arc<Wildmat>),
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `*`: everybody who has logged in.
    Anybody,
    /// `@staff`: the members of a group.
    Group(String),
    /// `alice`: one account.
    Account(String),
}

/// A block `[[access.rule]]`, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where it stands in `feedd.toml`, for the operator.
    pub line: usize,
    /// The accounts it is about; none: whether somebody has logged in does not matter.
    pub accounts: Vec<Subject>,
    /// Where they must come from; none: from anywhere.
    pub networks: Vec<Network>,
    /// What they may read.
    pub read: Scope,
    /// Where they may post.
    pub post: Scope,
    /// Connections at once: of each account or, without `accounts`, of each address. In place of
    /// `connections_per_account_max` and `connections_per_address_max`.
    pub connections_max: Option<usize>,
    /// Octets of an article; less than the site's own.
    pub article_bytes_max: Option<usize>,
    /// Articles in a period, counted as `connections_max` is.
    pub posts_max: Option<u64>,
    /// Octets of articles in a period.
    pub bytes_max: Option<u64>,
    /// Seconds of a period.
    pub period_s: u64,
}

impl Scope {
    /// Is there any newsgroup in it?
    pub fn any(&self) -> bool {
        *self != Self::Nothing
    }

    /// Is this newsgroup in it?
    pub fn allows(&self, newsgroup: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Newsgroups(wildmat) => wildmat.matches(newsgroup),
        }
    }

    /// Is one of these newsgroups in it: may an article that stands in them be read?
    pub fn allows_any<'a>(&self, newsgroups: impl IntoIterator<Item = &'a str>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Newsgroups(_) => newsgroups.into_iter().any(|newsgroup| self.allows(newsgroup)),
        }
    }

    /// The first of these newsgroups that is not in it: an article may be posted if there is none.
    pub fn first_denied<'a>(&self, newsgroups: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        match self {
            Self::All => None,
            _ => newsgroups.into_iter().find(|newsgroup| !self.allows(newsgroup)),
        }
    }
}

impl From<Wildmat> for Scope {
    fn from(wildmat: Wildmat) -> Self {
        match wildmat.patterns.as_slice() {
            [only] if only.text == "*" && only.mark == Mark::Plain => Self::All,
            patterns if patterns.iter().all(|pattern| pattern.mark != Mark::Plain) => Self::Nothing,
            _ => Self::Newsgroups(Arc::new(wildmat)),
        }
    }
}

/// As in `feedd.toml`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("!*"),
            Self::All => f.write_str("*"),
            Self::Newsgroups(wildmat) => wildmat.fmt(f),
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Result<Self, BadName> {
        if text == "*" {
            return Ok(Self::Anybody);
        }
        let (name, subject): (&str, fn(String) -> Self) = match text.strip_prefix('@') {
            Some(group) => (group, Self::Group),
            None => (text, Self::Account),
        };
        check_name(name)?;
        Ok(subject(name.to_owned()))
    }

    /// Is it about this account?
    pub fn is(&self, account: &Account) -> bool {
        match self {
            Self::Anybody => true,
            Self::Group(group) => account.groups.contains(group),
            Self::Account(name) => account.name == *name,
        }
    }
}

/// As in `feedd.toml`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybody => f.write_str("*"),
            Self::Group(group) => write!(f, "@{group}"),
            Self::Account(name) => f.write_str(name),
        }
    }
}

impl Rule {
    /// Is it about connections from this address?
    pub fn is_for_address(&self, address: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(address))
    }

    /// Does it decide for this connection, if no rule before it does?
    pub fn matches(&self, address: IpAddr, account: Option<&Account>) -> bool {
        let is_for_account = self.accounts.is_empty()
            || account.is_some_and(|account| self.accounts.iter().any(|subject| subject.is(account)));
        is_for_account && self.is_for_address(address)
    }

    /// Does it decide for every account, if it is about the address?
    pub fn takes_all_accounts(&self) -> bool {
        self.accounts.is_empty() || self.accounts.contains(&Subject::Anybody)
    }

    /// Does it surely match whatever `later` matches?
    fn covers(&self, later: &Self) -> bool {
        let accounts = self.accounts.is_empty()
            || (!later.accounts.is_empty()
                && (self.accounts.contains(&Subject::Anybody)
                    || later.accounts.iter().all(|subject| self.accounts.contains(subject))));
        let wanted = if later.networks.is_empty() { &Network::ANYWHERE[..] } else { &later.networks };
        let networks = self.networks.is_empty()
            || wanted.iter().all(|network| self.networks.iter().any(|own| own.covers(network)));
        accounts && networks
    }
}

/// The rules of `[access]`, in their order.
pub(super) fn read(access: &Section<'_, '_>, limits: &Limits) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = Vec::new();
    for block in access.sections("rule", "access.rule", &KEYS) {
        let Some(rule) = rule(&block, limits) else { continue };
        if let Some(before) = rules.iter().find(|before| before.covers(&rule)) {
            block.mistake(
                block.at,
                format!(
                    "this rule can never decide: the one of line {} matches all of the same connections",
                    before.line
                ),
                "put the more special rule first, or remove one of them",
            );
        }
        rules.push(Arc::new(rule));
    }
    rules
}

/// One block; none when it is not clear whom it is about.
fn rule(block: &Section<'_, '_>, limits: &Limits) -> Option<Rule> {
    let accounts = subjects(block);
    let networks = from(block);
    if block.position("accounts").is_none() && block.position("networks").is_none() {
        block.mistake(
            block.at,
            "this rule does not say whom it is about",
            "add accounts = [\"*\"] for everybody who has logged in, or networks = [\"anywhere\"] for all",
        );
    }
    if block.position("read").is_none() && block.position("post").is_none() {
        block.mistake(
            block.at,
            "this rule gives nothing",
            "add read = \"*\" or post = \"*\"; to shut them out, read = \"!*\"",
        );
    }
    let rule = Rule {
        line: block.line(),
        accounts: accounts.clone().unwrap_or_default(),
        networks: networks.clone().unwrap_or_default(),
        read: scope(block, "read"),
        post: scope(block, "post"),
        connections_max: given(block, "connections_max", |key| {
            size(block.number(key, octets(limits.connections_per_account_max), 1..=1_000_000).value)
        }),
        article_bytes_max: given(block, "article_bytes_max", |key| {
            let site = octets(limits.article_bytes_max);
            size(block.octets(key, site, 4096..=site).value)
        }),
        posts_max: given(block, "posts_max", |key| block.number(key, 100, 1..=1_000_000_000).value),
        bytes_max: given(block, "bytes_max", |key| block.octets(key, 1 << 30, 4096..=1 << 50).value),
        period_s: block.number("period_s", RULE_PERIOD_S, 60..=366 * 86_400).value,
    };
    without_effect(block, &rule);
    let clear = |given: bool, key: &str| given || block.position(key).is_none();
    let about_somebody = accounts.is_some() || networks.is_some();
    (about_somebody && clear(accounts.is_some(), "accounts") && clear(networks.is_some(), "networks"))
        .then_some(rule)
}

/// Complains about keys that change nothing beside what else the rule says.
fn without_effect(block: &Section<'_, '_>, rule: &Rule) {
    let dead = |key: &str, because: &str, cure: &str| {
        if let Some(at) = block.position(key) {
            block.mistake(at, format!("\"{key}\" has no effect: {because}"), cure);
        }
    };
    if block.position("read").is_none() && block.position("post").is_none() {
        return;
    }
    if !rule.post.any() {
        for key in ["article_bytes_max", "posts_max", "bytes_max"] {
            dead(key, "this rule lets nobody post", "add post = \"*\", or remove it");
        }
    }
    if !rule.post.any() && !rule.read.any() {
        dead("connections_max", "this rule shuts everybody out", "remove it");
    }
    if rule.posts_max.is_none() && rule.bytes_max.is_none() {
        dead("period_s", "nothing is counted", "add posts_max or bytes_max, or remove it");
    }
}

/// The value of a key that may be absent.
fn given<T>(block: &Section<'_, '_>, key: &str, read: impl FnOnce(&str) -> T) -> Option<T> {
    block.position(key).map(|_| read(key))
}

/// Nothing, where the key is absent.
fn scope(block: &Section<'_, '_>, key: &str) -> Scope {
    let Some(text) = block.text(key, "\"*,!local.secret.*\"") else { return Scope::Nothing };
    let Some(wildmat) = patterns::subscription(block, key, text) else { return Scope::Nothing };
    if let Some(poison) = wildmat.patterns.iter().find(|pattern| pattern.mark == Mark::Poison) {
        block.mistake(
            text.at,
            format!("\"{key}\": \"@{}\" is for subscriptions of peers", poison.text),
            format!("write \"!{}\"", poison.text),
        );
    }
    wildmat.into()
}

/// The networks of a rule; none when they are absent or wrong.
fn from(block: &Section<'_, '_>) -> Option<Vec<Network>> {
    let texts = block.texts("networks", "[\"192.0.2.0/24\"]")?;
    must_name_somebody(block, "networks", &texts);
    let networks = networks(block, &texts);
    (!networks.is_empty()).then_some(networks)
}

/// The accounts of a rule; none when they are absent or one of them is wrong.
fn subjects(block: &Section<'_, '_>) -> Option<Vec<Subject>> {
    let texts = block.texts("accounts", "[\"alice\", \"@staff\"]")?;
    must_name_somebody(block, "accounts", &texts);
    let mut subjects: Vec<Subject> = Vec::new();
    for text in &texts {
        match Subject::parse(text.value) {
            Err(bad) => block.mistake(
                text.at,
                format!("\"{}\" is no account: {}", text.value, bad.0),
                "write an account's name, \"@\" and a group's name, or \"*\" for everybody who has logged in",
            ),
            Ok(subject) if subjects.contains(&subject) => {
                block.mistake(text.at, format!("\"{subject}\" stands there twice"), "keep one of them");
            }
            Ok(subject) => subjects.push(subject),
        }
    }
    if let (true, Some(at)) =
        (subjects.len() > 1 && subjects.contains(&Subject::Anybody), block.position("accounts"))
    {
        block.mistake(at, "\"*\" is everybody who has logged in", "remove the others, or remove \"*\"");
    }
    (!subjects.is_empty() && subjects.len() == texts.len()).then_some(subjects)
}

fn must_name_somebody(block: &Section<'_, '_>, key: &str, texts: &[At<&str>]) {
    if let (true, Some(at)) = (texts.is_empty(), block.position(key)) {
        block.mistake(
            at,
            format!("\"{key}\" is an empty list: this rule is about nobody"),
            "name somebody, or remove the rule",
        );
    }
}
