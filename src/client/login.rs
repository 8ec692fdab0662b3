//! Logging in (RFC 4643), only where nobody listens.

use super::{Client, ClientError, Security};
use crate::wire::Code;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Octets of an AUTHINFO SASL line with its CRLF; a longer initial response waits until the server
/// asks for it (RFC 4643 s.2.4.2).
const INITIAL_MAX: usize = 512;

impl Client {
    /// Logs in with the server's login, or with one that the user is asked for: AUTHINFO SASL PLAIN if
    /// the server has it, else USER and PASS. Never over a connection in clear, unless
    /// [`Server::clear_login`](super::Server::clear_login) allows it.
    pub fn log_in(&mut self) -> Result<(), ClientError> {
        let Some(link) = &self.link else {
            return Err(ClientError::Refused("there is no login on this connection".to_owned()));
        };
        let server = link.server.clone();
        if !self.secure && !server.clear_login {
            return Err(ClientError::Refused(format!(
                "{server}: a password would go over the network in clear; use --tls on or --tls starttls, \
                 or set clear_login = true for this server"
            )));
        }
        let credentials = server.credentials()?;
        if self.compressed {
            // RFC 8054 s.2.2.2: no AUTHINFO after COMPRESS. The new connection logs in first.
            return self.reconnect();
        }
        let sasl = self.capabilities()?.is_some_and(|known| known.sasl_plain);
        let answer = if sasl {
            let plain = format!("\0{}\0{}", credentials.name, credentials.password);
            let answer = self.sasl_plain(&plain)?;
            // RFC 4643 s.2.4.1: a mechanism that it does not take after all.
            if matches!(answer.code, Code(501 | 503)) {
                self.user_pass(&credentials.name, &credentials.password)?
            } else {
                answer
            }
        } else {
            self.user_pass(&credentials.name, &credentials.password)?
        };
        // What it can do depends on who asks (RFC 4643 s.2.2).
        self.capabilities = None;
        match answer.code {
            Code(281) => {
                self.logged_in = true;
                Ok(())
            }
            Code(483) => Err(self.insecure()),
            _ => Err(ClientError::Refused(format!(
                "{server}: the login as {:?} failed: {answer}; look at the name and the password",
                credentials.name
            ))),
        }
    }

    fn sasl_plain(&mut self, plain: &str) -> Result<super::Answer, ClientError> {
        let response = STANDARD.encode(plain);
        let line = format!("AUTHINFO SASL PLAIN {response}");
        if line.len() + 2 <= INITIAL_MAX {
            return self.command(&line);
        }
        let answer = self.command("AUTHINFO SASL PLAIN")?;
        if answer.code == Code(383) { self.command(&response) } else { Ok(answer) }
    }

    fn user_pass(&mut self, name: &str, password: &str) -> Result<super::Answer, ClientError> {
        let answer = self.command(&format!("AUTHINFO USER {name}"))?;
        // RFC 4643 s.2.3.2: 381 asks for the password; some need none.
        if answer.code == Code(381) { self.command(&format!("AUTHINFO PASS {password}")) } else { Ok(answer) }
    }

    /// What to do about a 483.
    pub(super) fn insecure(&self) -> ClientError {
        let server = self.link.as_ref().map(|link| link.server.to_string()).unwrap_or_default();
        let cure = match self.link.as_ref().map(|link| link.server.security) {
            Some(Security::Clear) => "use --tls on or --tls starttls",
            _ => "it takes neither password nor TLS of ours; ask its operator",
        };
        ClientError::Refused(format!("{server}: the server wants a protected connection (483); {cure}"))
    }
}
