//! TLS as a site and its clients use it (RFC 4642, RFC 8143): certificates, keys, and what is trusted.
//! The protocol itself is rustls's, of which TLS 1.2 is the oldest version; moving octets is the
//! business of who has the socket.

pub mod client;
mod fingerprint;
pub mod self_signed;
pub mod server;
mod validity;

pub use fingerprint::{Fingerprint, sha256};
pub use validity::not_after;

/// The name of NNTP in TLS (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"nntp";
