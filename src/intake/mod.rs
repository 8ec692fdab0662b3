//! The one straight path an article takes: history, verdict, Path, spool. POST, IHAVE, TAKETHIS,
//! pulled and imported articles all end here.
//!
//! Intake is synchronous and never waits for the disk: what it accepts it hands to the store's
//! writer, whose outcome reaches the connection through [`crate::store::Settle`].

pub mod newslog;

use crate::agent::{Cause, Reason};
use crate::article::MessageId;
use crate::config::{Peer, Site};
use crate::store::{Reservation, Settle, Store};
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
    },
    /// The operator's import: every newsgroup accepted; Path is kept, own identity prepended.
    Import {
        /// Old articles are welcome.
        no_cutoff: bool,
        /// Newsgroups that an article names are created.
        create_groups: bool,
    },
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

#[allow(unused_variables, clippy::todo)]
impl Intake {
    /// An intake into `store` by the rules of `site`.
    pub fn new(store: Store, site: Arc<Site>) -> Self {
        Self { store, site }
    }

    /// Is the article with this id wanted? For CHECK, drop the reservation at once.
    pub fn offer(&self, origin: &Origin, id: &MessageId) -> Offer {
        todo!()
    }

    /// Takes a relayed article: `article` is in wire form with its terminator. `held` is the
    /// reservation of an IHAVE; TAKETHIS has none. `id` is what the command said.
    pub fn relay(
        &self,
        origin: &Origin,
        id: &MessageId,
        article: Bytes,
        held: Option<Reservation>,
        waiter: &Arc<dyn Settle>,
        tag: u64,
    ) -> Received {
        todo!()
    }

    /// Injects a proto-article (RFC 5537 s.3.5).
    pub fn inject(&self, origin: &Origin, article: Bytes, waiter: &Arc<dyn Settle>, tag: u64) -> Received {
        todo!()
    }
}
