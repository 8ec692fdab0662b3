//! What comes before articles are offered: greeting, TLS, login, compression, streaming or not.
//!
//! The capabilities are asked for first and again after TLS and after the login, because what was said
//! before does not count then (RFC 4642 s.2.2.2, RFC 4643 s.2.2). Where TLS is wanted nothing but the
//! question for capabilities and STARTTLS is ever said in clear: a peer that does not do it is given up.

use super::{CAPABILITIES_MAX, Close, Offered, Phase, Sender, Step, shown};
use crate::wire::capability::Capabilities;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Octets of a command line that may carry a SASL initial response (RFC 4643 s.2.4.2: 512 with CRLF).
const COMMAND_MAX: usize = 510;

/// What is wanted before articles are offered.
#[derive(Clone, Default)]
pub struct Opening {
    /// STARTTLS (RFC 4642), and nothing without it.
    pub start_tls: bool,
    /// The name and the password of a login (RFC 4643), where the peer takes logins.
    pub login: Option<(String, String)>,
    /// COMPRESS DEFLATE (RFC 8054) where the peer offers it.
    pub compress: bool,
    /// XSYNC in place of offering: the shell asks.
    pub sync: bool,
    /// XTURN in place of offering: the peer offers, and we are the server.
    pub turn: bool,
}

impl fmt::Debug for Opening {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map(|(name, _)| name);
        f.debug_struct("Opening")
            .field("start_tls", &self.start_tls)
            .field("login", &login)
            .field("compress", &self.compress)
            .field("turn", &self.turn)
            .finish()
    }
}

impl<A: Offered> Sender<A> {
    /// TLS has begun behind [`Step::StartTls`]. What the peer said in clear is void.
    pub fn secured(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Handshake {
            self.opening.start_tls = false;
            self.ask_capabilities(out);
        }
    }

    /// Octets that have come and are not worked off: behind [`Step::StartTls`] there must be none
    /// (RFC 4642 s.2.2.2), behind [`Step::StartDeflate`] they are packed and the shell's.
    pub fn take_input(&mut self) -> Vec<u8> {
        let rest = self.input.split_off(self.taken);
        self.input.clear();
        self.taken = 0;
        rest
    }

    fn ask_capabilities(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CAPABILITIES\r\n");
        self.phase = Phase::Capabilities;
        self.known = None;
    }

    /// A reply before articles are offered.
    pub(super) fn opening_reply(&mut self, code: u16, line: &[u8], out: &mut Vec<u8>) -> Option<Step<A>> {
        match (self.phase, code) {
            (Phase::Greeting, 200 | 201) => {
                self.ask_capabilities(out);
                None
            }
            (Phase::Greeting, _) => Some(self.close(Close::TurnedAway(shown(line)))),
            (Phase::Capabilities, 101) => {
                self.phase = Phase::CapabilityList;
                None
            }
            (Phase::Capabilities, _) => self.next_of_opening(out),
            (Phase::StartTls, 382) => {
                self.phase = Phase::Handshake;
                Some(Step::StartTls)
            }
            (Phase::StartTls, _) => Some(self.close(Close::NoTls(shown(line)))),
            (Phase::User, 381) => {
                let (_, password) = self.opening.login.take().unwrap_or_default();
                out.extend_from_slice(b"AUTHINFO PASS ");
                out.extend_from_slice(password.as_bytes());
                out.extend_from_slice(b"\r\n");
                self.phase = Phase::Password;
                None
            }
            (Phase::User | Phase::Password, 281) => {
                self.opening.login = None;
                self.ask_capabilities(out);
                None
            }
            (Phase::User | Phase::Password, _) => Some(self.close(Close::LoginRefused(shown(line)))),
            (Phase::Compress, 206) => {
                self.phase = Phase::Deflate;
                Some(Step::StartDeflate)
            }
            // 403: not now. It goes on without.
            (Phase::Compress, _) => self.next_of_opening(out),
            (Phase::Turn, 290) => {
                self.phase = Phase::Closed;
                Some(Step::Turned)
            }
            (Phase::Turn, _) => Some(self.close(Close::NoTurn(shown(line)))),
            (Phase::ModeStream { .. }, 203) => self.ready(true),
            (_, 480 | 483) => Some(self.close(Close::Unauthorised(shown(line)))),
            (Phase::ModeStream { listed: true }, _) => Some(self.close(Close::NoTransfer)),
            (Phase::ModeStream { listed: false }, _) => self.ready(false),
            (_, _) => None,
        }
    }

    /// Everything is packed now, behind [`Step::StartDeflate`]: what is left of the opening goes on, with
    /// its next step if there is one.
    pub fn compressed(&mut self, out: &mut Vec<u8>) -> Option<Step<A>> {
        if self.phase == Phase::Deflate { self.next_of_opening(out) } else { None }
    }

    /// One line of the capability list.
    pub(super) fn capability(&mut self, line: &[u8], out: &mut Vec<u8>) -> Option<Step<A>> {
        if line != b"." {
            if self.capabilities.len() + line.len() > CAPABILITIES_MAX {
                return Some(self.close(Close::Protocol("the capability list has no end".to_owned())));
            }
            self.capabilities.push_str(&String::from_utf8_lossy(line));
            self.capabilities.push_str("\r\n");
            return None;
        }
        self.known = Some(Capabilities::parse(&std::mem::take(&mut self.capabilities)));
        self.next_of_opening(out)
    }

    /// Says what is next, by what is known of the peer.
    fn next_of_opening(&mut self, out: &mut Vec<u8>) -> Option<Step<A>> {
        let known = self.known.as_ref();
        if self.opening.start_tls {
            // One that does not know CAPABILITIES may know it all the same.
            if known.is_some_and(|known| !known.starttls) {
                return Some(self.close(Close::NoTls("the peer does not offer STARTTLS".to_owned())));
            }
            out.extend_from_slice(b"STARTTLS\r\n");
            self.phase = Phase::StartTls;
            return None;
        }
        let takes_articles = known.is_some_and(|known| known.streaming || known.ihave);
        if let Some((name, password)) = &self.opening.login
            && known.is_none_or(|known| known.authinfo_user || known.sasl_plain || !takes_articles)
        {
            let plain = known.is_some_and(|known| known.sasl_plain).then(|| {
                let response = STANDARD.encode(format!("\0{name}\0{password}"));
                format!("AUTHINFO SASL PLAIN {response}")
            });
            match plain.filter(|line| line.len() <= COMMAND_MAX) {
                Some(line) => {
                    out.extend_from_slice(line.as_bytes());
                    self.phase = Phase::Password;
                }
                None => {
                    out.extend_from_slice(b"AUTHINFO USER ");
                    out.extend_from_slice(name.as_bytes());
                    self.phase = Phase::User;
                }
            }
            out.extend_from_slice(b"\r\n");
            return None;
        }
        if self.opening.compress && known.is_some_and(|known| known.compress_deflate) {
            self.opening.compress = false;
            out.extend_from_slice(b"COMPRESS DEFLATE\r\n");
            self.phase = Phase::Compress;
            return None;
        }
        if self.opening.sync {
            if known.is_none_or(|known| !known.sync) {
                return Some(self.close(Close::NoSync));
            }
            self.phase = Phase::Closed;
            return Some(Step::Opened);
        }
        if self.opening.turn {
            if known.is_none_or(|known| !known.turn) {
                let why = "the peer does not offer XTURN to us: it is no feedd, does not know who we are, \
                           or has no turn = true for us";
                return Some(self.close(Close::NoTurn(why.to_owned())));
            }
            out.extend_from_slice(b"XTURN\r\n");
            self.phase = Phase::Turn;
            return None;
        }
        match known {
            Some(known) if known.streaming || known.ihave => {
                let streaming = known.streaming;
                self.ready(streaming)
            }
            // RFC 4644 s.2.3: 203 is as good as the label.
            known => {
                out.extend_from_slice(b"MODE STREAM\r\n");
                self.phase = Phase::ModeStream { listed: known.is_some() };
                None
            }
        }
    }

    fn ready(&mut self, streaming: bool) -> Option<Step<A>> {
        self.phase = Phase::Ready { streaming };
        Some(Step::Ready { streaming })
    }
}
