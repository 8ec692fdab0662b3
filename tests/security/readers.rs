//! What a reader costs who is connected over TLS and silent: most of them, most of the time.

use crate::house::trusting;
use crate::support::articles::posted;
use crate::support::process::memory_kib;
use crate::support::site::Site;
use crate::wire::Wire;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;

const READERS: usize = 10_000;
/// Octets of the site's own memory for each of them over TLS. Measured in a release build: 4,400 in clear,
/// 12,700 over TLS, of which rustls keeps 4,096 to read into.
const OCTETS_MAX: u64 = 16 * 1024;
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

/// Octets of the site's own memory for each of so many readers who have read an article and fallen silent.
fn memory_of_each(site: &Site, readers: usize, tls: Option<&Arc<ClientConfig>>) -> u64 {
    let connect = || -> TcpStream {
        let mut wire = Wire::connect(Ipv4Addr::LOCALHOST, site.port);
        wire.greet();
        if let Some(config) = tls {
            wire.starttls(config.clone());
        }
        wire.expect("GROUP misc.test", "211");
        wire.list("ARTICLE 1", "220");
        // The site keeps all of the connection; of our side the socket is enough.
        wire.socket
    };
    // The allocator and the runtime have what they need before it is measured.
    let warm: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let before = memory_kib(site.pid());
    let held: Vec<TcpStream> = (0..readers).map(|_| connect()).collect();
    let after = memory_kib(site.pid());
    // It serves on.
    site.client().expect("GROUP misc.test", "211");
    drop((warm, held));
    (after - before) * 1024 / readers as u64
}

#[test]
#[ignore = "ten thousand connections; run it with --release"]
fn ten_thousand_silent_readers_over_tls_take_little_memory() {
    let readers = readers();
    let mut each = Vec::new();
    for tls in [false, true] {
        let mut site = Site::init_with("here.example", &["misc.test"], &["--self-signed"]);
        let path = site.config();
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("connections_per_address_max = 256", "connections_per_address_max = 20000");
        assert!(text.contains("\nconnections_per_address_max = 20000"), "{text}");
        fs::write(&path, text).unwrap();
        site.start();
        assert!(site.client().post(&posted(None, "misc.test", 20_000)).unwrap().starts_with("240"));
        let config = trusting(&site.dir());
        each.push(memory_of_each(&site, readers, tls.then_some(&config)));
    }
    println!("{readers} silent readers: {} octets each in clear, {} over TLS", each[0], each[1]);
    assert!(each[1] < OCTETS_MAX, "{} octets each over TLS, {} in clear", each[1], each[0]);
}
