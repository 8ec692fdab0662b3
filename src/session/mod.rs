//! Connections as sans-IO state machines: bytes in, steps out. No clock, no socket, no store, so
//! that the same machine runs over TCP, over a control socket, in a transcript and in simulation.

pub mod ask;
mod commands;
pub mod login;
pub mod reply;
pub mod sender;
pub mod server;

pub use ask::{Ask, Locator, Received, Rights, Step, Transfer, Via};
pub use login::{Credentials, Login, Offers};
pub use server::Server;
