//! What a reader costs who is connected over TLS and silent: most of them, most of the time.

use crate::house::trusting;
use crate::support::process::memory_kib;
use crate::support::site::Site;
use crate::wire::Wire;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::net::{Ipv4Addr, TcpStream};

const READERS: usize = 10_000;
/// Octets of the site's own memory for each of them; measured: 11.0 KiB in clear, 20.2 KiB over TLS.
const OCTETS_MAX: u64 = 24 * 1024;
/// Descriptors that this process needs beside its sockets.
const DESCRIPTORS: u64 = 100;

/// As many as the limits of this machine allow, up to [`READERS`].
fn readers() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let allowed = usize::try_from(most.saturating_sub(DESCRIPTORS)).unwrap_or(usize::MAX);
    if allowed < READERS {
        println!("only {allowed} readers: a process may have {most} files open here (ulimit -Hn)");
    }
    allowed.min(READERS)
}

#[test]
#[ignore = "ten thousand connections; run it with --release"]
fn ten_thousand_silent_readers_over_tls_take_little_memory() {
    let readers = readers();
    let mut site = Site::init_with("here.example", &["misc.test"], &["--self-signed"]);
    let path = site.config();
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace("connections_per_address_max = 256", "connections_per_address_max = 20000");
    assert!(text.contains("\nconnections_per_address_max = 20000"), "{text}");
    fs::write(&path, text).unwrap();
    site.start();
    let config = trusting(&site.dir());
    // The allocator and the runtime have what they need before it is measured.
    let connect = || -> TcpStream {
        let mut wire = Wire::connect(Ipv4Addr::LOCALHOST, site.port);
        wire.greet();
        wire.starttls(config.clone());
        wire.expect("GROUP misc.test", "211");
        // The site keeps all of the connection; of our side the socket is enough.
        wire.socket
    };
    let mut held: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let before = memory_kib(site.pid());
    held.extend((0..readers).map(|_| connect()));
    let each = (memory_kib(site.pid()) - before) * 1024 / readers as u64;
    println!("{readers} silent readers over TLS: {each} octets each");
    assert!(each < OCTETS_MAX, "{each} octets each");
    // It serves on.
    let mut wire = site.client();
    wire.expect("GROUP misc.test", "211");
    drop(held);
}
