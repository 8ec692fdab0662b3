//! What an operator asks of a site, and the control socket over which a running one is asked.
//!
//! `DATA/control.sock` is a Unix socket that only the site's own user can open. A connection carries
//! one request and one answer, each a line of JSON ([`protocol`]); after the answer to an import the
//! connection speaks NNTP. [`server`] is the site's end, [`client`] the commands' end.
//!
//! What needs nothing but the store is answered by [`from_store`], by a running site and by a command
//! on a stopped one alike, so that both always agree. This room decides nothing about articles.

mod acts;
pub mod client;
pub mod protocol;
pub mod server;
mod socket;
pub mod trace;

pub use acts::from_store;
pub use protocol::{EntryRow, GroupRow, PeerRow, PeerStatus, Request, Response, SiteStatus};
pub use socket::{SOCKET, bind};
