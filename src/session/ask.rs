//! What a server's machine says to its shell, and what it is asked to look up.

use super::login::Credentials;
use crate::article::MessageId;
use crate::clock::Timestamp;
use crate::sync::Ranges;
use crate::wildmat::{TextPattern, Wildmat};
use crate::wire::{ListFile, Part, Range};
use bytes::Bytes;

/// What this connection may do, from who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Read articles.
    pub read: bool,
    /// Post articles.
    pub post: bool,
    /// Offer articles (IHAVE, CHECK, TAKETHIS).
    pub offer: bool,
    /// Be offered articles over this connection (XTURN).
    pub turn: bool,
}

/// By which command an article comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// IHAVE (RFC 3977 s.6.3.2).
    Ihave,
    /// TAKETHIS (RFC 4644 s.2.5).
    TakeThis,
    /// POST (RFC 3977 s.6.3.1).
    Post,
}

/// A transfer: the command and the Message-ID it named (none for POST).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The command.
    pub via: Via,
    /// The Message-ID of the command.
    pub id: Option<MessageId>,
}

/// The article that a transfer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// In wire form, terminator included.
    Article(Bytes),
    /// It was larger than allowed, has been drained, and was this many octets without its terminator.
    TooLarge(usize),
    /// TAKETHIS named something that is no Message-ID; its article has been drained.
    BadMessageId,
}

/// Which article a command means, its state-dependent forms resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    /// By Message-ID.
    Id(MessageId),
    /// By number in the selected newsgroup. `current`: the number was not in the command.
    Number {
        /// The article number.
        number: u64,
        /// It is the current article number.
        current: bool,
    },
}

/// What the shell has to look up. All of these are answered before the next command is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// CHECK: [`super::reply::check`].
    Check(MessageId),
    /// IHAVE: [`Server::answer_ihave_wanted`](super::Server::answer_ihave_wanted), or [`super::reply::ihave_unwanted`].
    Ihave(MessageId),
    /// GROUP: [`Server::answer_group`](super::Server::answer_group).
    Group(String),
    /// LISTGROUP, of the selected newsgroup when none is named; the numbers in `range` follow.
    Listgroup(Option<String>, Range),
    /// ARTICLE, HEAD, BODY, STAT: [`Server::answer_article`](super::Server::answer_article).
    Article(Part, Locator),
    /// NEXT (`up`) or LAST from the current number: [`Server::answer_neighbour`](super::Server::answer_neighbour).
    Neighbour {
        /// The current article number.
        from: u64,
        /// NEXT.
        up: bool,
    },
    /// OVER by Message-ID or number range of the selected newsgroup.
    Over(Rows),
    /// HDR, XHDR and XPAT.
    Hdr {
        /// The field or metadata item.
        field: String,
        /// Of which articles.
        rows: Rows,
        /// XHDR and XPAT are answered 221, HDR 225.
        old: bool,
        /// XPAT: only those whose value matches; an empty answer is no error then.
        pattern: Option<TextPattern>,
    },
    /// LIST of newsgroups.
    List(ListKind, Option<Wildmat>),
    /// XGTITLE: LIST NEWSGROUPS answered 282; of the selected newsgroup when there is no wildmat.
    Xgtitle(Option<Wildmat>),
    /// LIST of the operator's: [`super::reply::list_file`]. Only of those that
    /// [`Server::set_lists`](super::Server::set_lists) named.
    ListFile(ListFile, Option<Wildmat>),
    /// NEWGROUPS.
    Newgroups(Timestamp),
    /// NEWNEWS.
    Newnews(Wildmat, Timestamp),
    /// DATE.
    Date,
    /// AUTHINFO: [`Server::answer_login`](super::Server::answer_login).
    Login(Credentials),
    /// COMPRESS DEFLATE: [`Server::answer_compress`](super::Server::answer_compress).
    Compress,
    /// XSYNC COUNTS: 291, and the lines of [`Summary`](crate::sync::Summary).
    SyncCounts(Ranges, Wildmat),
    /// XSYNC IDS: 291, and Message-IDs.
    SyncIds(Ranges, Wildmat),
    /// XSYNC OFFER: [`super::reply::sync_offer`].
    SyncOffer(MessageId),
    /// XPEER: [`super::reply::peer_view`].
    Peer,
    /// XTURN: [`Server::answer_turn`](super::Server::answer_turn).
    Turn,
}

/// Which articles OVER and HDR are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// One, by Message-ID.
    Id(MessageId),
    /// A range of numbers; an empty answer is 423.
    Range(Range),
    /// The current article; an empty answer is 420.
    Current(u64),
}

/// The lists that are made from the newsgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// LIST ACTIVE (RFC 3977 s.7.6.3).
    Active,
    /// LIST ACTIVE.TIMES (s.7.6.4).
    ActiveTimes,
    /// LIST NEWSGROUPS (s.7.6.6).
    Newsgroups,
    /// LIST COUNTS (RFC 6048 s.2.2).
    Counts,
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// There is no whole command in the input: read more.
    Read,
    /// A reply was written to `out`.
    Replied,
    /// Look this up and answer it.
    Ask(Ask),
    /// An article has arrived; the reply to it is owed ([`reply::transfer`](super::reply::transfer)).
    Received(Transfer, Received),
    /// 382 was written: send it, throw away whatever else has been received (RFC 4642 s.2.2.2), do the
    /// TLS handshake, then [`Server::secured`](super::Server::secured).
    StartTls,
    /// The last reply was written: close when it has been sent.
    Close,
}
