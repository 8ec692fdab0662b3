//! Who the client is and what protects the connection: AUTHINFO (RFC 4643), STARTTLS (RFC 4642) and
//! COMPRESS (RFC 8054), the three commands that change what the others may do.

use super::ask::{Ask, Rights, Step};
use super::reply;
use super::server::{Server, State};
use crate::wire::{Authinfo, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a connection can be offered, as the site is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// There is a certificate: STARTTLS.
    pub starttls: bool,
    /// There are accounts to log in to.
    pub login: bool,
    /// Some of them may read what others may not.
    pub login_reads: bool,
    /// Some of them may post where others may not.
    pub login_posts: bool,
    /// Some of them are peers', who may offer.
    pub login_offers: bool,
    /// Behind TLS a peer may show who it is.
    pub tls_offers: bool,
    /// Passwords are taken without TLS: the operator says so.
    pub clear_login: bool,
    /// COMPRESS DEFLATE.
    pub compress: bool,
}

/// What is known of the connection: what protects it, and whether somebody has logged in.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    pub(super) offers: Offers,
    pub(super) tls: bool,
    pub(super) compressed: bool,
    pub(super) logged_in: bool,
    /// The name of the last AUTHINFO USER.
    user: Option<String>,
}

/// A name and a password to be checked. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account's name.
    pub name: String,
    /// The password as sent.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The shell's finding about [`Credentials`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// They are right: 281, and these rights from now on.
    Accepted(Rights),
    /// They are wrong: 481.
    Failed,
    /// The account has as many connections as it may: 502.
    Busy,
    /// Our own trouble: 403, and nothing is said about the password.
    Unavailable,
}

impl Channel {
    /// May passwords be sent as things are? RFC 4643 s.2.3.2: not in clear, unless the operator says
    /// so; RFC 8054 s.2.2.2: not behind compression.
    pub(super) fn takes_passwords(&self) -> bool {
        self.offers.login && !self.logged_in && !self.compressed && (self.tls || self.offers.clear_login)
    }

    pub(super) fn may_start_tls(&self) -> bool {
        self.offers.starttls && !self.tls && !self.logged_in && !self.compressed
    }

    /// May the client show behind TLS that it is a peer?
    pub(super) fn may_be_peer_behind_tls(&self) -> bool {
        self.offers.tls_offers && self.may_start_tls()
    }

    pub(super) fn may_compress(&self) -> bool {
        self.offers.compress && !self.compressed
    }

    /// Could it post if it logged in?
    pub(super) fn may_post_by_login(&self) -> bool {
        self.offers.login_posts && self.may_log_in()
    }

    /// Could the client log in, be it behind STARTTLS?
    pub(super) fn may_log_in(&self) -> bool {
        self.takes_passwords() || (self.offers.login && self.may_start_tls())
    }
}

impl<G> Server<G> {
    /// The same machine on a connection that is offered this, and protected by TLS from its first
    /// octet or not.
    pub fn on_channel(mut self, offers: Offers, tls: bool) -> Self {
        self.channel = Channel { offers, tls, ..Channel::default() };
        self
    }

    pub(super) fn authinfo(&mut self, command: Authinfo<'_>, out: &mut Vec<u8>) -> Step {
        // RFC 4643 s.2.2, RFC 8054 s.2.2.2.
        if self.channel.logged_in {
            return reply::line(502, "Already logged in", out);
        }
        if self.channel.compressed {
            return reply::line(502, "No login behind compression", out);
        }
        if let Authinfo::Sasl { mechanism, .. } = command
            && !mechanism.eq_ignore_ascii_case("PLAIN")
        {
            return reply::line(503, "Mechanism not supported", out);
        }
        if !self.channel.takes_passwords() {
            return if self.channel.may_log_in() {
                reply::line(483, "Encryption required: STARTTLS first", out)
            } else {
                reply::line(502, "No login here", out)
            };
        }
        match command {
            Authinfo::User(name) => {
                self.channel.user = Some(name.to_owned());
                reply::line(381, "Enter passphrase", out)
            }
            Authinfo::Pass(Secret(password)) => match self.channel.user.take() {
                Some(name) => Step::Ask(Ask::Login(Credentials { name, password: password.to_owned() })),
                None => reply::line(482, "Authentication commands issued out of sequence", out),
            },
            Authinfo::Sasl { initial: Some(Secret(response)), .. } => plain(response.as_bytes(), out),
            // RFC 4643 s.2.4.2: a challenge without data is "=".
            Authinfo::Sasl { .. } => {
                self.state = State::Sasl;
                reply::line(383, "=", out)
            }
            Authinfo::Unknown => {
                reply::line(501, "Syntax: AUTHINFO USER name|PASS password|SASL mechanism", out)
            }
        }
    }

    /// The line that answers a challenge.
    pub(super) fn sasl_response(&mut self, line: &[u8], out: &mut Vec<u8>) -> Step {
        self.state = State::Command;
        if line == b"*" {
            return reply::line(481, "Authentication cancelled", out);
        }
        plain(line, out)
    }

    /// AUTHINFO's credentials have been looked at.
    pub fn answer_login(&mut self, login: Login, out: &mut Vec<u8>) {
        match login {
            Login::Accepted(rights) => {
                self.logged_in(rights);
                reply::line(281, "Authentication accepted", out)
            }
            Login::Failed => reply::line(481, "Authentication failed", out),
            Login::Busy => reply::line(502, "Too many connections of this account", out),
            Login::Unavailable => {
                reply::line(403, "Accounts cannot be read, the operator has been told", out)
            }
        };
    }

    /// The client is known, by its password or its certificate.
    pub fn logged_in(&mut self, rights: Rights) {
        self.rights = rights;
        self.channel.logged_in = true;
        self.channel.user = None;
    }

    pub(super) fn start_tls(&mut self, out: &mut Vec<u8>) -> Step {
        let channel = &self.channel;
        // RFC 4642 s.2.2.1, RFC 8054 s.2.2.2.
        if channel.tls || channel.logged_in || channel.compressed {
            return reply::line(502, "STARTTLS comes first or not at all", out);
        }
        if !channel.offers.starttls {
            return reply::line(580, "This site has no certificate", out);
        }
        self.state = State::Handshake;
        reply::line(382, "Continue with TLS negotiation", out);
        Step::StartTls
    }

    /// The TLS handshake behind [`Step::StartTls`] is done. RFC 4642 s.2.2.2: what was known of the
    /// client is forgotten, as after the greeting.
    pub fn secured(&mut self) {
        self.state = State::Command;
        self.channel.tls = true;
        self.channel.user = None;
        self.leave_group();
    }

    /// What the client may do has changed, and what it is offered: TLS says more of it, or the site's
    /// rules have changed.
    pub fn admitted(&mut self, rights: Rights, offers: Offers) {
        self.rights = rights;
        self.channel.offers = offers;
    }

    /// A private command (RFC 3977 s.3.3: its name begins with X): from here on we are the client, and
    /// offer it what it is owed. SMTP's ATRN is its model (RFC 2645).
    pub(super) fn turn(&mut self, out: &mut Vec<u8>) -> Step {
        if self.rights.turn {
            return Step::Ask(Ask::Turn);
        }
        self.may_not_offer("Not permitted: not a peer that is fed over its own connections", out)
    }

    /// XTURN: 290, and the client is the server from its greeting on; or there is nothing to feed it
    /// from. (RFC 3977 s.3.2: x9x is for private extensions.)
    pub fn answer_turn(&mut self, turned: bool, out: &mut Vec<u8>) {
        if turned {
            self.state = State::Turned;
            reply::line(290, "Your turn to be the server", out);
        } else {
            reply::line(403, "There is no feed for you now", out);
        }
    }

    /// What somebody is told who is no peer: how to become one, if there is a way.
    pub(super) fn may_not_offer(&self, what: &str, out: &mut Vec<u8>) -> Step {
        let offers = &self.channel.offers;
        if self.channel.may_be_peer_behind_tls() && !self.may_log_in_now() {
            return reply::line(483, "Encryption required: peers come over TLS", out);
        }
        self.denied(offers.login_offers, 502, what, out)
    }

    fn may_log_in_now(&self) -> bool {
        self.channel.offers.login_offers && self.channel.takes_passwords()
    }

    pub(super) fn compress(&mut self, algorithm: &str, out: &mut Vec<u8>) -> Step {
        if self.channel.compressed {
            return reply::line(502, "Compression is active already", out);
        }
        if !algorithm.eq_ignore_ascii_case("DEFLATE") {
            return reply::line(503, "Compression algorithm not supported", out);
        }
        if !self.channel.offers.compress {
            return reply::line(403, "Unable to activate compression", out);
        }
        Step::Ask(Ask::Compress)
    }

    /// COMPRESS: everything behind this reply is compressed, both ways; or the shell could not.
    pub fn answer_compress(&mut self, active: bool, out: &mut Vec<u8>) {
        if active {
            self.channel.compressed = true;
            self.channel.user = None;
            reply::line(206, "Compression active", out);
        } else {
            reply::line(403, "Unable to activate compression now", out);
        }
    }

    /// What somebody is told who may not do it: that a login would help, that TLS must come before it,
    /// or neither (RFC 4643 s.2.2; RFC 3977 s.3.2.1).
    pub(super) fn denied(&self, login: bool, code: u16, what: &str, out: &mut Vec<u8>) -> Step {
        if login && self.channel.takes_passwords() {
            reply::line(480, "Login required", out)
        } else if login && self.channel.may_log_in() {
            reply::line(483, "Login required, and STARTTLS before it", out)
        } else {
            reply::line(code, what, out)
        }
    }
}

/// SASL PLAIN (RFC 4616): `[authorization identity] NUL name NUL password`, in base64.
fn plain(response: &[u8], out: &mut Vec<u8>) -> Step {
    // RFC 4643 s.2.4.2: "=" is a response without data.
    let decoded = if response == b"=" { Ok(Vec::new()) } else { STANDARD.decode(response) };
    let Ok(message) = decoded else {
        return reply::line(504, "Not base64", out);
    };
    let mut parts = message.split(|&octet| octet == 0).map(std::str::from_utf8);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(identity)), Some(Ok(name)), Some(Ok(password)), None)
            if !name.is_empty() && !password.is_empty() =>
        {
            if !identity.is_empty() && identity != name {
                return reply::line(481, "Nobody acts for somebody else here", out);
            }
            Step::Ask(Ask::Login(Credentials { name: name.to_owned(), password: password.to_owned() }))
        }
        _ => reply::line(482, "Not a message of SASL PLAIN", out),
    }
}
