//! How much each account may post in a period, or each address where a rule asks for no account. Kept
//! in memory: a restart begins the periods anew.

use super::counted_address;
use crate::accounts::Account;
use crate::config::Rule;
use crate::limits::QUOTAS_MAX;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// On whose account connections, articles and octets go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An account, wherever it comes from.
    Account(String),
    /// An address (of IPv6 a /64), whoever has logged in from there.
    Address(IpAddr),
    /// A peer, or several that cannot be told from each other, by name.
    Peer(String),
}

/// What was posted in the periods that run.
#[derive(Debug, Default)]
pub struct Quotas {
    used: HashMap<Key, Used>,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    since: Instant,
    ends: Instant,
    posts: u64,
    octets: u64,
}

/// A limit of a rule that an article would exceed: the text is for 441.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Its key in `feedd.toml`.
    pub limit: &'static str,
    /// Its value.
    pub max: u64,
    /// Over how long it counts.
    pub period: Duration,
    /// When the next period begins; none: the article alone is more than a period has.
    pub again_in: Option<Duration>,
}

impl Key {
    /// Whose connections and articles a rule counts.
    pub fn of(rule: &Rule, account: Option<&Account>, address: IpAddr) -> Self {
        match account {
            Some(account) if !rule.accounts.is_empty() => Self::Account(account.name.clone()),
            _ => Self::Address(counted_address(address)),
        }
    }
}

impl Quotas {
    /// Takes an article of `octets` from what `rule` gives to `key`. A period begins with its first
    /// article.
    ///
    /// # Errors
    /// It would be too much; nothing is taken then.
    pub fn take(&mut self, key: &Key, rule: &Rule, octets: usize, now: Instant) -> Result<(), Exceeded> {
        if rule.posts_max.is_none() && rule.bytes_max.is_none() {
            return Ok(());
        }
        let period = Duration::from_secs(rule.period_s);
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let none = Used { since: now, ends: now + period, posts: 0, octets: 0 };
        let mut used = self.used.get(key).copied().filter(|used| now < used.since + period).unwrap_or(none);
        // The rule may have changed since.
        used.ends = used.since + period;
        let again_in = Some(used.ends.saturating_duration_since(now));
        used.posts = used.posts.saturating_add(1);
        used.octets = used.octets.saturating_add(octets);
        match (rule.posts_max, rule.bytes_max) {
            (Some(max), _) if used.posts > max => {
                return Err(Exceeded { limit: "posts_max", max, period, again_in });
            }
            (_, Some(max)) if used.octets > max => {
                let again_in = again_in.filter(|_| octets <= max);
                return Err(Exceeded { limit: "bytes_max", max, period, again_in });
            }
            _ => {}
        }
        if !self.used.contains_key(key) {
            self.make_room(now);
        }
        self.used.insert(key.clone(), used);
        Ok(())
    }

    /// Gives back what an article took that was not kept after all.
    pub fn give_back(&mut self, key: &Key, octets: usize) {
        if let Some(used) = self.used.get_mut(key) {
            used.posts = used.posts.saturating_sub(1);
            used.octets = used.octets.saturating_sub(u64::try_from(octets).unwrap_or(u64::MAX));
        }
    }

    /// Forgets the periods that are over and, where that is not enough, who has posted least.
    fn make_room(&mut self, now: Instant) {
        if self.used.len() < QUOTAS_MAX {
            return;
        }
        self.used.retain(|_, used| now < used.ends);
        if self.used.len() < QUOTAS_MAX {
            return;
        }
        let least = self.used.iter().min_by_key(|(_, used)| (used.posts, used.octets, used.since));
        if let Some(key) = least.map(|(key, _)| key.clone()) {
            self.used.remove(&key);
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match (self.limit, self.max) {
            ("posts_max", 1) => "article",
            ("posts_max", _) => "articles",
            _ => "octets of articles",
        };
        write!(f, "you may post {} {unit} in {}", self.max, Span(self.period))?;
        match self.again_in {
            Some(pause) => write!(f, "; try again in {}", Span(pause)),
            None => f.write_str(" and this one is larger"),
        }
    }
}

/// A time for people, rounded up to minutes: `3 h 12 min`.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = (self.0 + Duration::from_millis(59_999)).as_secs() / 60;
        match (minutes / 60, minutes % 60) {
            (0, minutes) => write!(f, "{minutes} min"),
            (hours, 0) => write!(f, "{hours} h"),
            (hours, minutes) => write!(f, "{hours} h {minutes} min"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::{Scope, Subject};
    use std::net::Ipv4Addr;

    fn rule(posts_max: Option<u64>, bytes_max: Option<u64>) -> Rule {
        Rule {
            line: 1,
            accounts: vec![Subject::Anybody],
            networks: Vec::new(),
            read: Scope::All,
            post: Scope::All,
            connections_max: None,
            article_bytes_max: None,
            posts_max,
            bytes_max,
            period_s: 3600,
        }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn posts_and_octets_of_a_period() {
        let mut quotas = Quotas::default();
        let (a, b) = (Key::Account("a".to_owned()), Key::Account("b".to_owned()));
        let rule = rule(Some(3), Some(1000));
        let now = Instant::now();
        assert_eq!(quotas.take(&a, &rule, 400, now), Ok(()));
        assert_eq!(quotas.take(&a, &rule, 600, now + s(10)), Ok(()));
        let told = quotas.take(&a, &rule, 1, now + s(600)).unwrap_err().to_string();
        assert_eq!(told, "you may post 1000 octets of articles in 1 h; try again in 50 min");
        assert_eq!(quotas.take(&b, &rule, 1000, now), Ok(()), "each has its own");
        quotas.give_back(&a, 600);
        assert_eq!(quotas.take(&a, &rule, 1, now + s(600)), Ok(()));
        assert_eq!(quotas.take(&a, &rule, 1, now + s(600)), Ok(()));
        let told = quotas.take(&a, &rule, 1, now + s(3599)).unwrap_err().to_string();
        assert_eq!(told, "you may post 3 articles in 1 h; try again in 1 min");
        assert_eq!(quotas.take(&a, &rule, 1000, now + s(3600)), Ok(()), "a new period");
        let told = quotas.take(&b, &rule, 1001, now + s(7200)).unwrap_err().to_string();
        assert_eq!(told, "you may post 1000 octets of articles in 1 h and this one is larger");
        assert_eq!(Span(s(3 * 3600 + 12 * 60)).to_string(), "3 h 12 min");
    }

    #[test]
    fn the_rule_says_who_is_counted() {
        let accounts = crate::accounts::Accounts::default();
        let address: IpAddr = "2001:db8::7".parse().unwrap();
        let by_address = Key::Address("2001:db8::".parse().unwrap());
        let by_account = rule(None, None);
        assert_eq!(Key::of(&by_account, accounts.find("a").as_deref(), address), by_address);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users"), "a:*").unwrap();
        let account = crate::accounts::Accounts::read(&folder.path().join("users")).unwrap().find("a");
        let key = Key::of(&by_account, account.as_deref(), address);
        assert_eq!(key, Key::Account("a".to_owned()));
        let by_network = Rule { accounts: Vec::new(), ..rule(None, None) };
        assert_eq!(Key::of(&by_network, account.as_deref(), address), by_address);
        let mut quotas = Quotas::default();
        assert_eq!(quotas.take(&key, &by_account, usize::MAX, Instant::now()), Ok(()));
        assert!(quotas.used.is_empty(), "without limits nothing is kept");
    }

    #[test]
    fn many_addresses_do_not_fill_memory() {
        let mut quotas = Quotas::default();
        let rule = rule(Some(2), None);
        let now = Instant::now();
        let often = Key::Account("a".to_owned());
        quotas.take(&often, &rule, 1, now).unwrap();
        quotas.take(&often, &rule, 1, now).unwrap();
        for host in 0..QUOTAS_MAX as u32 + 10 {
            let key = Key::Address(IpAddr::V4(Ipv4Addr::from_bits(host)));
            quotas.take(&key, &rule, 1, now + s(1)).unwrap();
        }
        assert_eq!(quotas.used.len(), QUOTAS_MAX);
        assert!(quotas.take(&often, &rule, 1, now + s(1)).is_err());
        quotas.take(&Key::Account("b".to_owned()), &rule, 1, now + s(4000)).unwrap();
        assert_eq!(quotas.used.len(), 1);
    }
}
