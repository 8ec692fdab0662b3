//! TLS (RFC 4642, RFC 8143) by rustls: how a side is set up and whom it trusts. No sockets' loops:
//! those belong to who moves the octets.

pub mod client;
mod fingerprint;

pub use fingerprint::Fingerprint;
