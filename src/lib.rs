//! feedd: a Usenet (NNTP) server federation. One program at a site is injecting, relaying and
//! serving agent (RFC 5537) at once; sites that chose each other exchange articles.
//!
//! # The rooms, from the ground up
//!
//! An arrow (`use`) may only point down; `tests/tidy.rs` holds us to it.
//!
//! | level | rooms | what they know |
//! |---|---|---|
//! | 0 ground | [`wildmat`] [`clock`] [`random`] [`decimal`] [`limits`] | nothing; only `clock` reads time, `limits` has every maximum |
//! | 1 words | [`wire`] [`article`] [`binary`] | the grammar of RFC 3977/4644 and of RFC 5536, files in articles: bytes in, types out |
//! | 2 rules | [`agent`] [`access`] [`accounts`] [`tls`] [`session`] [`config`] [`sync`] | RFC 5537's duties as pure verdicts; who may what; sans-IO connections; checked config |
//! | 3 keeping | [`store`] [`journal`] | spool log (the truth) and index (sled, derived); the operator's logs of articles and replies |
//! | 4 moving | [`intake`] [`feed`] [`net`] [`transport`] [`admin`] [`client`] [`transfer`] | the one path an article takes; who is owed what; connections; the sockets, TLS and compression below them; the operator; a newsreader's side; files to and from servers |
//! | 5 house | [`daemon`] [`cli`] and the binaries | wiring, reload, ordered shutdown; the commands |
//!
//! # The one idea
//!
//! Every accepted article is appended once to an append-only spool log. The index is derived from
//! it, a feed is a cursor on it, and an acknowledgement (235, 239, 240) is said only after the log
//! is on disk. Start at [`store`] for the log, at [`intake`] for the path of an article.

pub mod access;
pub mod accounts;
pub mod admin;
pub mod agent;
pub mod article;
pub mod binary;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod decimal;
pub mod feed;
pub mod intake;
pub mod journal;
pub mod limits;
pub mod net;
pub mod random;
pub mod session;
pub mod store;
pub mod sync;
pub mod tls;
pub mod transfer;
pub mod transport;
pub mod wildmat;
pub mod wire;
