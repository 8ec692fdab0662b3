//! wildmat patterns (RFC 3977 s.4) and the subscriptions of peers, which add the poison mark `@`
//! (INN's newsfeeds(5)). Matching takes O(pattern x text), never exponential time.

/// A comma-separated list of patterns; the rightmost one that matches decides (RFC 3977 s.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wildmat {
    pub(crate) patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) mark: Mark,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Plain,
    Negated,
    Poison,
}

/// What a subscription says of one newsgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The rightmost matching pattern is a plain one.
    Yes,
    /// No pattern matches, or the rightmost one that does has `!`.
    No,
    /// The rightmost one that matches has `@`: an article in such a newsgroup is not wanted at
    /// all, whatever else it is crossposted to.
    Poison,
}

/// Why a text is not a wildmat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WildmatError(pub String);

impl Wildmat {
    /// Parses a wildmat of RFC 3977 s.4.1 (`!` allowed, `@` an ordinary character).
    pub fn parse(text: &str) -> Result<Self, WildmatError> {
        let _ = text;
        todo!()
    }

    /// Parses the subscription of a peer: a wildmat in which `@` marks poison. Blanks around a
    /// pattern are allowed.
    pub fn parse_subscription(text: &str) -> Result<Self, WildmatError> {
        let _ = text;
        todo!()
    }

    /// Does `text` match (poison counts as no)?
    pub fn matches(&self, text: &str) -> bool {
        self.judge(text) == Match::Yes
    }

    /// The full answer for one newsgroup.
    pub fn judge(&self, text: &str) -> Match {
        let _ = text;
        todo!()
    }

    /// Is an article in `newsgroups` wanted: at least one matches and none is poison?
    pub fn wants<'a>(&self, newsgroups: impl IntoIterator<Item = &'a str>) -> bool {
        let _ = newsgroups;
        todo!()
    }
}
