//! Every maximum of the program, with its reason. Those an operator may change have their default
//! here and their key in `config/feedd.toml`.

/// Octets of a command line, CRLF included (RFC 3977 s.3.1).
pub const COMMAND_LINE_MAX: usize = 512;
/// Octets of an AUTHINFO command and of a SASL response: a name and a password in base64 (RFC 4643 s.2.4.1).
pub const AUTHINFO_LINE_MAX: usize = 4096;
/// Octets of a Message-ID (RFC 3977 s.3.6, RFC 5536 s.3.1.3).
pub const MESSAGE_ID_MAX: usize = 250;
/// Octets of this site's own path identity: a Message-ID made here has it and 28 more.
pub const OWN_IDENTITY_MAX: usize = 200;
/// Octets of a newsgroup name: it must fit a command line with its command and an argument.
pub const NEWSGROUP_NAME_MAX: usize = 460;
/// Octets of a whole header section; the rest of the field stays below a tenth of it.
pub const HEADER_SECTION_MAX: usize = 256 * 1024;
/// Octets of one header line without CRLF (RFC 5322 s.2.1.1 says 998; real Path and References
/// fields exceed it, and a relaying agent must not drop those articles).
pub const HEADER_LINE_MAX: usize = 32 * 1024;
/// Header lines of one article.
pub const HEADER_LINES_MAX: usize = 1000;
/// Octets of one field in an overview row. Real ones are shorter by far (RFC 5537 s.3.4.4 lets
/// References be cut to 998); the bound is against articles made to fill memory.
pub const OVERVIEW_FIELD_MAX: usize = 2048;
/// Newsgroups one article may name.
pub const CROSSPOST_MAX: usize = 100;
/// Octets of an article on the wire, default (10 MB and room for its header).
pub const ARTICLE_BYTES_MAX: usize = 10 * 1024 * 1024 + 64 * 1024;
/// Replies one connection may have outstanding before its socket is not read any more.
pub const OUTSTANDING_MAX: usize = 1024;
/// Octets of articles one connection may have waiting for their commit.
pub const OUTSTANDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Octets of articles in flight in the whole site, default.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Octets of answers waiting in one connection before no further command is taken.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;
/// Connections that are compressed at once: each takes about 400 KiB.
pub const COMPRESSED_MAX: usize = 1024;
/// Passwords that are looked at at once: each takes 19 MiB for some tens of milliseconds.
pub const HASHES_MAX: usize = 2;
/// Octets of one of the operator's lists (LIST MOTD, ...): its answer is written in one piece.
pub const LIST_FILE_MAX: usize = 64 * 1024;
/// Connections in total, default.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections from one address, default: a newsreader opens four to fifty, and a house or an office
/// shares its address. An IPv6 address counts as its /64, which is what one subscriber has.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 256;
/// Connections of one account, default.
pub const CONNECTIONS_PER_ACCOUNT_MAX: usize = 32;
/// Octets a second that a client must manage over [`SLOW_S`] while it sends a command line or an
/// article or takes our replies, default: a modem of 1990 does 240; who does less holds a place that
/// others could have.
pub const SLOW_BYTES_S: u64 = 64;
/// Seconds over which it counts, default.
pub const SLOW_S: u64 = 60;
/// Octets a second that a connection must manage while it receives a large article and others wait for
/// their part of the site's budget: the largest article, ten minutes.
pub const HOARD_BYTES_S: u64 = 16 * 1024;
/// Octets of an account's name: with a password it fits a command line each (RFC 4643 s.2.3).
pub const ACCOUNT_NAME_MAX: usize = 128;
/// Octets of a password: AUTHINFO PASS must fit a command line (RFC 4643 s.2.3.1).
pub const PASSWORD_MAX: usize = 256;
/// Addresses whose failed logins are remembered at a time.
pub const THROTTLED_MAX: usize = 16_384;
/// Accounts and addresses whose posts are counted at a time.
pub const QUOTAS_MAX: usize = 65_536;
/// Seconds of silence before a connection is closed, default (RFC 3977 s.3.1: not below 180).
pub const IDLE_S: u64 = 600;
/// The port of a server that is named without one (RFC 3977 s.3).
pub const PORT: u16 = 119;
/// The same for TLS from the first octet (RFC 8143 s.3).
pub const TLS_PORT: u16 = 563;
/// The port of a name server that is named without one (RFC 1035 s.4.2).
pub const DNS_PORT: u16 = 53;
/// Name servers that are asked for one name, as by the C library.
pub const NAME_SERVERS_MAX: usize = 3;
