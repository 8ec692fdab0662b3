//! The house: a running site. Wiring, signals, reload, ordered shutdown.

use crate::config::Config;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A running site.
pub struct Daemon {}

/// Why a site does not start; one line for the operator.
#[derive(Debug)]
pub struct StartError(pub String);

#[allow(unused_variables, clippy::todo, clippy::unused_async)]
impl Daemon {
    /// Opens the store, listens, starts feeds and the control socket. `config_path` is what a reload
    /// reads again.
    pub async fn start(config: Config, config_path: Option<PathBuf>) -> Result<Self, StartError> {
        todo!()
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        todo!()
    }

    /// Reads the config again and applies it, or keeps the old one and says why.
    pub async fn reload(&self) -> Result<(), String> {
        todo!()
    }

    /// Stops: replies owed are given, cursors saved, the store closed.
    pub async fn stop(self) {
        todo!()
    }
}
