//! A name server on loopback, written by hand from RFC 1035 and RFC 2782 and sharing nothing with feedd: over
//! UDP and TCP on one port, with a zone that a test may change at any time.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What a name has.
#[derive(Clone, Debug)]
pub enum Record {
    Address(IpAddr),
    Alias(String),
    /// Priority, weight, port, target.
    Service(u16, u16, u16, String),
}

/// How questions for a name are answered that are not answered by its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// SERVFAIL.
    Fails,
    /// Not at all.
    Silent,
    /// For IPv6 addresses not at all.
    SilentForIpv6,
    /// Over UDP: that the answer is too long; over TCP by the records.
    Truncates,
}

#[derive(Default)]
struct Zone {
    records: BTreeMap<String, Vec<Record>>,
    moods: BTreeMap<String, Mood>,
    /// Every question: the name, its type, whether over TCP.
    asked: Vec<(String, u16, bool)>,
}

/// The server, until it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    /// One that knows nothing yet.
    pub fn start() -> Self {
        let (udp, tcp) = bound();
        let address = udp.local_addr().unwrap();
        let (zone, stop) = (Arc::new(Mutex::new(Zone::default())), Arc::new(AtomicBool::new(false)));
        let by_udp = {
            let (zone, stop) = (zone.clone(), stop.clone());
            thread::spawn(move || {
                let mut octets = [0; 512];
                while let Ok((count, from)) = udp.recv_from(&mut octets) {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    if let Some(answer) = zone.lock().unwrap().answer(&octets[..count], false) {
                        let _ = udp.send_to(&answer, from);
                    }
                }
            })
        };
        let by_tcp = {
            let (zone, stop) = (zone.clone(), stop.clone());
            thread::spawn(move || {
                for stream in tcp.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    // One that breaks off is no matter.
                    let _ = serve(stream, &zone);
                }
            })
        };
        Self { address, zone, stop, threads: vec![by_udp, by_tcp] }
    }

    /// A name has these records from now on, and no others.
    pub fn set(&self, name: &str, records: &[Record]) {
        let mut zone = self.zone.lock().unwrap();
        zone.moods.remove(name);
        zone.records.insert(name.to_owned(), records.to_vec());
    }

    /// A host has these addresses from now on.
    pub fn set_host(&self, name: &str, addresses: &[&str]) {
        let records: Vec<Record> =
            addresses.iter().map(|text| Record::Address(text.parse().unwrap())).collect();
        self.set(name, &records);
    }

    /// There is no such name any more.
    pub fn remove(&self, name: &str) {
        let mut zone = self.zone.lock().unwrap();
        zone.moods.remove(name);
        zone.records.remove(name);
    }

    pub fn set_mood(&self, name: &str, mood: Mood) {
        self.zone.lock().unwrap().moods.insert(name.to_owned(), mood);
    }

    /// How often it has been asked for SRV records of a name.
    pub fn asked_for_services(&self, name: &str) -> usize {
        let zone = self.zone.lock().unwrap();
        zone.asked.iter().filter(|(asked, kind, _)| asked == name && *kind == SRV).count()
    }

    /// Has it been asked for a name over TCP?
    pub fn asked_over_tcp(&self, name: &str) -> bool {
        self.zone.lock().unwrap().asked.iter().any(|(asked, _, tcp)| asked == name && *tcp)
    }

    /// Has it been asked for anything that ends so?
    pub fn asked_below(&self, end: &str) -> bool {
        self.zone.lock().unwrap().asked.iter().any(|(asked, _, _)| asked.ends_with(end))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Something comes, so that they look.
        let knock = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(&[0], self.address));
        if knock.is_ok() && TcpStream::connect(self.address).is_ok() {
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

/// One port, for both.
fn bound() -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        // Else somebody else has it for UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve(mut stream: TcpStream, zone: &Mutex<Zone>) -> std::io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut octets = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut octets)?;
    let answer = zone.lock().unwrap().answer(&octets, true);
    let Some(answer) = answer else { return Ok(()) };
    stream.write_all(&(answer.len() as u16).to_be_bytes())?;
    stream.write_all(&answer)
}

impl Zone {
    fn answer(&mut self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        // One question, which asks for recursion, and nothing else.
        let (head, rest) = question.split_at_checked(12)?;
        assert_eq!(head[2..12], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0], "what kind of question is that?");
        let (name, used) = read_name(rest)?;
        let kind = u16::from_be_bytes([*rest.get(used)?, *rest.get(used + 1)?]);
        assert_eq!(rest[used + 2..], [0, 1], "class IN and no octet more");
        self.asked.push((name.clone(), kind, tcp));
        let mood = self.moods.get(&name).copied();
        let mut answers = Vec::new();
        let mut code = match mood {
            Some(Mood::Silent) => return None,
            Some(Mood::SilentForIpv6) if kind == AAAA => return None,
            Some(Mood::Fails) => 2,
            Some(Mood::Truncates) if !tcp => {
                // The answer's first octets, and that there would be more.
                let head = [&head[..2], &[0x83, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
                return Some([&head, rest, &[0xc0]].concat());
            }
            _ if self.records.contains_key(&name) => 0,
            _ => 3,
        };
        if code == 0 {
            answers = self.records_of(&name, kind);
        }
        if code == 3 && self.records.keys().any(|known| known.ends_with(&format!(".{name}"))) {
            // RFC 8020: above a name that is there.
            code = 0;
        }
        let head = [&head[..2], &[0x81, 0x80 | code, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0]].concat();
        Some([head, rest.to_vec(), answers.concat()].concat())
    }

    fn records_of(&self, name: &str, kind: u16) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for record in self.records.get(name).into_iter().flatten() {
            let (its_kind, data) = match record {
                Record::Address(IpAddr::V4(address)) => (A, address.octets().to_vec()),
                Record::Address(IpAddr::V6(address)) => (AAAA, address.octets().to_vec()),
                Record::Alias(alias) => (CNAME, written(alias)),
                Record::Service(priority, weight, port, target) => {
                    let numbers = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                    (SRV, [numbers, written(target)].concat())
                }
            };
            if its_kind == kind || its_kind == CNAME {
                let length = (data.len() as u16).to_be_bytes();
                let fields = [its_kind.to_be_bytes(), [0, 1], [0, 0], [0, 60], length].concat();
                answers.push([written(name), fields, data].concat());
            }
            if let Record::Alias(alias) = record {
                answers.extend(self.records_of(alias, kind));
            }
        }
        answers
    }
}

/// A name and how many octets it takes; not compressed.
fn read_name(octets: &[u8]) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), 0);
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8(octets.get(at..at + length)?.to_vec()).ok()?.to_ascii_lowercase());
        at += length;
    }
}

fn written(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets
}
