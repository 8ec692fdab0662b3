//! The rule of a peering: does an article pass from one site to the other? One judge for what is sent,
//! for what is accepted, and for explaining either; pure, and next to free for a contract that only
//! names newsgroups.

use crate::article::{ArticleKind, path};
use crate::clock::Timestamp;
use crate::config::{ArticleOrigin, Contract, Peer};
use crate::wildmat::Match;
use std::fmt;

const DAY_S: i64 = 24 * 3600;

/// What a contract judges by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The names in Newsgroups, comma-separated.
    pub newsgroups: &'a str,
    /// The names in Distribution, comma-separated; empty: it has none.
    pub distribution: &'a str,
    /// Octets in wire form.
    pub octets: usize,
    /// Path as it leaves the sending site, whose identity stands first.
    pub path: &'a [u8],
    /// Its own date.
    pub date: Timestamp,
    /// The moment of judgement.
    pub now: Timestamp,
    /// What it carries.
    pub kind: ArticleKind,
}

/// What a contract says against an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// None of its newsgroups is wanted; the first of them.
    Newsgroups(String),
    /// A newsgroup is poison.
    Poison(String),
    /// None of its distributions is wanted.
    Distribution(String),
    /// A distribution is poison.
    PoisonDistribution(String),
    /// Octets it has, and may have.
    Bytes(usize, usize),
    /// Newsgroups it names, and may name.
    Crosspost(usize, usize),
    /// Sites in its Path, and how many there may be.
    Hops(usize, usize),
    /// Days since its date, and how many may be.
    Age(i64, u32),
    /// It was not injected where the contract says.
    Origin(ArticleOrigin),
    /// What it carries.
    Kind(ArticleKind),
}

/// Judges an article by a contract.
///
/// # Errors
/// The first thing that the contract says against it.
pub fn judge(contract: &Contract, facts: &Facts<'_>) -> Result<(), Objection> {
    newsgroups(contract, facts.newsgroups)?;
    // RFC 5536 s.3.2.4: an article without the field is for everywhere.
    if !facts.distribution.is_empty() {
        distribution(contract, facts.distribution)?;
    }
    if let Some(max) = contract.bytes_max.filter(|max| facts.octets > *max) {
        return Err(Objection::Bytes(facts.octets, max));
    }
    if let Some(max) = contract.crosspost_max {
        let count = facts.newsgroups.split(',').count();
        if count > max {
            return Err(Objection::Crosspost(count, max));
        }
    }
    if let Some(max) = contract.hops_max {
        let hops = path::hops(facts.path);
        if hops > max {
            return Err(Objection::Hops(hops, max));
        }
    }
    if let Some(max) = contract.age_days_max {
        let age_s = facts.now.unix_s() - facts.date.unix_s();
        if age_s > DAY_S * i64::from(max) {
            return Err(Objection::Age(age_s / DAY_S, max));
        }
    }
    // Injected at the sending site: no other one stands in Path.
    let fits = match contract.origin {
        ArticleOrigin::Any => true,
        ArticleOrigin::Local => path::hops(facts.path) <= 1,
        ArticleOrigin::Relayed => path::hops(facts.path) > 1,
    };
    if !fits {
        return Err(Objection::Origin(contract.origin));
    }
    if !contract.kinds.is_empty() && !contract.kinds.contains(&facts.kind) {
        return Err(Objection::Kind(facts.kind));
    }
    Ok(())
}

fn newsgroups(contract: &Contract, names: &str) -> Result<(), Objection> {
    if contract.newsgroups.wants(names.split(',')) {
        return Ok(());
    }
    let poison = names.split(',').find(|name| contract.newsgroups.judge(name) == Match::Poison);
    let first = names.split(',').next().unwrap_or_default().to_owned();
    Err(poison.map_or(Objection::Newsgroups(first), |name| Objection::Poison(name.to_owned())))
}

fn distribution(contract: &Contract, names: &str) -> Result<(), Objection> {
    if contract.distributions.wants(names.split(',')) {
        return Ok(());
    }
    let poison = names.split(',').find(|name| contract.distributions.judge(name) == Match::Poison);
    Err(match poison {
        Some(name) => Objection::PoisonDistribution(name.to_owned()),
        None => Objection::Distribution(names.to_owned()),
    })
}

/// Why an article that is here is not owed to a peer, whatever it says of newsgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unowed {
    /// It came from that peer.
    CameFromIt,
    /// It was brought to stay here.
    Kept,
    /// Path says that the peer has it: this identity of its stands there.
    InPath(String),
    /// The contract is against it.
    Contract(Objection),
}

/// Is an article that came from `source` owed to `peer` (RFC 5537 s.3.6)? `kept`: it was brought to
/// stay here.
///
/// # Errors
/// Why not.
pub fn owed(peer: &Peer, source: &str, kept: bool, facts: &Facts<'_>) -> Result<(), Unowed> {
    if source == peer.name {
        return Err(Unowed::CameFromIt);
    }
    if kept {
        return Err(Unowed::Kept);
    }
    judge(&peer.send, facts).map_err(Unowed::Contract)?;
    match peer.identities.iter().find(|identity| path::has_identity(facts.path, identity.as_str())) {
        Some(identity) => Err(Unowed::InPath(identity.to_string())),
        None => Ok(()),
    }
}

/// In words of `peers.toml`, one line; names come from the article and are not escaped.
impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newsgroups(first) => write!(f, "newsgroups: none of its newsgroups is wanted ({first})"),
            Self::Poison(name) => write!(f, "newsgroups: {name} is poison (@)"),
            Self::Distribution(names) => write!(f, "distributions: {names} is not wanted"),
            Self::PoisonDistribution(name) => write!(f, "distributions: {name} is poison (@)"),
            Self::Bytes(bytes, max) => write!(f, "bytes_max: it has {bytes} bytes, {max} are allowed"),
            Self::Crosspost(count, max) => {
                write!(f, "crosspost_max: it names {count} newsgroups, {max} are allowed")
            }
            Self::Hops(hops, max) => write!(f, "hops_max: {hops} sites are in its Path, {max} are allowed"),
            Self::Age(days, max) => write!(f, "age_days_max: it is {days} days old, {max} are allowed"),
            Self::Origin(ArticleOrigin::Local) => f.write_str("origin: it was injected at another site"),
            Self::Origin(_) => f.write_str("origin: it was injected at the sending site"),
            Self::Kind(kind) => write!(f, "kinds: it is {}", kind.word()),
        }
    }
}

impl fmt::Display for Unowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CameFromIt => f.write_str("it came from there"),
            Self::Kept => f.write_str("it was brought to stay here (pull without --propagate)"),
            Self::InPath(identity) => write!(f, "{identity} stands in its Path"),
            Self::Contract(objection) => objection.fmt(f),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::article::PathIdentity;
    use crate::wildmat::Wildmat;

    const NOW: Timestamp = Timestamp::from_unix_s(1_800_000_000);

    fn facts() -> Facts<'static> {
        Facts {
            newsgroups: "comp.lang.rust,alt.test",
            distribution: "",
            octets: 2000,
            path: b"a.example!b.example!.POSTED.192.0.2.1!not-for-mail",
            date: NOW.plus_s(-2 * DAY_S),
            now: NOW,
            kind: ArticleKind::Text,
        }
    }

    fn wildmat(text: &str) -> Wildmat {
        Wildmat::parse_subscription(text).unwrap()
    }

    #[test]
    fn each_limit_has_its_objection() {
        let everything = Contract::default();
        assert_eq!(judge(&everything, &facts()), Ok(()));
        let of = |text| Contract::of(wildmat(text));
        assert_eq!(judge(&of("comp.*"), &facts()), Ok(()));
        assert_eq!(judge(&of("rec.*"), &facts()), Err(Objection::Newsgroups("comp.lang.rust".to_owned())));
        assert_eq!(judge(&of("*,@alt.*"), &facts()), Err(Objection::Poison("alt.test".to_owned())));
        for (contract, objection) in [
            (Contract { bytes_max: Some(2000), ..Contract::default() }, None),
            (Contract { bytes_max: Some(1999), ..Contract::default() }, Some(Objection::Bytes(2000, 1999))),
            (Contract { crosspost_max: Some(2), ..Contract::default() }, None),
            (Contract { crosspost_max: Some(1), ..Contract::default() }, Some(Objection::Crosspost(2, 1))),
            (Contract { hops_max: Some(2), ..Contract::default() }, None),
            (Contract { hops_max: Some(1), ..Contract::default() }, Some(Objection::Hops(2, 1))),
            (Contract { age_days_max: Some(2), ..Contract::default() }, None),
            (Contract { age_days_max: Some(1), ..Contract::default() }, Some(Objection::Age(2, 1))),
            (Contract { origin: ArticleOrigin::Relayed, ..Contract::default() }, None),
            (
                Contract { origin: ArticleOrigin::Local, ..Contract::default() },
                Some(Objection::Origin(ArticleOrigin::Local)),
            ),
            (Contract { kinds: vec![ArticleKind::Text], ..Contract::default() }, None),
            (
                Contract { kinds: vec![ArticleKind::Yenc, ArticleKind::Binary], ..Contract::default() },
                Some(Objection::Kind(ArticleKind::Text)),
            ),
        ] {
            assert_eq!(judge(&contract, &facts()).err(), objection, "{contract:?}");
        }
        let injected = Facts { path: b"a.example!.POSTED.192.0.2.1!old.example!poster", ..facts() };
        let local = Contract { origin: ArticleOrigin::Local, ..Contract::default() };
        assert_eq!(judge(&local, &injected), Ok(()));
    }

    #[test]
    fn distributions_count_where_there_are_any() {
        let contract = Contract { distributions: wildmat("*,!local,@secret"), ..Contract::default() };
        for (distribution, objection) in [
            ("", None),
            ("world", None),
            ("local,de", None),
            ("local", Some(Objection::Distribution("local".to_owned()))),
            ("de,secret", Some(Objection::PoisonDistribution("secret".to_owned()))),
        ] {
            let facts = Facts { distribution, ..facts() };
            assert_eq!(judge(&contract, &facts).err(), objection, "{distribution}");
        }
    }

    #[test]
    fn nothing_goes_back_to_where_it_has_been() {
        let peer = |name: &str| Peer::new(name, PathIdentity::try_from(name).unwrap());
        let c = peer("c.example");
        assert_eq!(owed(&c, "", false, &facts()), Ok(()));
        assert_eq!(owed(&c, "c.example", false, &facts()), Err(Unowed::CameFromIt));
        assert_eq!(owed(&c, "", true, &facts()), Err(Unowed::Kept));
        let in_path = Unowed::InPath("B.Example".to_owned());
        assert_eq!(owed(&peer("B.Example"), "x", false, &facts()), Err(in_path));
    }
}
