//! A tiny server with holes: it has the articles of a site, but says 430 to some and damages others.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// What it does with an article.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Gives,
    Lacks,
    /// One octet of its body is another.
    Damages,
    /// The connection ends within the article, the first time.
    Breaks,
}

/// Serves until it is dropped.
pub struct HoledServer {
    pub address: SocketAddr,
    /// How many articles were asked for.
    pub asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl HoledServer {
    /// Serves bodies (as on the wire, without the terminator) by Message-ID, each in its manner.
    pub fn start(bodies: HashMap<String, (Vec<u8>, Manner)>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let (bodies, flag, counter) = (Arc::new(bodies), Arc::clone(&over), Arc::clone(&asked));
        let broken = Arc::new(AtomicBool::new(false));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let (bodies, counter, broken) =
                    (Arc::clone(&bodies), Arc::clone(&counter), Arc::clone(&broken));
                thread::spawn(move || stream.and_then(|stream| serve(stream, &bodies, &counter, &broken)));
            }
        });
        Self { address, asked, over }
    }
}

impl Drop for HoledServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // To have the listener look.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    stream: TcpStream,
    bodies: &HashMap<String, (Vec<u8>, Manner)>,
    asked: &AtomicUsize,
    broken: &AtomicBool,
) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    out.write_all(b"201 holes\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let Some(id) = line.strip_prefix("BODY ") else {
            out.write_all(if line == "MODE READER" { b"201 yes\r\n" } else { b"500 what?\r\n" })?;
            continue;
        };
        asked.fetch_add(1, Ordering::Relaxed);
        match bodies.get(id) {
            None | Some((_, Manner::Lacks)) => out.write_all(b"430 no such article\r\n")?,
            Some((body, manner)) => {
                let mut body = body.clone();
                let middle = body.len() / 2;
                if *manner == Manner::Damages {
                    let letter = body[middle..].iter().position(|octet| (b'b'..=b'x').contains(octet));
                    body[middle + letter.unwrap()] = b'a';
                }
                if *manner == Manner::Breaks && !broken.swap(true, Ordering::Relaxed) {
                    out.write_all(b"222 0\r\n")?;
                    return out.write_all(&body[..middle]);
                }
                out.write_all(&[b"222 0\r\n", &body[..], b".\r\n"].concat())?;
            }
        }
    }
    Ok(())
}
