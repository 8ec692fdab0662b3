//! What the tests and the benchmark share: real processes (feedd sites, INN) in temporary
//! folders, a raw NNTP client that knows nothing of the code under test, and articles.
//!
//! Every process is stopped when its value is dropped, also when a test panics. Waiting is
//! always polling an answer until a deadline; nothing here sleeps to hope for the best.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a failing step of a test is a failing test")]

pub mod articles;
pub mod client;
pub mod dns;
pub mod inn;
pub mod process;
pub mod random;
pub mod relay;
pub mod site;
