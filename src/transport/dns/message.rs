//! Messages to and from name servers (RFC 1035 s.4): one question, and what its answer says. Nothing is
//! sent here.

use super::super::service::ServiceRecord;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, header_buffer};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 64;
/// Aliases that are followed.
const ALIASES_MAX: usize = 8;
/// Octets of the shortest question, and of the shortest record.
const SECTION_MIN: [usize; 2] = [5, 11];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// SRV records.
    Service,
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
}

/// A record of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An SRV record.
    Service(ServiceRecord),
    /// An address.
    Address(IpAddr),
}

/// What a message is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All records of the name; none: there are none, or there is no such name.
    Found(Vec<Found>),
    /// The server cannot say.
    Failed(String),
    /// There is more than has come.
    Truncated,
    /// Not the answer to our question.
    Another,
}

impl Kind {
    fn code(self) -> TYPE {
        match self {
            Self::Service => TYPE::SRV,
            Self::V4 => TYPE::A,
            Self::V6 => TYPE::AAAA,
        }
    }
}

impl Found {
    pub(super) fn into_service(self) -> Option<ServiceRecord> {
        match self {
            Self::Service(record) => Some(record),
            Self::Address(_) => None,
        }
    }

    pub(super) fn into_address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Service(_) => None,
        }
    }
}

/// The question for all records of a kind at `name`.
///
/// # Errors
/// It is no name.
pub fn question(id: u16, name: &str, kind: Kind) -> io::Result<Vec<u8>> {
    let name = Name::new(name).map_err(io::Error::other)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, kind.code().into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(io::Error::other)
}

/// What `octets` say to the question of this id.
pub fn answer(octets: &[u8], id: u16, name: &str, kind: Kind) -> Answer {
    let ours = header_buffer::id(octets).is_ok_and(|its| its == id)
        && header_buffer::has_flags(octets, PacketFlag::RESPONSE).unwrap_or(false);
    let (true, Ok(name)) = (ours, Name::new(name)) else { return Answer::Another };
    // Before the rest is read: it may end in the middle of a record.
    if header_buffer::has_flags(octets, PacketFlag::TRUNCATION).unwrap_or(false) {
        return Answer::Truncated;
    }
    if !counts_fit(octets) {
        return Answer::Failed("its answer is damaged".to_owned());
    }
    let packet = match Packet::parse(octets) {
        Ok(packet) => packet,
        Err(error) => return Answer::Failed(format!("its answer cannot be read: {error}")),
    };
    // Who refuses may leave out what was asked.
    let failed = !matches!(packet.rcode(), RCODE::NoError | RCODE::NameError);
    let asked = |question: &Question<'_>| {
        question.qname == name
            && question.qtype == QTYPE::TYPE(kind.code())
            && question.qclass == QCLASS::CLASS(CLASS::IN)
    };
    match packet.questions.as_slice() {
        [question] if asked(question) => {}
        [] if failed => {}
        _ => return Answer::Another,
    }
    if failed {
        let why = match packet.rcode() {
            RCODE::ServerFailure => "it cannot find out (SERVFAIL)".to_owned(),
            RCODE::Refused => "it refuses to answer us (REFUSED)".to_owned(),
            other => format!("it does not answer ({other:?})"),
        };
        return Answer::Failed(why);
    }
    Answer::Found(records(&packet, name, kind))
}

/// Is there room for as many questions and records as are said to be there? They are made room for before
/// they are read.
fn counts_fit(octets: &[u8]) -> bool {
    let counts = [
        header_buffer::questions(octets),
        header_buffer::answers(octets),
        header_buffer::name_servers(octets),
        header_buffer::additional_records(octets),
    ];
    let [question, record] = SECTION_MIN;
    let needed = counts.into_iter().zip([question, record, record, record]);
    needed.map(|(count, each)| usize::from(count.unwrap_or(u16::MAX)) * each).sum::<usize>() <= octets.len()
}

/// The records at `name`, or at what it is an alias of.
fn records<'a>(packet: &Packet<'a>, mut name: Name<'a>, kind: Kind) -> Vec<Found> {
    for _ in 0..ALIASES_MAX {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(alias) if record.class == CLASS::IN && record.name == name => Some(alias.0.clone()),
            _ => None,
        });
        match alias {
            Some(alias) => name = alias,
            None => break,
        }
    }
    let here = packet.answers.iter().filter(|record| record.class == CLASS::IN && record.name == name);
    here.filter_map(|record| found(&record.rdata, kind)).take(RECORDS_MAX).collect()
}

fn found(data: &RData<'_>, kind: Kind) -> Option<Found> {
    match (kind, data) {
        (Kind::V4, RData::A(a)) => Some(Found::Address(Ipv4Addr::from_bits(a.address).into())),
        (Kind::V6, RData::AAAA(aaaa)) => Some(Found::Address(Ipv6Addr::from_bits(aaaa.address).into())),
        (Kind::Service, RData::SRV(srv)) => {
            let target = host_name(&srv.target)?;
            // There is no port 0; with the root it says nothing.
            (srv.port != 0 || target.is_empty()).then_some(Found::Service(ServiceRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target,
            }))
        }
        _ => None,
    }
}

/// A name as text, if it is a host's; empty: the root.
fn host_name(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.as_bytes() {
        let good = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        if !label.iter().all(good) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(str::from_utf8(label).ok()?);
    }
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::random::xorshift;

    const NAME: &str = "_nntp._tcp.news.example";

    /// The question of RFC 2782's form for [`NAME`].
    const QUESTION: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\
        \x05_nntp\x04_tcp\x04news\x07example\0\0\x21\0\x01";

    /// An answer: header with these flags and counts, the question, and these records.
    fn reply(flags: &[u8; 2], answers: u8, records: &[u8]) -> Vec<u8> {
        [b"\x12\x34", &flags[..], b"\0\x01\0", &[answers], b"\0\0\0\0", &QUESTION[12..], records].concat()
    }

    fn srv(owner: &[u8], priority: u8, weight: u8, port: u16, target: &[u8]) -> Vec<u8> {
        let length = u8::try_from(6 + target.len()).unwrap();
        let mut octets = [owner, b"\0\x21\0\x01\0\0\0\x3c\0"].concat();
        octets.extend([length, 0, priority, 0, weight]);
        octets.extend(port.to_be_bytes());
        octets.extend(target);
        octets
    }

    fn read(octets: &[u8]) -> Answer {
        answer(octets, 0x1234, NAME, Kind::Service)
    }

    fn service(priority: u16, weight: u16, port: u16, target: &str) -> Found {
        Found::Service(ServiceRecord { priority, weight, port, target: target.to_owned() })
    }

    #[test]
    fn a_question_is_as_the_rfc_draws_it() {
        assert_eq!(question(0x1234, NAME, Kind::Service).unwrap(), QUESTION);
        assert!(question(1, &"a".repeat(64), Kind::V4).is_err());
    }

    #[test]
    fn an_answer_says_where_the_servers_are() {
        // The second target is compressed, as RFC 2782 forbids and some do; the third is the root; the
        // fourth belongs to another name, the fifth has no port.
        let records = [
            srv(b"\xc0\x0c", 10, 60, 1119, b"\x02b1\x07example\0"),
            srv(b"\x05_NNTP\xc0\x12", 20, 0, 119, b"\x02b2\xc0\x1c"),
            srv(b"\xc0\x0c", 0, 0, 0, b"\0"),
            srv(b"\xc0\x12", 1, 1, 119, b"\x01x\0"),
            srv(b"\xc0\x0c", 1, 1, 0, b"\x01x\0"),
        ];
        let expected = Answer::Found(vec![
            service(10, 60, 1119, "b1.example"),
            service(20, 0, 119, "b2.example"),
            service(0, 0, 0, ""),
        ]);
        assert_eq!(read(&reply(b"\x81\x80", 5, &records.concat())), expected);
    }

    #[test]
    fn an_alias_is_followed() {
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x09\x01a\x05other\0";
        let records = [&alias[..], &srv(b"\x01a\x05other\0", 1, 1, 119, b"\x01b\0")].concat();
        let expected = Answer::Found(vec![service(1, 1, 119, "b")]);
        assert_eq!(read(&reply(b"\x81\x80", 2, &records)), expected);
        // One that leads to itself ends, too.
        let circle = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c";
        assert_eq!(read(&reply(b"\x81\x80", 1, circle)), Answer::Found(Vec::new()));
    }

    #[test]
    fn what_is_no_answer_is_told_from_a_failure() {
        let none = Answer::Found(Vec::new());
        assert_eq!(read(&reply(b"\x81\x80", 0, b"")), none, "no data");
        assert_eq!(read(&reply(b"\x81\x83", 0, b"")), none, "NXDOMAIN");
        for (code, words) in [(2, "SERVFAIL"), (5, "REFUSED"), (4, "NotImplemented")] {
            let failed = read(&reply(&[0x81, 0x80 | code], 0, b""));
            assert!(matches!(&failed, Answer::Failed(why) if why.contains(words)), "{failed:?}");
        }
        assert!(matches!(read(b"\x12\x34\x81\x85\0\0\0\0\0\0\0\0"), Answer::Failed(_)));
        // Cut in the middle of a record.
        assert_eq!(read(&reply(b"\x83\x80", 9, b"\xc0")), Answer::Truncated);
        assert!(matches!(read(&reply(b"\x81\x80", 9, b"\xc0")), Answer::Failed(_)));
        let good = reply(b"\x81\x80", 1, &srv(b"\xc0\x0c", 1, 1, 119, b"\x01b\0"));
        assert_eq!(answer(&good, 0x1235, NAME, Kind::Service), Answer::Another, "another id");
        assert_eq!(answer(&good, 0x1234, "news.example", Kind::Service), Answer::Another, "another name");
        assert_eq!(answer(&good, 0x1234, NAME, Kind::V4), Answer::Another, "another kind");
        assert_eq!(read(QUESTION), Answer::Another, "a question");
        assert_eq!(read(b"\x12"), Answer::Another);
    }

    #[test]
    fn addresses_are_of_their_family() {
        let reply = |kind: u8, data: &[u8]| {
            let length = u8::try_from(data.len()).unwrap();
            let head = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x01a\x07example\0\0";
            [&head[..], &[kind], b"\0\x01\xc0\x0c\0", &[kind], b"\0\x01\0\0\0\x3c\0", &[length], data]
                .concat()
        };
        let four = reply(1, &[192, 0, 2, 7]);
        let six = reply(28, &"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        for (octets, kind, text) in [(&four, Kind::V4, "192.0.2.7"), (&six, Kind::V6, "2001:db8::7")] {
            let expected = Answer::Found(vec![Found::Address(text.parse().unwrap())]);
            assert_eq!(answer(octets, 7, "A.example", kind), expected);
        }
    }

    #[test]
    fn no_damage_is_more_than_a_failure() {
        let mut random = xorshift(11);
        let records =
            [srv(b"\xc0\x0c", 10, 60, 1119, b"\x02b1\xc0\x1c"), srv(b"\xc0\x0c", 1, 1, 119, b"\x01x\0")];
        let whole = reply(b"\x81\x80", 2, &records.concat());
        let mut read_all = 0;
        for _ in 0..50_000 {
            let mut octets = whole.clone();
            for _ in 0..=random(4) {
                let at = usize::try_from(random(octets.len() as u64)).unwrap();
                octets[at] = u8::try_from(random(256)).unwrap();
            }
            octets.truncate(usize::try_from(random(2 * whole.len() as u64)).unwrap());
            if let Answer::Found(found) = read(&octets) {
                assert!(found.len() <= 2);
                read_all += usize::from(found.len() == 2);
            }
        }
        assert!(read_all > 1000, "{read_all}");
    }
}
