//! The lists whose text is the operator's (RFC 3977 s.7.6.5, RFC 6048 s.2.3 to s.2.6).

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFile {
    /// LIST DISTRIB.PATS: `weight:wildmat:distribution` (RFC 3977 s.7.6.5).
    DistribPats,
    /// LIST DISTRIBUTIONS: a distribution and what it means (RFC 6048 s.2.3).
    Distributions,
    /// LIST MODERATORS: `wildmat:submission template` (RFC 6048 s.2.4).
    Moderators,
    /// LIST MOTD: free text (RFC 6048 s.2.5).
    Motd,
    /// LIST SUBSCRIPTIONS: recommended newsgroups, the best first (RFC 6048 s.2.6).
    Subscriptions,
}

/// A set of [`ListFile`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListFiles(u8);

impl ListFile {
    /// All of them, by keyword.
    pub const ALL: [Self; 5] =
        [Self::DistribPats, Self::Distributions, Self::Moderators, Self::Motd, Self::Subscriptions];

    /// The keyword behind LIST.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::DistribPats => "DISTRIB.PATS",
            Self::Distributions => "DISTRIBUTIONS",
            Self::Moderators => "MODERATORS",
            Self::Motd => "MOTD",
            Self::Subscriptions => "SUBSCRIPTIONS",
        }
    }

    /// The list of this keyword, in any case.
    pub fn of_keyword(keyword: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| keyword.eq_ignore_ascii_case(list.keyword()))
    }
}

impl ListFiles {
    /// This set with `list` in it.
    #[must_use]
    pub fn with(self, list: ListFile) -> Self {
        Self(self.0 | 1 << list as u8)
    }

    /// Is `list` in it?
    pub fn has(self, list: ListFile) -> bool {
        self.0 & (1 << list as u8) != 0
    }
}
